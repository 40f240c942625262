//! Connections whose command waits: they can be killed, what they were told before leaves, and the wait ends when it may.

use crate::harness::{Client, Server, Setup, bulk, int, ok, text, wait_until};

fn id(client: &mut Client) -> String {
    client.run("CLIENT ID").as_integer().expect("an id is a number").to_string()
}

/// Waits until a client's command waits: what it sent is kept.
#[track_caller]
fn wait_until_parked(observer: &mut Client, id: &str) {
    wait_until("the command waits", || {
        let line = text(&observer.run(&format!("CLIENT LIST ID {id}")));
        !line.contains(" qbuf=0 ")
    });
}

#[test]
fn a_client_that_sleeps_can_be_killed() {
    let server = Setup::new().with("enable-debug-command", "yes").start();
    let (mut sleeper, mut other) = (server.client(), server.client());
    let sleeping = id(&mut sleeper);
    sleeper.send("DEBUG SLEEP 100000");
    wait_until("it sleeps", || text(&other.run(&format!("CLIENT LIST ID {sleeping}"))).contains("cmd=debug"));
    assert_eq!(other.run(&format!("CLIENT KILL ID {sleeping}")), int(1));
    assert_eq!(sleeper.rest(), "");
    wait_until("it is gone", || text(&other.run("INFO clients")).contains("connected_clients:1\r\n"));
}

#[test]
fn a_long_reply_leaves_while_the_next_command_waits() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    let value = vec![b'v'; 16 << 20];
    assert_eq!(client.run_args(&[&b"SET"[..], b"k", &value]), ok());
    assert_eq!(other.run("CLIENT PAUSE 1000000 WRITE"), ok());
    client.write(b"GET k\r\nSET k w\r\n");
    assert_eq!(client.reply(), bulk(&value));
    assert_eq!(other.run("CLIENT UNPAUSE"), ok());
    assert_eq!(client.reply(), ok());
}

#[test]
fn nothing_is_left_of_a_wait_for_the_end_of_a_pause() {
    let server = Server::start();
    let (mut client, mut other) = (server.client(), server.client());
    let waiting = id(&mut client);
    assert_eq!(other.run("CLIENT PAUSE 1000000 WRITE"), ok());
    client.send("SET k v");
    wait_until_parked(&mut other, &waiting);
    assert_eq!(other.run("CLIENT UNPAUSE"), ok());
    assert_eq!(client.reply(), ok());
    assert!(
        text(&other.run(&format!("CLIENT LIST ID {waiting}"))).contains(" qbuf=0 "),
        "nothing is left of it"
    );
}

#[test]
fn writes_of_a_client_without_replies_become_durable() {
    let server = Server::start();
    let (mut silent, mut other) = (server.client(), server.client());
    let mut durable = || other.info("storage_durable_seq").parse::<u64>().expect("a sequence");
    let before = durable();
    silent.send("CLIENT REPLY OFF");
    // It never rests, so nothing but its own writes has the log written.
    wait_until("they are on the disk", || {
        silent.send("SET k v");
        durable() > before
    });
}
