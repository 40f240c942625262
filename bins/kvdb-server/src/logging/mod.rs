//! The server's own log: lines for people or JSON, to standard output or a file.
//!
//! Lines have a time in UTC, a level, the module, a sentence and fields. Keys, values and passwords are never among
//! them. The levels are Redis' words for those of `tracing`: `debug` is everything, `verbose` stops at debug, `notice` at
//! info, `warning` at warnings and errors, and `nothing` logs nothing at all.

mod file;
mod timestamp;

use std::backtrace::Backtrace;
use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::{Layer, Registry};

use self::file::LogFile;
use self::timestamp::UtcClock;
use crate::settings::{LogFormat, LogLevel, Settings};

/// Characters of a panic's message that are logged.
const PANIC_MESSAGE_MAX: usize = 500;

/// Changes the level of the log that was set up.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Sets the log up, once for the process, and has panics logged before they take their course.
///
/// # Errors
/// When the file cannot be opened, or a log was set up before.
pub fn init(settings: &Settings) -> io::Result<()> {
    let (level, handle) = reload::Layer::new(filter(settings.loglevel));
    let lines = match &settings.logfile {
        Some(path) => lines(Arc::new(LogFile::open(path)?), settings.log_format, false),
        None => lines(io::stdout, settings.log_format, io::stdout().is_terminal()),
    };
    let subscriber = Registry::default().with(level).with(lines);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    LEVEL.get_or_init(|| handle);
    log_panics();
    Ok(())
}

/// Changes the least important level that is logged, from now on.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LEVEL.get() {
        // Fails only when the subscriber is gone, and then nothing is logged anyway.
        let _ = handle.reload(filter(level));
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

/// What turns events into lines of a form.
fn lines<S, W>(writer: W, format: LogFormat, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // A line that cannot be written is lost; to complain on standard error would be to panic where that is closed too.
    let layer = tracing_subscriber::fmt::layer().with_timer(UtcClock).log_internal_errors(false);
    match format {
        LogFormat::Text => layer.with_ansi(colours).with_writer(writer).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_writer(writer).boxed(),
    }
}

/// Logs a panic, then ends the process. What a run had half done when it panicked would otherwise go on: objects that the
/// log does not know, a batch that the next command appends, replies that the next client gets. What was acknowledged is
/// in the log, and a restart reads it.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log_panic(panic);
        before(panic);
        std::process::abort();
    }));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message: String = panic.payload_as_str().unwrap_or("").chars().take(PANIC_MESSAGE_MAX).collect();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::force_capture();
    tracing::error!(panic = message, location, thread, %backtrace, "a thread has panicked; this is a fault in KVDB");
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::io::Write;

    /// A writer whose lines the test can read.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Page {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock())).expect("lines are UTF-8")
        }
    }

    fn logged(
        format: LogFormat,
        level: LogLevel,
        work: impl FnOnce(&reload::Handle<LevelFilter, Registry>),
    ) -> Page {
        let page = Page::default();
        let writer = page.clone();
        let (level, handle) = reload::Layer::new(filter(level));
        let subscriber = Registry::default().with(level).with(lines(move || writer.clone(), format, false));
        tracing::subscriber::with_default(subscriber, || work(&handle));
        page
    }

    #[test]
    fn a_text_line_has_time_level_module_sentence_and_fields() {
        let line = logged(LogFormat::Text, LogLevel::Notice, |_| tracing::info!(port = 6379, "ready")).take();
        let (time, rest) = line.split_once(' ').expect("a time comes first");
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
        assert_eq!(rest.trim(), "INFO kvdb_server::logging::tests: ready port=6379");
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let line =
            logged(LogFormat::Json, LogLevel::Notice, |_| tracing::warn!(why = "a \"b\"\n", "odd")).take();
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with("}\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
        for part in [r#""level":"WARN""#, r#""message":"odd""#, r#""why":"a \"b\"\n""#] {
            assert!(line.contains(part), "{line} has no {part}");
        }
    }

    #[test]
    fn the_level_can_be_changed_while_events_are_logged() {
        let each = || {
            tracing::trace!("t");
            tracing::debug!("d");
            tracing::info!("i");
            tracing::warn!("w");
            tracing::error!("e");
        };
        let expected = [
            (LogLevel::Debug, 5),
            (LogLevel::Nothing, 0),
            (LogLevel::Verbose, 4),
            (LogLevel::Notice, 3),
            (LogLevel::Warning, 2),
        ];
        let page = logged(LogFormat::Text, LogLevel::Nothing, |handle| {
            each();
            for (level, _) in expected {
                handle.reload(filter(level)).expect("the subscriber is there");
                each();
            }
        });
        let lines = page.take().lines().count();
        assert_eq!(lines, expected.iter().map(|(_, lines)| lines).sum::<usize>());
    }

    #[test]
    fn a_panic_is_logged_with_its_place_and_goes_on() {
        let page = logged(LogFormat::Text, LogLevel::Warning, |_| {
            // Panics of other tests meanwhile would be logged to nobody and not be printed; they fail all the same.
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let caught = std::panic::catch_unwind(|| panic!("{} is odd", 3));
            std::panic::set_hook(before);
            assert!(caught.is_err());
        });
        let line = page.take();
        for part in ["ERROR", "a thread has panicked", "panic=\"3 is odd\"", "logging/mod.rs:", "backtrace="]
        {
            assert!(line.contains(part), "{line} has no {part}");
        }
    }
}
