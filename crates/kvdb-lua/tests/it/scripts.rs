//! The test scripts in `testscripts/`, whose replies are those of Redis 7.
//!
//! With `KVDB_LUA_ORACLE=127.0.0.1:6379` they are compared with that server too; with `KVDB_LUA_BLESS=1` the replies in
//! the files are replaced by those that this crate gives.

use std::sync::Arc;
use std::{env, fs};

use kvdb_lua::{CacheLimits, FunctionRegistry, Library, Origin, ScriptCache, Vm, VmOptions};
use kvdb_resp::{Protocol, Reply, ReplyDecoder, ReplyLimits, Value};

use crate::mock::Mock;
use crate::notation::{self, Action, Step};
use crate::oracle::Oracle;

/// A server made of a VM and the mock.
pub(crate) struct Server {
    pub(crate) vm: Vm,
    pub(crate) cache: ScriptCache,
    pub(crate) registry: FunctionRegistry,
    pub(crate) host: Mock,
    pub(crate) protocol: Protocol,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with_options(VmOptions::default())
    }

    pub(crate) fn with_options(options: VmOptions) -> Self {
        Self {
            vm: Vm::new(options),
            cache: ScriptCache::new(CacheLimits::default()),
            registry: FunctionRegistry::default(),
            host: Mock::default(),
            protocol: Protocol::Resp2,
        }
    }

    /// The bytes of the reply: none where the run was interrupted.
    pub(crate) fn run(&mut self, action: &Action) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.protocol);
        match action {
            Action::Eval(code) => match self.vm.script(&self.cache, code.as_bytes(), Origin::Eval) {
                Ok(script) => {
                    let _ =
                        self.vm.eval(&mut self.host, &script, &[b"k1", b"k2"], &[b"a1", b"a2"], &mut reply);
                }
                Err(message) => reply.error(message),
            },
            Action::Load(code) => match self.load(code) {
                Ok(library) => reply.bulk(library.name().as_bytes()),
                Err(message) => reply.error(message),
            },
            Action::Call(name) => match self.registry.find(name.as_bytes()) {
                Some(function) => {
                    let _ = self.vm.call(&mut self.host, &function, &[b"k1"], &[b"a1"], &mut reply);
                }
                None => reply.error("ERR Function not found"),
            },
        }
        out
    }

    pub(crate) fn load(&mut self, code: &str) -> Result<Arc<Library>, Vec<u8>> {
        self.vm.load_library(&mut self.host, &self.registry, code.as_bytes(), true)
    }

    /// The reply to a script in one line.
    pub(crate) fn eval(&mut self, code: &str) -> String {
        let action = Action::Eval(code.to_owned());
        let reply = self.run(&action);
        notation::show(&action, &decode(&reply))
    }
}

/// The one reply that the bytes are.
pub(crate) fn decode(bytes: &[u8]) -> Value {
    let limits = ReplyLimits { max_depth: 1100, ..ReplyLimits::default() };
    let decoded = ReplyDecoder::default().decode(bytes, &limits).expect("a reply is RESP");
    let (value, consumed) = decoded.expect("a reply is whole");
    assert_eq!(consumed, bytes.len(), "there is one reply");
    value
}

/// Runs a file of test scripts.
fn check(file: &str) {
    let path = format!("{}/testscripts/{file}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).expect("the test script is there");
    let (mut server, mut oracle) = (Server::new(), Oracle::from_environment());
    let mut is_compared = true;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut failures = Vec::new();
    for step in notation::parse(&text) {
        match step {
            Step::Protocol(protocol) => {
                server.protocol = protocol;
                if let Some(oracle) = &mut oracle {
                    oracle.set_protocol(protocol);
                }
            }
            Step::Oracle(on) => is_compared = on,
            Step::Run(action, expected, line) => {
                let reply = server.run(&action);
                let actual = notation::show(&action, &decode(&reply));
                if actual != expected {
                    failures.push(format!(
                        "{file}:{line}: {action:?}\n  expected {expected}\n  received {actual}"
                    ));
                }
                if let Some(oracle) = oracle.as_mut().filter(|_| is_compared) {
                    let theirs = notation::show(&action, &oracle.run(&action));
                    if theirs != actual {
                        failures.push(format!(
                            "{file}:{line}: {action:?}\n  Redis says {theirs}\n  received   {actual}"
                        ));
                    }
                }
                let reply_line =
                    (line..).find(|&line| !lines[line].starts_with('|')).expect("there is a reply");
                lines[reply_line] = actual;
            }
        }
    }
    if env::var_os("KVDB_LUA_BLESS").is_some() {
        fs::write(&path, lines.join("\n") + "\n").expect("the test script can be written");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

macro_rules! files {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_file_is_run() {
            let mut names: Vec<String> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/testscripts"))
                .expect("the test scripts are there")
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            names.sort();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

files!(
    api,
    base,
    bit,
    cjson,
    cmsgpack,
    coroutine,
    errors,
    functions,
    patterns,
    replies,
    replies_resp3,
    sandbox,
    shebang,
    strings,
    structs,
    tables,
);
