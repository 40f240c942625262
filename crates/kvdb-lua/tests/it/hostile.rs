//! Scripts that mean harm: one test for each class of error that scripting servers have had.

use kvdb_lua::VmOptions;
use kvdb_resp::Value;

use crate::notation::Action;
use crate::scripts::{Server, decode};

/// CVE-2025-49844: Lua's parser used a chunk's name after it was collected, when the reader of `load` had run the
/// collector.
#[test]
fn a_chunk_name_survives_the_parser() {
    let mut server = Server::new();
    let script = "
        local sum = 0
        for i = 1, 300 do
            local step = 0
            local f = load(function()
                step = step + 1
                collectgarbage()
                local garbage = {}
                for j = 1, 20 do garbage[j] = ('x'):rep(100) .. i .. j end
                if step == 1 then return 'local x = ' end
                if step == 2 then return '1 return x + ' .. i end
            end, '@' .. ('name'):rep(10) .. i)
            sum = sum + f()
            local ok, message = loadstring('x y', '=' .. ('n'):rep(50) .. i)
            collectgarbage()
            assert(message:sub(1, 50) == ('n'):rep(50))
        end
        return sum";
    assert_eq!(server.eval(script), format!(":{}", (1..=300).map(|i| i + 1).sum::<i32>()));
}

/// CVE-2025-46817: the number of results of `unpack` overflowed an integer.
#[test]
fn unpack_cannot_be_asked_for_too_much() {
    let mut server = Server::new();
    for range in [
        "-2147483648, 2147483647",
        "0, 2147483647",
        "-1, 2147483646",
        "2147483640, 2147493640",
        "-1/0, 1/0",
        "1, 1/0",
        "-1e300, 1e300",
        "0/0, 0/0",
        "1, 9007199254740992",
        "-9007199254740992, -9007199254733000",
        "1, 8000",
    ] {
        let reply = server.eval(&format!("local r = {{unpack({{}}, {range})}} return r"));
        let refused = "-ERR user_script:1: too many results to unpack script: <sha>, on @user_script:1.";
        assert_eq!(reply, refused, "{range}");
    }
    assert_eq!(server.eval("return {unpack({1}, 2147483647, 2147483646)}"), "[]");
}

/// CVE-2025-46818 and CVE-2022-24735: what a script leaves in a shared metatable or table is run by the scripts of other
/// users.
#[test]
fn nothing_is_left_for_the_next_script() {
    let mut server = Server::new();
    for attempt in [
        "getmetatable('').__index = function() return 'evil' end",
        "getmetatable('').__add = function() return 'evil' end",
        "rawset(getmetatable(''), '__index', {})",
        "getmetatable('').__index.upper = function() return 'evil' end",
        "string.upper = function() return 'evil' end",
        "rawset(string, 'upper', function() return 'evil' end)",
        "setmetatable(string, {__index = function() return 'evil' end})",
        "redis.call = function() return 'evil' end",
        "getmetatable(_G).__index = function() return 'evil' end",
        "setmetatable(_G, {__index = function() return 'evil' end})",
        "evil = 1",
        "rawset(_G, 'evil', 1)",
        "table.insert(_G, 'evil')",
        "table.insert(redis, 1, 'evil')",
        "for name, value in pairs(_G) do if type(value) == 'table' then value.evil = 1 end end",
        "for name, value in pairs(_G) do if type(value) == 'table' then table.insert(value, 'evil') end end",
        "local f = loadstring('evil = 1') f()",
        "coroutine.wrap(function() evil = 1 end)()",
        "cjson.null = 1",
        "math.random = function() return 4 end",
        "local m = getmetatable(redis) m.__index = {}",
        "next = nil",
        "_G._G = {}",
        "KEYS.evil = 1 ARGV.evil = 1 return 1",
        "cjson.encode_max_depth(1) cjson.encode_keep_buffer(false) cjson.decode_invalid_numbers(false) return 1",
        "math.randomseed(12345) return 1",
        "redis.setresp(3) return 1",
        "collectgarbage('stop') collectgarbage('setpause', 10000) return 1",
    ] {
        server.eval(attempt);
        let check = "
            local ok = ('x'):upper() == 'X' and string.upper('x') == 'X' and redis.call('ping').ok == 'PONG'
            ok = ok and rawget(_G, 'evil') == nil and not pcall(function() return evil end)
            ok = ok and rawget(_G, 1) == nil and rawget(redis, 1) == nil and KEYS.evil == nil and ARGV.evil == nil
            for name, value in pairs(_G) do
                ok = ok and (type(value) ~= 'table' or rawget(value, 'evil') == nil and rawget(value, 1) ~= 'evil')
            end
            ok = ok and cjson.encode({{1}}) == '[[1]]' and tostring(cjson.decode('nan')) == 'nan'
            ok = ok and redis.call('get', 'missing') == false and not pcall(function() return 'x' + 1 end)
            return ok and tostring(math.random())";
        assert_eq!(server.eval(check), "\"0.17082803611217\"", "after {attempt}");
    }
}

/// CVE-2025-46819: the lexer read out of bounds on the delimiters of long strings.
#[test]
fn delimiters_of_long_strings_are_harmless() {
    let mut server = Server::new();
    for text in [
        "'[' .. ('='):rep(1000000)",
        "'[' .. ('='):rep(1000000) .. '[x]' .. ('='):rep(1000000) .. ']'",
        "'return #[' .. ('='):rep(1000000) .. '[x]' .. ('='):rep(1000000) .. ']'",
        "'return [' .. ('='):rep(100000) .. '[' .. (']' .. ('='):rep(1000)):rep(1000)",
        "'--[' .. ('='):rep(1000000) .. '['",
        "'return [=[' .. ('[=['):rep(10000)",
    ] {
        let script = format!("local f, e = loadstring({text}) return f and f() or #e > 0");
        let reply = server.eval(&script);
        assert!(reply == ":1" || reply == "nil", "{text}: {reply}");
    }
    let too_long = server.eval("return select(2, loadstring(('x '):rep(9000000), '=long'))");
    assert_eq!(too_long, "\"long: the text is too long\"");
    let source = format!("return 1 --{}", " ".repeat(17 << 20));
    assert!(server.eval(&source).ends_with("user_script: the text is too long"));
}

/// Made-up bytecode does whatever it likes in any Lua: none is ever loaded.
#[test]
fn bytecode_is_refused_however_it_comes() {
    let mut server = Server::new();
    for script in [
        "return select(2, loadstring('\\27LuaQ\\0\\1\\4\\8\\4\\8\\0'))",
        "return select(2, loadstring(string.dump(function() return 1 end)))",
        "local s = string.dump(function() return 1 end) local i = 0
         return select(2, load(function() i = i + 1 return i <= #s and s:sub(i, i) or nil end))",
        "return select(2, load(coroutine.wrap(function() coroutine.yield('\\27') coroutine.yield('Lua') end)))",
    ] {
        assert!(server.eval(script).contains("unexpected symbol near \\'char(27)\\'"), "{script}");
    }
    assert!(server.eval("\x1bLuaQ").contains("unexpected symbol near 'char(27)'"));
    assert!(server.load("#!lua name=x\n\x1bLuaQ").is_err());
}

/// CVE-2024-46981 and its kin: a script that has code run by the collector runs it in other scripts, or while its tables
/// are being freed.
#[test]
fn no_script_is_run_by_the_collector() {
    let mut server = Server::new();
    let armed = "
        local hits = {}
        for i = 1, 1000 do setmetatable({}, {__gc = function() hits[1] = true end}) end
        collectgarbage() collectgarbage()
        return hits[1] == nil and rawget(_G, 'newproxy') == nil";
    assert_eq!(server.eval(armed), ":1");
    for weak in ["k", "v", "kv"] {
        let script = format!(
            "local t = setmetatable({{}}, {{__mode = '{weak}'}})
             for i = 1, 1000 do t[{{}}] = {{}} if i % 100 == 0 then collectgarbage() end end
             collectgarbage() return next(t) == nil"
        );
        assert_eq!(server.eval(&script), ":1");
    }
}

/// CVE-2021-32626, CVE-2022-24834 and others: recursion and sizes that C code does not expect.
#[test]
fn depth_ends_in_an_error() {
    let mut server = Server::with_options(VmOptions { max_reply: 1 << 20, ..VmOptions::default() });
    for (script, end) in [
        ("local function f() return f() + 1 end f()", "stack overflow"),
        ("local function f(...) return f(1, ...) + 1 end f()", "not enough memory"),
        ("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", "loop in gettable"),
        (
            "local t = setmetatable({}, {__index = function(t, k) return t[k + 1] end}) return t[1]",
            "C stack overflow",
        ),
        ("local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)", "excessive nesting"),
        ("return cjson.decode(('['):rep(1000000))", "too many nested data structures"),
        ("return cjson.decode(('{\"a\":'):rep(1000000))", "too many nested data structures"),
        ("return cmsgpack.unpack(('\\145'):rep(1000000))", "stack overflow"),
        ("return cmsgpack.unpack(('\\129\\1'):rep(1000000))", "stack overflow"),
        ("return loadstring(('('):rep(100000) .. '1' .. (')'):rep(100000))()", "attempt to call a nil value"),
        ("return ('x'):rep(1000):match(('x?'):rep(1000))", "pattern too complex"),
        ("return ('x'):rep(1000):match(('('):rep(1000))", "too many captures"),
        ("local t = {} for i = 1, 200 do t = {t} end return t", "reached lua stack limit"),
        ("local t = {} t[1] = t return t", "reached lua stack limit"),
        ("local t = {map = {}} t.map.x = t return t", "reached lua stack limit"),
        ("local t = {} for i = 1, 60 do t = {t, t} end return t", "reached lua stack limit"),
        ("return redis.call(unpack({}, 1, 7000))", "must be strings or integers"),
    ] {
        let reply = server.eval(script);
        assert!(reply.starts_with('-') && reply.contains(end), "{script}: {reply}");
    }
    let nested = "local function f() return coroutine.wrap(f)() end local ok, e = pcall(f) return {ok, e}";
    assert!(server.eval(nested).contains("C stack overflow"));
    let handlers =
        "local function f(n) return xpcall(function() return f(n + 1) end, function(e) return e end) end
        return tostring(f(1)) ~= ''";
    assert_eq!(server.eval(handlers), ":1");
}

#[test]
fn seven_thousand_arguments_are_not_too_many() {
    let mut server = Server::new();
    let script =
        "local t = {} for i = 1, 7000 do t[i] = 'v' .. i end return redis.call('rpush', 'k', unpack(t))";
    assert_eq!(server.eval(script), ":7000");
    assert_eq!(server.eval("return #redis.call('lrange', 'k', 0, -1)"), ":7000");
}

/// A reply is one reply, whatever a script puts into its lines (CVE-2025-67733 in Valkey).
#[test]
fn no_reply_can_be_read_as_two() {
    let mut server = Server::new();
    for value in [
        "{err = 'a\\r\\n:1\\r\\n'}",
        "{ok = 'a\\r\\n:1\\r\\n'}",
        "redis.error_reply('a\\r\\n:1\\r\\n\\0')",
        "redis.status_reply('a\\n:1')",
        "{big_number = '1\\r\\n:1'}",
        "{verbatim_string = {format = '\\r\\n:', string = 'x'}}",
        "{verbatim_string = {format = 'toolong', string = 'x'}}",
        "{'x', {err = 'x\\r\\n'}, {map = {[{ok = '\\r\\n'}] = {err = '\\n'}}}}",
    ] {
        for protocol in [kvdb_resp::Protocol::Resp2, kvdb_resp::Protocol::Resp3] {
            server.protocol = protocol;
            for verb in ["return", "error("] {
                let close = if verb == "error(" { ")" } else { "" };
                let reply = server.run(&Action::Eval(format!("{verb} {value}{close}")));
                if !value.starts_with("{big_number") {
                    decode(&reply);
                }
                assert!(!reply.windows(4).any(|four| four == b"\r\n:1"), "{value}: {}", reply.escape_ascii());
            }
        }
    }
}

#[test]
fn a_host_that_breaks_its_contract_harms_only_the_call() {
    let mut server = Server::new();
    for raw in [
        "",
        "x",
        ":1",
        ":x\\r\\n",
        ":1\\r\\n:2\\r\\n",
        "$5\\r\\nabc\\r\\n",
        "$-5\\r\\n",
        "$3\\r\\nabcd\\r\\n",
        "*3\\r\\n:1\\r\\n",
        "*99999999999\\r\\n",
        "%1\\r\\n:1\\r\\n",
        ",abc\\r\\n",
        "=2\\r\\nab\\r\\n",
        "!\\r\\n",
        "|1\\r\\n:1\\r\\n:1\\r\\n",
    ] {
        let reply = server.eval(&format!("return redis.call('test.raw', '{raw}')"));
        let malformed = "-ERR the reply of the command is malformed script: <sha>, on @user_script:1.";
        assert_eq!(reply, malformed, "{raw}");
    }
    let deep = server.eval("return redis.call('test.raw', ('*1\\r\\n'):rep(100) .. ':1\\r\\n')");
    assert!(deep.contains("malformed"));
}

#[test]
fn an_error_without_a_text_is_an_error() {
    let mut server = Server::new();
    for (script, message) in [
        ("error({})", "-ERR unknown error script: <sha>, on @user_script:1."),
        ("error({err = {}})", "-ERR unknown error script: <sha>, on @user_script:1."),
        (
            "error(setmetatable({}, {__index = {err = 'x'}}))",
            "-ERR unknown error script: <sha>, on @user_script:1.",
        ),
    ] {
        assert_eq!(server.eval(script), message);
    }
    assert!(server.eval("error(function() end)").starts_with("-ERR function: 0x"));
    assert!(server.eval("error(coroutine.create(function() end))").starts_with("-ERR thread: 0x"));
}

#[test]
fn the_functions_of_c_are_not_in_reach() {
    let mut server = Server::new();
    let names = [
        "io", "package", "require", "dofile", "loadfile", "print", "debug", "setfenv", "getfenv", "newproxy",
        "module",
    ];
    for name in names {
        assert!(server.eval(&format!("return {name}")).contains("nonexistent global variable"), "{name}");
        assert_eq!(server.eval(&format!("return rawget(_G, '{name}') == nil")), ":1", "{name}");
    }
    let script = "local n = {} for name in pairs(os) do n[#n + 1] = name end return n";
    assert_eq!(server.eval(script), "[\"clock\"]");
}

/// Whatever opaque value errors travel as inside, no script gets hold of one.
#[test]
fn no_script_sees_an_error_as_the_sandbox_has_it() {
    let mut server = Server::new();
    for failing in [
        "redis.call('nosuch')",
        "string.rep()",
        "('x'):find('[')",
        "cjson.decode('{')",
        "bit.band()",
        "redis.log()",
    ] {
        let script = format!(
            "local types = {{}}
             local function f() return {failing} end
             types[1] = type(select(2, pcall(f)))
             types[2] = type(select(2, coroutine.resume(coroutine.create(f))))
             xpcall(f, function(e) types[3] = type(e) end)
             types[4] = type(select(2, pcall(coroutine.wrap(f))))
             types[5] = type(select(2, load(f)))
             types[6] = type(select(2, pcall(table.sort, {{1, 2, 3}}, f)))
             types[7] = type(select(2, pcall(string.gsub, 'x', 'x', f)))
             types[8] = type(select(2, pcall(setmetatable({{}}, {{__index = f}}).x or f)))
             for i, t in ipairs(types) do if t ~= 'string' and t ~= 'table' then return i end end
             return #types"
        );
        let reply = server.eval(&script);
        assert!(reply == ":8" || reply.starts_with("-ERR"), "{failing}: {reply}");
        assert!(!reply.contains("userdata"), "{failing}: {reply}");
    }
}

#[test]
fn a_panic_of_the_host_leaves_the_machine_usable() {
    let mut server = Server::new();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.eval("return redis.call('test.panic')")
    }));
    assert!(panic.is_err());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.eval("pcall(redis.call, 'test.panic') return 'went on'")
    }));
    assert!(caught.is_err(), "a script cannot catch a panic");
    assert_eq!(
        decode(&server.run(&Action::Eval("return redis.call('ping')".to_owned()))),
        Value::simple("PONG")
    );
}
