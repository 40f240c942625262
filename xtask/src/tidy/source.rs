//! A Rust file as the rules see it: its code without comments and literals, and where its tests begin.

/// # Invariants
/// - `code` has as many lines as the text, and each is as long as its original: positions agree.
pub(super) struct Source {
    /// The text with every comment, string and character literal replaced by spaces.
    pub(super) code: Vec<String>,
    /// The first line (counted from 0) of the test module; the number of lines when there is none, 0 for a test file.
    pub(super) tests_from: usize,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let tests_from = if is_test_file(path) { 0 } else { first_test_line(&code) };
        Self { code, tests_from }
    }

    /// The lines of code that ship, with their numbers counted from 1.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take(self.tests_from)
    }

    /// All lines of code, with their numbers counted from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(at, line)| (at + 1, line.as_str()))
    }
}

fn is_test_file(path: &str) -> bool {
    let mut parts = path.split('/');
    path.ends_with("/tests.rs") || parts.any(|part| matches!(part, "tests" | "benches" | "examples" | "fuzz"))
}

/// Tests stand last in a file, in an inline module under `#[cfg(test)]`.
fn first_test_line(code: &[String]) -> usize {
    let is_test_module = |at: usize| {
        let next =
            code[at + 1..].iter().find(|line| !line.trim().is_empty() && !line.trim().starts_with("#["));
        let is_module =
            next.is_some_and(|line| line.trim().starts_with("mod ") && line.trim().ends_with('{'));
        code[at].starts_with("#[cfg(test)]") && is_module
    };
    (0..code.len()).find(|&at| is_test_module(at)).unwrap_or(code.len())
}

/// Replaces what is not code by spaces and keeps the line breaks.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at + 1..].starts_with(b"/") => at + line_length(&bytes[at..]),
            b'/' if bytes[at + 1..].starts_with(b"*") => at + block_comment_length(&bytes[at..]),
            b'"' => at + string_length(&bytes[at..]),
            b'r' | b'b' | b'c' if at == 0 || !is_identifier(bytes[at - 1]) => {
                match raw_string_length(&bytes[at..]) {
                    Some(length) => at + length,
                    None => at,
                }
            }
            b'\'' => at + char_length(&bytes[at..]),
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    // Multi-byte characters outside comments and literals are possible in identifiers only, and stay whole.
    String::from_utf8_lossy(&out).into_owned()
}

fn line_length(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `r"…"`, `r#"…"#`, `br#"…"#` and the like; `None` when it is an ordinary identifier or string prefix.
fn raw_string_length(rest: &[u8]) -> Option<usize> {
    let start = rest.iter().position(|&byte| !matches!(byte, b'r' | b'b' | b'c'))?;
    if start > 2 || rest[start - 1] != b'r' {
        return None;
    }
    let hashes = rest[start..].iter().take_while(|&&byte| byte == b'#').count();
    let body = start + hashes + 1;
    if rest.get(body - 1) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let end = rest[body..].windows(close.len()).position(|window| window == close);
    Some(end.map_or(rest.len(), |end| body + end + close.len()))
}

/// The length of a character literal; 0 when the quote opens a lifetime or a label.
fn char_length(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        let close = rest.iter().skip(3).position(|&byte| byte == b'\'');
        return close.map_or(rest.len(), |close| close + 4);
    }
    // A character takes up to four bytes; a lifetime has no closing quote right after its first character.
    let width = match rest.get(1) {
        Some(0x00..=0x7f) => 1,
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(_) => 4,
        None => return 0,
    };
    if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `word` stands in `line` with no identifier character on either side of it.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let edge =
        |byte: Option<&u8>, inner: u8| !is_identifier(inner) || byte.is_none_or(|byte| !is_identifier(*byte));
    line.match_indices(word).any(|(at, _)| {
        let (line, word) = (line.as_bytes(), word.as_bytes());
        edge(at.checked_sub(1).map(|before| &line[before]), word[0])
            && edge(line.get(at + word.len()), word[word.len() - 1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_become_spaces() {
        let cases = [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", 'z')"#, "f(      ,    )"),
            (r##"r#"a"b"# + br"c""##, "         +      "),
            (r"let c = '\'' as u8;", "let c =      as u8;"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("'é' 'é", "     'é"),
            ("number for bar", "number for bar"),
        ];
        for (text, code) in cases {
            assert_eq!(blank(text).trim_end(), code.trim_end(), "{text}");
        }
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = Source::new("a.rs", "let a = \"x\ny\";\nb");
        assert_eq!(source.code.len(), 3);
        assert_eq!(source.code[2], "b");
    }

    #[test]
    fn shipped_lines_end_at_the_test_module() {
        let text = "#[cfg(test)]\nuse x;\nfn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(Source::new("crates/a/src/b.rs", text).shipped().count(), 3);
        assert_eq!(Source::new("crates/a/tests/it/b.rs", text).shipped().count(), 0);
    }

    #[test]
    fn words_have_edges() {
        assert!(has_word("use tokio::net;", "tokio"));
        assert!(!has_word("use tokio_like::net;", "tokio"));
        assert!(!has_word("operand::new()", "rand::"));
        assert!(has_word("(rand::random())", "rand::"));
    }
}
