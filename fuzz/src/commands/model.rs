//! Keys of five types, and what commands must reply about them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kvdb_resp::{OwnedArgs, Value};

use super::vocabulary::Random;

type Text = Vec<u8>;

#[derive(Debug, Clone)]
enum Held {
    String(Text),
    Hash(BTreeMap<Text, Text>),
    List(VecDeque<Text>),
    Set(BTreeSet<Text>),
    Sorted(BTreeMap<Text, i64>),
}

impl Held {
    fn name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Hash(_) => "hash",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Sorted(_) => "zset",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::String(_) => false,
            Self::Hash(fields) => fields.is_empty(),
            Self::List(elements) => elements.is_empty(),
            Self::Set(members) => members.is_empty(),
            Self::Sorted(members) => members.is_empty(),
        }
    }
}

/// The keys by their names.
#[derive(Debug, Default)]
pub(super) struct Model(BTreeMap<Text, Held>);

/// Gives the key's value of a type, made where there is none, to what comes after; another type is an error.
macro_rules! held {
    ($model:expr, $key:expr, $kind:ident) => {
        match $model.0.entry($key.clone()).or_insert_with(|| Held::$kind(Default::default())) {
            Held::$kind(value) => value,
            _ => return wrong_type(),
        }
    };
}

fn wrong_type() -> Value {
    Value::Error(b"WRONGTYPE Operation against a key holding the wrong kind of value".to_vec())
}

fn count(number: usize) -> Value {
    Value::Integer(number as i64)
}

fn maybe(text: Option<impl AsRef<[u8]>>) -> Value {
    text.map_or(Value::Null, Value::bulk)
}

impl Model {
    /// A command about one of the keys, and the reply that it must have.
    pub(super) fn command(&mut self, random: &mut Random) -> (OwnedArgs, Value) {
        let key = format!("model{}", random.below(5)).into_bytes();
        let names = [
            "SET",
            "GET",
            "APPEND",
            "STRLEN",
            "SETRANGE",
            "DEL",
            "EXISTS",
            "TYPE",
            "RENAME",
            "COPY",
            "HSET",
            "HGET",
            "HDEL",
            "HLEN",
            "LPUSH",
            "RPUSH",
            "LPOP",
            "RPOP",
            "LRANGE",
            "LINDEX",
            "LREM",
            "LINSERT",
            "SADD",
            "SREM",
            "SISMEMBER",
            "SCARD",
            "ZADD",
            "ZINCRBY",
            "ZSCORE",
            "ZREM",
            "ZRANGE",
            "ZRANK",
        ];
        let name = random.pick(&names);
        let (a, b) = (text(random), text(random));
        let number = random.below(40) as i64 - 20;
        let digits = number.to_string().into_bytes();
        let arguments: Vec<Text> = match name {
            "SET" | "APPEND" | "HGET" | "HDEL" | "LPUSH" | "RPUSH" | "SADD" | "SREM" | "SISMEMBER"
            | "ZSCORE" | "ZREM" | "ZRANK" => vec![a.clone()],
            "SETRANGE" => vec![number.unsigned_abs().to_string().into_bytes(), a.clone()],
            "RENAME" => vec![other(number)],
            "COPY" => vec![other(number), b"REPLACE".to_vec()],
            "HSET" => vec![a.clone(), b.clone()],
            "LRANGE" | "ZRANGE" => vec![b"0".to_vec(), b"-1".to_vec()],
            "LINDEX" => vec![digits],
            "LREM" => vec![b"0".to_vec(), a.clone()],
            "LINSERT" => vec![b"BEFORE".to_vec(), a.clone(), b.clone()],
            "ZADD" | "ZINCRBY" => vec![digits, a.clone()],
            _ => Vec::new(),
        };
        let args = [name.as_bytes().to_vec(), key.clone()].into_iter().chain(arguments).collect();
        let reply = self.reply(name, &key, a, b, number);
        self.0.retain(|_, held| !held.is_empty());
        (args, reply)
    }

    fn reply(&mut self, name: &str, key: &Text, a: Text, b: Text, number: i64) -> Value {
        match name {
            "SET" => {
                self.0.insert(key.clone(), Held::String(a));
                Value::simple("OK")
            }
            "DEL" => count(usize::from(self.0.remove(key).is_some())),
            "EXISTS" => count(usize::from(self.0.contains_key(key))),
            "TYPE" => Value::simple(self.0.get(key).map_or("none", Held::name)),
            "RENAME" => match self.0.remove(key) {
                None => Value::Error(b"ERR no such key".to_vec()),
                Some(held) => {
                    self.0.insert(other(number), held);
                    Value::simple("OK")
                }
            },
            "COPY" if other(number) == *key => {
                Value::Error(b"ERR source and destination objects are the same".to_vec())
            }
            "COPY" => {
                let copied = self.0.get(key).cloned();
                let there = copied.is_some();
                copied.map(|held| self.0.insert(other(number), held));
                count(usize::from(there))
            }
            "GET" => match self.0.get(key) {
                None => Value::Null,
                Some(Held::String(value)) => Value::bulk(value),
                Some(_) => wrong_type(),
            },
            // Nothing is written where there is nothing to write.
            "SETRANGE" if a.is_empty() => match self.0.get(key) {
                None => count(0),
                Some(Held::String(value)) => count(value.len()),
                Some(_) => wrong_type(),
            },
            "APPEND" | "STRLEN" | "SETRANGE" => {
                let is_new = !self.0.contains_key(key);
                let value = held!(self, key, String);
                let at = number.unsigned_abs() as usize;
                match name {
                    "APPEND" => value.extend(a),
                    "SETRANGE" => {
                        value.resize(value.len().max(at + a.len()), 0);
                        value[at..at + a.len()].copy_from_slice(&a);
                    }
                    _ => {}
                }
                let len = value.len();
                if is_new && name == "STRLEN" {
                    self.0.remove(key);
                }
                count(len)
            }
            "HSET" | "HGET" | "HDEL" | "HLEN" => {
                let fields = held!(self, key, Hash);
                match name {
                    "HSET" => count(usize::from(fields.insert(a, b).is_none())),
                    "HGET" => maybe(fields.get(&a)),
                    "HDEL" => count(usize::from(fields.remove(&a).is_some())),
                    _ => count(fields.len()),
                }
            }
            "SADD" | "SREM" | "SISMEMBER" | "SCARD" => {
                let members = held!(self, key, Set);
                match name {
                    "SADD" => count(usize::from(members.insert(a))),
                    "SREM" => count(usize::from(members.remove(&a))),
                    "SISMEMBER" => count(usize::from(members.contains(&a))),
                    _ => count(members.len()),
                }
            }
            "ZADD" | "ZINCRBY" | "ZSCORE" | "ZREM" | "ZRANGE" | "ZRANK" => {
                let members = held!(self, key, Sorted);
                let order = || {
                    let mut order: Vec<_> =
                        members.iter().map(|(member, score)| (*score, member.clone())).collect();
                    order.sort();
                    order.into_iter().map(|(_, member)| member)
                };
                match name {
                    "ZRANGE" => Value::Array(order().map(Value::bulk).collect()),
                    "ZRANK" => order().position(|member| member == a).map_or(Value::Null, count),
                    "ZADD" => count(usize::from(members.insert(a, number).is_none())),
                    "ZINCRBY" => {
                        let score = members.entry(a).or_default();
                        *score += number;
                        Value::bulk(score.to_string())
                    }
                    "ZSCORE" => maybe(members.get(&a).map(i64::to_string)),
                    _ => count(usize::from(members.remove(&a).is_some())),
                }
            }
            _ => self.reply_about_list(name, key, (a, b), number),
        }
    }

    fn reply_about_list(&mut self, name: &str, key: &Text, (a, b): (Text, Text), number: i64) -> Value {
        let list = held!(self, key, List);
        match name {
            "LPUSH" => {
                list.push_front(a);
                count(list.len())
            }
            "RPUSH" => {
                list.push_back(a);
                count(list.len())
            }
            "LPOP" => maybe(list.pop_front()),
            "RPOP" => maybe(list.pop_back()),
            "LRANGE" => Value::Array(list.iter().map(Value::bulk).collect()),
            "LINDEX" => {
                let at = if number < 0 { number + list.len() as i64 } else { number };
                maybe(usize::try_from(at).ok().and_then(|at| list.get(at)))
            }
            "LREM" => {
                let before = list.len();
                list.retain(|element| *element != a);
                count(before - list.len())
            }
            _ => match list.iter().position(|element| *element == a) {
                Some(at) => {
                    list.insert(at, b);
                    count(list.len())
                }
                None if list.is_empty() => count(0),
                None => Value::Integer(-1),
            },
        }
    }
}

/// Another key, or the same.
fn other(number: i64) -> Text {
    format!("model{}", number.unsigned_abs() % 5).into_bytes()
}

/// Integers, short texts that meet, and now and then a long one.
fn text(random: &mut Random) -> Text {
    match random.below(8) {
        0 => Vec::new(),
        1..4 => random.below(12).to_string().into_bytes(),
        4 => vec![b'a' + random.below(3) as u8; 60 + random.below(10)],
        5 if random.below(8) == 0 => vec![b'z'; 70_000],
        _ => format!("t{}", random.below(12)).into_bytes(),
    }
}
