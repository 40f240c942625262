//! The server's process: reads the command line and serves.

use std::process::ExitCode;

use kvdb_server::bootstrap::{self, Ended};
use kvdb_server::settings::{self, Start};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let (mut input, mut output, mut errors) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    match settings::start(arguments, std::env::vars_os(), &mut input, &mut output, &mut errors) {
        Start::Exit(code) => ExitCode::from(code),
        Start::Serve(config, warnings) => match bootstrap::run(*config, &warnings) {
            Ended::Orderly => ExitCode::SUCCESS,
            Ended::Failed => ExitCode::FAILURE,
        },
    }
}
