//! What a script may ask of the server: the [`Host`].

use kvdb_resp::{Args, Protocol};
use scoped_tls_hkt::scoped_thread_local;

/// The server as a running script sees it. One is handed to every run and is asked for nothing outside of it.
///
/// This crate keeps no time and draws no random numbers: it asks for both here.
pub trait Host {
    /// Runs a command for `redis.call` and `redis.pcall` and appends its reply, exactly one, to `out`, spelled in
    /// `protocol`. Whether the command exists, its number of arguments, whether scripts may run it, and the rights of
    /// the user are the host's to check; what is wrong becomes an error reply like any other.
    ///
    /// # Errors
    /// [`Interrupt`] ends the run on the spot: the script cannot catch it, and the run ends with
    /// [`Ending::Interrupted`](crate::Ending::Interrupted) and without a reply. For a host that has to start the script
    /// over, because a key must be read from the disk first or a lock cannot be had.
    fn call(&mut self, args: Args<'_>, protocol: Protocol, out: &mut Vec<u8>) -> Result<(), Interrupt>;

    /// Whether the user that runs the script may run this command with these arguments, for `redis.acl_check_cmd`.
    fn check_permission(&mut self, args: Args<'_>) -> Permission;

    /// Takes a line of `redis.log`. Whether the level is one that is logged is the host's to decide.
    fn log(&mut self, level: LogLevel, message: &[u8]);

    /// Asked every few thousand instructions, and during pattern matches that take long: whether the script must stop.
    fn should_stop(&mut self) -> Option<Stop>;

    /// The seed of `math.random`, asked once for a run that draws numbers and has not seeded the generator itself.
    fn seed(&mut self) -> i32;

    /// Processor time in seconds, for `os.clock`: where it starts does not matter.
    fn cpu_seconds(&mut self) -> f64;
}

/// The host ends the run; see [`Host::call`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupt;

/// Why a script has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SCRIPT KILL or FUNCTION KILL: the client is told.
    Kill,
    /// As [`Interrupt`].
    Interrupt,
}

/// The answer to `redis.acl_check_cmd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// The user may.
    Granted,
    /// The user may not.
    Denied,
    /// There is no such command, or not with that many arguments.
    NoSuchCommand,
}

/// The first argument of `redis.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`, 0.
    Debug,
    /// `redis.LOG_VERBOSE`, 1.
    Verbose,
    /// `redis.LOG_NOTICE`, 2.
    Notice,
    /// `redis.LOG_WARNING`, 3.
    Warning,
}

impl LogLevel {
    /// Every level with its name, in the order of the numbers that scripts use.
    pub(crate) const ALL: [(&'static str, Self); 4] = [
        ("LOG_DEBUG", Self::Debug),
        ("LOG_VERBOSE", Self::Verbose),
        ("LOG_NOTICE", Self::Notice),
        ("LOG_WARNING", Self::Warning),
    ];
}

// The host of the run that is under way on this thread. The functions that Lua calls outlive every run, so they cannot
// own a reference to it.
scoped_thread_local!(static mut HOST: for<'a> &'a mut (dyn Host + 'a));

/// Runs `body` with `host` as the host that [`with_host`] finds.
pub(crate) fn set_host<R>(host: &mut dyn Host, body: impl FnOnce() -> R) -> R {
    HOST.set(host, body)
}

/// Asks the host of the run under way. Without a run there is no Lua code that could lead here.
pub(crate) fn with_host<R>(ask: impl FnOnce(&mut dyn Host) -> R) -> R {
    HOST.with(|host| ask(host))
}

/// Whether a run is under way on this thread.
pub(crate) fn host_is_set() -> bool {
    HOST.is_set()
}
