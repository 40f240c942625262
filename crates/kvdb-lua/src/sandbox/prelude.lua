-- Builds what scripts see of Lua. Runs once for each VM, before any script.
--
-- Lua 5.1 has no read-only tables. What scripts get in their place are empty tables whose metatable shows the contents
-- of another table and refuses assignments; the real table is never handed out. Everything that would look behind the
-- metatable (rawget, rawset, next, pairs, getmetatable, setmetatable, table.insert, table.foreach) is replaced.
--
-- `base` is Lua's own global table, `native` holds the functions written in Rust.

local base, native = ...

local assert, error, type, select = base.assert, base.error, base.type, base.select
local tostring, tonumber = base.tostring, base.tonumber
local cpairs, cnext, crawget, crawset, cunpack = base.pairs, base.next, base.rawget, base.rawset, base.unpack
local cgetmetatable, csetmetatable = base.getmetatable, base.setmetatable
local cpcall, cxpcall, ccollectgarbage = base.pcall, base.xpcall, base.collectgarbage
local cresume = base.coroutine.resume
local cinsert, csort, concat = base.table.insert, base.table.sort, base.table.concat
local cforeach = base.table.foreach
local sub, byte = base.string.sub, base.string.byte
local floor = base.math.floor

local READONLY = "Attempt to modify a readonly table"

-- Read-only tables ----------------------------------------------------------------------------------------------------

local contents_of = {} -- the table that scripts see -> the table with the contents
local HIDDEN = {} -- stands for "has no metatable" in the field __metatable

local function refuse()
  error(READONLY, 2)
end

-- The table that shows `contents`, and its metatable. `visible_metatable` is what getmetatable returns for it, if
-- anything.
local function protect(contents, visible_metatable)
  local metatable = { __index = contents, __newindex = refuse, __metatable = visible_metatable or HIDDEN }
  local shown = csetmetatable({}, metatable)
  contents_of[shown] = contents
  return shown, metatable
end

local function missing(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

-- The errors of C functions ---------------------------------------------------------------------------------------------

-- Called by a function that stands in for a C function: the position is that of its caller.
local function bad_argument(index, name, detail)
  error("bad argument #" .. index .. " to '" .. name .. "' (" .. detail .. ")", 3)
end

local function found(index, ...)
  if index > select('#', ...) then
    return 'no value'
  end
  return type((select(index, ...)))
end

-- Base functions --------------------------------------------------------------------------------------------------------

local caught, unwrapped = native.caught, native.unwrapped

local function settle_pcall(ok, ...)
  if ok then
    return true, ...
  end
  return false, caught((...))
end

local function pcall(...)
  if select('#', ...) == 0 then
    bad_argument(1, 'pcall', 'value expected')
  end
  return settle_pcall(cpcall(...))
end

local function settle_xpcall(ok, ...)
  if not ok then
    unwrapped((...)) -- does not return when the script is to stop
  end
  return ok, ...
end

local function xpcall(...)
  local f, handler = ...
  if select('#', ...) < 2 then
    bad_argument(2, 'xpcall', 'value expected')
  end
  return settle_xpcall(cxpcall(f, function(e)
    return handler(unwrapped(e))
  end))
end

local function settle_resume(ok, ...)
  if ok then
    return true, ...
  end
  return false, unwrapped((...))
end

local function resume(...)
  local thread = ...
  if type(thread) ~= 'thread' then
    bad_argument(1, 'resume', 'coroutine expected')
  end
  return settle_resume(cresume(...))
end

local function next(...)
  local t, key = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'next', 'table expected, got ' .. found(1, ...))
  end
  return cnext(contents_of[t] or t, key)
end

local function pairs(...)
  local t = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'pairs', 'table expected, got ' .. found(1, ...))
  end
  if contents_of[t] then
    return next, t, nil
  end
  return cnext, t, nil
end

local function rawget(...)
  local t, key = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'rawget', 'table expected, got ' .. found(1, ...))
  elseif select('#', ...) < 2 then
    bad_argument(2, 'rawget', 'value expected')
  end
  return crawget(contents_of[t] or t, key)
end

local function rawset(...)
  local t, key, value = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'rawset', 'table expected, got ' .. found(1, ...))
  elseif select('#', ...) < 3 then
    bad_argument(select('#', ...) + 1, 'rawset', 'value expected')
  elseif contents_of[t] then
    error(READONLY, 0)
  elseif key == nil then
    error('table index is nil', 0)
  elseif key ~= key then
    error('table index is NaN', 0)
  end
  crawset(t, key, value)
  return t
end

local function getmetatable(...)
  if select('#', ...) == 0 then
    bad_argument(1, 'getmetatable', 'value expected')
  end
  local metatable = cgetmetatable((...))
  if metatable == HIDDEN then
    return nil
  end
  return metatable
end

local function setmetatable(...)
  local t, metatable = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'setmetatable', 'table expected, got ' .. found(1, ...))
  elseif select('#', ...) < 2 or (metatable ~= nil and type(metatable) ~= 'table') then
    bad_argument(2, 'setmetatable', 'nil or table expected')
  elseif contents_of[t] then
    error(READONLY, 0)
  end
  local ok, e = cpcall(csetmetatable, t, metatable)
  if not ok then
    error(e, type(e) == 'string' and 2 or 0)
  end
  return t
end

local function integer(value)
  return value < 0 and -floor(-value) or floor(value)
end

-- No more results than a C function may return, and no arithmetic on integers that may overflow.
local MAX_RESULTS = 7990

local function unpack(...)
  local t, first, last = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'unpack', 'table expected, got ' .. found(1, ...))
  end
  local i, j = 1, nil
  if first ~= nil then
    i = tonumber(first) or bad_argument(2, 'unpack', 'number expected, got ' .. type(first))
  end
  if last == nil then
    j = #t
  else
    j = tonumber(last) or bad_argument(3, 'unpack', 'number expected, got ' .. type(last))
  end
  i, j = integer(i), integer(j)
  if i > j then
    return
  end
  -- With nothing but the table before them, a few more results fit: as many as in Redis.
  if i == 1 and last == nil and j < 8000 then
    return cunpack(t)
  end
  -- Written so that infinities and NaN are refused too.
  if not (j - i < MAX_RESULTS and i >= -2147483648 and j <= 2147483647) then
    error('too many results to unpack', 2)
  end
  return cunpack(t, i, j)
end

-- A script may neither switch the collector off nor change its pace for the scripts after it.
local function collectgarbage(...)
  local option, argument = ...
  if option == nil then
    option = 'collect'
  end
  if option == 'collect' or option == 'count' or option == 'step' then
    native.poll()
    return ccollectgarbage(option)
  elseif option == 'stop' or option == 'restart' then
    return 0
  elseif option == 'setpause' or option == 'setstepmul' then
    return 200
  elseif type(option) ~= 'string' and type(option) ~= 'number' then
    bad_argument(1, 'collectgarbage', 'string expected, got ' .. type(option))
  end
  bad_argument(1, 'collectgarbage', "invalid option '" .. option .. "'")
end

local function load(...)
  local reader, name = ...
  if type(reader) ~= 'function' then
    bad_argument(1, 'load', 'function expected, got ' .. found(1, ...))
  elseif name ~= nil and type(name) ~= 'string' and type(name) ~= 'number' then
    bad_argument(2, 'load', 'string expected, got ' .. type(name))
  end
  -- The whole text is there before the parser begins: no Lua code runs while it works.
  local pieces, size = {}, 0
  while true do
    local ok, piece = cpcall(reader)
    if not ok then
      return nil, unwrapped(piece)
    elseif piece == nil or piece == '' then
      break
    elseif type(piece) ~= 'string' and type(piece) ~= 'number' then
      return nil, 'reader function must return a string'
    end
    pieces[#pieces + 1] = piece
    size = size + #tostring(piece)
    if size > native.max_source then
      break
    end
  end
  return native.compile(concat(pieces), name or '=(load)')
end

local function loadstring(...)
  local text, name = ...
  if type(text) ~= 'string' and type(text) ~= 'number' then
    bad_argument(1, 'loadstring', 'string expected, got ' .. found(1, ...))
  elseif name ~= nil and type(name) ~= 'string' and type(name) ~= 'number' then
    bad_argument(2, 'loadstring', 'string expected, got ' .. type(name))
  end
  return native.compile(text, name or text)
end

-- table -----------------------------------------------------------------------------------------------------------------

-- How far below the first element an insertion may begin: it moves everything from there on.
local LEAST_POSITION = -1000

local function insert(...)
  local t = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'insert', 'table expected, got ' .. found(1, ...))
  end
  local count = select('#', ...)
  if count == 2 then
    if contents_of[t] then
      error(READONLY, 0)
    end
    cinsert(t, (select(2, ...)))
  elseif count == 3 then
    local _, position, value = ...
    local at = tonumber(position)
    if at == nil then
      bad_argument(2, 'insert', 'number expected, got ' .. type(position))
    elseif contents_of[t] then
      error(READONLY, 0)
    elseif not (at >= LEAST_POSITION) then
      bad_argument(2, 'insert', 'position out of bounds')
    end
    cinsert(t, at > 2147483647 and 2147483647 or at, value)
  else
    error("wrong number of arguments to 'insert'", 2)
  end
end

-- Sorting so many elements without a comparison function would keep C code busy for too long.
local LONG_SORT = 50000

local function less(a, b)
  return a < b
end

local function sort(...)
  local t, compare = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'sort', 'table expected, got ' .. found(1, ...))
  elseif compare ~= nil and type(compare) ~= 'function' then
    bad_argument(2, 'sort', 'function expected, got ' .. type(compare))
  elseif compare == nil and #t > LONG_SORT then
    compare = less
  end
  local ok, e = cpcall(csort, t, compare)
  if not ok then
    error(e, e == 'invalid order function for sorting' and 2 or 0)
  end
end

local function foreach(...)
  local t, f = ...
  if type(t) ~= 'table' then
    bad_argument(1, 'foreach', 'table expected, got ' .. found(1, ...))
  elseif type(f) ~= 'function' then
    bad_argument(2, 'foreach', 'function expected, got ' .. found(2, ...))
  end
  return cforeach(contents_of[t] or t, f)
end

-- string ----------------------------------------------------------------------------------------------------------------

local next_match, gsub_text = native.next_match, native.gsub_text

local function text_argument(index, name, ...)
  local value = select(index, ...)
  if type(value) == 'number' then
    return tostring(value)
  elseif type(value) ~= 'string' then
    error("bad argument #" .. index .. " to '" .. name .. "' (string expected, got " .. found(index, ...) .. ")", 3)
  end
  return value
end

local function gmatch(...)
  local s, p = text_argument(1, 'gmatch', ...), text_argument(2, 'gmatch', ...)
  local at = 0
  local function take(first, last, ...)
    if first == nil then
      at = #s + 1
      return
    end
    at = last > first and last or last + 1 -- an empty match is not found twice
    return ...
  end
  return function()
    return take(next_match(s, p, at, false))
  end
end

local function replacement(how, first, last, ...)
  if first == nil then
    return nil
  elseif type(how) == 'function' then
    return first, last, (how(...))
  end
  return first, last, how[(...)]
end

local function gsub(...)
  local s, p = text_argument(1, 'gsub', ...), text_argument(2, 'gsub', ...)
  local _, _, how, max = ...
  local limit = #s + 1
  if max ~= nil then
    limit = tonumber(max) or bad_argument(4, 'gsub', 'number expected, got ' .. type(max))
    limit = integer(limit)
  end
  if type(how) == 'string' or type(how) == 'number' then
    return gsub_text(s, p, how, limit)
  elseif type(how) ~= 'function' and type(how) ~= 'table' then
    bad_argument(3, 'gsub', 'string/function/table expected')
  end
  local anchored = byte(p, 1) == 94
  local out, count, at = {}, 0, 0
  while count < limit do
    local first, last, value = replacement(how, next_match(s, p, at, true))
    if first == nil then
      break
    end
    count = count + 1
    out[#out + 1] = sub(s, at + 1, first)
    if not value then
      value = sub(s, first + 1, last)
    elseif type(value) ~= 'string' and type(value) ~= 'number' then
      error('invalid replacement value (a ' .. type(value) .. ')', 2)
    end
    out[#out + 1] = value
    if last > first then
      at = last
    else
      out[#out + 1] = sub(s, first + 1, first + 1)
      at = first + 1
    end
    if anchored or at > #s then
      break
    end
  end
  out[#out + 1] = sub(s, at + 1)
  return concat(out), count
end

-- What scripts see ------------------------------------------------------------------------------------------------------

local libraries = native.libraries -- contents by name: bit, cjson, cmsgpack, struct, os, math, string, table

libraries.string = base.string
libraries.string.find, libraries.string.match, libraries.string.rep = native.find, native.match, native.rep
libraries.string.gmatch, libraries.string.gfind, libraries.string.gsub = gmatch, gmatch, gsub

libraries.table = base.table
libraries.table.insert, libraries.table.sort, libraries.table.foreach = insert, sort, foreach

libraries.math = base.math
libraries.math.random, libraries.math.randomseed = native.random, native.randomseed

libraries.coroutine = base.coroutine
libraries.coroutine.resume = resume

local shown = {}
for name, contents in cpairs(libraries) do
  shown[name] = protect(contents)
end

local string_metatable = cgetmetatable('')
string_metatable.__index = libraries.string
string_metatable.__metatable = protect({ __index = shown.string })

-- One set of globals: the contents, to which the host adds, and the table that code runs in.
local function environment(redis)
  local globals = {
    _VERSION = base._VERSION,
    assert = assert, collectgarbage = collectgarbage, error = error, gcinfo = base.gcinfo, getmetatable = getmetatable,
    ipairs = base.ipairs, load = load, loadstring = loadstring, next = next, pairs = pairs, pcall = pcall,
    rawequal = base.rawequal, rawget = rawget, rawset = rawset, select = select, setmetatable = setmetatable,
    tonumber = tonumber, tostring = tostring, type = type, unpack = unpack, xpcall = xpcall,
  }
  for name, library in cpairs(shown) do
    globals[name] = library
  end
  globals.redis = protect(redis)
  csetmetatable(globals, { __index = missing })
  local visible, metatable = protect(globals, (protect({ __index = missing })))
  globals._G = visible
  return globals, visible, metatable
end

local script_globals, script_environment = environment(native.script_api)
local function_globals, function_environment, function_metatable = environment(native.function_api)

-- While a library is loaded, all it finds is what it needs to register its functions.
local load_globals = csetmetatable({}, { __index = missing })
load_globals.redis = protect(csetmetatable(native.load_api, { __index = missing }))

local function set_loading(loading)
  local globals = loading and load_globals or function_globals
  function_metatable.__index = globals
  contents_of[function_environment] = globals
end

-- Calls a function of a library, as Lua's own xpcall calls a script.
local function call_function(f, keys, args, handler)
  return cxpcall(function()
    return f(keys, args)
  end, handler)
end

return {
  xpcall = cxpcall,
  call_function = call_function,
  script_globals = script_globals,
  script_environment = script_environment,
  function_environment = function_environment,
  set_loading = set_loading,
}
