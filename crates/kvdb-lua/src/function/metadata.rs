//! The first line of a library: `#!lua name=mylib`.

use super::{INVALID_NAME, is_valid_name};

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The name of the library.
    pub name: String,
    /// Where the code begins: at the end of the first line, so that lines keep their numbers.
    pub(crate) code_start: usize,
}

impl Metadata {
    /// Reads the first line.
    ///
    /// # Errors
    /// The error reply for a line that is none, names no library or an engine other than Lua.
    ///
    /// ```
    /// use kvdb_lua::Metadata;
    ///
    /// assert_eq!(Metadata::parse(b"#!lua name=mylib\n...").unwrap().name, "mylib");
    /// assert_eq!(Metadata::parse(b"return 1").unwrap_err(), b"ERR Missing library metadata");
    /// ```
    pub fn parse(code: &[u8]) -> Result<Self, Vec<u8>> {
        let fail = |message: &str| Err([b"ERR ", message.as_bytes()].concat());
        if !code.starts_with(b"#!") {
            return fail("Missing library metadata");
        }
        let Some(code_start) = code.iter().position(|&byte| byte == b'\n') else {
            return fail("Invalid library metadata");
        };
        let Some(words) = words(&code[..code_start]) else {
            return fail("Invalid library metadata");
        };
        let (engine, options) =
            words.split_first().map_or((&b""[..], &[][..]), |(first, rest)| (&first[2..], rest));
        let mut name = None;
        for word in options {
            let Some(given) = word.strip_prefix(b"name=") else {
                return fail(&format!("Invalid metadata value given: {}", String::from_utf8_lossy(word)));
            };
            if name.replace(given).is_some() {
                return fail("Invalid metadata value, name argument was given multiple times");
            }
        }
        let Some(name) = name else {
            return fail("Library name was not given");
        };
        if !is_valid_name(name) {
            return fail(INVALID_NAME);
        }
        if !engine.eq_ignore_ascii_case(b"lua") {
            return fail(&format!("Engine '{}' not found", String::from_utf8_lossy(engine)));
        }
        Ok(Self { name: String::from_utf8_lossy(name).into_owned(), code_start })
    }
}

/// The words of a line, which may be quoted as in a configuration file. `None` where a quote does not end, or not at the
/// end of a word.
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let mut word = Vec::new();
        while let Some((&byte, after)) = rest.split_first().filter(|(byte, _)| !byte.is_ascii_whitespace()) {
            rest = after;
            match byte {
                b'"' | b'\'' => {
                    rest = quoted(byte, rest, &mut word)?;
                    if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                        return None;
                    }
                }
                _ => word.push(byte),
            }
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Some(words)
}

/// Reads what stands in quotes, up to the quote that ends it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let escaped = rest.get(1).copied();
        match (rest.first()?, escaped) {
            (&byte, _) if byte == quote => return Some(&rest[1..]),
            (b'\\', Some(b'\'')) if quote == b'\'' => {
                word.push(b'\'');
                rest = &rest[2..];
            }
            (b'\\', Some(byte)) if quote == b'"' => {
                word.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                rest = &rest[2..];
            }
            (&byte, _) => {
                word.push(byte);
                rest = &rest[1..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_quoted() {
        let read = |line: &[u8]| {
            Metadata::parse(line)
                .map(|metadata| metadata.name)
                .map_err(|error| String::from_utf8(error).expect("errors are text"))
        };
        for line in ["#!lua name=a\n", "#!LUA name='a'\n", "#!lua  name=\"a\" \r\n"] {
            assert_eq!(read(line.as_bytes()).as_deref(), Ok("a"), "{line}");
        }
        for (line, error) in [
            ("#! name=a\n", "ERR Engine '' not found"),
            ("#!\n", "ERR Library name was not given"),
            ("#!lua name='a\n", "ERR Invalid library metadata"),
            ("#!lua na'me'=a\n", "ERR Invalid library metadata"),
            ("#!lua nam=a\n", "ERR Invalid metadata value given: nam=a"),
        ] {
            assert_eq!(read(line.as_bytes()), Err(error.to_owned()), "{line}");
        }
        assert_eq!(words(br#"a "b\n\"c" 'd\'e' f"#), Some(["a", "b\n\"c", "d'e", "f"].map(Vec::from).into()));
    }
}
