//! Lua scripts and functions as Redis 7.2 has them, in a sandbox, above no storage.
//!
//! A *script* is Lua 5.1 text that EVAL runs on the server; a *function* is Lua code that was loaded once, in a
//! *library*, and is called by name. Both are run by a [`Vm`], and both reach the server in one way only: through the
//! [`Host`] that a run is given, which runs commands, answers whether the script must stop, and provides time and
//! randomness, of which this crate has none. What a host returns for a command is the command's encoded reply, so that
//! nothing is converted twice.
//!
//! ```
//! use kvdb_lua::{CacheLimits, Ending, Host, Interrupt, LogLevel, Origin, Permission, ScriptCache, Stop, Vm, VmOptions};
//! use kvdb_resp::{Args, Protocol, Reply};
//!
//! /// A server with the one command ECHO.
//! struct Echo;
//!
//! impl Host for Echo {
//!     fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt> {
//!         match (args.name(), args.get(1)) {
//!             (b"ECHO", Some(text)) => Reply::new(out, protocol).bulk(text),
//!             _ => Reply::new(out, protocol).error("ERR Unknown Redis command called from script"),
//!         }
//!         Ok(())
//!     }
//!     fn check_permission(&mut self, _args: Args<'_>) -> Permission {
//!         Permission::Granted
//!     }
//!     fn log(&mut self, _level: LogLevel, _message: &[u8]) {}
//!     fn should_stop(&mut self) -> Option<Stop> {
//!         None
//!     }
//!     fn seed(&mut self) -> i32 {
//!         0
//!     }
//!     fn cpu_seconds(&mut self) -> f64 {
//!         0.0
//!     }
//! }
//!
//! let cache = ScriptCache::new(CacheLimits::default());
//! let mut vm = Vm::new(VmOptions::default());
//! let text = b"return {redis.call('ECHO', ARGV[1]), #KEYS}";
//! let script = vm.script(&cache, text, Origin::Eval).unwrap();
//! let mut out = Vec::new();
//! let ending = vm.eval(&mut Echo, &script, &[b"key"], &[b"hello"], &mut Reply::new(&mut out, Protocol::Resp2));
//! assert_eq!(ending, Ending::Returned);
//! assert_eq!(out, b"*2\r\n$5\r\nhello\r\n:1\r\n");
//! ```
//!
//! # What a hostile script can do
//!
//! Fail. It sees no file, no process and no other script's data: globals, libraries and shared metatables are read-only.
//! Its memory is bounded, and so are its reply and the depth of what it converts. It is asked to stop every few thousand
//! instructions, and cannot catch the order. Bytecode is refused. The errors of Lua 5.1's own C code that have made
//! Redis run foreign code are out of reach: what is dangerous in it is replaced (`unpack`, `string.rep`, patterns, `load`,
//! `table.insert`, `collectgarbage`) or absent (`newproxy`, `setfenv`, `debug`, `io`, `package`), and cjson, cmsgpack,
//! struct and bit are written in safe Rust.
//!
//! # Where it differs from Redis on purpose
//!
//! The options of `cjson` last for one run. `math.random` is seeded for each run by the host. A script cannot be nested
//! too deep in data (1000 levels), and text to compile is at most 16 MiB. Matching a pattern of more than 200 nested
//! quantifiers fails. Raising a table without an `err` field is an ordinary error.
//!
//! # What this crate does not do
//!
//! It knows no command: that a command exists, its arity, what scripts may run, the user's rights and the rules of the
//! flags ([`Flags`]) are the host's. It neither locks, nor retries, nor replicates: a run that must be started over is
//! ended with [`Interrupt`]. It writes no files: libraries are values ([`Library`]) for others to save.

mod api;
mod arguments;
mod builder;
mod cache;
mod convert;
mod function;
mod host;
mod libraries;
mod sandbox;
mod script;
mod stack;
mod state;
mod thrown;
mod vm;

pub use cache::{CacheLimits, Origin, ScriptCache};
pub use function::{
    ENGINE, FunctionInfo, FunctionRegistry, Libraries, Library, Metadata, RegisteredFunction,
};
pub use host::{Host, Interrupt, LogLevel, Permission, Stop};
pub use script::{Flags, Script, Sha};
pub use vm::{Ending, Ready, Vm, VmOptions};
