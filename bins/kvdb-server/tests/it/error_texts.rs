//! The words in which commands refuse: clients and their users match on them.

use crate::harness::{Setup, error, int, ok};

#[test]
fn errors_read_as_those_of_redis() {
    let server = Setup::new().with("appendfsync", "everysec").start();
    let mut client = server.client();
    assert_eq!(client.run("SET s text"), ok());
    assert_eq!(client.run("SET max 9223372036854775807"), ok());
    assert_eq!(client.run("SET min -9223372036854775808"), ok());
    let cases = [
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("SET s", "ERR wrong number of arguments for 'set' command"),
        ("MSET a 1 b", "ERR wrong number of arguments for 'mset' command"),
        ("CLIENT ID x", "ERR wrong number of arguments for 'client|id' command"),
        ("OBJECT ENCODING", "ERR wrong number of arguments for 'object|encoding' command"),
        ("CLIENT NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
        ("INCR s", "ERR value is not an integer or out of range"),
        ("INCRBY s 1.5", "ERR value is not an integer or out of range"),
        ("INCRBY n 99999999999999999999", "ERR value is not an integer or out of range"),
        ("INCR max", "ERR increment or decrement would overflow"),
        ("DECR min", "ERR increment or decrement would overflow"),
        ("DECRBY n -9223372036854775808", "ERR decrement would overflow"),
        ("INCRBYFLOAT s 1", "ERR value is not a valid float"),
        ("INCRBYFLOAT n abc", "ERR value is not a valid float"),
        ("INCRBYFLOAT n inf", "ERR increment would produce NaN or Infinity"),
        ("SETRANGE s -1 x", "ERR offset is out of range"),
        ("SETRANGE s 536870912 x", "ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("SETBIT s -1 1", "ERR bit offset is not an integer or out of range"),
        ("SETBIT s 4294967296 1", "ERR bit offset is not an integer or out of range"),
        ("SETBIT s 1 2", "ERR bit is not an integer or out of range"),
        (
            "BITFIELD s GET u64 0",
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ),
        ("SET k v EX 0", "ERR invalid expire time in 'set' command"),
        ("SET k v PX -1", "ERR invalid expire time in 'set' command"),
        ("SET k v EX 9223372036854775807", "ERR invalid expire time in 'set' command"),
        ("SETEX k 0 v", "ERR invalid expire time in 'setex' command"),
        ("GETEX s EX 0", "ERR invalid expire time in 'getex' command"),
        ("EXPIRE s 9223372036854775807", "ERR invalid expire time in 'expire' command"),
        ("SET k v EX ten", "ERR value is not an integer or out of range"),
        ("SET k v NX XX", "ERR syntax error"),
        ("SET k v EX 1 PX 1", "ERR syntax error"),
        ("SET k v NOSUCH", "ERR syntax error"),
        ("PFADD s a", "WRONGTYPE Key is not a valid HyperLogLog string value."),
        ("RESTORE k 0 garbage", "ERR DUMP payload version or checksum are wrong"),
        ("SCAN abc", "ERR invalid cursor"),
        ("SELECT 16", "ERR DB index is out of range"),
        ("SELECT -1", "ERR DB index is out of range"),
        ("SELECT abc", "ERR value is not an integer or out of range"),
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        ("HELLO abc", "ERR Protocol version is not an integer or out of range"),
        ("HELLO 3 NOSUCH", "ERR Syntax error in HELLO option 'NOSUCH'"),
        ("RENAME nosuch k", "ERR no such key"),
        ("EXPIRE s 10 NX GT", "ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("EXPIRE s 10 GT LT", "ERR GT and LT options at the same time are not compatible"),
        ("CONFIG SET nosuch 1", "ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
        (
            "DEBUG SLEEP 0",
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
        ),
    ];
    for (command, text) in cases {
        assert_eq!(client.run(command), error(text), "{command}");
    }
    // Nothing of it changed anything.
    assert_eq!(client.run("DBSIZE"), int(3));
    assert_eq!(client.run("GET s"), crate::harness::bulk("text"));
}

#[test]
fn what_redis_has_and_this_server_does_not_is_said_plainly() {
    let server = Setup::new().start();
    let mut client = server.client();
    let refused = "ERR MIGRATE is not supported by KVDB: copy keys with DUMP and RESTORE";
    assert_eq!(client.run("MIGRATE 127.0.0.1 6379 k 0 100"), error(refused));
}
