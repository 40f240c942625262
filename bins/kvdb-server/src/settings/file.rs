//! Configuration files: lines of a name and words, comments after `#`, and `include`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StartError;
use super::source::{Directive, Origin, without_secret};
use super::values::Invalid;
use super::words;

/// Files that include files, deeper than this, are taken for a cycle.
const MAX_DEPTH: usize = 16;

/// A configuration is not larger than this; something else was named by mistake.
const MAX_BYTES: u64 = 4 << 20;

/// The directives of the file, and of the files it includes, in order.
///
/// # Errors
/// [`StartError`] when a file cannot be read, is not UTF-8, or has a line that cannot be split.
pub(super) fn read(path: &Path) -> Result<Vec<Directive>, StartError> {
    let mut directives = Vec::new();
    read_into(path, 0, &mut directives)?;
    Ok(directives)
}

/// The directives of `input`, which is standard input, and of the files it includes.
///
/// # Errors
/// As for [`read`].
pub(super) fn read_stdin(input: &mut dyn Read) -> Result<Vec<Directive>, StartError> {
    let bytes = read_bounded(input).map_err(StartError::Stdin)?;
    let mut directives = Vec::new();
    parse(&bytes, &|line| Origin::Stdin { line }, 0, &mut directives)?;
    Ok(directives)
}

/// `directives` with each `include` among them replaced by what its file holds.
///
/// # Errors
/// As for [`read`].
pub(super) fn expand(directives: &[Directive]) -> Result<Vec<Directive>, StartError> {
    let mut expanded = Vec::new();
    for directive in directives {
        push(directive.clone(), 0, &mut expanded)?;
    }
    Ok(expanded)
}

fn read_into(path: &Path, depth: usize, directives: &mut Vec<Directive>) -> Result<(), StartError> {
    let bytes = File::open(path)
        .and_then(|mut file| read_bounded(&mut file))
        .map_err(|error| StartError::Unreadable { path: path.to_owned(), error })?;
    let path = Arc::new(path.to_owned());
    parse(&bytes, &|line| Origin::File { path: Arc::clone(&path), line }, depth, directives)
}

fn read_bounded(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large for a configuration"));
    }
    Ok(bytes)
}

fn parse(
    bytes: &[u8],
    origin: &dyn Fn(usize) -> Origin,
    depth: usize,
    directives: &mut Vec<Directive>,
) -> Result<(), StartError> {
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let origin = origin(index + 1);
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(StartError::NotUtf8 { origin });
        };
        // A file saved by some editors opens with a byte order mark.
        let line = if index == 0 { line.trim_start_matches('\u{feff}') } else { line };
        if let Some(directive) = parse_line(line, origin)? {
            push(directive, depth, directives)?;
        }
    }
    Ok(())
}

/// The directive of one line, or nothing for an empty line or a comment.
///
/// # Errors
/// [`StartError::Directive`] when the line cannot be split into words.
pub(super) fn parse_line(line: &str, origin: Origin) -> Result<Option<Directive>, StartError> {
    let line = line.trim_matches([' ', '\t', '\r', '\n']);
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let shown = without_secret(line);
    match words::split(line) {
        Ok(mut words) if !words.is_empty() => {
            let name = words.remove(0);
            Ok(Some(Directive { origin, name, words, shown }))
        }
        Ok(_) => Ok(None),
        Err(error) => {
            let reason = Invalid::new(error.to_string());
            Err(StartError::Directive { origin, shown, reason, nearest: None })
        }
    }
}

/// Adds a directive, or what the file that it includes holds.
fn push(directive: Directive, depth: usize, directives: &mut Vec<Directive>) -> Result<(), StartError> {
    if !directive.name.eq_ignore_ascii_case("include") {
        directives.push(directive);
        return Ok(());
    }
    let [path] = directive.words.as_slice() else {
        return Err(StartError::directive(&directive, Invalid::word_count()));
    };
    if depth == MAX_DEPTH {
        let reason = format!("Files include each other more than {MAX_DEPTH} deep, perhaps in a circle");
        return Err(StartError::directive(&directive, Invalid::new(reason)));
    }
    read_into(&PathBuf::from(path), depth + 1, directives)
}
