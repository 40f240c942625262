//! What an operator does to a running server, and what other clients notice of it.

use std::net::TcpStream;

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, error, int, nil, ok, simple, text, wait_until};

fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").as_integer().expect("an id")
}

#[test]
fn a_monitor_sees_commands_once_and_no_secrets() {
    let server = Setup::new().with_password("hush").start();
    let mut client = server.client();
    let mut monitor = server.client();
    assert_eq!(monitor.run("MONITOR"), ok());
    assert_eq!(client.run("SELECT 2"), ok());
    assert_eq!(client.run_args(&[&b"SET"[..], b"k", b"a\"b\\\r\n\x00\xff"]), ok());
    assert_eq!(client.run("AUTH hush"), ok());
    assert_eq!(client.run("HELLO 2 AUTH default hush").as_elements().map(<[_]>::len), Some(14));
    assert_eq!(client.run("CONFIG SET requirepass hush"), ok());
    assert_eq!(
        client.run("NOSUCH hidden"),
        error("ERR unknown command 'NOSUCH', with args beginning with: 'hidden' ")
    );
    assert_eq!(client.run("GET last"), nil());
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains("last")) {
        let line = text(&monitor.reply());
        let (time, rest) = line.split_once(' ').expect("a line begins with the time");
        assert!(time.parse::<f64>().is_ok_and(|seconds| seconds > 1.0e9), "{line}");
        lines.push(rest.split_once("] ").map_or(rest, |(_, command)| command).to_owned());
    }
    assert!(lines.contains(&r#""SET" "k" "a\"b\\\r\n\x00\xff""#.to_owned()), "{lines:#?}");
    assert!(!lines.concat().contains("hush"), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.contains("last")).count(), 1);
    // It stops when asked to.
    assert_eq!(monitor.run("RESET"), simple("RESET"));
    assert_eq!(monitor.run("AUTH hush"), ok());
    assert_eq!(client.run("GET after"), nil());
    assert_eq!(monitor.run("PING"), simple("PONG"));
}

#[test]
fn a_monitor_sees_reads_from_disk_once() {
    let setup = Setup::new().with("warm-up", "no");
    let server = setup.start();
    assert_eq!(server.client().run("SET cold v"), ok());
    let server = server.restart();
    let mut monitor = server.client();
    assert_eq!(monitor.run("MONITOR"), ok());
    let mut client = server.client();
    assert_eq!(client.run("GET cold"), bulk("v"));
    assert_eq!(client.run("ECHO end"), bulk("end"));
    assert!(text(&monitor.reply()).ends_with(r#""GET" "cold""#));
    assert!(text(&monitor.reply()).ends_with(r#""ECHO" "end""#));
}

#[test]
fn a_pause_holds_writes_until_it_is_ended() {
    let server = Server::start();
    let (mut operator, mut writer) = (server.client(), server.client());
    assert_eq!(operator.run("CLIENT PAUSE 100000 WRITE"), ok());
    writer.send("SET k v");
    // Reads go on, on other connections.
    assert_eq!(operator.run("GET k"), nil());
    assert_eq!(operator.run("CLIENT UNPAUSE"), ok());
    assert_eq!(writer.reply(), ok());
    assert_eq!(operator.run("GET k"), bulk("v"));

    assert_eq!(operator.run("CLIENT PAUSE 100000"), ok());
    writer.send("GET k");
    assert_eq!(operator.run("CLIENT UNPAUSE"), ok());
    assert_eq!(writer.reply(), bulk("v"));

    // Reading streams changes nothing; counting a HyperLogLog may.
    assert_eq!(operator.run("XADD s 1-1 f v"), bulk("1-1"));
    assert_eq!(operator.run("XADD dead 1-1 f v"), bulk("1-1"));
    assert_eq!(operator.pipeline(&["PEXPIRE dead 1", "CLIENT PAUSE 100000 WRITE"]), [int(1), ok()]);
    writer.send("PFCOUNT none");
    wait_until("the count is waiting", || operator.info("blocked_clients") == "1");
    let entries = operator.run("XREAD BLOCK 0 STREAMS dead s 0 0");
    assert_eq!(entries.as_elements().map(<[Value]>::len), Some(1), "{entries:?}");
    let replies = operator.pipeline(&["MULTI", "XREAD STREAMS dead s 0 0", "EXEC"]);
    assert_eq!(replies[2], Value::Array(vec![entries]));
    assert_eq!(operator.run("CLIENT UNPAUSE"), ok());
    assert_eq!(writer.reply(), int(0));

    // A pause ends by itself too.
    assert_eq!(operator.run("CLIENT PAUSE 50"), ok());
    assert_eq!(writer.run("GET k"), bulk("v"));
}

#[test]
fn a_pause_in_force_is_neither_shortened_nor_weakened_by_another() {
    let server = Server::start();
    let (mut operator, mut writer) = (server.client(), server.client());
    let left = |operator: &mut Client| {
        operator.info("paused_timeout_milliseconds").parse::<u64>().expect("a number of milliseconds")
    };
    assert_eq!(operator.run("CLIENT PAUSE 1000000 WRITE"), ok());
    writer.send("SET k v");
    wait_until("the write is waiting", || operator.info("blocked_clients") == "1");
    assert_eq!(operator.run("CLIENT PAUSE 1 WRITE"), ok());
    assert!(left(&mut operator) > 500_000);
    assert_eq!(operator.run("CLIENT PAUSE 2000000 WRITE"), ok());
    assert!(left(&mut operator) > 1_000_000);
    assert_eq!(
        (operator.info("paused_actions"), operator.info("blocked_clients")),
        ("write".into(), "1".into())
    );
    // While all is paused nothing can be asked but within the transaction that has paused it.
    let commands = ["MULTI", "CLIENT PAUSE 1 ALL", "CLIENT PAUSE 1 WRITE", "INFO clients", "EXEC"];
    let done = operator.pipeline(&commands).pop().expect("EXEC replies");
    let clients = text(&done.as_elements().expect("three replies")[2]);
    assert!(clients.contains("paused_actions:all\r\n"), "{clients}");
    assert_eq!(operator.run("CLIENT UNPAUSE"), ok());
    assert_eq!(writer.reply(), ok());
    assert_eq!(operator.info("paused_actions"), "none");
}

#[test]
fn a_paused_client_can_be_killed() {
    let server = Server::start();
    let (mut operator, mut writer) = (server.client(), server.client());
    let victim = id(&mut writer);
    assert_eq!(operator.run("CLIENT PAUSE 100000 WRITE"), ok());
    writer.send("SET k v");
    wait_until("the write is waiting", || operator.info("blocked_clients") == "1");
    assert_eq!(operator.run(&format!("CLIENT KILL ID {victim}")), int(1));
    assert_eq!(writer.rest(), "");
    wait_until("nobody is waiting", || operator.info("blocked_clients") == "0");
    assert_eq!(operator.run("CLIENT UNPAUSE"), ok());
    assert_eq!(operator.run("GET k"), nil());
}

#[test]
fn replies_can_be_turned_off() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let mut client = server.client();
    client.send("CLIENT REPLY OFF");
    client.send("SET a 1");
    client.send("NOSUCH");
    client.send("FLUSHALL");
    client.send("SET a 2");
    client.send("CLIENT REPLY SKIP");
    assert_eq!(client.run("CLIENT REPLY ON"), ok());
    assert_eq!(client.run("GET a"), bulk("2"));
    // One reply is left out, also that of a command which goes on elsewhere.
    for skipped in
        ["SET a 3", "NOSUCH", "GET a", "KEYS *", "FLUSHDB", "SAVE", "DEBUG SLEEP 0.01", "CLIENT ID"]
    {
        client.send("CLIENT REPLY SKIP");
        client.send(skipped);
        assert_eq!(client.run("ECHO here"), bulk("here"), "{skipped}");
    }
}

#[test]
fn clients_are_listed_and_killed_whichever_worker_they_have() {
    let server = Setup::new().with("workers", "3").start();
    let mut operator = server.client();
    let mut others: Vec<Client> = (0..6).map(|_| server.client()).collect();
    let ids: Vec<i64> = others.iter_mut().map(id).collect();
    let list = text(&operator.run("CLIENT LIST"));
    for id in &ids {
        assert!(list.contains(&format!("id={id} ")), "{list}");
    }
    assert_eq!(operator.run(&format!("CLIENT KILL ID {}", ids[0])), int(1));
    assert_eq!(others[0].rest(), "");
    let addr = list.lines().find(|line| line.starts_with(&format!("id={} ", ids[1]))).expect("it is listed");
    let addr = addr.split(' ').find_map(|field| field.strip_prefix("addr=")).expect("an address");
    assert_eq!(operator.run(&format!("CLIENT KILL {addr}")), ok());
    assert_eq!(others[1].rest(), "");
    assert_eq!(operator.run(&format!("CLIENT KILL {addr}")), error("ERR No such client"));
    assert_eq!(operator.run(&format!("CLIENT KILL ID {}", ids[0])), int(0));
    assert_eq!(operator.run("CLIENT KILL TYPE normal"), int(4));
    for other in &mut others[2..] {
        assert_eq!(other.rest(), "");
    }
    wait_until("only one is left", || operator.info("connected_clients") == "1");
    // One that kills itself still gets its reply.
    let own = id(&mut operator);
    assert_eq!(operator.run(&format!("CLIENT KILL ID {own} SKIPME no")), int(1));
    assert_eq!(operator.rest(), "");
}

#[test]
fn clients_are_told_apart_by_kind_address_and_age() {
    let server = Setup::new().with("workers", "2").start();
    let (mut operator, mut listener, mut other) = (server.client(), server.client(), server.client());
    let (listening, plain) = (id(&mut listener), id(&mut other));
    listener.run("SUBSCRIBE channel");
    wait_until("who asked whether it was ready is gone", || operator.info("connected_clients") == "3");
    let listed = text(&operator.run("CLIENT LIST TYPE pubsub"));
    assert!(listed.starts_with(&format!("id={listening} ")) && listed.lines().count() == 1, "{listed}");
    assert_eq!(text(&operator.run("CLIENT LIST TYPE normal")).lines().count(), 2);
    assert_eq!(operator.run("CLIENT KILL TYPE pubsub MAXAGE 1000000"), int(0));
    assert_eq!(operator.run("CLIENT KILL LADDR 127.0.0.2:1"), int(0));
    assert_eq!(operator.run("CLIENT KILL TYPE pubsub"), int(1));
    assert!(listener.rest().is_empty());
    wait_until("a second has passed", || {
        !text(&operator.run(&format!("CLIENT LIST ID {plain}"))).contains(" age=0 ")
    });
    assert_eq!(operator.run("CLIENT KILL MAXAGE 1"), int(1));
    assert_eq!(other.rest(), "");
    let mut last = server.client();
    assert_eq!(last.run("PING"), simple("PONG"));
    assert_eq!(operator.run(&format!("CLIENT KILL LADDR {}", server.addr())), int(1));
    assert_eq!(last.rest(), "");
}

#[test]
fn reset_puts_a_connection_back() {
    let server = Server::start();
    let mut client = server.client();
    assert!(matches!(client.run("HELLO 3 SETNAME me"), Value::Map(_)));
    assert_eq!(client.run("SELECT 4"), ok());
    assert_eq!(client.run("RESET"), simple("RESET"));
    let line = text(&client.run("CLIENT INFO"));
    assert!(line.contains(" name= ") && line.contains(" db=0 ") && line.contains(" resp=2 "), "{line}");
    assert_eq!(client.run("GET nothing"), nil());
}

#[test]
fn the_slow_log_keeps_what_took_long_and_no_secrets() {
    let server = Setup::new().with("slowlog-log-slower-than", "0").with("slowlog-max-len", "20").start();
    let mut client = server.client();
    assert_eq!(client.run("CLIENT SETNAME slow"), ok());
    assert_eq!(client.run("SLOWLOG RESET"), ok());
    assert_eq!(client.run("SET k v"), ok());
    assert_eq!(client.run("CONFIG SET requirepass hush"), ok());
    assert_eq!(client.run("AUTH hush"), ok());
    assert_eq!(client.run("KEYS *"), Value::Array(vec![bulk("k")]));
    let log = client.run("SLOWLOG GET 10");
    let shown = format!("{log:?}");
    assert!(!shown.contains("hush"), "{shown}");
    let entries = log.as_elements().expect("an array");
    let command = |words: &[&str]| Value::Array(words.iter().map(bulk).collect());
    for words in [&["SET", "k", "v"][..], &["KEYS", "*"]] {
        let entry = entries.iter().find_map(|e| e.as_elements().filter(|parts| parts[3] == command(words)));
        let parts = entry.unwrap_or_else(|| panic!("{words:?} is not in {shown}"));
        assert_eq!(parts.len(), 6);
        assert_eq!(parts[5], bulk("slow"));
    }
    for _ in 0..30 {
        assert_eq!(client.run("PING"), simple("PONG"));
    }
    assert_eq!(client.run("SLOWLOG LEN"), int(20));
    assert_eq!(client.run("CONFIG SET slowlog-log-slower-than -1"), ok());
    assert_eq!(client.run("SLOWLOG RESET"), ok());
    assert_eq!(client.run("PING"), simple("PONG"));
    assert_eq!(client.run("SLOWLOG LEN"), int(0));
}

#[test]
fn every_command_is_counted_and_timed_by_its_name() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let mut client = server.client();
    assert_eq!(client.run("CONFIG RESETSTAT"), ok());
    assert_eq!(client.run("SET k v"), ok());
    assert_eq!(client.run("GET k"), bulk("v"));
    assert_eq!(client.run("SET k"), error("ERR wrong number of arguments for 'set' command"));
    assert_eq!(client.run("INCR k"), error("ERR value is not an integer or out of range"));
    assert_eq!(client.run("DEBUG SLEEP 0.01"), ok());
    assert_eq!(client.run("KEYS *"), Value::Array(vec![bulk("k")]));

    let stats = text(&client.run("INFO commandstats"));
    let of = |name: &str| stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
    for (name, counts) in
        [("set", "rejected_calls=1,failed_calls=0"), ("incr", "rejected_calls=0,failed_calls=1")]
    {
        let line = of(name).unwrap_or_else(|| panic!("{name} is not in {stats}"));
        assert!(line.contains(":calls=1,") && line.ends_with(counts), "{line}");
    }
    let times = text(&client.run("INFO latencystats"));
    for name in ["config|resetstat", "set", "get", "incr", "debug", "keys"] {
        assert!(times.contains(&format!("latency_percentiles_usec_{name}:p50=")), "{name} is not in {times}");
    }
    let histograms = client.run("LATENCY HISTOGRAM config GET");
    let names: Vec<_> = histograms.as_elements().expect("a map").iter().step_by(2).cloned().collect();
    assert_eq!(names, [bulk("config|resetstat"), bulk("get")]);

    // What is not tracked leaves no figures.
    assert_eq!(client.run("CONFIG SET latency-tracking no"), ok());
    assert_eq!(client.run("CONFIG RESETSTAT"), ok());
    assert_eq!(client.run("GET k"), bulk("v"));
    assert_eq!(client.run("LATENCY HISTOGRAM get"), Value::Array(Vec::new()));
}

#[test]
fn what_ends_after_its_turn_is_in_the_slow_log() {
    let server =
        Setup::new().with("slowlog-log-slower-than", "5000").with("enable-debug-command", "yes").start();
    let mut client = server.client();
    assert_eq!(client.run("DEBUG SLEEP 0.02"), ok());
    let log = client.run("SLOWLOG GET");
    let entries = log.as_elements().expect("an array");
    let words = Value::Array(["DEBUG", "SLEEP", "0.02"].iter().map(bulk).collect());
    let entry = entries.iter().filter_map(Value::as_elements).find(|parts| parts[3] == words);
    let micros = entry.and_then(|parts| parts[2].as_integer());
    assert!(micros.is_some_and(|micros| micros >= 20_000), "{log:?}");
}

#[test]
fn a_client_sees_itself_run_its_command() {
    let server = Server::start();
    let mut client = server.client();
    let own = id(&mut client);
    let line = text(&client.run(&format!("CLIENT LIST ID {own}")));
    assert!(line.contains(" cmd=client|list "), "{line}");
    // `*2` and two strings.
    let line = text(&client.run("CLIENT INFO"));
    assert!(line.contains(" qbuf=26 ") && line.contains(" cmd=client|info "), "{line}");
}

#[test]
fn the_unix_socket_serves_and_goes_with_the_server() {
    let setup = Setup::new();
    let path = setup.home().join("sock");
    let setup = setup.with("unixsocket", path.to_str().expect("UTF-8")).with("unixsocketperm", "700");
    let server = setup.start();
    let mut client = Client::unix(&path);
    assert_eq!(client.run("SET k v"), ok());
    assert_eq!(server.client().run("GET k"), bulk("v"));
    let line = text(&client.run("CLIENT INFO"));
    assert!(line.contains(" flags=U ") && line.contains(&path.display().to_string()), "{line}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&path).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    // A crash leaves the file behind; the next start takes it over.
    server.crash();
    assert!(path.exists());
    let server = setup.start();
    assert_eq!(Client::unix(&path).run("GET k"), bulk("v"));
    server.stop();
    assert!(!path.exists());
}

#[test]
fn settings_change_while_clients_are_served() {
    let setup = Setup::new();
    let file = setup.home().join("kvdb.conf");
    std::fs::write(&file, "# kept\nappendfsync always\n").expect("the test's own directory can be written");
    let setup = setup.configured_by(&file);
    let server = setup.start();
    let (mut operator, mut client) = (server.client(), server.client());
    for policy in ["everysec", "always", "no", "always"] {
        assert_eq!(operator.run(&format!("CONFIG SET appendfsync {policy}")), ok());
        for _ in 0..20 {
            assert!(matches!(client.run("INCR n"), Value::Integer(_)));
        }
    }
    assert_eq!(client.run("GET n"), bulk("80"));
    assert_eq!(operator.run("CONFIG SET maxclients 1"), ok());
    assert_eq!(server.stranger().rest(), "-ERR max number of clients reached\r\n");
    assert_eq!(client.run("PING"), simple("PONG"));
    assert_eq!(operator.run("CONFIG SET maxclients 500 requirepass secret"), ok());
    // Whoever was here stays; who comes has to say it.
    assert_eq!(client.run("GET n"), bulk("80"));
    let mut stranger = server.stranger();
    assert_eq!(stranger.run("GET n"), error("NOAUTH Authentication required."));
    assert_eq!(stranger.run("AUTH secret"), ok());
    assert_eq!(stranger.run("GET n"), bulk("80"));
    assert_eq!(operator.run("CONFIG SET requirepass secret2"), ok());
    assert_eq!(
        server.stranger().run("AUTH secret"),
        error("WRONGPASS invalid username-password pair or user is disabled.")
    );
    // All or nothing.
    let Value::Error(_) = operator.run("CONFIG SET maxclients 7 appendfsync sometimes") else {
        panic!("accepted")
    };
    assert_eq!(operator.run("CONFIG GET maxclients"), Value::Array(vec![bulk("maxclients"), bulk("500")]));
    assert_eq!(operator.run("CONFIG REWRITE"), ok());
    let rewritten = std::fs::read_to_string(&file).expect("the file is there");
    assert!(rewritten.contains("# kept") && rewritten.contains("maxclients 500"), "{rewritten}");
    drop((operator, client, stranger));
    server.stop();
    let server = setup.ready_at_the_prompt();
    let mut client = server.stranger();
    assert_eq!(client.run("AUTH secret2"), ok());
    assert_eq!(client.run("GET n"), bulk("80"));
}

#[test]
fn counters_are_put_back_on_request() {
    let server = Server::start();
    let mut client = server.client();
    for _ in 0..50 {
        assert_eq!(client.run("GET nothing"), nil());
    }
    assert_eq!(client.run("NOSUCH"), error("ERR unknown command 'NOSUCH', with args beginning with: "));
    assert_eq!(client.info("keyspace_misses"), "50");
    assert!(client.info("cmdstat_get").starts_with("calls=50,"));
    assert_eq!(client.info("errorstat_ERR"), "count=1");
    assert_eq!(client.run("CONFIG RESETSTAT"), ok());
    assert_eq!(client.info("keyspace_misses"), "0");
    let stats = text(&client.run("INFO everything"));
    assert!(!stats.contains("cmdstat_get:") && !stats.contains("errorstat_ERR:"), "{stats}");
    assert!(client.info("total_commands_processed").parse::<u64>().expect("a number") < 10);
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Setup::new().with("timeout", "1").start();
    let mut idle = server.client();
    assert_eq!(idle.run("PING"), simple("PONG"));
    let silent = TcpStream::connect(server.addr()).expect("the server accepts connections");
    assert_eq!(idle.rest(), "");
    assert_eq!(Client::tcp(silent).rest(), "");
}

#[test]
fn a_client_list_has_descriptors_and_what_waits_to_be_sent() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    let field = |line: &str, name: &str| -> i64 {
        let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {line}"))
    };
    let descriptors: Vec<i64> =
        [&mut client, &mut other].map(|client| field(&text(&client.run("CLIENT INFO")), "fd")).into();
    assert!(descriptors.iter().all(|&fd| fd > 2) && descriptors[0] != descriptors[1], "{descriptors:?}");
    // What the socket does not take is shown, with the wish to write.
    let id = id(&mut other);
    assert_eq!(client.run("SETRANGE large 20000000 x"), int(20_000_001));
    for _ in 0..4 {
        other.send("GET large");
    }
    let mut line = String::new();
    wait_until("replies pile up", || {
        line = text(&client.run(&format!("CLIENT LIST ID {id}")));
        field(&line, "omem") > 10_000_000
    });
    assert!(line.contains(" events=rw "), "{line}");
}

#[test]
fn random_keys_of_one_pipeline_differ() {
    let server = Server::start();
    let mut client = server.client();
    let sets: Vec<String> = (0..1_000).map(|i| format!("SET key:{i} v")).collect();
    client.pipeline(&sets);
    let drawn: std::collections::HashSet<String> =
        client.pipeline(&vec!["RANDOMKEY"; 100]).iter().map(text).collect();
    assert!(drawn.len() > 50, "{} different keys in 100 draws", drawn.len());
}

#[test]
fn a_client_above_the_soft_limit_for_too_long_is_closed() {
    let setup = Setup::new().with("client-output-buffer-limit", "normal 0 1mb 1").with("hz", "100");
    let server = setup.start();
    let (mut client, mut slow) = (server.client(), server.client());
    let slow_id = id(&mut slow);
    assert_eq!(client.run("SETRANGE large 20000000 x"), int(20_000_001));
    slow.send("GET large");
    wait_until("the slow client is gone", || {
        text(&client.run(&format!("CLIENT LIST ID {slow_id}"))).is_empty()
    });
    server.wait_for_log("closing a client that is too far behind");
    assert_eq!(client.run("STRLEN large"), int(20_000_001), "who reads its replies stays");
}

#[test]
fn the_size_of_the_pieces_of_a_stream_can_be_set() {
    let server = Setup::new().with("stream-node-max-entries", "25").start();
    let mut client = server.client();
    let pieces = |client: &mut Client, key: &str| {
        for i in 1..=100 {
            assert!(!matches!(client.run(&format!("XADD {key} {i} f v")), Value::Error(_)));
        }
        let reply = client.run(&format!("XINFO STREAM {key}"));
        let fields = reply.as_elements().expect("XINFO answers an array");
        let at = fields.iter().position(|field| *field == bulk("radix-tree-keys")).expect("it is told");
        fields[at + 1].clone()
    };
    assert_eq!(pieces(&mut client, "at_the_start"), int(4));
    assert_eq!(client.run("CONFIG SET stream-node-max-entries 10"), ok());
    assert_eq!(pieces(&mut client, "then"), int(10));
    assert_eq!(client.run("CONFIG SET stream-node-max-entries 0 stream-node-max-bytes 0"), ok());
    assert_eq!(pieces(&mut client, "without_limit"), int(1));
}

#[test]
fn nothing_expires_while_clients_are_paused() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let mut client = server.client();
    assert_eq!(client.run("SET k v PX 1"), ok());
    assert_eq!(client.run("CLIENT PAUSE 100000 WRITE"), ok());
    // Where it expired before the pause, this server is asked too late: then there is nothing to see.
    let expired = client.info("expired_keys");
    assert_eq!(client.run("DEBUG SLEEP 0.01"), ok());
    assert_eq!(client.run("GET k"), nil());
    assert_eq!(client.info("expired_keys"), expired);
    assert_eq!(client.run("CLIENT UNPAUSE"), ok());
    assert_eq!(client.run("GET k"), nil());
    assert_eq!(client.info("expired_keys"), "1");
}

#[test]
fn the_slow_log_has_what_a_transaction_runs_and_not_its_end() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let mut client = server.client();
    assert_eq!(client.run("CONFIG SET slowlog-log-slower-than 10000"), ok());
    assert_eq!(client.pipeline(&["MULTI", "PING", "DEBUG SLEEP 0.02", "EXEC"]).len(), 4);
    let Value::Array(entries) = client.run("SLOWLOG GET -1") else { panic!("the log is an array") };
    let commands: Vec<&Value> = entries
        .iter()
        .map(|entry| match entry {
            Value::Array(fields) => &fields[3],
            other => panic!("{other:?} is no entry"),
        })
        .collect();
    assert_eq!(commands, [&Value::Array(["DEBUG", "SLEEP", "0.02"].map(bulk).into())]);
}

#[test]
fn a_rewrite_of_the_log_does_not_run_beside_a_save() {
    let server = Server::start();
    let mut client = server.client();
    let queued = client.pipeline(&["MULTI", "SET k v", "BGREWRITEAOF", "EXEC"]);
    let Value::Array(replies) = &queued[3] else { panic!("{queued:?}") };
    assert_eq!(replies[1], simple("Background append only file rewriting scheduled"));
    wait_until("it has ended", || client.info("aof_rewrites") == "1");
    assert_eq!(client.run("BGSAVE"), simple("Background saving started"));
    wait_until("it has ended", || client.info("rdb_saves") == "1");
    assert_eq!(client.info("aof_rewrite_in_progress"), "0");
}

#[test]
fn commands_of_a_cluster_are_there_and_refuse() {
    let server = Server::start();
    let mut client = server.client();
    let disabled = error("ERR This instance has cluster support disabled");
    for command in ["CLUSTER INFO", "CLUSTER SLOTS", "CLUSTER KEYSLOT k", "READONLY", "READWRITE", "ASKING"] {
        assert_eq!(client.run(command), disabled, "{command}");
    }
    assert_eq!(client.run("CLUSTER NOSUCH"), error("ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP."));
    let count = error("ERR wrong number of arguments for 'cluster|info' command");
    assert_eq!(client.run("CLUSTER INFO more"), count);
}

#[test]
fn a_killed_client_is_gone_at_once_for_others() {
    let server = Setup::new().with("workers", "2").start();
    let mut client = server.client();
    for _ in 0..20 {
        let mut victim = server.client();
        let Value::Integer(id) = victim.run("CLIENT ID") else { panic!("no number") };
        let kill = format!("CLIENT KILL ID {id}");
        let replies = client.pipeline(&[&kill, &kill, &format!("CLIENT LIST ID {id}")]);
        assert_eq!(replies, [int(1), int(0), bulk("")]);
    }
}
