//! Test scripts as text.
//!
//! `> ` and Lua text, which goes on in lines that begin with `| `, then a line with the reply to running it by EVAL with
//! the keys `k1`, `k2` and the arguments `a1`, `a2`. A text behind `load> ` is a library that takes the place of the one
//! with its name, and `call> ` runs a function with the key `k1` and the argument `a1`. `@resp3` and `@resp2` change the
//! client's protocol; what stands between `@oracle off` and `@oracle on` is not compared with Redis.
//!
//! Replies are in one line: `+status`, `-error`, `:1`, `"bulk"`, `nil`, `[array, …]`, and of RESP3 `{key => value}`,
//! `~[set]`, `,1.5`, `#t`, `(big`, `=txt"verbatim"`. The digest of the script reads `<sha>`.

use kvdb_lua::Sha;
use kvdb_resp::{Protocol, Value, format_double};

/// A part of a test script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Protocol(Protocol),
    Oracle(bool),
    /// Something to run, the reply to it, and the line it is in.
    Run(Action, String, usize),
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Eval(String),
    Load(String),
    Call(String),
}

/// What begins a line, and what the line runs.
type Prompt = (&'static str, fn(String) -> Action);

const PROMPTS: [Prompt; 3] = [("> ", Action::Eval), ("load> ", Action::Load), ("call> ", Action::Call)];

pub(crate) fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(directive) = line.strip_prefix('@') {
            steps.push(match directive {
                "resp2" => Step::Protocol(Protocol::Resp2),
                "resp3" => Step::Protocol(Protocol::Resp3),
                "oracle on" => Step::Oracle(true),
                "oracle off" => Step::Oracle(false),
                _ => panic!("line {}: unknown directive {line}", index + 1),
            });
            continue;
        }
        let prompt = PROMPTS.iter().find_map(|(prompt, action)| Some((line.strip_prefix(prompt)?, action)));
        let Some((first, action)) = prompt else { panic!("line {}: not a prompt: {line}", index + 1) };
        let mut code = first.to_owned();
        while let Some((_, line)) = lines.next_if(|(_, line)| line.starts_with('|')) {
            code.push('\n');
            code.push_str(line.strip_prefix("| ").unwrap_or(""));
        }
        let (_, reply) = lines.next().unwrap_or_else(|| panic!("line {}: no reply", index + 1));
        steps.push(Step::Run(action(code), reply.to_owned(), index + 1));
    }
    steps
}

/// A reply in one line.
pub(crate) fn show(action: &Action, reply: &Value) -> String {
    let mut out = String::new();
    write(&mut out, reply);
    match action {
        Action::Eval(code) => out.replace(&Sha::of(code.as_bytes()).to_string(), "<sha>"),
        _ => out,
    }
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Simple(text) => out.push_str(&format!("+{}", text.escape_ascii())),
        Value::Error(text) => out.push_str(&format!("-{}", String::from_utf8_lossy(text))),
        Value::Integer(n) => out.push_str(&format!(":{n}")),
        Value::Double(n) => out.push_str(&format!(",{}", format_double(*n))),
        Value::BigNumber(text) => out.push_str(&format!("({}", text.escape_ascii())),
        Value::Bulk(bytes) => out.push_str(&format!("\"{}\"", bytes.escape_ascii())),
        Value::Verbatim(format, text) => {
            out.push_str(&format!("={}\"{}\"", format.escape_ascii(), text.escape_ascii()));
        }
        Value::Null => out.push_str("nil"),
        Value::Boolean(true) => out.push_str("#t"),
        Value::Boolean(false) => out.push_str("#f"),
        Value::Array(elements) | Value::Push(elements) => write_elements(out, "[", elements),
        Value::Set(elements) => write_elements(out, "~[", elements),
        Value::Map(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(out, key);
                out.push_str(" => ");
                write(out, value);
            }
            out.push('}');
        }
    }
}

fn write_elements(out: &mut String, open: &str, elements: &[Value]) {
    out.push_str(open);
    for (index, element) in elements.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        write(out, element);
    }
    out.push(']');
}
