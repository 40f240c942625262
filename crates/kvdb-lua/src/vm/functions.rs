//! Libraries and functions in a machine.

use std::sync::Arc;

use kvdb_resp::Reply;
use mlua::{Function, Table};

use super::{Ending, Vm};
use crate::function::{FunctionRegistry, Library, Metadata, RegisteredFunction, Registrations};
use crate::host::{Host, Stop};
use crate::sandbox::compile;
use crate::state::Scope;

impl Vm {
    /// Calls a function: FCALL. `keys` and `args` are its two arguments.
    ///
    /// What a library keeps in its own variables, each machine has for itself, from when it first loads the library until
    /// that is replaced or deleted.
    pub fn call(
        &mut self,
        host: &mut dyn Host,
        function: &RegisteredFunction,
        keys: &[&[u8]],
        args: &[&[u8]],
        reply: &mut Reply<'_>,
    ) -> Ending {
        let name = &function.info().name;
        let callback = match self.callback(host, &function.library, name) {
            Ok(Some(callback)) => callback,
            Ok(None) => return Ending::Interrupted,
            Err(message) => return self.refuse(&message, reply),
        };
        self.state.begin(Scope::Function);
        let lists = self.list(keys).and_then(|keys| Ok((keys, self.list(args)?)));
        let (keys, args) = match lists {
            Ok(lists) => lists,
            Err(error) => return self.refuse(&self.failure(&error), reply),
        };
        let sandbox = &self.sandbox;
        let result =
            self.run(host, || sandbox.call_function.call((callback, keys, args, &sandbox.note_failure)));
        self.state.resume_panic();
        self.finish(host, name, result, reply)
    }

    /// FUNCTION LOAD: runs the code of a library to learn its functions, and registers them.
    ///
    /// # Errors
    /// The error reply, where the code or the registry does not allow it.
    pub fn load_library(
        &mut self,
        host: &mut dyn Host,
        registry: &FunctionRegistry,
        code: &[u8],
        replace: bool,
    ) -> Result<Arc<Library>, Vec<u8>> {
        let metadata = Metadata::parse(code)?;
        if !replace && registry.library(metadata.name.as_bytes()).is_some() {
            return Err(format!("ERR Library '{}' already exists", metadata.name).into_bytes());
        }
        registry.insert(self.read_library(host, metadata, code)?, replace)
    }

    /// As [`load_library`](Self::load_library), but the library is only read: FUNCTION RESTORE registers several at once.
    ///
    /// # Errors
    /// The error reply, where the code does not allow it.
    pub fn check_library(&mut self, host: &mut dyn Host, code: &[u8]) -> Result<Library, Vec<u8>> {
        self.read_library(host, Metadata::parse(code)?, code)
    }

    /// A function of a library, which is loaded now if it was not yet. None if the host interrupted that.
    fn callback(
        &mut self,
        host: &mut dyn Host,
        library: &Arc<Library>,
        name: &str,
    ) -> Result<Option<Function>, Vec<u8>> {
        let known: Option<Table> =
            self.libraries.get(library.name(), library).map_err(|error| self.failure(&error))?;
        let callbacks = match known {
            Some(callbacks) => callbacks,
            None => {
                let callbacks = match self.run_library(host, library.body()) {
                    Ok(registrations) => registrations.callbacks,
                    Err(_) if self.state.stopped() == Some(Stop::Interrupt) => return Ok(None),
                    Err(message) => return Err(message),
                };
                let kept = self.libraries.keep(library.name().to_owned(), library, &callbacks);
                kept.map_err(|error| self.failure(&error))?;
                callbacks
            }
        };
        callbacks.raw_get(name).map(Some).map_err(|error| self.failure(&error))
    }

    fn read_library(
        &mut self,
        host: &mut dyn Host,
        metadata: Metadata,
        code: &[u8],
    ) -> Result<Library, Vec<u8>> {
        let Registrations { functions, .. } = self.run_library(host, &code[metadata.code_start..])?;
        if functions.is_empty() {
            return Err(b"ERR No functions registered".to_vec());
        }
        Ok(Library { metadata, code: code.into(), functions })
    }

    /// Runs the code of a library, with the globals that libraries have then.
    fn run_library(&mut self, host: &mut dyn Host, body: &[u8]) -> Result<Registrations, Vec<u8>> {
        self.state.begin(Scope::Function);
        let sandbox = &self.sandbox;
        let chunk = compile(&sandbox.lua, Scope::Function, body, b"@user_function")
            .map_err(|message| [b"ERR Error compiling function: ", message.as_slice()].concat())?;
        let callbacks = sandbox.lua.create_table().map_err(|error| self.failure(&error))?;
        self.state.registrations.replace(Some(Registrations { functions: Vec::new(), callbacks }));
        // Outside of the run: nothing may keep the globals from being switched back.
        sandbox.set_loading(true).map_err(|error| self.failure(&error))?;
        let result = self.run(host, || sandbox.xpcall.call((&chunk, &sandbox.note_failure)));
        sandbox.set_loading(false).map_err(|error| self.failure(&error))?;
        let registrations = self.state.registrations.take();
        self.state.resume_panic();
        let error = match (self.state.stopped(), result) {
            (None, Ok((true, _))) => {
                return registrations.ok_or_else(|| b"ERR No functions registered".to_vec());
            }
            (Some(_), _) => b"ERR FUNCTION LOAD timeout".to_vec(),
            (None, result) => self.take_failure(result).error.message,
        };
        self.collect_garbage();
        Err([b"ERR Error registering functions: ", error.as_slice()].concat())
    }
}
