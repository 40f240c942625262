//! WAIT and WAITAOF: what a single node can truthfully say about where writes are.

use kvdb_resp::Value;

use crate::harness::{Setup, error, int, ok, simple, text, wait_until};

fn acks(local: i64, replicas: i64) -> Value {
    Value::Array(vec![int(local), int(replicas)])
}

#[test]
fn no_replica_ever_acknowledges() {
    let server = Setup::new().with("workers", "1").start();
    let (mut client, mut other) = (server.client(), server.client());
    assert_eq!(client.run("SET k v"), ok());
    assert_eq!(client.run("WAIT 0 0"), int(0));
    assert_eq!(client.run("WAIT 1 20"), int(0));
    assert_eq!(client.run("WAITAOF 0 0 0"), acks(1, 0));
    assert_eq!(client.run("WAITAOF 1 1 20"), acks(1, 0));
    // Others are served meanwhile, and can end the wait.
    let id = client.run("CLIENT ID").as_integer().expect("a number");
    for (how, reply) in
        [("TIMEOUT", int(0)), ("ERROR", error("UNBLOCKED client unblocked via CLIENT UNBLOCK"))]
    {
        client.send("WAIT 1 0");
        wait_until("it waits", || text(&other.run(&format!("CLIENT LIST ID {id}"))).contains(" flags=b "));
        assert_eq!(other.run(&format!("CLIENT UNBLOCK {id} {how}")), int(1));
        assert_eq!(client.reply(), reply);
    }
    let replies = client.pipeline(&["MULTI", "SET k w", "WAIT 1 0", "WAITAOF 0 1 0", "EXEC"]);
    assert_eq!(replies[1], simple("QUEUED"));
    let replies = replies[4].as_elements().expect("EXEC answers an array");
    assert_eq!((&replies[0], &replies[1]), (&ok(), &int(0)), "a transaction does not wait");
}

#[test]
fn an_acknowledgement_of_the_disk_comes_when_the_write_is_durable() {
    let server = Setup::new().with("appendfsync", "everysec").start();
    let (mut client, mut other) = (server.client(), server.client());
    for round in 0..3 {
        assert_eq!(client.run(&format!("SET k {round}")), ok());
        let appended: u64 = other.info("storage_appended_seq").parse().expect("a sequence");
        assert_eq!(client.run("WAITAOF 1 0 0"), acks(1, 0));
        let durable: u64 = other.info("storage_durable_seq").parse().expect("a sequence");
        assert!(durable >= appended, "{durable} of {appended}");
    }
}

#[test]
fn arguments_are_checked_as_in_redis() {
    let server = Setup::new().with("appendfsync", "no").start();
    let mut client = server.client();
    let never = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    for (command, refused) in [
        ("WAIT x 0", "ERR value is not an integer or out of range"),
        ("WAIT 1 x", "ERR timeout is not an integer or out of range"),
        ("WAIT 1 -1", "ERR timeout is negative"),
        ("WAITAOF 2 0 0", "ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF 0 -1 0", "ERR value is out of range, must be positive"),
        ("WAITAOF 0 0 -1", "ERR timeout is negative"),
        ("WAITAOF 1 0 0", never),
    ] {
        assert_eq!(client.run(command), error(refused), "{command}");
    }
    assert_eq!(client.run("SET k v"), ok());
    let reply = client.run("WAITAOF 0 0 0");
    assert_eq!(reply.as_elements().expect("two numbers")[1], int(0));
}
