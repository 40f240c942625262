//! SCRIPT and FUNCTION: what the server says of scripts and libraries, and the way to what changes them.

use std::sync::Arc;

use kvdb_commands::values::glob::{Case, matches};
use kvdb_commands::{CommandError, errors};
use kvdb_lua::{ENGINE, Flags, Library, Origin, Sha};
use kvdb_resp::{Args, Reply};

use super::{error, with_vm};
use crate::node::Node;

const FLUSH_MODE: CommandError = CommandError::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
const FUNCTION_FLUSH_MODE: CommandError =
    CommandError::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");

fn is_flush_mode(args: Args<'_>) -> bool {
    match args.get(2) {
        None => true,
        Some(mode) => {
            args.len() == 3 && (mode.eq_ignore_ascii_case(b"async") || mode.eq_ignore_ascii_case(b"sync"))
        }
    }
}

impl Node {
    /// Runs a subcommand of SCRIPT.
    pub(crate) fn script_command(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let cache = &self.scripting.cache;
        match &*args[1].to_ascii_lowercase() {
            b"load" => {
                let script = with_vm(|vm| vm.script(cache, &args[2], Origin::Load));
                let script = script.map_err(|text| error(&text))?;
                reply.bulk(script.sha().to_string().as_bytes());
            }
            b"exists" => {
                let digests = args.tail(2);
                reply.array(digests.len());
                for digits in digests {
                    let known = Sha::parse(digits).is_some_and(|sha| cache.contains(&sha));
                    reply.integer(i64::from(known));
                }
            }
            b"flush" => {
                if !is_flush_mode(args) {
                    return Err(FLUSH_MODE);
                }
                cache.clear();
                reply.ok();
            }
            _ => {
                self.scripting.running.kill(false)?;
                reply.ok();
            }
        }
        Ok(())
    }

    /// Runs a subcommand of FUNCTION; returns the sequence that the reply depends on.
    pub(crate) fn function_command(
        &self,
        args: Args<'_>,
        reply: &mut Reply<'_>,
    ) -> Result<u64, CommandError> {
        let options = args.tail(2);
        match &*args[1].to_ascii_lowercase() {
            b"load" => self.load_library(options, reply),
            b"delete" => self.delete_library(&args[2], reply),
            b"flush" => {
                if args.len() > 3 {
                    return Err(errors::subcommand_syntax("FUNCTION", &args[1]));
                }
                if !is_flush_mode(args) {
                    return Err(FUNCTION_FLUSH_MODE);
                }
                self.flush_libraries(reply)
            }
            b"dump" => {
                self.dump_libraries(reply);
                Ok(0)
            }
            b"restore" => {
                if options.len() > 2 {
                    return Err(errors::subcommand_syntax("FUNCTION", &args[1]));
                }
                self.restore_libraries(options, reply)
            }
            b"list" => self.list_functions(options, reply).map(|()| 0),
            b"stats" => {
                self.function_stats(reply);
                Ok(0)
            }
            _ => {
                self.scripting.running.kill(true)?;
                reply.ok();
                Ok(0)
            }
        }
    }

    fn list_functions(&self, args: Args<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
        let (mut pattern, mut with_code) = (None, false);
        let mut options = args.iter();
        while let Some(option) = options.next() {
            if option.eq_ignore_ascii_case(b"withcode") && !with_code {
                with_code = true;
            } else if option.eq_ignore_ascii_case(b"libraryname") && pattern.is_none() {
                let missing = CommandError::fixed("ERR library name argument was not given");
                pattern = Some(options.next().ok_or(missing)?);
            } else {
                let option = String::from_utf8_lossy(option).into_owned();
                return Err(CommandError::new(format!("ERR Unknown argument {option}")));
            }
        }
        let wanted = |library: &Arc<Library>| {
            pattern.is_none_or(|pattern| matches(pattern, library.name().as_bytes(), Case::Sensitive))
        };
        let libraries: Vec<Arc<Library>> =
            self.scripting.functions.libraries().into_iter().filter(wanted).collect();
        reply.array(libraries.len());
        for library in libraries {
            reply.map(3 + usize::from(with_code));
            reply.bulk(b"library_name");
            reply.bulk(library.name().as_bytes());
            reply.bulk(b"engine");
            reply.bulk(ENGINE.as_bytes());
            reply.bulk(b"functions");
            reply.array(library.functions().len());
            for function in library.functions() {
                reply.map(3);
                reply.bulk(b"name");
                reply.bulk(function.name.as_bytes());
                reply.bulk(b"description");
                match &function.description {
                    Some(description) => reply.bulk(description.as_ref()),
                    None => reply.null(),
                }
                reply.bulk(b"flags");
                let flags: Vec<&str> = Flags::names(function.flags).collect();
                reply.set(flags.len());
                flags.iter().for_each(|flag| reply.simple(flag));
            }
            if with_code {
                reply.bulk(b"library_code");
                reply.bulk(library.code());
            }
        }
        Ok(())
    }

    fn function_stats(&self, reply: &mut Reply<'_>) {
        reply.map(2);
        reply.bulk(b"running_script");
        let run = self.scripting.running.longest().filter(|run| run.is_function());
        match run.as_ref().and_then(|run| Some((run, run.command()?.as_args()))) {
            None => reply.null(),
            Some((run, args)) => {
                reply.map(3);
                reply.bulk(b"name");
                reply.bulk(args.get(1).unwrap_or_default());
                reply.bulk(b"command");
                reply.array(args.len());
                args.iter().for_each(|arg| reply.bulk(arg));
                reply.bulk(b"duration_ms");
                reply.integer(i64::try_from(run.elapsed().as_millis()).unwrap_or(i64::MAX));
            }
        }
        let (libraries, functions) = self.scripting.functions.counts();
        reply.bulk(b"engines");
        reply.map(1);
        reply.bulk(ENGINE.as_bytes());
        reply.map(2);
        reply.bulk(b"libraries_count");
        reply.integer(libraries as i64);
        reply.bulk(b"functions_count");
        reply.integer(functions as i64);
    }
}
