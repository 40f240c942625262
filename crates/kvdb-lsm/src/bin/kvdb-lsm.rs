//! The command line of the storage engine: looks into databases that no process has open, backs
//! them up, checks and repairs them.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
    ExitCode::from(kvdb_lsm::cli::run(std::env::args_os(), now, &mut out, &mut err))
}
