-- @noindex
-- Results into the project: files to its media folder, then tracks, items and takes in one undo block.

local inbox = require("inbox")
local paths = require("paths")
local plan = require("plan")
local trouble = require("trouble")
local wav = require("wav")

local results = {}

local BLOCK = 1 << 20 -- bytes copied at once
local WITH_COLOUR = 0x1000000 -- marks a track colour as set
local EVERYTHING = -1 -- what an undo point holds

local function copy(source, target, run)
  local from, why = io.open(source, "rb")
  if not from then trouble.raise("%s cannot be read (%s).", source, tostring(why)) end
  local to
  to, why = io.open(target, "wb")
  local ok = to
  while ok do
    local bytes = from:read(BLOCK)
    if not bytes then break end
    ok, why = to:write(bytes)
    run.pause()
  end
  from:close()
  if to then
    local closed, later = to:close()
    if ok and not closed then ok, why = nil, later end
  end
  if not ok then
    os.remove(target)
    trouble.raise("%s", inbox.complaint(target, why))
  end
end

-- Where the project keeps its media; for one that was never saved, REAPER's own place for that.
local function media_folder(project)
  local folder = reaper.GetProjectPathEx(project)
  if folder == "" then trouble.raise("REAPER names no folder for the project's media. Save the project first.") end
  reaper.RecursiveCreateDirectory(folder, 0)
  return folder
end

-- The stems of a job into the project's media folder → the same results, their paths there. Names hold the
-- job's id, so nothing is ever overwritten.
function results.collect(job, run)
  local folder, found = media_folder(job.region.project), {}
  for _, result in ipairs(job.machine.results) do
    local name = paths.result_name(tostring(result.path))
    if not name then trouble.raise("The server names “%s” as a result, which is no file of the job.", tostring(result.path)) end
    local source, target = paths.join(job.place, "out", name), paths.join(folder, job.id .. "." .. name)
    if not os.rename(source, target) then copy(source, target, run) end
    job.files[#job.files + 1] = target
    local facts, why = wav.info(target)
    if not facts then trouble.raise("%s cannot be used (%s).", target, tostring(why)) end
    if math.abs(facts.frames - job.region.frames) > 1 or facts.rate ~= job.region.rate then
      trouble.raise("%s has %d frames at %d Hz; the region has %d at %d.", name, facts.frames, facts.rate,
        job.region.frames, job.region.rate)
    end
    found[#found + 1] = { kind = tostring(result.kind), seed = tonumber(result.seed), path = target }
  end
  return found
end

local function all_takes(jobs)
  local takes = {}
  for _, job in ipairs(jobs) do
    for _, planned in ipairs(job.tracks) do
      for _, take in ipairs(planned.takes) do takes[#takes + 1] = take end
    end
  end
  return takes
end

-- Sources that no take has taken over.
local function give_back_sources(takes)
  for _, take in ipairs(takes) do
    if take.source and not take.is_placed then reaper.PCM_Source_Destroy(take.source) end
  end
end

-- All files as sources, before the project is touched.
local function open_sources(takes)
  for _, take in ipairs(takes) do
    take.source = reaper.PCM_Source_CreateFromFile(take.path)
    if not take.source then
      give_back_sources(takes)
      trouble.raise("REAPER cannot open %s.", take.path)
    end
  end
end

local function insert_track(project, index)
  if reaper.APIExists("InsertTrackInProject") then
    reaper.InsertTrackInProject(project, index, 0)
  else -- before REAPER 7: into the project in front, which then must be ours
    local front = reaper.EnumProjects(-1)
    if front ~= project then reaper.SelectProjectInstance(project) end
    reaper.InsertTrackAtIndex(index, false)
    if front ~= project then reaper.SelectProjectInstance(front) end
  end
  local track = reaper.GetTrack(project, index)
  if not track then trouble.raise("REAPER did not make a new track.") end
  return track
end

-- Behind a folder's last child: the index of the first track that is not in it.
local function folder_end(project, number)
  local depth, index = 0, number - 1
  while index < reaper.CountTracks(project) do
    depth = depth + reaper.GetMediaTrackInfo_Value(reaper.GetTrack(project, index), "I_FOLDERDEPTH")
    index = index + 1
    if depth <= 0 then break end
  end
  return index
end

-- Where new tracks go → index, and the track whose folder they must stay in, nil for none
local function place_of(region, with_effects)
  local project, track = region.project, region.track
  if not track or not reaper.ValidatePtr2(project, track, "MediaTrack*") then
    return reaper.CountTracks(project), nil
  end
  local number = math.floor(reaper.GetMediaTrackInfo_Value(track, "IP_TRACKNUMBER"))
  local depth = reaper.GetMediaTrackInfo_Value(track, "I_FOLDERDEPTH")
  if depth > 0 and with_effects then -- it has gone through the folder's effects already
    local index = folder_end(project, number)
    return index, nil
  end
  return number, depth < 0 and track or nil
end

local function add_item(track, region, planned)
  local item = reaper.AddMediaItemToTrack(track)
  reaper.SetMediaItemInfo_Value(item, "D_POSITION", region.position)
  reaper.SetMediaItemInfo_Value(item, "D_LENGTH", region.length)
  reaper.SetMediaItemInfo_Value(item, "B_LOOPSRC", 0)
  for _, name in ipairs({ "D_FADEINLEN", "D_FADEOUTLEN" }) do reaper.SetMediaItemInfo_Value(item, name, 0) end
  for _, name in ipairs({ "D_FADEINLEN_AUTO", "D_FADEOUTLEN_AUTO" }) do reaper.SetMediaItemInfo_Value(item, name, -1) end
  reaper.SetMediaItemInfo_Value(item, "D_VOL", region.item_volume or 1)
  for _, take in ipairs(planned.takes) do
    local new = reaper.AddTakeToMediaItem(item)
    if not reaper.SetMediaItemTake_Source(new, take.source) then trouble.raise("REAPER does not take %s.", take.path) end
    take.is_placed = true
    reaper.GetSetMediaItemTakeInfo_String(new, "P_NAME", take.title, true)
    reaper.SetMediaItemTakeInfo_Value(new, "D_VOL", region.take_volume or 1)
    reaper.SetMediaItemTakeInfo_Value(new, "D_PAN", region.take_pan or 0)
  end
  reaper.SetActiveTake(reaper.GetTake(item, 0))
end

-- An item's accessor leaves its volume and pan out: results get the same, and so sound as loud as it.
local function remember_volume(region)
  if not region.take or not reaper.ValidatePtr2(region.project, region.take, "MediaItem_Take*") then return end
  region.item_volume = reaper.GetMediaItemInfo_Value(region.item, "D_VOL")
  region.take_volume = reaper.GetMediaItemTakeInfo_Value(region.take, "D_VOL")
  region.take_pan = reaper.GetMediaItemTakeInfo_Value(region.take, "D_PAN")
end

local function new_track(project, index, planned)
  local track = insert_track(project, index)
  reaper.GetSetMediaTrackInfo_String(track, "P_NAME", planned.title, true)
  local colour = planned.colour
  reaper.SetTrackColor(track, reaper.ColorToNative(colour[1], colour[2], colour[3]) | WITH_COLOUR)
  return track
end

-- The jobs that came out of one track (its items, say), which share their result tracks kind by kind.
local function groups_of(jobs)
  local groups, by_track = {}, {}
  for _, job in ipairs(jobs) do
    local key = job.region.track or job
    if not by_track[key] then
      by_track[key] = {}
      groups[#groups + 1] = by_track[key]
    end
    table.insert(by_track[key], job)
  end
  return groups
end

local function place_group(group, with_effects, made)
  local region, shared = group[1].region, {}
  local index, keeper = place_of(region, with_effects)
  for _, job in ipairs(group) do
    for _, planned in ipairs(job.tracks) do
      local track = shared[planned.kind]
      if not track then
        track = new_track(region.project, index, planned)
        made[#made + 1], shared[planned.kind], index = track, track, index + 1
      end
      add_item(track, job.region, planned)
    end
  end
  if keeper then -- the source closed its folder; now the last new track does
    local depth = reaper.GetMediaTrackInfo_Value(keeper, "I_FOLDERDEPTH")
    reaper.SetMediaTrackInfo_Value(keeper, "I_FOLDERDEPTH", 0)
    reaper.SetMediaTrackInfo_Value(made[#made], "I_FOLDERDEPTH", depth)
    return function()
      if reaper.ValidatePtr2(region.project, keeper, "MediaTrack*") then
        reaper.SetMediaTrackInfo_Value(keeper, "I_FOLDERDEPTH", depth)
      end
    end
  end
  return function() end
end

local function take_back(project, made, undoes)
  for _, undo in ipairs(undoes) do undo() end
  for index = #made, 1, -1 do
    if reaper.ValidatePtr2(project, made[index], "MediaTrack*") then reaper.DeleteTrack(made[index]) end
  end
end

-- The tracks of all jobs into their project, as one step of its undo history; nothing at all on an error.
-- A job has region, request and results; description names the step.
function results.place(jobs, with_effects, description)
  local project, made, undoes = jobs[1].region.project, {}, {}
  for _, job in ipairs(jobs) do
    job.tracks = plan.tracks(job.results, job.request, job.region.name, job.preset)
    remember_volume(job.region)
  end
  local takes = all_takes(jobs)
  open_sources(takes)
  reaper.PreventUIRefresh(1)
  reaper.Undo_BeginBlock2(project)
  local ok, problem = pcall(function()
    for _, group in ipairs(groups_of(jobs)) do undoes[#undoes + 1] = place_group(group, with_effects, made) end
  end)
  if not ok then take_back(project, made, undoes) end
  reaper.Undo_EndBlock2(project, description, EVERYTHING)
  reaper.PreventUIRefresh(-1)
  reaper.TrackList_AdjustWindows(false)
  reaper.UpdateArrange()
  if not ok then
    give_back_sources(takes)
    error(problem, 0)
  end
  return takes
end

-- Waveforms, a little each tick.
function results.draw(project, takes, run)
  for _, take in ipairs(takes) do
    if reaper.PCM_Source_BuildPeaks(take.source, 0) ~= 0 then
      local left = 100
      while left > 0 and reaper.ValidatePtr2(project, take.source, "PCM_source*") do
        left = reaper.PCM_Source_BuildPeaks(take.source, 1)
        run.pause()
      end
      if left == 0 then reaper.PCM_Source_BuildPeaks(take.source, 2) end
    end
  end
  reaper.UpdateArrange()
end

return results
