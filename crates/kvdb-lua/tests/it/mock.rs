//! A host with a handful of commands, which answer as Redis does.

use std::collections::BTreeMap;

use kvdb_lua::{Host, Interrupt, LogLevel, Permission, Stop};
use kvdb_resp::{Args, Protocol, Reply, parse_i64};

/// A value of the mock's keyspace.
#[derive(Debug)]
enum Object {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    Set(Vec<Vec<u8>>),
}

/// A keyspace, and what tests tell it to do and want to know of it.
#[derive(Debug, Default)]
pub(crate) struct Mock {
    keyspace: BTreeMap<Vec<u8>, Object>,
    /// What was logged.
    pub(crate) log: Vec<(LogLevel, String)>,
    /// Answers to [`Host::should_stop`] before `stop` is given.
    pub(crate) patience: u32,
    pub(crate) stop: Option<Stop>,
    /// How often the host was asked whether to stop.
    pub(crate) polls: u32,
    /// Commands that were run.
    pub(crate) commands: u32,
    pub(crate) seed: i32,
}

impl Mock {
    fn list(&mut self, key: &[u8]) -> Option<&mut Vec<Vec<u8>>> {
        match self.keyspace.entry(key.to_vec()).or_insert(Object::List(Vec::new())) {
            Object::List(list) => Some(list),
            _ => None,
        }
    }
}

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const ARITY: &str = "ERR Wrong number of args calling Redis command from script";

impl Host for Mock {
    fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
        self.commands += 1;
        let args: Vec<&[u8]> = args.iter().collect();
        let mut reply = Reply::new(out, protocol);
        let name = args[0].to_ascii_lowercase();
        match (name.as_slice(), &args[1..]) {
            (b"ping", []) => reply.simple("PONG"),
            (b"echo", [text]) => reply.bulk(text),
            (b"set", [key, value]) => {
                self.keyspace.insert(key.to_vec(), Object::String(value.to_vec()));
                reply.ok();
            }
            (b"get", [key]) => match self.keyspace.get(*key) {
                Some(Object::String(value)) => reply.bulk(value),
                Some(_) => reply.error(WRONG_TYPE),
                None => reply.null(),
            },
            (b"incr", [key]) => match self.keyspace.get(*key) {
                None => {
                    self.keyspace.insert(key.to_vec(), Object::String(b"1".to_vec()));
                    reply.integer(1);
                }
                Some(Object::String(value)) => match parse_i64(value) {
                    Some(n) => {
                        self.keyspace.insert(key.to_vec(), Object::String((n + 1).to_string().into_bytes()));
                        reply.integer(n + 1);
                    }
                    None => reply.error("ERR value is not an integer or out of range"),
                },
                Some(_) => reply.error(WRONG_TYPE),
            },
            (b"del", [key]) => reply.integer(i64::from(self.keyspace.remove(*key).is_some())),
            (b"rpush", [key, elements @ ..]) if !elements.is_empty() => match self.list(key) {
                Some(list) => {
                    list.extend(elements.iter().map(|element| element.to_vec()));
                    reply.integer(list.len() as i64);
                }
                None => reply.error(WRONG_TYPE),
            },
            (b"lrange", [key, b"0", b"-1"]) => match self.keyspace.get(*key) {
                Some(Object::List(list)) => {
                    reply.array(list.len());
                    list.iter().for_each(|element| reply.bulk(element));
                }
                Some(_) => reply.error(WRONG_TYPE),
                None => reply.array(0),
            },
            (b"hset", [key, field, value]) => {
                self.keyspace.insert(key.to_vec(), Object::Hash(vec![(field.to_vec(), value.to_vec())]));
                reply.integer(1);
            }
            (b"hgetall", [key]) => match self.keyspace.get(*key) {
                Some(Object::Hash(fields)) => {
                    reply.map(fields.len());
                    for (field, value) in fields {
                        reply.bulk(field);
                        reply.bulk(value);
                    }
                }
                Some(_) => reply.error(WRONG_TYPE),
                None => reply.map(0),
            },
            (b"sadd", [key, member]) => {
                self.keyspace.insert(key.to_vec(), Object::Set(vec![member.to_vec()]));
                reply.integer(1);
            }
            (b"smembers", [key]) => match self.keyspace.get(*key) {
                Some(Object::Set(members)) => {
                    reply.set(members.len());
                    members.iter().for_each(|member| reply.bulk(member));
                }
                Some(_) => reply.error(WRONG_TYPE),
                None => reply.set(0),
            },
            (b"debug", [b"protocol", kind]) => debug_protocol(kind, &mut reply),
            (b"test.interrupt", []) => return Err(Interrupt),
            (b"test.raw", [bytes]) => reply.raw(bytes),
            (b"test.panic", []) => panic!("the host panics"),
            (b"ping" | b"echo" | b"set" | b"get" | b"incr" | b"del" | b"rpush" | b"hset" | b"hgetall", _) => {
                reply.error(ARITY);
            }
            _ => reply.error("ERR Unknown Redis command called from script"),
        }
        Ok(())
    }

    fn check_permission(&mut self, args: Args<'_>) -> Permission {
        match args.name() {
            b"get" | b"set" => Permission::Granted,
            b"shutdown" => Permission::Denied,
            _ => Permission::NoSuchCommand,
        }
    }

    fn log(&mut self, level: LogLevel, message: &[u8]) {
        self.log.push((level, String::from_utf8_lossy(message).into_owned()));
    }

    fn should_stop(&mut self) -> Option<Stop> {
        self.polls += 1;
        if self.polls > self.patience { self.stop } else { None }
    }

    fn seed(&mut self) -> i32 {
        self.seed
    }

    fn cpu_seconds(&mut self) -> f64 {
        1.5
    }
}

/// The replies of DEBUG PROTOCOL, which has one of each type.
fn debug_protocol(kind: &[u8], reply: &mut Reply<'_>) {
    match kind {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(3.125),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }
        b"map" => {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"verbatim" => reply.verbatim(b"txt", "This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"attrib" => {
            if reply.protocol() == Protocol::Resp3 {
                reply.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        _ => reply.error("ERR Wrong protocol type name. Please use one of the following: string|integer"),
    }
}
