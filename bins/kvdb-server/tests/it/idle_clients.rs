//! Ten thousand clients that are connected and say nothing.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Client, Setup, int, simple, skipped, text, wait_until};

/// What an idle client may cost the server, besides what the kernel keeps for it.
const BYTES_PER_CLIENT: usize = 2048;

/// Raises this process' limit as far as it may go; tells how many sockets a test may open.
fn sockets() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    // Half of it, since other tests open files at the same time.
    current.map_or(10_000, |limit| usize::try_from(limit / 2).unwrap_or(usize::MAX)).min(10_000)
}

#[test]
fn idle_clients_cost_next_to_nothing() {
    let idle = sockets();
    if idle < 1_000 {
        skipped(format_args!("only {idle} sockets may be opened here"));
        return;
    }
    let server = Setup::new().with("maxclients", "20000").with("tcp-backlog", "4096").start();
    let mut client = server.client();
    // A worker's own buffers are there before the first measurement.
    let connect = || {
        let mut stream = TcpStream::connect(server.addr()).expect("the server accepts connections");
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").expect("a fresh connection takes a request");
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).expect("the server answers");
        assert_eq!(&reply, b"+PONG\r\n");
        stream
    };
    let mut streams: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let before = server.resident_bytes();
    streams.extend((100..idle).map(|_| connect()));
    let per_client = server.resident_bytes().saturating_sub(before) / (idle - 100);
    assert!(per_client < BYTES_PER_CLIENT, "{per_client} bytes for each of {idle} idle clients");

    assert_eq!(client.info("connected_clients"), (idle + 1).to_string());
    for i in 1..=100 {
        assert_eq!(client.run("INCR n"), int(i));
    }
    let list = text(&client.run("CLIENT LIST"));
    assert_eq!(list.lines().count(), idle + 1);
    assert_eq!(client.run("CLIENT KILL TYPE normal SKIPME yes"), int(idle as i64));
    wait_until("all are gone", || client.info("connected_clients") == "1");
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0; 1]).expect("it was closed in order"), 0);
    }
    // There is room again.
    assert_eq!(Client::tcp(connect()).run("PING"), simple("PONG"));
}
