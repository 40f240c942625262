//! Settings from the outside: the arguments, files and variables of a process in, a configuration,
//! a reply or an error text out.

mod command_line;
mod config_get_set;
mod documentation;
mod environment;
mod errors;
mod files;
mod redis_parity;
mod rewriting;
mod typed_values;

use std::ffi::OsString;
use std::path::PathBuf;

use kvdb_server::settings::{Concern, Config, Start, Warning, start};
use tempfile::TempDir;

/// What a process would be started with.
#[derive(Default)]
struct Process {
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    input: Vec<u8>,
}

/// What came of it.
struct Outcome {
    start: Start,
    output: String,
    errors: String,
}

impl Process {
    fn new(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(OsString::from).collect(), ..Self::default() }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn input(mut self, text: &str) -> Self {
        self.input = text.into();
        self
    }

    fn run(self) -> Outcome {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let start =
            start(self.arguments, self.variables, &mut self.input.as_slice(), &mut output, &mut errors);
        Outcome {
            start,
            output: String::from_utf8(output).unwrap(),
            errors: String::from_utf8(errors).unwrap(),
        }
    }

    /// The configuration and the warnings of a start that succeeds.
    #[track_caller]
    fn serves(self) -> (Config, Vec<Warning>) {
        let outcome = self.run();
        match outcome.start {
            Start::Serve(config, warnings) => (*config, warnings),
            Start::Exit(code) => panic!("the start ended with {code}: {}", outcome.errors),
        }
    }

    /// The error text of a start that fails as a wrong configuration does.
    #[track_caller]
    fn fails(self) -> String {
        let outcome = self.run();
        assert!(matches!(outcome.start, Start::Exit(1)), "{:?}", outcome.start);
        assert_eq!(outcome.output, "");
        outcome.errors
    }
}

/// A directory with files in it.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_dir = Self(TempDir::new().unwrap());
        for (name, text) in files {
            files_dir.write(name, text.as_bytes());
        }
        files_dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A process with one configuration file.
fn with_file(text: &str) -> (Files, Process) {
    let files = Files::new(&[("kvdb.conf", text)]);
    let process = Process::new(&[&files.name("kvdb.conf")]);
    (files, process)
}

/// The text of one setting.
#[track_caller]
fn text<'a>(config: &'a Config, name: &str) -> &'a str {
    config.text(name).unwrap_or_else(|| panic!("{name} is not a setting"))
}

/// The settings that the warnings of one concern are about.
fn about(warnings: &[Warning], concern: Concern) -> Vec<&str> {
    warnings
        .iter()
        .filter(|warning| warning.concern == concern)
        .map(|warning| warning.about.as_str())
        .collect()
}
