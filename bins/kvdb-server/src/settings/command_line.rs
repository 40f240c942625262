//! The command line: `kvdb-server [file.conf] [--name value ...] [-]`.
//!
//! The grammar is that of redis-server, to the corner cases: several values after one name,
//! `--name` and its value in one argument, a value that itself starts with `--`, and `--save`
//! without a value. What KVDB adds are `--check-config` and `--print-config`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::StartError;
use super::file;
use super::source::{Directive, Origin};
use super::words;

/// The text of `--help`.
pub const USAGE: &str = "\
Usage: kvdb-server [/path/to/kvdb.conf] [--name value ...] [-]
       kvdb-server - (read the configuration from standard input)
       kvdb-server [...] --check-config
       kvdb-server [...] --print-config [conf|json|md]
       kvdb-server -v or --version
       kvdb-server -h or --help

Every setting can be given in the file, in the environment and on the command
line; the later of these wins. In the environment, maxmemory is KVDB_MAXMEMORY,
and a secret can be read from a file: KVDB_REQUIREPASS_FILE=/run/secrets/kvdb.

Examples:
       kvdb-server (with the defaults)
       kvdb-server /etc/kvdb/kvdb.conf
       kvdb-server --port 7777 --maxmemory 4gb
       kvdb-server /etc/kvdb/kvdb.conf --loglevel verbose
       echo 'maxmemory 128mb' | kvdb-server - --port 7777
       kvdb-server /etc/kvdb/kvdb.conf --check-config

Exit codes: 0 after an orderly end, 1 when the configuration is wrong,
78 when --check-config finds it wrong.
";

/// The form in which `--print-config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A configuration file, with every setting explained.
    Conf,
    /// One JSON object.
    Json,
    /// A table in Markdown.
    Markdown,
}

/// What the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// To serve.
    Run,
    /// To say whether the configuration is valid.
    Check,
    /// To print the configuration that would be in force.
    Print(Format),
    /// To print the version.
    Version,
    /// To print how the program is used.
    Help,
}

/// A command line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// What it asks for.
    pub action: Action,
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Whether to read standard input after the file.
    pub stdin: bool,
    /// The options, in order.
    pub options: Vec<Directive>,
}

/// Takes the arguments apart; the first is the first after the program's name.
///
/// # Errors
/// [`StartError`] when an option cannot be split into words or an argument is not UTF-8.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<CommandLine, StartError> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut line = CommandLine { action: Action::Run, file: None, stdin: false, options: Vec::new() };
    match arguments.first().and_then(|first| first.to_str()) {
        Some("-v" | "--version") => line.action = Action::Version,
        Some("-h" | "--help") => line.action = Action::Help,
        _ => {}
    }
    if line.action != Action::Run {
        return Ok(line);
    }
    // A path needs not be UTF-8; everything after it does.
    take_file(&mut arguments, &mut line);
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| {
            argument
                .into_string()
                .map_err(|argument| StartError::Argument(argument.to_string_lossy().into_owned()))
        })
        .collect::<Result<_, _>>()?;
    line.options = options(&arguments, &mut line)?;
    Ok(line)
}

/// Takes the configuration file off the front; our own switches may stand before it.
fn take_file(arguments: &mut Vec<OsString>, line: &mut CommandLine) {
    while let Some(first) = arguments.first() {
        let name = first.to_string_lossy();
        if let Some(action) = switch(&name) {
            arguments.remove(0);
            line.action = action;
            if let (Action::Print(format), Some(word)) = (&mut line.action, arguments.first())
                && let Some(named) = word.to_str().and_then(format_named)
            {
                *format = named;
                arguments.remove(0);
            }
        } else if name.starts_with('-') {
            return;
        } else {
            line.file = Some(PathBuf::from(arguments.remove(0)));
            return;
        }
    }
}

/// The action of a switch that is KVDB's own.
fn switch(argument: &str) -> Option<Action> {
    match argument {
        "--check-config" => Some(Action::Check),
        "--print-config" => Some(Action::Print(Format::Conf)),
        _ => argument.strip_prefix("--print-config=").and_then(format_named).map(Action::Print),
    }
}

fn format_named(word: &str) -> Option<Format> {
    match word {
        "conf" => Some(Format::Conf),
        "json" => Some(Format::Json),
        "md" => Some(Format::Markdown),
        _ => None,
    }
}

/// Redis' reading of the options: they become lines of a configuration, one for each name.
fn options(arguments: &[String], line: &mut CommandLine) -> Result<Vec<Directive>, StartError> {
    let mut lines: Vec<String> = Vec::new();
    // A name waits for its value: the next argument is one even if it starts with dashes.
    let mut wants_value = false;
    let mut at = 0;
    while let Some(argument) = arguments.get(at) {
        at += 1;
        let next = arguments.get(at);
        if argument == "-" && (at == 1 || next.is_none()) {
            line.stdin = true;
        } else if wants_value || !argument.starts_with("--") {
            let value = words::quote(argument);
            match lines.last_mut() {
                Some(last) => *last = format!("{last} {value}"),
                None => lines.push(value),
            }
            wants_value = false;
        } else if let Some(action) = switch(argument) {
            line.action = action;
            if let (Action::Print(format), Some(named)) =
                (&mut line.action, next.and_then(|word| format_named(word)))
            {
                *format = named;
                at += 1;
            }
        } else {
            let option = &argument[2..];
            // `"--port 6379"` in one argument already has its value.
            let alone = !option.trim_end().contains(|c: char| c.is_ascii_whitespace());
            let is_save = option.trim_end().eq_ignore_ascii_case("save");
            if alone && is_save && next.is_none_or(|next| next.starts_with("--")) {
                // Programs that build the command line from a list write nothing for an empty value.
                lines.push(r#"save """#.to_owned());
            } else {
                lines.push(option.to_owned());
                wants_value = alone;
            }
        }
    }
    let directives = lines.iter().map(|line| file::parse_line(line, Origin::CommandLine));
    Ok(directives.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
