//! The text of a script, and replies as text.
//!
//! A script is a conversation: `> ` and a command as one types it, then the reply as redis-cli shows it to a terminal,
//! up to the next command, directive, comment or empty line. Behind `@events` the keyspace events that a command causes
//! stand behind its reply, one on a line.

use kvdb_commands::values::glob::{self, Case};
use kvdb_resp::{Decoded, Decoder, Limits, OwnedArgs, Protocol, Value, format_double};
use kvdb_store::EventClasses;

/// A part of a script, in its order.
pub(super) enum Step {
    /// A comment or an empty line.
    Text(String),
    /// `@…`: something happens that is no command.
    Directive(String, Directive),
    /// A command and the reply that is expected.
    Command(Exchange),
}

/// A command and its reply.
pub(super) struct Exchange {
    /// The line as it was written, `> ` included.
    pub(super) line: String,
    /// The number of that line.
    pub(super) number: usize,
    /// The command.
    pub(super) args: OwnedArgs,
    /// The lines of the reply.
    pub(super) expected: Vec<String>,
}

/// What may happen between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    /// So many milliseconds go by.
    Advance(u64),
    /// Replies are in this protocol from now on.
    Protocol(Protocol),
    /// Every object is dropped from memory.
    Evict,
    /// What is past its deadline is deleted, in memory and on disk.
    Expire,
    /// The store is closed and opened again.
    Reopen,
    /// Whether what follows is compared with a Redis server too. Not where KVDB differs on purpose or is newer.
    Oracle(bool),
    /// These events are shown from now on.
    Events(EventClasses),
}

/// Reads a script.
pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if line.is_empty() || line.starts_with('#') {
            steps.push(Step::Text(line.to_owned()));
        } else if let Some(directive) = line.strip_prefix('@') {
            let directive =
                parse_directive(directive).ok_or(format!("line {number}: unknown directive {line}"))?;
            steps.push(Step::Directive(line.to_owned(), directive));
        } else if let Some(command) = line.strip_prefix("> ") {
            let args = parse_command(command).ok_or(format!("line {number}: not a command: {line}"))?;
            let mut expected = Vec::new();
            while let Some((_, line)) =
                lines.next_if(|(_, line)| !line.is_empty() && !line.starts_with(['#', '@', '>']))
            {
                expected.push(line.to_owned());
            }
            steps.push(Step::Command(Exchange { line: line.to_owned(), number, args, expected }));
        } else {
            return Err(format!("line {number}: a reply without a command: {line}"));
        }
    }
    Ok(steps)
}

fn parse_directive(text: &str) -> Option<Directive> {
    let text = text.split('#').next()?;
    let mut words = text.split_whitespace();
    let directive = match (words.next()?, words.next()) {
        ("advance", Some(milliseconds)) => Directive::Advance(milliseconds.parse().ok()?),
        ("resp2", None) => Directive::Protocol(Protocol::Resp2),
        ("resp3", None) => Directive::Protocol(Protocol::Resp3),
        ("evict", None) => Directive::Evict,
        ("expire", None) => Directive::Expire,
        ("reopen", None) => Directive::Reopen,
        ("oracle", Some("on")) => Directive::Oracle(true),
        ("oracle", Some("off")) => Directive::Oracle(false),
        ("events", Some(classes)) => Directive::Events(EventClasses::parse(classes)?),
        _ => return None,
    };
    words.next().is_none().then_some(directive)
}

/// Splits a line as the server splits inline commands, quotes and escapes included.
fn parse_command(line: &str) -> Option<OwnedArgs> {
    let line = format!("{line}\r\n");
    let mut decoder = Decoder::default();
    match decoder.decode(line.as_bytes(), &Limits::default()) {
        Ok(Decoded::Request { .. }) => Some(decoder.args(line.as_bytes()).into()),
        _ => None,
    }
}

/// Whether a reply is the expected one. `(any)` expects whatever comes, and a line after `~ ` is a glob pattern.
pub(super) fn agree(expected: &[String], actual: &[String]) -> bool {
    if expected == ["(any)"] {
        return true;
    }
    let line_agrees = |expected: &String, actual: &String| match expected.strip_prefix("~ ") {
        Some(pattern) => glob::matches(pattern.as_bytes(), actual.as_bytes(), Case::Sensitive),
        None => expected == actual,
    };
    expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| line_agrees(e, a))
}

/// The lines that show a reply.
pub(super) fn show(value: &Value) -> Vec<String> {
    let mut out = String::new();
    write(&mut out, value, "");
    out.lines().map(str::to_owned).collect()
}

/// The line that shows an event.
pub(super) fn show_event(db: u16, event: &str, key: &[u8]) -> String {
    let place = if db == 0 { String::new() } else { format!(" in {db}") };
    format!("(event) {event} {}{place}", quoted(key))
}

/// Writes a value whose first line continues the line that is begun, and the others after `indent`.
fn write(out: &mut String, value: &Value, indent: &str) {
    match value {
        Value::Simple(text) => line(out, "", &String::from_utf8_lossy(text)),
        Value::Error(text) => line(out, "(error) ", &String::from_utf8_lossy(text)),
        Value::Integer(n) => line(out, "(integer) ", &n.to_string()),
        Value::Double(value) => line(out, "(double) ", &format_double(*value)),
        Value::BigNumber(text) => line(out, "(big number) ", &String::from_utf8_lossy(text)),
        Value::Bulk(bytes) => line(out, "", &quoted(bytes)),
        Value::Verbatim(_, bytes) => line(out, "(verbatim) ", &quoted(bytes)),
        Value::Null => line(out, "", "(nil)"),
        Value::Boolean(true) => line(out, "", "(true)"),
        Value::Boolean(false) => line(out, "", "(false)"),
        Value::Array(elements) => write_elements(out, "(empty array)", ')', elements, indent),
        Value::Set(elements) => write_elements(out, "(empty set)", '~', elements, indent),
        Value::Push(elements) => write_elements(out, "(empty push)", '>', elements, indent),
        Value::Map(pairs) => {
            let heads = Heads::new(pairs.len(), '#', indent);
            if pairs.is_empty() {
                line(out, "", "(empty hash)");
            }
            for (index, (key, value)) in pairs.iter().enumerate() {
                heads.write(out, index);
                write(out, key, &heads.indent);
                out.truncate(out.trim_end_matches('\n').len());
                out.push_str(" => ");
                write(out, value, &heads.indent);
            }
        }
    }
}

fn write_elements(out: &mut String, empty: &str, mark: char, elements: &[Value], indent: &str) {
    let heads = Heads::new(elements.len(), mark, indent);
    if elements.is_empty() {
        line(out, "", empty);
    }
    for (index, element) in elements.iter().enumerate() {
        heads.write(out, index);
        write(out, element, &heads.indent);
    }
}

fn line(out: &mut String, kind: &str, text: &str) {
    out.push_str(kind);
    out.push_str(text);
    out.push('\n');
}

/// The numbers before the elements of an aggregate.
struct Heads {
    mark: char,
    width: usize,
    outer: String,
    /// What stands before the later lines of an element.
    indent: String,
}

impl Heads {
    fn new(count: usize, mark: char, outer: &str) -> Self {
        let width = count.to_string().len();
        Self { mark, width, outer: outer.to_owned(), indent: format!("{outer}{:1$}", "", width + 2) }
    }

    fn write(&self, out: &mut String, index: usize) {
        if index > 0 {
            out.push_str(&self.outer);
        }
        out.push_str(&format!("{:width$}{} ", index + 1, self.mark, width = self.width));
    }
}

/// Bytes in quotes, with escapes for what is not printable ASCII.
fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

#[test]
fn replies_look_as_in_redis_cli() {
    let nested = Value::Array(vec![
        Value::Array(vec![Value::Integer(1), Value::Null]),
        Value::Map(vec![(
            Value::bulk("a\0\"\n"),
            Value::Set(vec![Value::Double(1.5), Value::Boolean(true)]),
        )]),
        Value::Array(vec![]),
        Value::error("ERR no"),
    ]);
    let text = [
        "1) 1) (integer) 1",
        "   2) (nil)",
        "2) 1# \"a\\x00\\\"\\n\" => 1~ (double) 1.5",
        "      2~ (true)",
        "3) (empty array)",
        "4) (error) ERR no",
    ];
    assert_eq!(show(&nested), text);
}

#[test]
fn a_script_is_read_line_by_line() {
    let steps = parse("# why\n> SET k \"a b\"\nOK\n\n@advance 5 # wait\n> GET k\n~ \"a*\"\n")
        .expect("it is a script");
    assert_eq!(steps.len(), 5);
    let Step::Command(get) = &steps[4] else { panic!("the last step is a command") };
    assert!(agree(&get.expected, &["\"a b\"".to_owned()]) && !agree(&get.expected, &["\"b\"".to_owned()]));
    assert!(matches!(steps[3], Step::Directive(_, Directive::Advance(5))));
    for wrong in ["OK\n", "@advance\n", "@nothing\n", "> \n", "> SET \"k\n"] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}
