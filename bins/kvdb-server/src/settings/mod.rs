//! The settings of the server: one table, and everything that reads or writes it.
//!
//! A *setting* is a row of the [`table`]: its name, what a value looks like, its default, whether
//! CONFIG SET may change it, whether KVDB acts on it, and a sentence for the documentation. From the
//! rows follow the reader of configuration files, the environment, the command line, CONFIG GET, SET
//! and REWRITE, `--print-config` and `docs/kvdb.conf`; none of these knows a setting by name. Only
//! [`Settings`], the typed form for the rest of the server, names those that KVDB acts on.
//!
//! A value is set, from weak to strong, by the table's default, the configuration file, standard
//! input, the environment, the command line, and CONFIG SET. It is held as *canonical text*, which is
//! what CONFIG GET shows and the typed form is read from.
//!
//! ```
//! use kvdb_server::settings::{Config, command_line};
//!
//! let line = command_line::parse(["--maxmemory".into(), "1gb".into()]).unwrap();
//! let (mut config, warnings) = Config::load(&line, [], &mut std::io::empty()).unwrap();
//! assert_eq!(config.settings().maxmemory, Some(1 << 30));
//! assert!(warnings.is_empty());
//!
//! // CONFIG SET hz 20 timeout 60
//! let staged = config.stage(&[("hz", "20"), ("timeout", "60")]).unwrap();
//! assert_eq!(staged.changed(), ["hz", "timeout"]);
//! config.commit(staged);
//! assert_eq!(config.get(&["h?"]), [("hz".to_owned(), "20")]);
//! ```
//!
//! What it does not do: act on a setting. The server applies what was staged, logs the warnings it is
//! given, and keeps whatever its workers read often in atomics of its own.

mod checks;
pub mod command_line;
mod config;
mod environment;
mod error;
mod file;
mod held;
mod memory_size;
mod nearest;
mod pattern;
mod print;
mod rewrite;
mod source;
mod start;
pub mod table;
mod typed;
mod user_lines;
mod values;
mod warning;
mod words;

pub use config::{Config, SetError, Staged};
pub use error::{StartError, exit};
pub use print::print;
pub use rewrite::RewriteError;
pub(crate) use rewrite::replace as replace_file;
pub use source::{Directive, Origin};
pub use start::{Start, start};
pub use typed::{
    AclPubsub, ClientMemory, Compression, DebugCommand, Fsync, LogFormat, LogLevel, MemoryPolicy, Secret,
    Settings,
};
pub use user_lines::{UserLines, line as user_line};
pub use values::{BindAddress, ClientLimit, ClientLimits, Invalid, SavePoint};
pub use warning::{Concern, Warning};
