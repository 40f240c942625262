//! What happens at the limits on clients: their number, their buffers, their addresses, the process' descriptors.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Instant;

use kvdb_resp::Value;

use crate::harness::{Client, PATIENCE, Server, Setup, bulk, error, int, ok, simple, skipped, wait_until};

#[test]
fn too_many_clients_are_told_so_until_one_leaves() {
    let server = Setup::new().with("maxclients", "3").start();
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    // Those that asked whether the server was ready are gone; these are counted when they are answered.
    wait_until("three clients are served", || {
        clients.retain_mut(|client| {
            client.send("PING");
            client.try_reply() == Some(simple("PONG"))
        });
        while clients.len() < 3 {
            clients.push(server.client());
        }
        clients.iter_mut().all(|client| client.run("PING") == simple("PONG"))
    });
    assert_eq!(server.stranger().rest(), "-ERR max number of clients reached\r\n");
    assert_ne!(clients[0].info("rejected_connections"), "0");
    drop(clients.pop());
    wait_until("the place is free", || clients[0].info("connected_clients") == "2");
    clients.push(server.client());
    assert_eq!(clients[2].run("PING"), simple("PONG"));
    // Raised at run time, it lets more in.
    assert_eq!(clients[0].run("CONFIG SET maxclients 4"), ok());
    clients.push(server.client());
    assert_eq!(clients[3].run("PING"), simple("PONG"));
    assert_eq!(server.stranger().rest(), "-ERR max number of clients reached\r\n");
}

#[test]
fn a_long_key_is_compared_with_prefixes_of_their_length_alone() {
    let server = Server::start();
    let (mut keeper, mut client) = (server.client(), server.client());
    keeper.run("HELLO 3");
    let key = "k".repeat(1 << 20);
    let track = |prefix: &str| format!("CLIENT TRACKING ON BCAST PREFIX {prefix}");
    for prefix in [&key[1..], "other"] {
        assert_eq!(keeper.run(&track(prefix)), ok());
    }
    let began = Instant::now();
    assert_eq!(client.run(&format!("SET {key} v")), ok());
    assert_eq!(keeper.reply(), Value::Push(vec![bulk("invalidate"), Value::Array(vec![bulk(&key)])]));
    assert_eq!(client.run("SET other:key v"), ok());
    assert_eq!(keeper.reply(), Value::Push(vec![bulk("invalidate"), Value::Array(vec![bulk("other:key")])]));
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

/// An address of this machine that is not of its loopback interface: the one that it would send from.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // Nothing is sent: connecting a datagram socket only chooses a route.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn protected_mode_turns_away_clients_of_other_machines() {
    let Some(address) = outer_address() else {
        skipped("this machine has no address but loopback");
        return;
    };
    let host = address.to_string();
    // Told in time that it is not wanted: the start succeeds only without waiting for an answer.
    let Err(failed) =
        Setup::new().on(&host).with("protected-mode", "yes").with("maxclients", "10").start_refusing()
    else {
        return;
    };
    assert!(failed.starts_with("-DENIED KVDB is running in protected mode"), "{failed}");
    assert!(failed.ends_with("\r\n") && failed.matches('\n').count() == 1, "{failed}");
    let setup = Setup::new();
    let socket = setup.home().join("socket");
    let server = setup.on(&host).with("unixsocket", &socket.to_string_lossy()).ready_at_the_prompt();
    assert!(server.stranger().rest().starts_with("-DENIED "));
    assert_eq!(Client::unix(&socket).info("rejected_connections"), "1");
    for setup in
        [Setup::new().on(&host).with("protected-mode", "no"), Setup::new().on(&host).with_password("pw")]
    {
        assert_eq!(setup.start().client().run("SET a 1"), ok());
    }
}

#[test]
fn a_request_beyond_the_query_buffer_ends_its_connection() {
    let server = Setup::new().with("client-query-buffer-limit", "1mb").start();
    let mut client = server.client();
    client.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n");
    client.write(&vec![b'v'; 2 << 20]);
    assert_eq!(client.rest(), "");
    server.wait_for_log("client-query-buffer-limit");
    // Many requests in one buffer are not one large request.
    let mut client = server.client();
    let mut input = Vec::new();
    for _ in 0..50 {
        input.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000\r\n");
        input.extend_from_slice(&[b'v'; 60_000]);
        input.extend_from_slice(b"\r\n");
    }
    client.write(&input);
    for _ in 0..50 {
        assert_eq!(client.reply(), ok());
    }
    assert_eq!(client.run("EXISTS k"), int(1));
}

#[test]
fn a_transaction_cannot_queue_more_than_a_query_buffer_holds() {
    let server = Setup::new().with("client-query-buffer-limit", "1mb").start();
    let mut client = server.client();
    let large = |key: &str| format!("SET {key} {}", "v".repeat(400_000));
    let too_large = error("ERR the queued commands exceed the maximum allowed size of a transaction");
    let broken = error("EXECABORT Transaction discarded because of previous errors.");
    assert_eq!(client.run("MULTI"), ok());
    for key in ["a", "b"] {
        assert_eq!(client.run(&large(key)), simple("QUEUED"));
    }
    assert_eq!(client.run(&large("c")), too_large);
    assert_eq!(client.run("SET d 1"), simple("QUEUED"));
    assert_eq!(client.run("EXEC"), broken);
    assert_eq!(client.run("DBSIZE"), int(0));
    // Many small commands are no less.
    assert_eq!(client.run("MULTI"), ok());
    let replies = client.pipeline(&vec!["INCR n"; 50_000]);
    assert_eq!(
        (&replies[0], replies.iter().filter(|reply| **reply == too_large).count()),
        (&simple("QUEUED"), 1)
    );
    assert_eq!(client.run("EXEC"), broken);
    assert_eq!(client.pipeline(&["MULTI", "INCR n", "EXEC"])[2], Value::Array(vec![int(1)]));
}

#[test]
fn a_key_is_a_mebibyte_long_at_the_most() {
    let server = Server::start();
    let mut client = server.client();
    let (longest, longer) = ("k".repeat(1 << 20), "k".repeat((1 << 20) + 1));
    let too_long = error("ERR the key exceeds the maximum allowed size of 1048576 bytes");
    assert_eq!(client.run(&format!("SET {longest} v")), ok());
    assert_eq!(client.run(&format!("GET {longest}")), bulk("v"));
    for command in
        ["GET {}", "SET {} v", "DEL a {}", "RPUSH {} e", "RENAME {} a", "EVAL return(1) 1 {}", "BLPOP {} 0"]
    {
        assert_eq!(client.run(&command.replace("{}", &longer)), too_long, "{command}");
    }
    let script = "EVAL return(redis.pcall('set',ARGV[1],1)) 0 ";
    assert_eq!(client.run(&format!("{script}{longer}")), too_long);
    let set = format!("SET {longer} v");
    assert_eq!(client.pipeline(&["MULTI", "SET a 1", &set, "EXEC"])[3], too_long);
    assert_eq!(client.run("DBSIZE"), int(1));
    assert_eq!(server.restart().client().run(&format!("GET {longest}")), bulk("v"));
}

#[test]
fn a_client_that_does_not_read_is_closed_at_the_output_limit() {
    let server = Setup::new().with("client-output-buffer-limit", "normal 8mb 0 0").start();
    let mut other = server.client();
    assert_eq!(other.run_args(&[b"SET".to_vec(), b"big".to_vec(), vec![b'x'; 1 << 20]]), ok());
    let mut slow = server.client();
    let id = slow.run("CLIENT ID").as_integer().expect("an id");
    for _ in 0..100 {
        slow.send("GET big");
    }
    let list = format!("CLIENT LIST ID {id}");
    wait_until("the slow client is gone", || other.run(&list).as_bytes().is_some_and(<[u8]>::is_empty));
    server.wait_for_log("too far behind");
    assert_eq!(other.info("client_output_buffer_limit_disconnections"), "1");
    assert_eq!(other.run("PING"), simple("PONG"));
    assert_eq!(other.run("STRLEN big"), int(1 << 20));
}

#[test]
fn a_large_backlog_reaches_a_slow_reader_in_order() {
    let server = Setup::new().with("appendfsync", "everysec").start();
    let mut client = server.client();
    let value = vec![b'x'; 100_000];
    assert_eq!(client.run_args(&[&b"SET"[..], b"big", &value]), ok());
    let mut input = Vec::new();
    for _ in 0..400 {
        input.extend_from_slice(b"GET big\r\nINCR n\r\n");
    }
    client.write(&input);
    for i in 1..=400 {
        assert_eq!(client.reply(), Value::Bulk(value.clone()));
        assert_eq!(client.reply(), int(i));
    }
}

#[test]
fn clients_leave_descriptors_for_files() {
    let setup = Setup::new().with("appendfsync", "everysec").limited_to(200);
    let server = setup.start();
    assert!(server.log().contains("leaves room for fewer clients"), "{}", server.log());
    let mut client = server.client();
    // As many as are let in, and more.
    let crowd: Vec<Client> = (0..300).map(|_| server.stranger()).collect();
    wait_until("the server is full", || client.info("rejected_connections") != "0");
    // Tables are written and read nevertheless.
    for i in 0..500 {
        assert_eq!(client.run(&format!("SET key:{i} {}", "v".repeat(1_000))), ok());
    }
    assert_eq!(client.run("SAVE"), ok());
    assert_ne!(client.info("storage_tables"), "0");
    drop(crowd);
    server.crash();
    assert_eq!(setup.start().client().run("STRLEN key:499"), int(1_000));
}

#[test]
fn without_descriptors_no_client_is_accepted_and_those_that_are_connected_are_served() {
    if !crate::harness::is_root() {
        skipped("another process' limits may be changed by root only");
        return;
    }
    let server = Setup::new().start();
    let mut client = server.client();
    // Answered, it has been accepted. Before that a system may drop it, as it may the others below.
    assert_eq!(client.run("PING"), simple("PONG"));
    let open =
        std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process has descriptors").count();
    server.limit_descriptors(open as u64 + 4);
    let others: Vec<Client> = (0..12).map(|_| server.stranger()).collect();
    server.wait_for_log("cannot accept a client");
    let before = server.cpu_ticks();
    for i in 1..=200 {
        assert_eq!(client.run("INCR n"), int(i));
    }
    // A system may drop whom it has no descriptor for; who comes later is served in any case.
    server.limit_descriptors(open as u64 + 100);
    drop(others);
    assert_eq!(server.stranger().run("PING"), simple("PONG"));
    // It rests between attempts: 5 s of processor time would mean that it did not.
    assert!(server.cpu_ticks() - before < 500, "{} ticks", server.cpu_ticks() - before);
    assert_eq!(client.run("NOSUCH"), error("ERR unknown command 'NOSUCH', with args beginning with: "));
}

#[test]
fn a_short_command_cannot_ask_for_more_memory_than_there_is() {
    let server = Setup::new().with("proto-max-bulk-len", "9223372036854775807").start();
    let mut client = server.client();
    let too_long = error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    assert_eq!(client.run("SETRANGE far 9000000000000000000 a"), too_long);
    assert_eq!(client.run("PING"), simple("PONG"));
}
