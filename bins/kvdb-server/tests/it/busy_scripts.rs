//! Scripts that take long, while others want what they hold, and scripts that are disturbed while they run.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, error, int, ok};

const BUSY: &str = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

/// Sends a script without waiting for what it replies.
fn begin(client: &mut Client, script: &str, keys: &[&str]) {
    let count = keys.len().to_string();
    let words: Vec<&str> = ["EVAL", script, &count].into_iter().chain(keys.iter().copied()).collect();
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    client.write(request.as_bytes());
}

fn ends_killed(client: &mut Client) {
    let reply = client.reply();
    let Value::Error(text) = &reply else { panic!("{reply:?}") };
    assert!(String::from_utf8_lossy(text).contains("Script killed by user"), "{reply:?}");
}

#[test]
fn a_pipeline_of_keys_that_the_script_holds_is_told_that_it_is_busy() {
    let server = Setup::new().with("workers", "1").with("busy-reply-threshold", "10").start();
    let (mut endless, mut asks) = (server.client(), server.client());
    begin(&mut endless, "while redis.call('GET', KEYS[1]) ~= 'over' do end", &["k"]);
    while asks.run("PING") != error(BUSY) {}
    assert_eq!(asks.pipeline(&["GET k", "GET k", "MGET k k"]), [error(BUSY), error(BUSY), error(BUSY)]);
    assert_eq!(asks.run("SCRIPT KILL"), ok());
    ends_killed(&mut endless);
}

#[test]
fn a_worker_that_waits_for_a_latch_hears_who_would_end_the_script() {
    for waits in [
        "DBSIZE",
        "INFO",
        "RANDOMKEY",
        "WATCH k",
        "DEBUG OBJECT k",
        "KEYS *",
        "FLUSHALL",
        "SWAPDB 0 1",
        "CONFIG SET maxmemory-policy allkeys-lru maxmemory 1gb",
    ] {
        let setup = Setup::new().with("workers", "2").with("busy-reply-threshold", "100");
        let server = setup.with("enable-debug-command", "yes").start();
        assert_eq!(server.client().run("SET k v"), ok());
        // Clients are spread over both workers, so the second and the last are on the other one.
        let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
        begin(&mut clients[0], "while redis.call('GET', KEYS[1]) ~= 'over' do end", &["k"]);
        clients[1].send(waits);
        while clients[3].run("PING") != error(BUSY) {}
        // On either worker, who has just come is welcome.
        let mut late = [server.stranger(), server.stranger()];
        late.iter_mut().for_each(|client| assert!(matches!(client.run("HELLO 3"), Value::Map(_)), "{waits}"));
        assert_eq!(clients[3].run("SCRIPT KILL"), ok(), "{waits}");
        ends_killed(&mut clients[0]);
        clients[1].reply();
        assert_eq!(clients[3].run("EXISTS other"), int(0));
    }
}

#[test]
fn a_script_that_wants_all_latches_gives_way_to_a_busy_one() {
    let setup = Setup::new().with("workers", "2").with("busy-reply-threshold", "100");
    let server = setup.start();
    let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
    begin(&mut clients[0], "while redis.call('GET', KEYS[1]) ~= 'over' do end", &["k"]);
    // Until the endless script has begun, on the other worker, this one is served.
    let refused = loop {
        match clients[1].run_args(&["EVAL", "return redis.call('GET', 'k')", "0"]) {
            Value::Null => {}
            reply => break reply,
        }
    };
    assert_eq!(refused, error(BUSY));
    assert_eq!(clients[3].run("SCRIPT KILL"), ok());
    ends_killed(&mut clients[0]);
}

/// Two scripts on two workers are busy at once; the end of one is not the end of the other.
#[test]
fn of_two_busy_scripts_each_is_busy_until_its_own_end() {
    let server = Setup::new().with("workers", "2").with("busy-reply-threshold", "20").start();
    for _ in 0..5 {
        let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
        // Begun within the threshold, or one of them is refused and the round shows less.
        begin(
            &mut clients[0],
            "local n = 0 while redis.call('GET', KEYS[1]) and n < 300000 do n = n + 1 end",
            &["a"],
        );
        begin(&mut clients[1], "while redis.call('GET', KEYS[1]) ~= 'over' do end", &["b"]);
        for _ in 0..400 {
            for client in &mut clients[2..] {
                client.pipeline(&["GET a", "GET b", "MGET a b"]);
            }
        }
        while clients[2].run("GET b") == error(BUSY) || clients[3].run("GET a") == error(BUSY) {
            clients[2].run("SCRIPT KILL");
        }
        clients[0].reply();
        clients[1].reply();
    }
}

/// Emptying databases is undone with the rest of a script that the end of the server finds unfinished.
#[test]
fn a_server_that_ends_undoes_a_script_that_has_emptied_databases() {
    let server = Setup::new().with("workers", "2").with("busy-reply-threshold", "10").start();
    let (mut client, mut endless) = (server.client(), server.client());
    assert_eq!(client.run("MSET a 1 b 2"), ok());
    let script = "redis.call('SET', 'c', 3) redis.call('SWAPDB', 0, 1) redis.call('SET', 'a', 4) \
                  redis.call('FLUSHALL') redis.call('SET', 'b', 5) while true do end";
    begin(&mut endless, script, &[]);
    while client.run("PING") != error(BUSY) {}
    assert!(matches!(client.run("SCRIPT KILL"), Value::Error(_)), "it has written");
    let server = server.restart();
    let mut client = server.client();
    assert_eq!(
        client.run("MGET a b c"),
        Value::Array(["1", "2"].map(Value::bulk).into_iter().chain([Value::Null]).collect())
    );
    assert_eq!(client.run("DBSIZE"), int(2));
}

#[test]
fn what_a_script_did_before_a_command_on_a_whole_database_is_not_done_again() {
    const RUNS: i64 = 300;
    let server = Setup::new().with("workers", "2").with("appendfsync", "no").start();
    let script = "redis.call('INCR', KEYS[1]) redis.call('DBSIZE') \
                  for i = 1, 20 do redis.call('GET', 'u' .. i) end return redis.call('GET', KEYS[1])";
    let disturb = |server: &Server| {
        let mut client = server.client();
        let sets: Vec<String> = (0..20 * RUNS).map(|i| format!("SET u{} {i}", i % 20 + 1)).collect();
        move || drop(client.pipeline(&sets))
    };
    let threads: Vec<_> = (0..3).map(|_| std::thread::spawn(disturb(&server))).collect();
    let mut client = server.client();
    for _ in 0..RUNS {
        client.run_args(&["EVAL", script, "1", "n"]);
    }
    assert_eq!(client.run("INCRBY n 0"), int(RUNS));
    threads.into_iter().for_each(|thread| thread.join().expect("it has only written"));
}

#[test]
fn a_script_that_begins_to_write_when_it_is_killed_leaves_no_half() {
    let server = Setup::new().with("workers", "2").with("appendfsync", "no").start();
    let script = "local n = 0 while n < 3000 do n = n + 1 end \
                  redis.call('SET', KEYS[1], ARGV[1]) n = 0 while n < 3000 do n = n + 1 end \
                  redis.call('SET', KEYS[2], ARGV[1])";
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for round in 0..300 {
        let round = round.to_string();
        let words = ["EVAL", script, "2", "a", "b", &round];
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
        clients[0].write(request.as_bytes());
        for client in &mut clients[1..] {
            client.run("SCRIPT KILL");
        }
        clients[0].reply();
        assert_eq!(clients[1].run("GET a"), clients[2].run("GET b"));
    }
}

#[test]
fn what_was_acknowledged_before_leaves_while_a_script_runs() {
    let setup = Setup::new().with("workers", "1").with("busy-reply-threshold", "10");
    let server = setup.with("appendfsync", "always").start();
    let (mut endless, mut writer, mut operator) = (server.client(), server.client(), server.client());
    for _ in 0..20 {
        writer.send("SET k v");
        begin(&mut endless, "while true do end", &[]);
        let reply = writer.reply();
        assert!(reply == ok() || reply == error(BUSY), "{reply:?}");
        while operator.run("SCRIPT KILL") != ok() {}
        ends_killed(&mut endless);
    }
}
