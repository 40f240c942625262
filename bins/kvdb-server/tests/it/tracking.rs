//! CLIENT TRACKING between clients of different workers: who is told of which keys, and when not.

use kvdb_resp::Value;

use crate::harness::{Client, Server, Setup, bulk, error, int, nil, ok, simple, wait_until};

/// A client that speaks RESP3, with the options of CLIENT TRACKING.
fn tracking(server: &Server, options: &str) -> Client {
    let mut client = server.client();
    client.run("HELLO 3");
    assert_eq!(client.run(&format!("CLIENT TRACKING ON {options}")), ok());
    client
}

fn id(client: &mut Client) -> i64 {
    client.run("CLIENT ID").as_integer().expect("an id")
}

/// The keys that a client has been told of by now; what a change causes is there before its reply.
#[track_caller]
fn told(client: &mut Client) -> Vec<String> {
    client.send("PING");
    let mut keys = Vec::new();
    loop {
        match client.reply() {
            Value::Push(push) => match &push[..] {
                [kind, Value::Array(named)] => {
                    assert_eq!(kind, &bulk("invalidate"));
                    keys.extend(named.iter().map(crate::harness::text));
                }
                [kind, other] => keys.push(format!("{} {other:?}", crate::harness::text(kind))),
                other => panic!("{other:?}"),
            },
            other => {
                assert_eq!(other, simple("PONG"));
                return keys;
            }
        }
    }
}

#[test]
fn a_reader_is_told_once_of_what_another_worker_changes() {
    let server = Setup::new().with("workers", "2").start();
    let (mut reader, mut writer) = (tracking(&server, ""), server.client());
    assert_eq!(reader.run("GET k"), nil());
    assert_eq!(writer.run("SET k 1"), ok());
    assert_eq!(told(&mut reader), ["k"]);
    assert_eq!(writer.run("SET k 2"), ok());
    assert!(told(&mut reader).is_empty(), "it does not keep the key any more");
    assert_eq!(reader.run("MGET k other"), Value::Array(vec![bulk("2"), nil()]));
    assert_eq!(writer.run("MSET k 3 other 1"), ok());
    let mut keys = told(&mut reader);
    keys.sort();
    assert_eq!(keys, ["k", "other"]);
    assert_eq!(reader.run("GET k"), bulk("3"));
    assert_eq!(reader.run("CLIENT TRACKING OFF"), ok());
    assert_eq!(writer.run("SET k 4"), ok());
    assert!(told(&mut reader).is_empty());
}

#[test]
fn with_optin_only_what_is_asked_for_is_kept() {
    let server = Setup::new().with("workers", "2").start();
    let (mut reader, mut writer) = (tracking(&server, "OPTIN"), server.client());
    reader.pipeline(&["GET a", "CLIENT CACHING YES", "GET b", "GET c"]);
    assert_eq!(writer.run("MSET a 1 b 1 c 1"), ok());
    assert_eq!(told(&mut reader), ["b"]);
    // Said before a transaction it counts for all of it.
    reader.pipeline(&["CLIENT CACHING YES", "MULTI", "GET a", "GET b", "EXEC", "GET c"]);
    assert_eq!(writer.run("MSET a 2 b 2 c 2"), ok());
    let mut keys = told(&mut reader);
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn with_optout_all_but_what_is_asked_for_is_kept() {
    let server = Setup::new().with("workers", "2").start();
    let (mut reader, mut writer) = (tracking(&server, "OPTOUT"), server.client());
    reader.pipeline(&["CLIENT CACHING NO", "GET a", "GET b"]);
    assert_eq!(writer.run("MSET a 1 b 1"), ok());
    assert_eq!(told(&mut reader), ["b"]);
    reader.pipeline(&["MULTI", "GET a", "CLIENT CACHING NO", "GET b", "EXEC", "GET c"]);
    assert_eq!(writer.run("MSET a 2 b 2 c 2"), ok());
    let mut keys = told(&mut reader);
    keys.sort();
    assert_eq!(keys, ["a", "c"]);
}

#[test]
fn with_noloop_nobody_is_told_of_its_own_changes() {
    let server = Setup::new().with("workers", "2").start();
    let (mut quiet, mut plain) = (tracking(&server, "NOLOOP"), tracking(&server, ""));
    for client in [&mut quiet, &mut plain] {
        client.pipeline(&["GET a", "GET b"]);
    }
    assert_eq!(quiet.run("SET a 1"), ok());
    assert!(told(&mut quiet).is_empty());
    assert_eq!(told(&mut plain), ["a"]);
    plain.send("SET b 1");
    assert_eq!(told_of_own(&mut plain), ["b"]);
    assert_eq!(told(&mut quiet), ["b"]);
}

/// As [`told`], where the reply to a change is still to come.
#[track_caller]
fn told_of_own(client: &mut Client) -> Vec<String> {
    let mut keys = Vec::new();
    while keys.is_empty() {
        match client.reply() {
            Value::Push(push) => match &push[1] {
                Value::Array(named) => keys.extend(named.iter().map(crate::harness::text)),
                other => panic!("{other:?}"),
            },
            other => assert_eq!(other, ok()),
        }
    }
    keys
}

#[test]
fn another_client_is_told_where_that_is_asked_for_until_it_is_gone() {
    let server = Setup::new().with("workers", "2").start();
    let mut listener = server.client();
    let listening = id(&mut listener);
    listener.run("SUBSCRIBE __redis__:invalidate");
    let mut reader = tracking(&server, &format!("REDIRECT {listening}"));
    let mut writer = server.client();
    assert_eq!(reader.run("GET k"), nil());
    assert_eq!(writer.run("SET k 1"), ok());
    let message = [bulk("message"), bulk("__redis__:invalidate"), Value::Array(vec![bulk("k")])];
    assert_eq!(listener.reply().as_elements(), Some(&message[..]));
    assert!(told(&mut reader).is_empty());
    assert_eq!(reader.run("GET k"), bulk("1"));
    drop(listener);
    wait_until("the listener is gone", || writer.info("connected_clients") == "2");
    assert_eq!(writer.run("SET k 2"), ok());
    assert_eq!(told(&mut reader), [format!("tracking-redir-broken {:?}", int(listening))]);
    let info = reader.run("CLIENT TRACKINGINFO");
    assert!(format!("{info:?}").contains("broken_redirect"), "{info:?}");
    let refused = error("ERR The client ID you want redirect to does not exist");
    assert_eq!(reader.run(&format!("CLIENT TRACKING ON REDIRECT {listening}")), refused);
}

#[test]
fn keys_above_the_limit_are_taken_for_changed() {
    let server = Setup::new().with("workers", "2").with("tracking-table-max-keys", "10").start();
    let (mut reader, mut operator) = (tracking(&server, ""), server.client());
    for key in 0..50 {
        reader.send(&format!("GET key:{key}"));
    }
    let (mut replies, mut forgotten) = (0, Vec::new());
    while replies < 50 || forgotten.len() < 40 {
        match reader.reply() {
            Value::Push(push) => forgotten.extend(push[1].as_elements().into_iter().flatten().cloned()),
            other => {
                assert_eq!(other, nil());
                replies += 1;
            }
        }
    }
    assert_eq!((operator.info("tracking_total_keys"), forgotten.len()), ("10".into(), 40));
    // Of the others it is told when they change.
    let kept = (0..50).map(|key| format!("key:{key}")).find(|key| !forgotten.contains(&bulk(key)));
    let kept = kept.expect("ten are remembered");
    assert_eq!(operator.run(&format!("SET {kept} 1")), ok());
    assert_eq!(told(&mut reader), [kept]);
}

#[test]
fn what_a_transaction_sets_counts_for_the_reads_behind_it() {
    let server = Setup::new().with("workers", "2").start();
    let mut writer = server.client();
    let mut reader = tracking(&server, "OPTIN");
    let done = reader.pipeline(&["MULTI", "GET a", "CLIENT CACHING YES", "GET b", "EXEC"]);
    assert_eq!(done[4], Value::Array(vec![nil(), ok(), nil()]));
    assert_eq!(writer.run("MSET a 1 b 1"), ok());
    assert_eq!(told(&mut reader), ["b"]);

    let mut late = server.client();
    late.run("HELLO 3");
    let done = late.pipeline(&["MULTI", "GET a", "CLIENT TRACKING ON", "GET b", "EXEC"]);
    assert_eq!(done[4], Value::Array(vec![bulk("1"), ok(), bulk("1")]));
    assert_eq!(writer.run("MSET a 2 b 2"), ok());
    assert_eq!(told(&mut late), ["b"]);
    late.pipeline(&["MULTI", "GET a", "CLIENT TRACKING OFF", "GET b", "CLIENT TRACKINGINFO", "EXEC"]);
    assert_eq!(writer.run("MSET a 3 b 3"), ok());
    assert!(told(&mut late).is_empty(), "who tracks nothing is told nothing");
    // An error of one is its reply alone.
    let done = late.pipeline(&["MULTI", "CLIENT CACHING YES", "GET a", "EXEC"]);
    let refused = error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    );
    assert_eq!(done[3], Value::Array(vec![refused, bulk("3")]));
}

#[test]
fn a_transaction_that_begins_again_sets_what_it_sets_once() {
    let setup = Setup::new().with("workers", "2").with("warm-up", "no");
    let server = setup.start();
    assert_eq!(server.client().run("MSET cold v src:1 w"), ok());
    let server = server.restart();
    let mut client = server.client();
    client.run("HELLO 3");
    // The script reads a key that it has not declared, which is on disk.
    let commands = [
        "MULTI",
        "CLIENT TRACKING ON BCAST PREFIX src: PREFIX k",
        "CLIENT NO-TOUCH ON",
        "EVAL return(redis.call('get','cold')) 0",
        "EXEC",
    ];
    let done = client.pipeline(&commands);
    assert_eq!(done[4], Value::Array(vec![ok(), ok(), bulk("v")]));
    let info = format!("{:?}", client.run("CLIENT TRACKINGINFO"));
    assert!(info.contains("bcast") && info.contains("src:"), "{info}");
    assert_eq!(server.client().run("SET src:2 v"), ok());
    assert_eq!(told(&mut client), ["src:2"]);
}

#[test]
fn who_reads_a_key_and_then_changes_it_is_told() {
    let server = Setup::new().with("workers", "2").start();
    let (mut reader, mut other) = (tracking(&server, ""), server.client());
    let script = "EVAL redis.call('get',KEYS[1]);return(redis.call('incr',KEYS[1])) 1 k";
    for change in [&["MULTI", "GET k", "INCR k", "EXEC"][..], &["GET k", "INCR k"], &[script]] {
        for command in change {
            reader.send(command);
        }
        reader.send("ECHO end");
        let (mut keys, mut ended) = (Vec::new(), false);
        while !ended || keys.is_empty() {
            match reader.reply() {
                Value::Push(push) => keys.extend(push[1].as_elements().into_iter().flatten().cloned()),
                reply => ended |= reply == bulk("end"),
            }
        }
        assert_eq!(keys, [bulk("k")], "{change:?}");
        assert!(told(&mut reader).is_empty(), "{change:?}");
        reader.run("CLIENT TRACKING OFF");
        reader.run("CLIENT TRACKING ON");
    }
    // What is read behind the change is as it is now, and kept.
    assert_eq!(other.run("DEL k"), int(1));
    told(&mut reader);
    reader.pipeline(&["MULTI", "INCR k", "GET k", "EXEC"]);
    assert!(told(&mut reader).is_empty());
    assert_eq!(other.run("INCR k"), int(2));
    assert_eq!(told(&mut reader), ["k"]);
}

#[test]
fn use_that_is_not_to_count_does_not_from_the_next_command_on() {
    let server = Setup::new().with("maxmemory-policy", "allkeys-lfu").with("maxmemory", "100mb").start();
    let mut client = server.client();
    assert_eq!(client.pipeline(&["SET a 1", "SET b 1", "SET c 1"]), [ok(), ok(), ok()]);
    let uses = |client: &mut Client, key: &str| client.run(&format!("OBJECT FREQ {key}"));
    let fresh = uses(&mut client, "a");
    let reads = |key: &str| vec![format!("GET {key}"); 200];
    let quietly: Vec<String> = [vec!["CLIENT NO-TOUCH ON".to_owned()], reads("a")].concat();
    client.pipeline(&quietly);
    assert_eq!(uses(&mut client, "a"), fresh);
    let loudly: Vec<String> = [vec!["CLIENT NO-TOUCH OFF".to_owned()], reads("b")].concat();
    client.pipeline(&loudly);
    assert_ne!(uses(&mut client, "b"), fresh);
    let within = ["MULTI", "CLIENT NO-TOUCH ON"].map(str::to_owned).to_vec();
    client.pipeline(&[within, reads("c"), vec!["EXEC".to_owned()]].concat());
    assert_eq!(uses(&mut client, "c"), fresh);
}
