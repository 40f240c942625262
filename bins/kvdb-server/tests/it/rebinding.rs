//! CONFIG SET of `bind` and `port`: listening elsewhere without a restart.

use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::harness::{Client, Server, Setup, error, free_port, ok, simple, text};

fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().expect("an address"), port)
}

fn answers(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_ok_and(|stream| Client::tcp(stream).run("PING") == simple("PONG"))
}

fn setting(client: &mut Client, name: &str) -> String {
    let reply = client.run(&format!("CONFIG GET {name}"));
    text(&reply.as_elements().expect("CONFIG GET answers pairs")[1])
}

#[test]
fn a_new_port_takes_the_place_of_the_old_one() {
    let setup = Setup::new();
    let socket = setup.home().join("socket");
    let server = setup.with("unixsocket", socket.to_str().expect("paths are text")).start();
    let mut client = server.client();
    let port = free_port();
    assert_eq!(client.run(&format!("CONFIG SET port {port}")), ok());
    assert!(answers(at("127.0.0.1", port)));
    assert!(TcpStream::connect(server.addr()).is_err(), "the old port is closed when the reply is there");
    assert_eq!(client.run("PING"), simple("PONG"), "who is connected stays");
    assert_eq!(client.info("tcp_port"), port.to_string());
    assert_eq!(setting(&mut client, "port"), port.to_string());
    // No port at all, and back to one.
    assert_eq!(client.run("CONFIG SET port 0"), ok());
    assert!(!answers(at("127.0.0.1", port)));
    assert_eq!(client.run(&format!("CONFIG SET port {port}")), ok());
    assert!(answers(at("127.0.0.1", port)));
    assert_eq!(Client::unix(&socket).run("PING"), simple("PONG"));
}

#[test]
fn a_server_that_nobody_could_reach_is_refused() {
    let server = Server::start();
    let refused = "ERR CONFIG SET failed (possibly related to argument 'port') - There is nothing to listen on: port is 0 \
                   or bind is empty, and unixsocket is not set";
    assert_eq!(server.client().run("CONFIG SET port 0"), error(refused));
    assert!(answers(server.addr()));
}

#[test]
fn a_port_that_is_taken_changes_nothing() {
    let server = Server::start();
    let mut client = server.client();
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let refused = "ERR CONFIG SET failed (possibly related to argument 'PORT') - Unable to listen on this port. \
                   Check server logs.";
    assert_eq!(client.run(&format!("CONFIG SET hz 20 PORT {port}")), error(refused));
    assert_eq!(setting(&mut client, "hz"), "10", "all or nothing");
    assert_eq!(setting(&mut client, "port"), server.addr().port().to_string());
    assert!(answers(server.addr()));
}

#[test]
fn addresses_come_and_go() {
    let server = Server::start();
    let mut client = server.client();
    let port = server.addr().port();
    assert!(!answers(at("127.0.0.2", port)));
    assert_eq!(client.run_args(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]), ok());
    assert!(answers(at("127.0.0.1", port)) && answers(at("127.0.0.2", port)));
    assert_eq!(client.run("CONFIG SET bind 127.0.0.2"), ok());
    assert!(!answers(at("127.0.0.1", port)) && answers(at("127.0.0.2", port)));
    // Any address includes the one that is listened on, so that one has to go first.
    assert_eq!(client.run("CONFIG SET bind *"), ok());
    assert!(answers(at("127.0.0.1", port)) && answers(at("127.0.0.3", port)));
    assert_eq!(client.run("CONFIG SET bind 127.0.0.1"), ok());
    assert!(answers(at("127.0.0.1", port)) && !answers(at("127.0.0.3", port)));
    // One that does not exist here fails, unless it may be missing.
    let refused = "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified \
                   addresses.";
    assert_eq!(client.run("CONFIG SET bind 192.0.2.1"), error(refused));
    assert!(answers(at("127.0.0.1", port)));
    assert_eq!(client.run_args(&["CONFIG", "SET", "bind", "127.0.0.1 -192.0.2.1"]), ok());
    assert!(answers(at("127.0.0.1", port)));
}

#[test]
fn an_address_that_was_given_up_for_a_larger_one_is_taken_again() {
    let server = Server::start();
    let mut client = server.client();
    let port = server.addr().port();
    // Somebody else has a part of what is asked for.
    let _taken = TcpListener::bind(("127.0.0.9", port)).expect("the address is free");
    let refused = "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified \
                   addresses.";
    assert_eq!(client.run("CONFIG SET bind *"), error(refused));
    assert!(answers(server.addr()));
    assert_eq!(setting(&mut client, "bind"), "127.0.0.1");
}

#[test]
fn two_changes_at_a_time_do_not_undo_each_other() {
    let server = Setup::new().start();
    let mut clients = [server.client(), server.client()];
    let port = server.addr().port();
    std::thread::scope(|scope| {
        let [first, second] = &mut clients;
        scope.spawn(move || {
            for round in 0..50 {
                let bind = if round % 2 == 0 { "127.0.0.1 127.0.0.2" } else { "127.0.0.1" };
                assert_eq!(first.run_args(&["CONFIG", "SET", "bind", bind]), ok());
            }
        });
        scope.spawn(move || {
            for hz in 1..=50 {
                assert_eq!(second.run(&format!("CONFIG SET hz {hz}")), ok());
            }
        });
        // Accepting goes on meanwhile.
        for _ in 0..50 {
            assert!(answers(at("127.0.0.1", port)));
        }
    });
    let [mut client, _] = clients;
    assert_eq!(
        (setting(&mut client, "hz").as_str(), setting(&mut client, "bind").as_str()),
        ("50", "127.0.0.1")
    );
}
