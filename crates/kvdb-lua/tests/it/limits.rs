//! Memory, time and sizes: every script can be stopped, and none takes more than it may.

use std::time::Instant;

use kvdb_lua::{Ending, Origin, Stop, VmOptions};
use kvdb_resp::{Protocol, Reply};

use crate::notation::Action;
use crate::scripts::Server;

fn small() -> Server {
    Server::with_options(VmOptions { memory_limit: 16 << 20, max_reply: 1 << 20 })
}

/// A server whose host stops scripts after having been asked a few times.
fn impatient(stop: Stop) -> Server {
    let mut server = Server::new();
    server.host.patience = 3;
    server.host.stop = Some(stop);
    server
}

#[test]
fn memory_is_bounded_and_its_end_can_be_caught() {
    for script in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end",
        "return ('x'):rep(1e9)",
        "return ('x'):rep(2^52)",
        "local t = {} for i = 1, 100 do t[i] = ('x'):rep(1000000) end return table.concat(t)",
        "return (('x'):rep(1000000):gsub('x', ('y'):rep(1000)))",
        "return (('x'):rep(1000000):gsub('', ('y'):rep(1000)))",
        "return (('x'):rep(1000000):gsub('.*', ('%0'):rep(1000000)))",
        "return (('x'):rep(1000000):gsub('(.*)', ('%1'):rep(1000000)))",
        "return (('x'):rep(100000):gsub('x', function() return ('y'):rep(1000) end))",
        "local t = {} for i = 1, 100 do t[i] = ('x'):rep(1000000) end return cjson.encode(t)",
        "local t = {} for i = 1, 100 do t[i] = ('x'):rep(1000000) end return cmsgpack.pack(t)",
        "local s = ('x'):rep(1000000) return cmsgpack.pack(s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s)",
        "return cjson.decode('[' .. ('1,'):rep(2000000) .. '1]')",
        "return cjson.decode('[' .. ('{},'):rep(1000000) .. '1]')",
        "return cmsgpack.unpack('\\221\\0\\16\\0\\0' .. ('\\144'):rep(1048576))",
        "return struct.pack('c0c0', ('x'):rep(7000000), ('x'):rep(7000000))",
        "return struct.pack(('x'):rep(4000000) .. '!8' .. ('bl'):rep(100000), unpack({}, 1, 10))",
        "local f = {} while true do f[#f + 1] = coroutine.create(function() end) end",
        "local f = {} while true do f[#f + 1] = assert(loadstring('return ' .. #f)) end",
        "local t = {} while true do t[#t + 1] = cjson.new() end",
        "local s = ('x'):rep(1000000) local t = {} while true do t[#t + 1] = s:upper() .. #t end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(100000):gmatch('x') t[#t + 1] = {} end",
        "return string.format(('%s'):rep(100), unpack((function() local t = {} for i = 1, 100 do t[i] = ('x'):rep(1000000) end return t end)()))",
    ] {
        let mut server = small();
        let reply = server.eval(script);
        assert!(
            reply.contains("not enough memory") || script.contains("struct.pack(("),
            "{script}: {reply:.300}"
        );
        // The garbage is gone, and the next script has the room.
        assert_eq!(server.eval("return #('x'):rep(4000000)"), ":4000000", "{script}");
        assert!(server.vm.used_memory() < 16 << 20);
        let caught = server.eval(&format!("local ok, e = pcall(function() {script} end) return e"));
        assert!(
            caught.contains("not enough memory") || script.contains("struct.pack(("),
            "{script}: {caught:.300}"
        );
    }
}

#[test]
fn a_table_within_itself_many_times_over_is_not_written_to_its_end() {
    let mut server = Server::with_options(VmOptions { memory_limit: 1 << 20, max_reply: 1 << 20 });
    let script = "local t = {} for i = 1, 60 do t = {t, t} end return cjson.encode(t)";
    assert!(server.eval(script).contains("not enough memory"));
}

#[test]
fn the_reply_of_a_command_counts_too() {
    let mut server = small();
    assert_eq!(server.eval("redis.call('set', 'k', ('x'):rep(6000000)) return 1"), ":1");
    let script = "local t = {} for i = 1, 10 do t[i] = redis.call('get', 'k') .. i end";
    assert!(server.eval(script).contains("not enough memory"));
    let many = "local l = {} for i = 1, 5000 do l[i] = '' end for i = 1, 60 do redis.call('rpush', 'l', unpack(l)) end";
    assert_eq!(server.eval(many), "nil");
    let script = "local t = {} for i = 1, 100 do t[i] = redis.call('lrange', 'l', 0, -1) end";
    assert!(server.eval(script).contains("not enough memory"));
}

/// Fills the memory to the last bytes, and then has a coroutine resumed below so many calls of C code.
const RESUME_WHERE_NO_MEMORY_IS_LEFT: &str = "
    local function deep(n) return n == 0 and 0 or 1 + deep(n - 1) end
    local innermost = coroutine.create(deep)
    local nested = setmetatable({}, {__add = function(t, n) return t + n end})
    local resuming = setmetatable({}, {__add = function() coroutine.resume(innermost, 1) return 1 end})
    local inner = coroutine.create(function() deep(200) coroutine.yield() return RUNS + 1 end)
    local below = setmetatable({}, {})
    getmetatable(below).__add = function(t, n)
      if n < DEPTH then return t + (n + 1) end
      coroutine.resume(inner)
      return 1
    end
    local small, large, count, fill = {}, {}, 0, nil
    for i = 1, 50000 do small[i], large[i] = false, false end
    local function fill_large(size) count = count + 1 large[count] = ('x'):rep(size - 60) .. count end
    local function fill_small() for i = 1, #small do small[i] = function() return count end end end
    for i = 1, 9 do fill_large(1000000) end
    collectgarbage()
    coroutine.resume(inner)
    deep(500)
    local function go() return below + 1 end
    for i = 20, 10, -1 do while pcall(fill_large, 2 ^ i) do end end
    pcall(fill_small)
    pcall(go)
    large = nil
    return count > 9 and coroutine.status(inner)";

#[test]
fn a_coroutine_may_fail_where_there_is_no_memory_even_for_the_message() {
    for runs in ["nested", "resuming"] {
        for depth in 180..200 {
            let script = RESUME_WHERE_NO_MEMORY_IS_LEFT.replace("DEPTH", &depth.to_string());
            let mut server = small();
            let reply = server.eval(&script.replace("RUNS", runs));
            assert!(["$4 dead", "-ERR not enough memory"].iter().any(|it| reply.starts_with(it)), "{reply}");
        }
    }
}

/// What `return #KEYS + #ARGV` replies.
fn count(server: &mut Server, keys: &[&[u8]], args: &[&[u8]]) -> String {
    let script = server.vm.script(&server.cache, b"return #KEYS + #ARGV", Origin::Eval).unwrap();
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    let _ending: Ending = server.vm.eval(&mut server.host, &script, keys, args, &mut reply);
    String::from_utf8(out).unwrap()
}

#[test]
fn arguments_may_be_many_and_are_no_part_of_the_run() {
    let mut server = impatient(Stop::Kill);
    server.host.patience = 0;
    let many = vec![&b"x"[..]; 40_000];
    assert_eq!(count(&mut server, &many, &many), ":80000\r\n");
    assert_eq!(count(&mut server, &[], &[]), ":0\r\n");
}

#[test]
fn arguments_count_too() {
    let (mut server, large) = (small(), vec![b'x'; 1_000_000]);
    for (keys, args) in [(&[&large[..]; 20][..], &[][..]), (&[], &[&large[..]; 20])] {
        assert_eq!(count(&mut server, keys, args), "-ERR not enough memory\r\n");
        assert_eq!(count(&mut server, &[b"k"], &[b"a", b"b"]), ":3\r\n");
    }
}

#[test]
fn arguments_leave_the_room_to_those_after_them() {
    let (mut server, large) = (small(), vec![b'x'; 12_000_000]);
    for _ in 0..3 {
        assert_eq!(count(&mut server, &[], &[&large]), ":1\r\n");
        assert_eq!(server.eval("return #('x'):rep(12000000)"), ":12000000");
    }
    // What is not worth collecting after a run may be in the way of the next.
    assert_eq!(count(&mut server, &[], &[&large[..3_000_000]]), ":1\r\n");
    assert_eq!(count(&mut server, &[], &[&large[..6_000_000], &large[6_000_000..]]), ":2\r\n");
    assert_eq!(
        count(&mut server, &[&large[..9_000_000]], &[&large[..9_000_000]]),
        "-ERR not enough memory\r\n"
    );
}

#[test]
fn a_reply_is_bounded() {
    let mut server = small();
    assert_eq!(server.eval("return ('x'):rep(2000000)"), "-ERR reached lua stack limit");
    assert_eq!(
        server.eval("local t = {} for i = 1, 300000 do t[i] = i end return t"),
        "-ERR reached lua stack limit"
    );
    assert_eq!(
        server.eval("local t = {1} for i = 1, 25 do t = {t, t} end return t"),
        "-ERR reached lua stack limit"
    );
    assert!(server.eval("local t = {} for i = 1, 1000 do t[i] = i end return t").starts_with("[:1, :2"));
}

#[test]
fn writing_a_long_reply_can_be_stopped() {
    let script = "local t = {} for i = 1, 60 do t = {t, t} end return t";
    assert!(impatient(Stop::Kill).eval(script).starts_with("-ERR Script killed by user with SCRIPT KILL."));
    let mut server = impatient(Stop::Interrupt);
    assert_eq!(server.run(&Action::Eval(script.to_owned())), b"");
}

/// Every way to go on after an error, or to be where no error is noticed.
const ENDLESS: [&str; 16] = [
    "while true do end",
    "repeat until false",
    "local function f() return f() end f()",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(pcall, pcall, function() while true do end end) end",
    "while true do pcall(error, 'x') end",
    "while true do xpcall(function() while true do end end, function(e) return e end) end",
    "while true do xpcall(function() while true do end end, function(e) while true do end end) end",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end",
    "while true do load(function() while true do end end) end",
    "while true do pcall(string.gsub, 'x', 'x', function() while true do end end) end",
    "while true do pcall(table.sort, {3, 1, 2}, function() while true do end end) end",
    "local t = setmetatable({}, {__index = function() while true do end end}) while true do pcall(function() return t.x end) end",
    "while true do pcall(redis.call, 'nosuch') end",
    "while true do pcall(string.match, ('a'):rep(300), ('a-'):rep(20) .. 'b') end",
];

#[test]
fn a_kill_ends_every_loop() {
    for script in ENDLESS {
        let mut server = impatient(Stop::Kill);
        let reply = server.eval(script);
        assert!(reply.starts_with("-ERR Script killed by user with SCRIPT KILL."), "{script}: {reply}");
        assert!(
            reply.ends_with("script: <sha>, on @user_script:1.") || script.contains("function(e) while"),
            "{script}: {reply}"
        );
        // The order is for one run.
        server.host.stop = None;
        assert_eq!(server.eval("return 'alive'"), "\"alive\"");
    }
}

#[test]
fn an_interrupted_run_writes_nothing() {
    for script in ENDLESS {
        let mut server = impatient(Stop::Interrupt);
        assert_eq!(server.run(&Action::Eval(script.to_owned())), b"", "{script}");
    }
    for script in [
        "return redis.call('test.interrupt')",
        "return redis.pcall('test.interrupt')",
        "pcall(redis.call, 'test.interrupt') redis.call('set', 'k', 'v') return 1",
        "pcall(function() pcall(redis.pcall, 'test.interrupt') end) redis.call('set', 'k', 'v') return 1",
        "xpcall(function() redis.call('test.interrupt') end, function() redis.call('set', 'k', 'v') end) return 1",
        "coroutine.resume(coroutine.create(function() redis.call('test.interrupt') end)) redis.call('set', 'k', 'v')",
        "load(function() redis.call('test.interrupt') end) redis.call('set', 'k', 'v')",
        "pcall(table.sort, {2, 1}, function() redis.call('test.interrupt') end) redis.call('set', 'k', 'v')",
        "('x'):gsub('x', function() redis.call('test.interrupt') end) redis.call('set', 'k', 'v')",
    ] {
        let mut server = Server::new();
        let compiled = server.vm.script(&server.cache, script.as_bytes(), Origin::Eval).unwrap();
        let mut out = b"before".to_vec();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        let ending = server.vm.eval(&mut server.host, &compiled, &[], &[], &mut reply);
        assert_eq!((ending, out.as_slice()), (Ending::Interrupted, b"before".as_slice()), "{script}");
        assert_eq!(server.host.commands, 1, "{script}: nothing runs after the interruption");
        assert_eq!(server.eval("return redis.call('get', 'k')"), "nil", "{script}");
    }
}

#[test]
fn functions_and_libraries_are_stopped_too() {
    let mut server = Server::new();
    server
        .load("#!lua name=l\nredis.register_function('spin', function() while true do pcall(error) end end)")
        .unwrap();
    server.host.stop = Some(Stop::Kill);
    let reply = server.run(&Action::Call("spin".to_owned()));
    assert_eq!(
        reply,
        b"-ERR Script killed by user with FUNCTION KILL. script: spin, on @user_function:2.\r\n"
    );
    let loading = server.load("#!lua name=l2\nwhile true do end").unwrap_err();
    assert_eq!(loading, b"ERR Error registering functions: ERR FUNCTION LOAD timeout");
    server.host.stop = None;
    assert!(server.load("#!lua name=l2\nredis.register_function('f', function() end)").is_ok());
}

/// Text that makes a backtracking matcher take longer than anybody lives.
#[test]
fn a_pattern_that_explodes_is_asked_to_stop() {
    let mut server = impatient(Stop::Kill);
    for call in [
        "string.find(s, p)",
        "string.match(s, p)",
        "string.gsub(s, p, 'x')",
        "string.gsub(s, p, function() end)",
        "string.gmatch(s, p)()",
        "s:find(p)",
    ] {
        server.host.polls = 0;
        let script = format!("local s, p = ('a'):rep(500), ('a-'):rep(12) .. 'b' return {call}");
        assert!(server.eval(&script).contains("Script killed by user"), "{call}");
    }
}

#[test]
fn long_conversions_can_be_stopped() {
    let grown = "local t = {} for i = 1, 60 do t = {t, t} end";
    let json = "'[' .. ('[1],'):rep(500000) .. '1]'";
    for call in
        ["cjson.encode(t)", "cmsgpack.pack(t)", &format!("cjson.decode({json})"), "cmsgpack.unpack_one(p)"]
    {
        let mut server = impatient(Stop::Kill);
        let packed = "local p = '\\221\\0\\16\\0\\0' .. ('\\144'):rep(1048576)";
        let reply = server.eval(&format!("{grown} {packed} {call} return 'done'"));
        // Tables that contain each other are packed only sixteen levels deep.
        let is_small = call.starts_with("cmsgpack.pack");
        assert!(reply.contains("Script killed by user") || is_small, "{call}: {reply}");
    }
}

#[test]
fn single_calls_of_c_code_are_short() {
    let mut server = Server::new();
    let start = Instant::now();
    for script in [
        "return #(''):rep(1e15)",
        "return pcall(table.insert, {}, -2^31, 1)",
        "return pcall(table.insert, {}, -2^53, 1)",
        "local t = {} table.insert(t, 2^53, 1) return #t",
        "return pcall(table.concat, {}, 'x', 1, 2^31 - 1)",
        "return pcall(unpack, {}, 1, 2^31)",
        "return #string.format('%99.99f', 1e308) > 300",
        "return pcall(string.format, '%9999999999d', 1)",
        "return select('#', ('x'):byte(1, -1))",
        "return pcall(string.byte, ('x'):rep(1000000), 1, -1)",
    ] {
        server.eval(script);
    }
    // A wide margin: any of these took hours or crashed where it was not bounded.
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn sorting_much_can_be_stopped() {
    let mut server = impatient(Stop::Kill);
    server.host.patience = 1000;
    let script =
        "local t = {} for i = 1, 200000 do t[i] = (i * 7919) % 200003 end while true do table.sort(t) end";
    assert!(server.eval(script).contains("Script killed by user"));
}

#[test]
fn a_script_that_does_nothing_much_is_not_asked() {
    let mut server = Server::new();
    for _ in 0..100 {
        server.eval("return 1");
    }
    assert!(server.host.polls <= 2, "{} polls", server.host.polls);
}

#[test]
fn many_scripts_come_and_go() {
    let mut server = Server::new();
    for n in 0..3000 {
        assert_eq!(server.eval(&format!("return {n}")), format!(":{n}"));
    }
    let used = server.vm.used_memory();
    for n in 3000..12_000 {
        assert_eq!(server.eval(&format!("return {n}")), format!(":{n}"));
    }
    assert!(server.vm.used_memory() < used * 2 + (1 << 20), "{} after {used}", server.vm.used_memory());
    assert_eq!(server.cache.usage().0, 500);
}
