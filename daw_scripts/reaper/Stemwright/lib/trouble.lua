-- @noindex
-- What the user is told when something cannot be done. No host calls.

local trouble = {}

local Trouble = { __tostring = function(problem) return problem.text end }

-- Stop here with a sentence for the user: what, the limit, the way out.
function trouble.raise(text, ...)
  error(setmetatable({ text = select("#", ...) > 0 and text:format(...) or text }, Trouble), 0)
end

-- Stop here without a word: the user asked for it.
function trouble.cancel()
  error(setmetatable({ text = "stopped", is_cancel = true }, Trouble), 0)
end

function trouble.is(problem)
  return getmetatable(problem) == Trouble
end

return trouble
