//! The answers of a Redis 7.0.15 server to questions about random positions.
//!
//! `redis_7_0_geo.txt` keeps some of them. `KVDB_GEO_ORACLE=127.0.0.1:6379` puts many more to a server, which must hold
//! nothing of value: 100 000 positions, or `KVDB_GEO_POINTS`. With `KVDB_GEO_GOLDEN=update` as well, the file is written
//! anew from the server's answers.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use kvdb_resp::{ReplyDecoder, ReplyLimits, Value, encode_command};

use super::map::Map;

const UNITS: [&str; 4] = ["m", "km", "ft", "mi"];

fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/redis_7_0_geo.txt")
}

#[test]
fn every_digit_is_that_of_redis() {
    let text = fs::read_to_string(golden_file()).expect("the answers are there");
    let mut map = Map::default();
    let mut questions = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (question, answer) = line.split_once(" = ").expect("a question and an answer");
        assert_eq!(map.answer(question), answer, "{question}");
        questions += 1;
    }
    assert!(questions >= 300, "only {questions} questions");
}

#[test]
fn a_server_gives_the_same_answers() {
    let Ok(address) = env::var("KVDB_GEO_ORACLE") else { return };
    let points = env::var("KVDB_GEO_POINTS")
        .map_or(100_000_usize, |points| points.parse().expect("a number of points"));
    let mut server = Server::connect(&address);
    if env::var("KVDB_GEO_GOLDEN").is_ok_and(|mode| mode == "update") {
        let mut text =
            String::from("# Answers of redis-server 7.0.15; see redis.rs for how to write them anew.\n");
        for question in Random(7).questions(120, 60) {
            writeln!(text, "{question} = {}", server.answer(&question)).expect("a string takes text");
        }
        fs::write(golden_file(), text).expect("the file can be written");
    }
    const ROUND: usize = 500;
    for round in 0..points.div_ceil(ROUND) {
        server.forget();
        let mut map = Map::default();
        for question in Random(round as u64).questions(ROUND, ROUND / 5) {
            let (ours, theirs) = (map.answer(&question), server.answer(&question));
            assert_eq!(ours, theirs, "round {round}: {question}");
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    fn questions(&mut self, positions: usize, searches: usize) -> Vec<String> {
        let place = |_| match self.below(50) {
            0 => format!("SCORE {}", self.score()),
            _ => format!("ADD {}", self.position()),
        };
        let mut questions: Vec<String> = (0..positions).map(place).collect();
        for _ in 0..positions {
            let (from, to) = (self.below(positions), self.below(positions));
            questions.push(format!("DIST {from} {to} {}", UNITS[self.below(4)]));
        }
        for _ in 0..searches {
            let (center, unit) = (self.position(), UNITS[self.below(4)]);
            questions.push(match self.below(2) {
                0 => format!("SEARCH {center} RADIUS {} {unit}", self.length(unit)),
                _ => format!("SEARCH {center} BOX {} {} {unit}", self.length(unit), self.length(unit)),
            });
        }
        questions
    }

    /// Anywhere, or where it is most likely to go wrong: around the antimeridian, near the poles, on the border of a
    /// cell, at a limit, and crowded around one place so that small searches find something.
    fn position(&mut self) -> String {
        const NORTH: f64 = 85.051_128_78;
        let (longitude, latitude) = match self.below(8) {
            0 => (self.between(179.0, 180.0), self.between(-NORTH, NORTH)),
            1 => (self.between(-180.0, -179.0), self.between(-NORTH, NORTH)),
            2 => (self.between(-180.0, 180.0), self.between(80.0, NORTH)),
            3 => (self.between(-180.0, 180.0), self.between(-NORTH, -80.0)),
            4 => (self.below(65) as f64 * 5.625 - 180.0, self.below(31) as f64 * 5.625 - 84.375),
            5 => (self.between(13.0, 13.2), self.between(52.0, 52.1)),
            6 => {
                let limits = [-180.0, -179.999_999, 0.0, 1e-9, 179.999_999, 180.0];
                let (longitude, latitude) =
                    (limits[self.below(6)], [-NORTH, -1e-9, 0.0, NORTH][self.below(4)]);
                (longitude, latitude)
            }
            _ => (self.between(-180.0, 180.0), self.between(-NORTH, NORTH)),
        };
        format!("{longitude} {latitude}")
    }

    /// A score that no position has, or not exactly.
    fn score(&mut self) -> f64 {
        match self.below(4) {
            0 => self.between(-1e17, 1e17),
            1 => self.between(0.0, 4.6e15),
            2 => [f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300, -1e300][self.below(5)],
            _ => self.between(-1e20, 1e20),
        }
    }

    /// From centimeters to more than around the earth, each size as likely as another.
    fn length(&mut self, unit: &str) -> String {
        let scale = if matches!(unit, "m" | "ft") { 1.0 } else { 0.001 };
        let length = match self.below(20) {
            0 => 0.0,
            1 => self.between(1e7, 5e7),
            _ => 10_f64.powf(self.between(-2.0, 7.5)),
        };
        format!("{}", length * scale)
    }
}

/// A Redis server that is asked the same questions.
struct Server {
    stream: TcpStream,
    received: Vec<u8>,
    decoder: ReplyDecoder,
    positions: usize,
}

impl Server {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a Redis server listens where KVDB_GEO_ORACLE says");
        stream.set_nodelay(true).expect("a connection can be told not to wait");
        let mut server =
            Self { stream, received: Vec::new(), decoder: ReplyDecoder::default(), positions: 0 };
        server.forget();
        server
    }

    fn forget(&mut self) {
        assert_eq!(self.send("FLUSHALL"), Value::simple("OK"));
        self.positions = 0;
    }

    fn answer(&mut self, question: &str) -> String {
        let words: Vec<&str> = question.split(' ').collect();
        match words[..] {
            ["ADD" | "SCORE", ref place @ ..] => {
                let name = self.positions;
                self.positions += 1;
                let command = if words[0] == "ADD" { "GEOADD" } else { "ZADD" };
                let added = self.send(&format!("{command} map {} {name}", place.join(" ")));
                assert_eq!(added, Value::Integer(1), "{question}");
                let hash = self.send(&format!("GEOHASH map {name}"));
                let position = self.send(&format!("GEOPOS map {name}"));
                let score = self.send(&format!("ZSCORE map {name}"));
                let position = &elements(&position)[0];
                let [longitude, latitude] = elements(position) else { panic!("{position:?}") };
                // The score may be in scientific notation.
                let score: f64 = text(&score).parse().expect("a score");
                format!("{score} {} {} {}", text(&elements(&hash)[0]), text(longitude), text(latitude))
            }
            ["DIST", from, to, unit] => text(&self.send(&format!("GEODIST map {from} {to} {unit}"))),
            ["SEARCH", longitude, latitude, shape, ref extent @ ..] => {
                let extent = extent.join(" ");
                let center = format!("GEOSEARCH map FROMLONLAT {longitude} {latitude}");
                let found = self.send(&format!("{center} BY{shape} {extent} WITHDIST WITHHASH"));
                let found = elements(&found).iter().map(|found| {
                    let [name, distance, Value::Integer(hash)] = elements(found) else { panic!("{found:?}") };
                    format!("{}:{}:{hash}", text(name), text(distance))
                });
                found.collect::<Vec<_>>().join(" ")
            }
            _ => panic!("no such question: {question}"),
        }
    }

    fn send(&mut self, command: &str) -> Value {
        let mut request = Vec::new();
        encode_command(&mut request, command.split(' ').collect::<Vec<_>>());
        self.stream.write_all(&request).expect("the server takes commands");
        loop {
            let decoded = self.decoder.decode(&self.received, &ReplyLimits::default());
            if let Some((value, consumed)) = decoded.expect("the server speaks RESP") {
                self.received.drain(..consumed);
                return value;
            }
            let mut buffer = [0; 64 * 1024];
            let read = self.stream.read(&mut buffer).expect("the server replies");
            assert!(read > 0, "the server closed the connection");
            self.received.extend_from_slice(&buffer[..read]);
        }
    }
}

fn elements(value: &Value) -> &[Value] {
    value.as_elements().unwrap_or_else(|| panic!("not an array: {value:?}"))
}

fn text(value: &Value) -> String {
    let bytes = value.as_bytes().unwrap_or_else(|| panic!("not a string: {value:?}"));
    String::from_utf8(bytes.to_vec()).expect("the server replies in ASCII")
}
