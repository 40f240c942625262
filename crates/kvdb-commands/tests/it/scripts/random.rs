//! Conversations that nobody has written: commands put together at random, said to a store and to a Redis server.

use kvdb_resp::OwnedArgs;

use super::local::Local;
use super::notation::{Directive, show};
use super::oracle::Oracle;

/// Commands with a `|` between the choices for an argument; `K` is a key, `V` a value, `N` a number, `B` an offset in
/// bits, `F` a field type, `T` a time to live that does not end before the conversation does. Replies with the time that
/// is left are no part of it, nor are the bytes of a sketch's header, where KVDB does not keep what PFCOUNT computes.
const TEMPLATES: &[&str] = &[
    "GET K",
    "SET K V",
    "SET K V NX|XX|GET|KEEPTTL|EX|junk",
    "SET K V NX|XX|GET|KEEPTTL NX|XX|GET|KEEPTTL",
    "SET K V EX|PX|EXAT|PXAT T NX|XX|GET|KEEPTTL",
    "SET K N",
    "SETNX K V",
    "SETEX|PSETEX K T V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K PERSIST",
    "GETEX K EX|PX|EXAT T",
    "MGET K K K",
    "MSET K V K V",
    "MSETNX K V K V",
    "APPEND K V",
    "STRLEN K",
    "SETRANGE K N V",
    "GETRANGE|SUBSTR K N N",
    "INCR|DECR K",
    "INCRBY|DECRBY K N",
    "INCRBYFLOAT K N|1.5|-0.25|1e10|inf|3.0e-3",
    "LCS K K LEN",
    "LCS K K IDX MINMATCHLEN N WITHMATCHLEN",
    "LCS K K",
    "SETBIT K B 0|1",
    "GETBIT K B",
    "BITCOUNT K",
    "BITCOUNT K N N BIT|BYTE",
    "BITPOS K 0|1",
    "BITPOS K 0|1 N",
    "BITPOS K 0|1 N N BIT|BYTE",
    "BITOP AND|OR|XOR|NOT K K",
    "BITOP AND|OR|XOR K K K K",
    "BITFIELD K GET F B SET F B N OVERFLOW WRAP|SAT|FAIL INCRBY F B N SET F B N GET F B",
    "BITFIELD K OVERFLOW SAT|FAIL INCRBY F #N N INCRBY F #N N",
    "BITFIELD_RO K GET F B GET F B",
    "PFADD P V V N N",
    "PFADD P N",
    "PFCOUNT P",
    "PFCOUNT P P P",
    "PFMERGE P P P",
    "PFDEBUG TODENSE|DECODE|ENCODING P",
    "PFCOUNT K",
    "GETRANGE P 16 -1",
    "PERSIST K",
    "EXISTS K",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn command(&mut self) -> OwnedArgs {
        let template = self.pick(TEMPLATES);
        template.split(' ').map(|word| self.word(word)).collect()
    }

    fn word(&mut self, word: &str) -> Vec<u8> {
        let numbers = ["0", "1", "-1", "2", "3", "7", "8", "-8", "15", "64", "100", "-100", "1000", "66000"];
        let odd_numbers =
            ["9223372036854775807", "-9223372036854775808", "9223372036854775808", "x", "", "01"];
        match word {
            "K" => format!("key{}", self.below(5)).into_bytes(),
            "P" => format!("sketch{}", self.below(4)).into_bytes(),
            "F" => format!("{}{}", self.pick(&["u", "i"]), self.below(66)).into_bytes(),
            "B" if self.below(10) == 0 => self.pick(&odd_numbers[2..]).into(),
            "B" if self.below(4) == 0 => self.below(600_000).to_string().into_bytes(),
            "B" => self.below(70).to_string().into_bytes(),
            "N" if self.below(10) == 0 => self.pick(&odd_numbers).into(),
            "N" => self.pick(&numbers).into(),
            "T" => self.pick(&["1000000", "86400000", "0", "-1", "x", "9223372036854775807"]).into(),
            "#N" => format!("#{}", self.below(20)).into_bytes(),
            "V" => match self.below(8) {
                0 => Vec::new(),
                1 => self.below(100_000).to_string().into_bytes(),
                2 => vec![0xff; self.below(40)],
                // Beyond what is kept in place, and beyond what is kept in one row.
                3 if self.below(4) == 0 => vec![b'a' + self.below(26) as u8; 16_000 + self.below(60_000)],
                _ => (0..self.below(20)).map(|_| b'a' + self.below(4) as u8).collect(),
            },
            choices => {
                let choices: Vec<&str> = choices.split('|').collect();
                self.pick(&choices).into()
            }
        }
    }
}

/// Says `commands` random commands to both and returns where the replies differ first. Objects are dropped and the store
/// is reopened now and then, which no reply may show.
pub(super) fn compare(address: &str, seed: u64, commands: usize) -> Result<(), String> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut local, mut oracle) = (Local::new(), Oracle::connect(address));
    let mut said = Vec::new();
    for _ in 0..commands {
        match random.below(200) {
            0 => local.direct(Directive::Reopen),
            1..5 => local.direct(Directive::Evict),
            _ => {}
        }
        let command = random.command();
        let ours = local.run(command.as_args()).map(|value| show(&value)).unwrap_or_default();
        let theirs = show(&oracle.run(command.as_args()));
        let mut shown = format!("{command:?}");
        shown.truncate(300);
        said.push(shown);
        if ours != theirs {
            let last = said[said.len().saturating_sub(12)..].join("\n  ");
            let cut = |lines: Vec<String>| lines.join("\n    ").chars().take(1000).collect::<String>();
            return Err(format!(
                "seed {seed}, after\n  {last}\n  Redis:\n    {}\n  KVDB:\n    {}\n",
                cut(theirs),
                cut(ours)
            ));
        }
    }
    Ok(())
}
