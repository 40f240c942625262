//! Libraries as data: their code is in rows of the server's own, and is read when the server starts.
//!
//! A change is in the log before anybody sees it, and changes follow each other in the registry as in the log, since they
//! are appended while the registry is held.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kvdb_commands::CommandError;
use kvdb_commands::values::rdb::libraries::{dump_libraries, read_libraries};
use kvdb_lua::{Host, Interrupt, Libraries, LogLevel, Metadata, Permission, Stop};
use kvdb_resp::{Args, Protocol, Reply};
use kvdb_store::commit_log::Refusal;

use super::{error, with_vm};
use crate::node::Node;

/// The beginning of the names of the rows that hold libraries.
const ROWS: &[u8] = b"function/";

const NO_LIBRARY: CommandError = CommandError::fixed("ERR Library not found");
const RESTORE_POLICY: CommandError =
    CommandError::fixed("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");

/// For so long the code of a library may run while it is loaded.
const LOAD_TIME: Duration = Duration::from_millis(500);

/// A host for code that may ask for nothing: that of a library while it is loaded.
struct Nothing {
    /// When it has to be done; at the start of the server there is nobody to wait.
    until: Option<Instant>,
}

impl Nothing {
    fn for_a_client() -> Self {
        Self { until: Some(Instant::now() + LOAD_TIME) }
    }
}

impl Host for Nothing {
    fn call(&mut self, _args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
        Reply::new(out, protocol).error("ERR redis.call can only be called inside a script invocation");
        Ok(())
    }

    fn check_permission(&mut self, _args: Args<'_>) -> Permission {
        Permission::Denied
    }

    fn log(&mut self, _level: LogLevel, _message: &[u8]) {}

    fn should_stop(&mut self) -> Option<Stop> {
        self.until.is_some_and(|until| Instant::now() >= until).then_some(Stop::Kill)
    }

    fn seed(&mut self) -> i32 {
        0
    }

    fn cpu_seconds(&mut self) -> f64 {
        0.0
    }
}

fn row(name: &str) -> Vec<u8> {
    [ROWS, name.as_bytes()].concat()
}

fn refused(refusal: Refusal) -> CommandError {
    CommandError::new(refusal.to_string())
}

/// What becomes of the libraries that are there when others are restored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// They stay; one of the same name is an error.
    Append,
    /// Those of the same names go.
    Replace,
    /// They go.
    Flush,
}

impl Policy {
    fn parse(option: Option<&[u8]>) -> Result<Self, CommandError> {
        match option.map(<[u8]>::to_ascii_lowercase).as_deref() {
            None | Some(b"append") => Ok(Self::Append),
            Some(b"replace") => Ok(Self::Replace),
            Some(b"flush") => Ok(Self::Flush),
            Some(_) => Err(RESTORE_POLICY),
        }
    }
}

impl Node {
    /// Reads the libraries that are stored. Meant for the start, before anybody is served.
    ///
    /// # Errors
    /// When rows cannot be read or a library does not load; the message is for an operator.
    pub fn load_functions(&self) -> Result<usize, String> {
        let stored = self.store.read_own(ROWS)?;
        let count = stored.len();
        for (name, code) in stored {
            let loaded = with_vm(|vm| {
                vm.load_library(&mut Nothing { until: None }, &self.scripting.functions, &code, true)
            });
            loaded.map_err(|text| {
                let (name, text) = (String::from_utf8_lossy(&name), String::from_utf8_lossy(&text));
                format!("the library '{name}' of functions does not load: {text}")
            })?;
        }
        Ok(count)
    }

    /// FUNCTION LOAD, with its options and the code.
    pub(super) fn load_library(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<u64, CommandError> {
        let (mut replace, code) = (false, &args[args.len() - 1]);
        for option in args.slice(0..args.len() - 1) {
            if !option.eq_ignore_ascii_case(b"replace") {
                let option = String::from_utf8_lossy(option).into_owned();
                return Err(CommandError::new(format!("ERR Unknown option given: {option}")));
            }
            replace = true;
        }
        let functions = &self.scripting.functions;
        let name = Metadata::parse(code).map_err(|text| error(&text))?.name;
        // Code whose name is taken does not run.
        if !replace && functions.library(name.as_bytes()).is_some() {
            return Err(CommandError::new(format!("ERR Library '{name}' already exists")));
        }
        let library = with_vm(|vm| vm.check_library(&mut Nothing::for_a_client(), code));
        let library = library.map_err(|text| error(&text))?;
        let seq = functions.change(|libraries| {
            libraries.insert(library, replace).map_err(|text| error(&text))?;
            self.store.write_own(&[(&row(&name), Some(code))]).map_err(refused)
        })?;
        reply.bulk(name.as_bytes());
        Ok(seq)
    }

    /// FUNCTION DELETE.
    pub(super) fn delete_library(&self, name: &[u8], reply: &mut Reply<'_>) -> Result<u64, CommandError> {
        let name = str::from_utf8(name).map_err(|_| NO_LIBRARY)?;
        let seq = self.scripting.functions.change(|libraries| {
            if !libraries.remove(name) {
                return Err(NO_LIBRARY);
            }
            self.store.write_own(&[(&row(name), None)]).map_err(refused)
        })?;
        reply.ok();
        Ok(seq)
    }

    /// FUNCTION FLUSH.
    pub(super) fn flush_libraries(&self, reply: &mut Reply<'_>) -> Result<u64, CommandError> {
        let seq =
            self.scripting.functions.change(|libraries| self.replace_all(libraries, Libraries::default()))?;
        reply.ok();
        Ok(seq)
    }

    /// FUNCTION DUMP.
    pub(super) fn dump_libraries(&self, reply: &mut Reply<'_>) {
        let libraries = self.scripting.functions.libraries();
        reply.bulk(&dump_libraries(libraries.iter().map(|library| library.code())));
    }

    /// FUNCTION RESTORE, with the payload and the policy.
    pub(super) fn restore_libraries(
        &self,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<u64, CommandError> {
        let policy = Policy::parse(args.get(1))?;
        let restored = self.read_payload(&args[0])?;
        let seq = self.scripting.functions.change(|libraries| {
            let mut next = if policy == Policy::Flush { Libraries::default() } else { libraries.clone() };
            next.join(&restored, policy == Policy::Replace).map_err(|text| error(&text))?;
            self.replace_all(libraries, next)
        })?;
        reply.ok();
        Ok(seq)
    }

    /// The libraries in a payload; their code runs, within the time that one has.
    fn read_payload(&self, payload: &[u8]) -> Result<Libraries, CommandError> {
        let max_bytes = self.hot.max_bulk.load(Ordering::Relaxed);
        let codes = read_libraries(payload, max_bytes).map_err(|e| CommandError::new(format!("ERR {e}")))?;
        let (mut libraries, mut host) = (Libraries::default(), Nothing::for_a_client());
        for code in codes {
            let code = code.map_err(|text| CommandError::new(format!("ERR {text}")))?;
            let library = with_vm(|vm| vm.check_library(&mut host, &code));
            let inserted = library.and_then(|library| libraries.insert(library, false));
            inserted.map_err(|text| error(&text))?;
        }
        Ok(libraries)
    }

    /// Writes the rows that differ, then puts `next` in the place of the libraries that are there.
    fn replace_all(&self, libraries: &mut Libraries, next: Libraries) -> Result<u64, CommandError> {
        let gone = libraries.iter().filter(|library| next.get(library.name()).is_none());
        let come = next.iter().filter(|library| libraries.get(library.name()) != Some(library));
        let gone = gone.map(|library| (row(library.name()), None));
        let come = come.map(|library| (row(library.name()), Some(library.code())));
        let rows: Vec<(Vec<u8>, Option<&[u8]>)> = gone.chain(come).collect();
        let rows: Vec<(&[u8], Option<&[u8]>)> = rows.iter().map(|(name, code)| (&name[..], *code)).collect();
        let seq = if rows.is_empty() { 0 } else { self.store.write_own(&rows).map_err(refused)? };
        *libraries = next;
        Ok(seq)
    }
}
