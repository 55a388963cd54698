-- The fake's projects, tracks, items, takes, sources and accessors: the calls of the API about them.

local sound = require("fake_sound")

local function contains(list, value)
  for index, item in ipairs(list) do
    if item == value then return index end
  end
  return nil
end

-- Give a host these calls.
return function(Host)
-- Projects

function Host:EnumProjects(index)
  local project = index == -1 and self.front or self.projects[index + 1]
  if not project then return nil, "" end
  return project.handle, project.path .. "/song.rpp"
end

function Host:SelectProjectInstance(project) self.front = self:of(project) end

function Host:close_project(project)
  table.remove(self.projects, contains(self.projects, project))
  self.front = self.projects[1] or self:project({ path = project.path })
end

function Host:GetProjectPathEx(project) return self:of(project, "ReaProject*").path end

function Host:ValidatePtr2(_, pointer, kind)
  local object = self.objects[pointer]
  return object ~= nil and object.kind == kind and self:is_alive(object)
end

function Host:GetSetProjectInfo(project, name, value, is_set)
  project = self:of(project, "ReaProject*")
  assert(name:match("^RENDER_") or name:match("^PROJECT_SRATE"), name)
  if is_set then project.numbers[name] = value end
  return (project.numbers[name] or 0) + 0.0
end

function Host:GetSetProjectInfo_String(project, name, value, is_set)
  project = self:of(project, "ReaProject*")
  if name == "RENDER_TARGETS" then return true, project.texts.RENDER_FILE .. "/" .. project.texts.RENDER_PATTERN .. ".wav" end
  assert(name:match("^RENDER_"), name)
  if is_set then project.texts[name] = value end
  return true, project.texts[name] or ""
end

function Host:GetSet_LoopTimeRange2(project, is_set, is_loop)
  assert(not is_set and not is_loop, "scripts only look at the time selection")
  local time = self:of(project, "ReaProject*").time
  return time[1] + 0.0, time[2] + 0.0
end

-- Tracks

function Host:CountTracks(project) return #self:of(project, "ReaProject*").tracks end

function Host:GetTrack(project, index)
  local track = self:of(project, "ReaProject*").tracks[index + 1]
  return track and track.handle
end

function Host:GetTrackName(track)
  track = self:of(track)
  local number = contains(track.project.tracks, track)
  return true, track.name ~= "" and track.name or "Track " .. number
end

function Host:IsTrackSelected(track) return self:of(track).is_selected end
function Host:SetTrackSelected(track, is_selected) self:of(track).is_selected = is_selected end

function Host:GetMediaTrackInfo_Value(track, name)
  track = self:of(track)
  if name == "I_NCHAN" then return track.channels + 0.0 end
  if name == "I_FOLDERDEPTH" then return track.depth + 0.0 end
  if name == "IP_TRACKNUMBER" then return contains(track.project.tracks, track) + 0.0 end
  error("the fake knows no " .. name)
end

function Host:SetMediaTrackInfo_Value(track, name, value)
  track = self:of(track)
  assert(name == "I_FOLDERDEPTH", name)
  self:changed(track.project)
  track.depth = value
  return true
end

function Host:GetSetMediaTrackInfo_String(track, name, text, is_set)
  track = self:of(track)
  assert(name == "P_NAME", name)
  if is_set then
    self:changed(track.project)
    track.name = text
  end
  return true, track.name
end

function Host:SetTrackColor(track, colour)
  track = self:of(track)
  self:changed(track.project)
  track.colour = colour
end

function Host:ColorToNative(red, green, blue)
  for _, part in ipairs({ red, green, blue }) do assert(part >= 0 and part <= 255) end
  return red | green << 8 | blue << 16
end

function Host:InsertTrackInProject(project, index, flags)
  project = self:of(project, "ReaProject*")
  assert(flags == 0 and index >= 0 and index <= #project.tracks)
  self:changed(project)
  local track = self:track(project, {})
  table.remove(project.tracks)
  table.insert(project.tracks, index + 1, track)
end

function Host:InsertTrackAtIndex(index, with_defaults)
  assert(with_defaults == false)
  self:InsertTrackInProject(self.front.handle, index, 0)
end

function Host:DeleteTrack(track)
  track = self:of(track)
  self:changed(track.project)
  table.remove(track.project.tracks, contains(track.project.tracks, track))
end

-- Items and takes

local function all_items(project)
  local found = {}
  for _, track in ipairs(project.tracks) do
    for _, item in ipairs(track.items) do found[#found + 1] = item end
  end
  return found
end

function Host:CountMediaItems(project) return #all_items(self:of(project, "ReaProject*")) end

function Host:GetMediaItem(project, index)
  local item = all_items(self:of(project, "ReaProject*"))[index + 1]
  return item and item.handle
end

function Host:IsMediaItemSelected(item) return self:of(item).is_selected end
function Host:GetMediaItem_Track(item) return self:of(item).track.handle end
function Host:CountTrackMediaItems(track) return #self:of(track).items end

function Host:GetTrackMediaItem(track, index)
  local item = self:of(track).items[index + 1]
  return item and item.handle
end

function Host:GetActiveTake(item)
  local take = self:of(item).active
  return take and take.handle
end

function Host:GetTake(item, index)
  local take = self:of(item).takes[index + 1]
  return take and take.handle
end

local function get_value(object, name)
  return assert(object.values[name], "the fake knows no " .. name) + 0.0
end

local function set_value(host, object, project, name, value)
  assert(object.values[name], "the fake knows no " .. name)
  host:changed(project)
  object.values[name] = value
  return true
end

function Host:GetMediaItemInfo_Value(item, name) return get_value(self:of(item), name) end
function Host:GetMediaItemTakeInfo_Value(take, name) return get_value(self:of(take), name) end

function Host:SetMediaItemInfo_Value(item, name, value)
  item = self:of(item)
  return set_value(self, item, item.track.project, name, value)
end

function Host:SetMediaItemTakeInfo_Value(take, name, value)
  take = self:of(take)
  return set_value(self, take, take.item.track.project, name, value)
end

function Host:TakeIsMIDI(take) return self:of(take).is_midi end
function Host:TakeFX_GetCount(take) return self:of(take).effects end

function Host:AddMediaItemToTrack(track)
  track = self:of(track)
  self:changed(track.project)
  local item = self:item(track, { length = 0 })
  item.takes, item.active = {}, nil
  return item.handle
end

function Host:AddTakeToMediaItem(item)
  item = self:of(item)
  self:changed(item.track.project)
  local take = self:pointer({ item = item, name = "", effects = 0, is_midi = false, values = {
    D_STARTOFFS = 0, D_PLAYRATE = 1, D_VOL = 1, D_PAN = 0, I_CHANMODE = 0 } }, "MediaItem_Take*")
  table.insert(item.takes, take)
  item.active = item.active or take
  return take.handle
end

function Host:SetActiveTake(take)
  take = self:of(take)
  take.item.active = take
end

function Host:GetSetMediaItemTakeInfo_String(take, name, text, is_set)
  take = self:of(take)
  assert(name == "P_NAME", name)
  if is_set then take.name = text end
  return true, take.name
end

-- Sources

function Host:PCM_Source_CreateFromFile(path)
  if self.refuses_sources then return nil end
  local source = self:source(path)
  if not source then return nil end
  self.loose_sources = self.loose_sources + 1
  return source.handle
end

function Host:PCM_Source_Destroy(source)
  source = self:of(source)
  assert(not source.is_taken, "a source that a take has was destroyed")
  source.is_gone, self.loose_sources = true, self.loose_sources - 1
end

function Host:SetMediaItemTake_Source(take, source)
  take, source = self:of(take), self:of(source)
  if self.refuses_takes then return false end
  self:changed(take.item.track.project)
  take.source, source.is_taken, self.loose_sources = source, true, self.loose_sources - 1
  return true
end

function Host:PCM_Source_BuildPeaks(source, mode)
  source = self:of(source)
  if mode == 0 then
    source.peaks = 3
    return source.peaks
  end
  assert(source.peaks, "peaks go on that were never begun")
  if mode == 1 then source.peaks = math.max(0, source.peaks - 1) end
  if mode == 2 then source.has_peaks = true end
  return source.peaks
end

function Host:GetMediaItemTake_Source(take)
  local source = self:of(take).source
  return source and source.handle
end

function Host:GetMediaSourceNumChannels(source) return self:of(source).sound.channels end
function Host:GetMediaSourceSampleRate(source) return self:of(source).sound.rate end

-- Audio

function Host:CreateTakeAudioAccessor(take)
  self.accessors = self.accessors + 1
  return self:pointer({ take = self:of(take) }, "AudioAccessor*").handle
end

function Host:CreateTrackAudioAccessor(track)
  self.accessors = self.accessors + 1
  return self:pointer({ track = self:of(track) }, "AudioAccessor*").handle
end

function Host:DestroyAudioAccessor(accessor)
  self:of(accessor).is_gone, self.accessors = true, self.accessors - 1
end

function Host:AudioAccessorStateChanged(accessor)
  accessor = self:of(accessor)
  local project = (accessor.track or accessor.take.item.track).project
  local is_changed = project.edits ~= accessor.edits and accessor.edits ~= nil
  accessor.edits = project.edits
  return is_changed
end

function Host:GetAudioAccessorSamples(accessor, rate, channels, time, frames, buffer)
  accessor = self:of(accessor)
  assert(buffer.size >= frames * channels, "the buffer is too small")
  if self.reading_fails then return -1 end
  if accessor.take then
    assert(channels == accessor.take.source.sound.channels, "a take's accessor has all channels of its source, or garbage")
    return sound.take(accessor.take, rate, channels, time, frames, buffer)
  end
  assert(channels == accessor.track.channels, "a track's accessor has all channels of the track")
  return sound.track(accessor.track, rate, channels, time, frames, buffer)
end

function Host:new_array(size)
  assert(math.type(size) == "integer" and size > 0 and size <= 4194304, "a reaper.array of wrong size")
  return sound.array(size)
end

function Host:Main_OnCommandEx(command, flag, project)
  assert(command == 42230 and flag == 0)
  project = self:of(project, "ReaProject*")
  if self.render_is_stopped then return end
  assert(project.texts.RENDER_FORMAT == "ZXZhdyAAAQ==" and project.numbers.RENDER_BOUNDSFLAG == 0)
  assert(project.numbers.RENDER_SETTINGS & 3 == 2, "the selected tracks alone")
  local chosen = {}
  for _, track in ipairs(project.tracks) do
    if track.is_selected then chosen[#chosen + 1] = track end
  end
  assert(#chosen == 1, "one track, for the pattern makes one file")
  sound.render(chosen[1], project.numbers, project.texts.RENDER_FILE .. "/" .. project.texts.RENDER_PATTERN .. ".wav")
end
end
