//! From the arguments of the process to a configuration, or to an exit code.

use std::ffi::OsString;
use std::io::{Read, Write};

use super::command_line::{self, Action, USAGE};
use super::config::Config;
use super::error::{StartError, exit};
use super::print::print;
use super::warning::Warning;

/// What the process should do next.
#[derive(Debug)]
pub enum Start {
    /// Serve with this configuration, once these warnings are logged.
    Serve(Box<Config>, Vec<Warning>),
    /// Leave, with this code.
    Exit(u8),
}

/// Reads the command line and everything it refers to. Errors go to `errors`, answers to `output`.
///
/// A failure to write either is no reason to fail: the exit code says the same.
pub fn start(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    input: &mut dyn Read,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Start {
    let mut fail = |error: StartError, code| {
        let _ = writeln!(errors, "{error}");
        Start::Exit(code)
    };
    // Before the line is taken apart, whether it asks for a check decides the code of its errors.
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let checking = arguments.iter().any(|argument| argument == "--check-config");
    let code = if checking { exit::CHECK_FAILED } else { exit::BAD_CONFIGURATION };
    let line = match command_line::parse(arguments) {
        Ok(line) => line,
        Err(error) => return fail(error, code),
    };
    match line.action {
        Action::Version => {
            let _ = writeln!(output, "KVDB server v={} bits={}", env!("CARGO_PKG_VERSION"), usize::BITS);
            return Start::Exit(exit::OK);
        }
        Action::Help => {
            let _ = output.write_all(USAGE.as_bytes());
            return Start::Exit(exit::OK);
        }
        Action::Run | Action::Check | Action::Print(_) => {}
    }
    let (config, warnings) = match Config::load(&line, variables, input) {
        Ok(loaded) => loaded,
        Err(error) => return fail(error, code),
    };
    match line.action {
        Action::Check => {
            for warning in &warnings {
                let _ = writeln!(errors, "warning: {warning}");
            }
            let _ = writeln!(output, "The configuration is valid.");
            Start::Exit(exit::OK)
        }
        Action::Print(format) => {
            let _ = output.write_all(print(&config, format).as_bytes());
            Start::Exit(exit::OK)
        }
        Action::Run | Action::Version | Action::Help => Start::Serve(Box::new(config), warnings),
    }
}
