//! Scripts and functions on a whole server.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, error, int, nil, ok};

fn eval(client: &mut Client, script: &str, keys: &[&str], args: &[&str]) -> Value {
    let count = keys.len().to_string();
    let all: Vec<&str> = ["EVAL", script, &count]
        .into_iter()
        .chain(keys.iter().copied())
        .chain(args.iter().copied())
        .collect();
    client.run_args(&all)
}

/// The text of an error.
fn failure(reply: &Value) -> String {
    let Value::Error(text) = reply else { panic!("{reply:?} is no error") };
    String::from_utf8_lossy(text).into_owned()
}

#[test]
fn a_script_runs_commands_as_one_and_survives_a_restart() {
    let server = Setup::new().with("workers", "3").start();
    let mut client = server.client();
    let transfer = "redis.call('DECRBY', KEYS[1], ARGV[1]) return redis.call('INCRBY', KEYS[2], ARGV[1])";
    assert_eq!(eval(&mut client, transfer, &["a", "b"], &["5"]), int(5));
    assert_eq!(client.run("MGET a b"), Value::Array(vec![bulk("-5"), bulk("5")]));
    // A key that was not declared, a database that was not selected, and one that is elsewhere.
    assert_eq!(
        eval(&mut client, "return redis.call('SET', 'undeclared', 'x')", &["a"], &[]),
        Value::Simple("OK".into())
    );
    assert_eq!(client.run("GET undeclared"), bulk("x"));
    assert_eq!(
        eval(&mut client, "redis.call('SELECT', 3) return redis.call('SET', 'k', 'there')", &[], &[]),
        Value::Simple("OK".into())
    );
    assert_eq!(client.run("EXISTS k"), int(0));
    let digest =
        client.run_args(&["SCRIPT", "LOAD", "return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}"]);
    let digest = crate::harness::text(&digest);
    assert_eq!(
        client.run_args(&["EVALSHA", &digest, "1", "b", "arg"]),
        Value::Array(vec![bulk("b"), bulk("arg"), bulk("5")])
    );
    assert_eq!(
        client.run(&format!("SCRIPT EXISTS {digest} {}", "0".repeat(40))),
        Value::Array(vec![int(1), int(0)])
    );
    assert_eq!(
        client.run(&format!("EVALSHA {} 0", "0".repeat(40))),
        error("NOSCRIPT No matching script. Please use EVAL.")
    );
    let server = server.restart();
    let mut client = server.client();
    assert_eq!(client.run("MGET a b undeclared"), Value::Array(vec![bulk("-5"), bulk("5"), bulk("x")]));
    assert_eq!(client.run("SELECT 3"), ok());
    assert_eq!(client.run("GET k"), bulk("there"));
}

#[test]
fn a_script_that_fails_keeps_what_it_did_and_read_only_ones_write_nothing() {
    let server = Setup::new().start();
    let mut client = server.client();
    let half = "redis.call('SET', KEYS[1], 'kept') return redis.call('INCR', KEYS[1])";
    let text = failure(&eval(&mut client, half, &["k"], &[]));
    assert!(text.starts_with("ERR value is not an integer or out of range"), "{text}");
    assert_eq!(client.run("GET k"), bulk("kept"));
    let text = failure(&client.run_args(&["EVAL_RO", "return redis.call('SET', KEYS[1], 'x')", "1", "k"]));
    assert!(text.contains("Write commands are not allowed from read-only scripts"), "{text}");
    assert_eq!(client.run_args(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "k"]), bulk("kept"));
    for script in
        ["return redis.call('BLPOP', 'k', 0)", "return redis.call('MULTI')", "return redis.call('NOSUCH')"]
    {
        assert!(matches!(eval(&mut client, script, &[], &[]), Value::Error(_)), "{script}");
    }
    assert_eq!(client.run("EVAL return"), error("ERR wrong number of arguments for 'eval' command"));
    // A transaction runs scripts in their turn.
    let code = "return redis.call('INCR', KEYS[1])";
    client.run("MULTI");
    client.run("SET n 4");
    client.run_args(&["EVAL", code, "1", "n"]);
    client.run("INCR n");
    assert_eq!(client.run("EXEC"), Value::Array(vec![ok(), int(5), int(6)]));
    assert_eq!(client.run_args(&["EVAL", "return 5", "-1"]), error("ERR Number of keys can't be negative"));
    assert_eq!(
        client.run_args(&["EVAL", "return 5", "2", "k"]),
        error("ERR Number of keys can't be greater than number of args")
    );
    assert_eq!(client.run_args(&["EVAL", "return nil", "0"]), nil());
}

#[test]
fn scripts_of_many_clients_on_undeclared_keys_are_atomic() {
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    let script = "local n = tonumber(redis.call('GET', 'x') or '0') redis.call('SET', 'x', n + 1) \
                  redis.call('INCR', 'y') redis.call('LPUSH', 'l' .. ARGV[1], n) return n";
    std::thread::scope(|scope| {
        for n in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                for _ in 0..200 {
                    // Each declares another key, so that they meet on those that nobody declares.
                    let key = format!("k{n}");
                    assert!(matches!(
                        eval(&mut client, script, &[&key], &[&n.to_string()]),
                        Value::Integer(_)
                    ));
                }
            });
        }
    });
    let mut client = server.client();
    assert_eq!(client.run("MGET x y"), Value::Array(vec![bulk("800"), bulk("800")]));
    assert_eq!(client.run("LLEN l2"), int(200));
}

#[test]
fn a_script_loads_cold_keys_and_begins_again() {
    let server = Setup::new().with("maxmemory", "4mb").start();
    let mut client = server.client();
    let value = "v".repeat(100_000);
    for i in 0..100 {
        assert_eq!(client.run(&format!("SET key{i} {value}")), ok());
    }
    let script = "local sum = 0 redis.call('INCR', 'runs') for i = 0, 9 do sum = sum + redis.call('STRLEN', 'key' .. i) end return sum";
    assert_eq!(eval(&mut client, script, &[], &[]), int(1_000_000));
    assert_eq!(client.run("GET runs"), bulk("1"), "what was begun again was forgotten");
}

#[test]
fn a_script_that_takes_long_is_killed_unless_it_wrote() {
    let server = Setup::new().with("workers", "2").start();
    let mut client = server.client();
    assert_eq!(client.run("SCRIPT KILL"), error("NOTBUSY No scripts in execution right now."));
    let mut endless = server.client();
    endless.send("EVAL while(true)do(1)end 0");
    // It is not a program, and says so at once.
    assert!(matches!(endless.reply(), Value::Error(_)));
    let script = "while true do end";
    endless.write(format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n$1\r\n0\r\n", script.len()).as_bytes());
    // Another worker serves the operator: clients are spread over both.
    let mut operators: Vec<Client> = (0..2).map(|_| server.client()).collect();
    for operator in &mut operators {
        operator.send("SCRIPT KILL");
    }
    let text = failure(&endless.reply());
    assert!(text.contains("Script killed by user with SCRIPT KILL"), "{text}");
}

/// A server with one worker, which is inside a script that never ends, and the client that sent it.
fn endless(setup: Setup, script: &str) -> (Server, Client) {
    let server = setup.with("workers", "1").with("busy-reply-threshold", "10").start();
    let mut client = server.client();
    client.write(format!("*3\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n$1\r\n0\r\n", script.len()).as_bytes());
    let mut asks = server.client();
    // The script is busy once somebody is told so.
    while asks.run("PING") != error(BUSY) {}
    (server, client)
}

const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

#[test]
fn clients_of_the_worker_that_is_inside_a_script_are_heard() {
    let setup = Setup::new().with("workers", "1").with("busy-reply-threshold", "10");
    let server = setup.start();
    let (mut before, mut queues, mut watches) = (server.client(), server.client(), server.client());
    assert_eq!(queues.run("MULTI"), ok());
    assert_eq!(watches.run("WATCH w"), ok());
    assert_eq!(watches.run("MULTI"), ok());
    let mut endless = server.client();
    endless.write(b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n");
    while before.run("GET k") != error(BUSY) {}
    // A client that comes now is heard too; requests in pieces and pipelines are what they always are.
    let mut late = server.client();
    late.write(b"*1\r\n$4\r\nPI");
    late.write(b"NG\r\nSET k v\r\nMULTI\r\n");
    assert_eq!([late.reply(), late.reply(), late.reply()], [error(BUSY), error(BUSY), ok()]);
    assert_eq!(late.run("SET k v"), error(BUSY));
    assert_eq!(queues.run("INCR n"), error(BUSY));
    assert_eq!(late.run("EXEC"), error(&format!("EXECABORT Transaction discarded because of: {BUSY}")));
    // What ends watching waits for the script.
    watches.send("EXEC");
    assert_eq!(before.run("SCRIPT KILL"), ok());
    let text = failure(&endless.reply());
    assert!(text.contains("Script killed by user"), "{text}");
    assert_eq!(watches.reply(), Value::Array(Vec::new()));
    assert_eq!(queues.run("EXEC"), error("EXECABORT Transaction discarded because of previous errors."));
    assert_eq!(late.run("GET k"), nil());
    assert_eq!(before.run("PING"), Value::Simple("PONG".into()));
}

#[test]
fn a_server_ends_while_a_script_runs_and_nothing_of_the_script_stays() {
    let (server, _client) = endless(Setup::new(), "redis.call('SET', 'half', 1) while true do end");
    let mut operator = server.client();
    assert!(failure(&operator.run("SCRIPT KILL")).starts_with("UNKILLABLE"));
    let server = server.restart();
    assert_eq!(server.client().run("EXISTS half"), int(0));
}

#[test]
fn scripts_do_not_wait_and_draw_numbers_of_their_own() {
    let server = Setup::new().start();
    let mut client = server.client();
    let read = "return redis.call('XREAD', 'COUNT', 1, 'BLOCK', 100, 'STREAMS', 's', '$')";
    let text = failure(&eval(&mut client, read, &[], &[]));
    assert!(text.starts_with("ERR xread command is not allowed with BLOCK option from scripts"), "{text}");
    // A group may be called so.
    assert_eq!(client.run("XGROUP CREATE s BLOCK $ MKSTREAM"), ok());
    let read = "return redis.call('XREADGROUP', 'GROUP', 'BLOCK', 'c', 'STREAMS', 's', '>')";
    assert_eq!(eval(&mut client, read, &[], &[]), nil());
    let draw = "return tostring(math.random())";
    assert_ne!(eval(&mut client, draw, &[], &[]), eval(&mut client, draw, &[], &[]));
    let push = "local a = {} for i = 1, 7999 do a[i] = 1 end return redis.call('LPUSH', 'l', unpack(a))";
    assert_eq!(eval(&mut client, push, &[], &[]), int(7999));
    let info = client.run("INFO memory");
    let Value::Bulk(info) = info else { panic!("{info:?}") };
    assert!(String::from_utf8_lossy(&info).contains("number_of_cached_scripts:4\r\n"));
}

#[test]
fn functions_are_data() {
    let server = Setup::new().start();
    let mut client = server.client();
    let code = "#!lua name=mylib\nredis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)\n\
                redis.register_function{function_name='look', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}";
    assert_eq!(client.run_args(&["FUNCTION", "LOAD", code]), bulk("mylib"));
    assert_eq!(client.run_args(&["FUNCTION", "LOAD", code]), error("ERR Library 'mylib' already exists"));
    assert_eq!(client.run_args(&["FUNCTION", "LOAD", "REPLACE", code]), bulk("mylib"));
    assert_eq!(client.run("FCALL add 1 n 5"), int(5));
    assert_eq!(client.run("FCALL_RO look 1 n"), bulk("5"));
    assert_eq!(
        client.run("FCALL_RO add 1 n 5"),
        error("ERR Can not execute a script with write flag using *_ro command.")
    );
    // Flags are status replies, as in Redis.
    let look = [bulk("name"), bulk("look"), bulk("description"), nil()];
    let look = [&look[..], &[bulk("flags"), Value::Array(vec![Value::simple("no-writes")])]].concat();
    let Value::Array(libraries) = client.run("FUNCTION LIST") else { panic!("no list of libraries") };
    let Value::Array(library) = &libraries[0] else { panic!("{libraries:?}") };
    let Value::Array(functions) = &library[5] else { panic!("{library:?}") };
    assert!(functions.contains(&Value::Array(look)), "{functions:?}");
    let server = server.restart();
    let mut client = server.client();
    assert_eq!(client.run("FCALL add 1 n 5"), int(10));
    assert_eq!(client.run("FUNCTION DELETE mylib"), ok());
    assert_eq!(client.run("FCALL add 1 n 5"), error("ERR Function not found"));
    assert_eq!(client.run("FUNCTION DELETE mylib"), error("ERR Library not found"));
    let server = server.restart();
    assert_eq!(server.client().run("FUNCTION LIST"), Value::Array(vec![]));
}

/// A library with one function, which returns the library's name.
fn library(name: &str, function: &str) -> String {
    format!("#!lua name={name}\nredis.register_function('{function}', function() return '{name}' end)")
}

#[test]
fn a_library_that_was_acknowledged_outlives_a_crash() {
    let setup = Setup::new();
    let server = setup.start();
    let mut client = server.client();
    let code = |name: &str, result: u8| {
        format!("#!lua name={name}\nredis.register_function('{name}_f', function() return {result} end)")
    };
    for (name, result) in [("kept", 1), ("gone", 2)] {
        assert_eq!(client.run_args(&["FUNCTION", "LOAD", &code(name, result)]), bulk(name));
    }
    assert_eq!(client.run_args(&["FUNCTION", "LOAD", "REPLACE", &code("kept", 3)]), bulk("kept"));
    assert_eq!(client.run("FUNCTION DELETE gone"), ok());
    server.crash();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.run("FCALL kept_f 0"), int(3));
    assert_eq!(client.run("FCALL gone_f 0"), error("ERR Function not found"));
    assert_eq!(client.run("FUNCTION FLUSH"), ok());
    server.crash();
    assert_eq!(setup.start().client().run("FUNCTION LIST"), Value::Array(vec![]));
}

#[test]
fn libraries_go_from_server_to_server() {
    let (from, to) = (Setup::new().start(), Setup::new().start());
    let (mut from, mut client) = (from.client(), to.client());
    assert_eq!(from.run("FUNCTION DUMP"), bulk(b"\n\x00]\x9b\\@\x0f\x7f\xa2\xda"));
    for (name, function) in [("one", "f"), ("two", "g")] {
        assert_eq!(from.run_args(&["FUNCTION", "LOAD", &library(name, function)]), bulk(name));
    }
    let Value::Bulk(payload) = from.run("FUNCTION DUMP") else { panic!("no payload") };
    let mut restore = |payload: &[u8], policy: &[u8]| {
        let args: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", payload, policy];
        client.run_args(if policy.is_empty() { &args[..3] } else { &args })
    };
    assert_eq!(restore(&payload, b""), ok());
    assert_eq!(restore(&payload, b"append"), error("ERR Library one already exists"));
    assert_eq!(restore(&payload, b"REPLACE"), ok());
    assert_eq!(
        restore(&payload, b"x"),
        error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")
    );
    assert_eq!(restore(b"x", b"FLUSH"), error("ERR DUMP payload version or checksum are wrong"));
    let to = to.restart();
    let mut client = to.client();
    assert_eq!(client.run("FCALL f 0"), bulk("one"));
    assert_eq!(client.run("FCALL g 0"), bulk("two"));
    // A function of the same name in another library, and a library that goes with all others.
    from.run("FUNCTION FLUSH");
    from.run_args(&["FUNCTION", "LOAD", &library("three", "F")]);
    let Value::Bulk(payload) = from.run("FUNCTION DUMP") else { panic!("no payload") };
    let args: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &payload, b"REPLACE"];
    assert_eq!(client.run_args(&args), error("ERR Function F already exists"));
    assert_eq!(client.run("FCALL f 0"), bulk("one"), "nothing was replaced");
    let args: [&[u8]; 4] = [b"FUNCTION", b"RESTORE", &payload, b"FLUSH"];
    assert_eq!(client.run_args(&args), ok());
    assert_eq!(client.run("FCALL g 0"), error("ERR Function not found"));
    let to = to.restart();
    let mut client = to.client();
    assert_eq!(client.run("FCALL f 0"), bulk("three"));
    assert_eq!(client.run("FCALL g 0"), error("ERR Function not found"));
    // As Redis writes it: compressed.
    let args: [&[u8]; 3] = [b"FUNCTION", b"RESTORE", OF_REDIS];
    assert_eq!(client.run_args(&args), ok());
    assert_eq!(client.run("FCALL h 0"), int(1));
    assert_eq!(
        client.run("FUNCTION RESTORE a b c"),
        error("ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP.")
    );
}

/// FUNCTION DUMP of Redis 7.0.15 for a library with a comment of 200 times `a`, and a function `h` that returns 1.
const OF_REDIS: &[u8] = b"\xf5\xc3@IA\x10\x12#!lua name=big\n-- a\xe0\xbe\x00\x1d\nredis.registe\
    r_function(\"h\", \xe0\x00\r\x0e) return 1 end)\n\x00\xff\xed\xbc\x93\xbb\xc1\xfeX";

#[test]
fn a_script_publishes_and_pushes_to_those_who_wait() {
    let server = Setup::new().with("workers", "3").start();
    let (mut listener, mut waiter, mut client) = (server.client(), server.client(), server.client());
    listener.send("SUBSCRIBE c");
    listener.reply();
    waiter.send("BLPOP q 0");
    while client.info("blocked_clients") != "1" {}
    let script = "redis.call('RPUSH', KEYS[1], 'x') return redis.call('PUBLISH', 'c', 'hello')";
    assert_eq!(eval(&mut client, script, &["q"], &[]), int(1));
    assert_eq!(listener.reply(), Value::Array(vec![bulk("message"), bulk("c"), bulk("hello")]));
    assert_eq!(waiter.reply(), Value::Array(vec![bulk("q"), bulk("x")]));
    // A command on a whole database within a script.
    assert_eq!(eval(&mut client, "redis.call('SET', 'k', 1) return redis.call('DBSIZE')", &[], &[]), int(1));
    assert_eq!(
        eval(
            &mut client,
            "redis.call('FLUSHALL') redis.call('SET', 'k', 2) return redis.call('GET', 'k')",
            &[],
            &[]
        ),
        bulk("2")
    );
}

/// A script that looks at or changes whole databases between its other commands is seen as one all the same.
#[test]
fn scripts_around_commands_on_whole_databases_are_atomic() {
    const CLIENTS: usize = 4;
    const ROUNDS: usize = 50;
    let server = Setup::new().with("workers", "3").with("appendfsync", "everysec").start();
    for between in ["'DBSIZE'", "'KEYS', '*'", "'SCAN', '0'", "'RANDOMKEY'", "'SWAPDB', 1, 2"] {
        let script = format!(
            "local n = tonumber(redis.call('GET', 'x') or '0') redis.call('SET', 'x', n + 1) redis.call({between}) \
             redis.call('SET', 'y', n + 1) return n"
        );
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..CLIENTS)
                .map(|n| {
                    let (server, script) = (&server, &script);
                    scope.spawn(move || {
                        let mut client = server.client();
                        for _ in 0..ROUNDS {
                            let reply = eval(&mut client, script, &[&format!("k{n}")], &[]);
                            assert!(matches!(reply, Value::Integer(_)), "{reply:?}");
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                let mut client = server.client();
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let reply = client.run("MGET x y");
                    let values = reply.as_elements().expect("MGET answers an array");
                    assert_eq!(values[0], values[1], "{between}");
                }
            });
            let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            ended.into_iter().for_each(|ended| ended.expect("the writers' replies are as they should be"));
        });
        let mut client = server.client();
        let all = (CLIENTS * ROUNDS).to_string();
        assert_eq!(client.run("MGET x y"), Value::Array(vec![bulk(&all), bulk(&all)]), "{between}");
        assert_eq!(client.run("DEL x y"), int(2));
    }
    // Nobody sees the emptiness in between.
    let refill = "redis.call('FLUSHALL') redis.call('SET', 'x', 'v') redis.call('SET', 'y', 'v')";
    assert_eq!(server.client().run("MSET x v y v"), ok());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = server.client();
            (0..200).for_each(|_| assert_eq!(eval(&mut client, refill, &[], &[]), nil()));
        });
        let mut client = server.client();
        while !writer.is_finished() {
            assert_eq!(client.run("EXISTS x y"), int(2));
        }
    });
    assert_eq!(server.restart().client().run("EXISTS x y"), int(2));
}

/// What a script has changed counts for what it then does with whole databases, also where most keys are on disk.
#[test]
fn scripts_see_their_own_changes_of_databases_that_are_mostly_cold() {
    let server = Setup::new().with("maxmemory", "4mb").start();
    let mut client = server.client();
    for i in 0..100 {
        assert_eq!(client.run(&format!("SET key{i} {}", "v".repeat(100_000))), ok());
    }
    let script = "redis.call('DEL', 'key0', 'key50') redis.call('SET', 'new', 'v') \
                  local keys, cursor, found = #redis.call('KEYS', '*'), '0', 0 \
                  repeat local step = redis.call('SCAN', cursor, 'COUNT', 7) cursor = step[1] found = found + #step[2] \
                  until cursor == '0' \
                  redis.call('SWAPDB', 0, 1) local none = redis.call('DBSIZE') redis.call('SET', 'here', 'v') \
                  redis.call('SWAPDB', 0, 1) \
                  return {keys, found, redis.call('DBSIZE'), none, redis.call('STRLEN', 'key7'), redis.call('EXISTS', 'here')}";
    let expected = [99, 99, 99, 0, 100_000, 0].map(int);
    assert_eq!(eval(&mut client, script, &[], &[]), Value::Array(expected.to_vec()));
    assert_eq!(client.run("DBSIZE"), int(99));
    let moved = "redis.call('SWAPDB', 0, 2) redis.call('SELECT', 2) \
                 local len = redis.call('APPEND', 'key99', '!') redis.call('FLUSHALL') \
                 return {len, redis.call('EXISTS', 'key98'), redis.call('SET', 'last', 'v')}";
    assert_eq!(eval(&mut client, moved, &[], &[]), Value::Array(vec![int(100_001), int(0), ok()]));
    let server = server.restart();
    let mut client = server.client();
    assert_eq!(client.run("DBSIZE"), int(0));
    assert_eq!(client.run("SELECT 2"), ok());
    assert_eq!(client.run("KEYS *"), Value::Array(vec![bulk("last")]));
}

#[test]
fn a_script_that_exchanges_databases_serves_those_who_wait() {
    let server = Setup::new().with("workers", "2").start();
    let (mut waiter, mut client) = (server.client(), server.client());
    waiter.send("BLPOP q 0");
    while client.info("blocked_clients") != "1" {}
    assert_eq!(client.run("SELECT 1"), ok());
    assert_eq!(client.run("RPUSH q x"), int(1));
    assert_eq!(eval(&mut client, "return redis.call('SWAPDB', 0, 1)", &[], &[]), ok());
    assert_eq!(waiter.reply(), Value::Array(vec![bulk("q"), bulk("x")]));
}

#[test]
fn a_library_whose_code_does_not_end_is_given_up() {
    let server = Setup::new().start();
    let mut client = server.client();
    let timeout = error("ERR Error registering functions: ERR FUNCTION LOAD timeout");
    assert_eq!(client.run_args(&["FUNCTION", "LOAD", "#!lua name=x\nwhile true do end"]), timeout);
    assert_eq!(client.run("FUNCTION LIST"), Value::Array(vec![]));
    assert_eq!(client.run("PING"), Value::Simple("PONG".into()));
}

/// Calls, failures and refusals of a command, as INFO counts them.
fn counts(client: &mut Client, command: &str) -> (u64, u64, u64) {
    let text = client.run("INFO commandstats");
    let text = crate::harness::text(&text);
    let prefix = format!("cmdstat_{command}:");
    let Some(line) = text.lines().find_map(|line| line.strip_prefix(&prefix)) else { return (0, 0, 0) };
    let field = |name: &str| {
        let value = line.split(',').find_map(|field| field.strip_prefix(name)).expect("the line has it");
        value.parse().expect("it is a number")
    };
    (field("calls="), field("failed_calls="), field("rejected_calls="))
}

#[test]
fn what_scripts_run_is_counted() {
    let server = Setup::new().start();
    let mut client = server.client();
    client.run("SET s x");
    client.run("CONFIG RESETSTAT");
    eval(&mut client, "redis.call('SET', 'a', 1) redis.call('SET', 'a', 2)", &["a"], &[]);
    assert_eq!(counts(&mut client, "set"), (2, 0, 0));
    assert_eq!(counts(&mut client, "eval"), (1, 0, 0));
    for (script, eval_failed, lpush, errors) in [
        ("return redis.call('LPUSH', 's', 'a')", 1, (1, 1, 0), 1),
        ("return redis.pcall('LPUSH', 's', 'a')", 1, (1, 1, 0), 1),
        ("redis.pcall('LPUSH', 's', 'a') return 1", 0, (1, 1, 0), 1),
        ("redis.pcall('LPUSH', 's') return 1", 0, (0, 0, 1), 1),
        ("redis.call('NOSUCH', 's') return 1", 1, (0, 0, 0), 1),
        ("return redis.error_reply('MY error')", 1, (0, 0, 0), 1),
        ("redis.pcall('LPUSH', 's', 'a') error('other')", 1, (1, 1, 0), 2),
    ] {
        client.run("CONFIG RESETSTAT");
        eval(&mut client, script, &[], &[]);
        assert_eq!(counts(&mut client, "eval"), (1, eval_failed, 0), "{script}");
        assert_eq!(counts(&mut client, "lpush"), lpush, "{script}");
        assert_eq!(client.info("total_error_replies"), errors.to_string(), "{script}");
    }
    // A script that is undone and begun again with its key loaded counts once.
    client.run("CONFIG RESETSTAT");
    let queued = client.pipeline(&["MULTI", "EVAL return{redis.call('GET','s')} 0", "EXEC"]);
    assert_eq!(queued.len(), 3);
    assert_eq!(counts(&mut client, "get"), (1, 0, 0));
}

#[test]
fn a_function_is_ended_by_function_kill_and_a_script_by_script_kill() {
    const BUSY_FUNCTION: &str =
        "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";
    let (server, mut script) = endless(Setup::new(), "while true do end");
    let mut operator = server.client();
    assert_eq!(operator.run("FUNCTION KILL"), error(BUSY));
    assert_eq!(operator.run("SCRIPT KILL"), ok());
    assert!(failure(&script.reply()).contains("Script killed by user"));
    let code = "#!lua name='lib'\nredis.register_function('endless', function() while true do end end)";
    while operator.run_args(&["FUNCTION", "LOAD", "REPLACE", code]) != bulk("lib") {}
    let mut function = server.client();
    function.send("FCALL endless 0");
    while operator.run("PING") != error(BUSY_FUNCTION) {}
    assert_eq!(operator.run("SCRIPT KILL"), error(BUSY_FUNCTION));
    assert_eq!(operator.run("FUNCTION KILL"), ok());
    assert!(failure(&function.reply()).contains("killed by user"));
}

#[test]
fn libraries_are_dumped_and_restored() {
    let server = Setup::new().start();
    let mut client = server.client();
    let library = |name: &str, function: &str| {
        format!("#!lua name={name}\nredis.register_function('{function}', function() return '{name}' end)")
    };
    for (name, function) in [("a", "f"), ("b", "g")] {
        assert_eq!(client.run_args(&["FUNCTION", "LOAD", &library(name, function)]), bulk(name));
    }
    let Value::Bulk(payload) = client.run("FUNCTION DUMP") else { panic!("a payload is a string") };
    let mut restore = |policy: &str| {
        let mut request =
            format!("*4\r\n$8\r\nFUNCTION\r\n$7\r\nRESTORE\r\n${}\r\n", payload.len()).into_bytes();
        request.extend_from_slice(&payload);
        request.extend_from_slice(format!("\r\n${}\r\n{policy}\r\n", policy.len()).as_bytes());
        client.write(&request);
        client.reply()
    };
    assert_eq!(restore("APPEND"), error("ERR Library a already exists"));
    assert_eq!(restore("REPLACE"), ok());
    let policy = error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
    assert_eq!(restore("OTHER"), policy);
    let mut other = server.client();
    assert_eq!(other.run("FUNCTION FLUSH"), ok());
    assert_eq!(other.run_args(&["FUNCTION", "LOAD", &library("c", "f")]), bulk("c"));
    assert_eq!(restore("APPEND"), error("ERR Function f already exists"));
    assert_eq!(other.run("FCALL f 0"), bulk("c"), "all or none");
    assert_eq!(other.run("FCALL g 0"), error("ERR Function not found"));
    assert_eq!(restore("FLUSH"), ok());
    let server = server.restart();
    let mut client = server.client();
    assert_eq!(client.run("FCALL f 0"), bulk("a"));
    assert_eq!(client.run("FCALL g 0"), bulk("b"));
    assert_eq!(client.run_args(&["FUNCTION", "LIST", "LIBRARYNAME", "c"]), Value::Array(vec![]));
    let damaged = error("ERR DUMP payload version or checksum are wrong");
    assert_eq!(client.run("FUNCTION RESTORE payload"), damaged);
    let wrong =
        error("ERR unknown subcommand or wrong number of arguments for 'RESTORE'. Try FUNCTION HELP.");
    assert_eq!(client.run("FUNCTION RESTORE a FLUSH more"), wrong);
    assert_eq!(client.run("FCALL f x"), error("ERR Bad number of keys provided"));
    assert_eq!(client.run("FCALL nosuch x"), error("ERR Function not found"));
}

#[test]
fn tests_may_let_scripts_see_every_type_of_reply() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let mut client = server.client();
    let script = "redis.setresp(3) return redis.call('DEBUG', 'PROTOCOL', 'double').double * 1000";
    assert!(failure(&eval(&mut client, script, &[], &[])).contains("not allowed from script"));
    assert_eq!(client.run("DEBUG SET-DISABLE-DENY-SCRIPTS 1"), ok());
    assert_eq!(eval(&mut client, script, &[], &[]), int(3141));
    let others = eval(&mut client, "return redis.call('DEBUG', 'JMAP')", &[], &[]);
    assert!(failure(&others).contains("not allowed from script"));
    assert_eq!(client.run("DEBUG SET-DISABLE-DENY-SCRIPTS 0"), ok());
    assert!(failure(&eval(&mut client, script, &[], &[])).contains("not allowed from script"));
}

#[test]
fn commands_that_would_wait_do_not_wait_in_scripts() {
    let server = Setup::new().start();
    let mut client = server.client();
    for nothing in [
        "return redis.call('BLMPOP', 0, 1, KEYS[1], 'LEFT')",
        "return redis.call('BZMPOP', 0, 1, KEYS[1], 'MIN')",
    ] {
        assert_eq!(eval(&mut client, nothing, &["none"], &[]), nil());
    }
    assert_eq!(client.run("RPUSH list element"), int(1));
    let pop = "return redis.call('BLMPOP', 0, 1, KEYS[1], 'LEFT')[2][1]";
    assert_eq!(eval(&mut client, pop, &["list"], &[]), bulk("element"));
}
