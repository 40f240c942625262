//! A map of numbered positions that is asked in words and answers in words, so that questions and answers can be kept in
//! a file and be put to a server.
//!
//! * `ADD 13.361389 38.115556` puts down the next position. Answer: score, geohash, longitude and latitude.
//! * `SCORE -1.5` puts down a position by its score, which GEOADD need not have made. Answer: the same.
//! * `DIST 0 1 km` is the distance between two positions by their numbers.
//! * `SEARCH 15 37 RADIUS 100 km` and `SEARCH 15 37 BOX 400 300 km` answer the numbers of the positions there, each with
//!   its distance and the integer in its score, in the order in which the sorted set is read.

use kvdb_geo::{Point, Shape, Unit, decode, encode, geohash, search_areas, write_distance};

/// The answers of this crate.
#[derive(Default)]
pub(crate) struct Map {
    scores: Vec<f64>,
    /// Score and name of each position, in the order of a sorted set.
    sorted: Vec<(f64, String)>,
}

impl Map {
    pub(crate) fn answer(&mut self, question: &str) -> String {
        let words: Vec<&str> = question.split(' ').collect();
        match words[..] {
            ["ADD", longitude, latitude] => self.add(encode(point(longitude, latitude))),
            ["SCORE", score] => self.add(number(score)),
            ["DIST", from, to, unit] => {
                let position = |name: &str| decode(self.scores[name.parse::<usize>().expect("a position")]);
                distance_text(unit_of(unit).of_meters(position(from).distance(position(to))))
            }
            ["SEARCH", longitude, latitude, "RADIUS", radius, unit] => {
                let shape = Shape::Radius { radius: number(radius), unit: unit_of(unit) };
                self.search(point(longitude, latitude), &shape, unit_of(unit))
            }
            ["SEARCH", longitude, latitude, "BOX", width, height, unit] => {
                let shape = Shape::Box { width: number(width), height: number(height), unit: unit_of(unit) };
                self.search(point(longitude, latitude), &shape, unit_of(unit))
            }
            _ => panic!("no such question: {question}"),
        }
    }

    fn add(&mut self, score: f64) -> String {
        let name = self.scores.len().to_string();
        self.scores.push(score);
        let entry = (score, name);
        let at = self.sorted.partition_point(|other| (other.0, &other.1) < (entry.0, &entry.1));
        self.sorted.insert(at, entry);
        let (decoded, hash) = (decode(score), geohash(score));
        format!(
            "{score} {} {} {}",
            str::from_utf8(&hash).expect("geohashes are ASCII"),
            coordinate_text(decoded.longitude()),
            coordinate_text(decoded.latitude())
        )
    }

    fn search(&self, center: Point, shape: &Shape, unit: Unit) -> String {
        let mut found = Vec::new();
        for area in search_areas(center, shape).iter() {
            let first = self.sorted.partition_point(|entry| entry.0 < area.min);
            for (score, name) in self.sorted[first..].iter().take_while(|entry| entry.0 < area.max) {
                if let Some(meters) = shape.distance_within(center, decode(*score)) {
                    let distance = distance_text(unit.of_meters(meters));
                    found.push(format!("{name}:{distance}:{}", *score as i64));
                }
            }
        }
        found.join(" ")
    }
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

fn point(longitude: &str, latitude: &str) -> Point {
    Point::new(number(longitude), number(latitude)).expect("a position")
}

fn unit_of(text: &str) -> Unit {
    Unit::parse(text.as_bytes()).expect("a unit")
}

/// A distance as Redis prints it.
fn distance_text(distance: f64) -> String {
    let mut text = Vec::new();
    write_distance(&mut text, distance);
    String::from_utf8(text).expect("digits are ASCII")
}

/// A coordinate as Redis prints it: seventeen decimals, without the zeros at the end.
fn coordinate_text(degrees: f64) -> String {
    let text = format!("{degrees:.17}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
