//! How INFO is written: sections with a header, lines of `field:value`, empty lines in between.

use std::fmt::{Display, Write};

/// The text under construction.
#[derive(Default)]
pub(super) struct Text(String);

impl Text {
    /// Begins a section.
    pub(super) fn section(&mut self, header: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        self.line(format_args!("# {header}"));
    }

    /// Writes a field.
    pub(super) fn field(&mut self, name: &str, value: impl Display) {
        self.line(format_args!("{name}:{value}"));
    }

    /// Writes fields that have no meaning in KVDB, for tools that count on them.
    pub(super) fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.field(name, 0);
        }
    }

    /// Writes a number of bytes twice, the second time for people.
    pub(super) fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.line(format_args!("{name}_human:{}", human(bytes)));
    }

    /// Writes a line and its end. Ends of lines inside it, as a path may have, are blanked.
    fn line(&mut self, line: impl Display) {
        let start = self.0.len();
        let _ = write!(self.0, "{line}");
        if self.0[start..].contains(['\r', '\n']) {
            let clean = self.0[start..].replace(['\r', '\n'], " ");
            self.0.truncate(start);
            self.0.push_str(&clean);
        }
        self.0.push_str("\r\n");
    }

    /// The finished text.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Bytes as Redis shows them to people: `1.50M`.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut units = ['K', 'M', 'G', 'T', 'P'].into_iter().peekable();
    let mut unit = 'K';
    while let Some(next) = units.next() {
        unit = next;
        if scaled < 1024.0 || units.peek().is_none() {
            break;
        }
        scaled /= 1024.0;
    }
    format!("{scaled:.2}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_apart_by_an_empty_line() {
        let mut text = Text::default();
        text.section("Server");
        text.field("port", 6379);
        text.section("Memory");
        text.bytes("used", 2048);
        text.zeros(&["a", "b"]);
        let expected =
            "# Server\r\nport:6379\r\n\r\n# Memory\r\nused:2048\r\nused_human:2.00K\r\na:0\r\nb:0\r\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let mut text = Text::default();
        text.field("config_file", "/a\r\nrole:slave");
        assert_eq!(text.finish(), "config_file:/a  role:slave\r\n");
    }

    #[test]
    fn units_go_up_by_1024() {
        let shown: Vec<_> = [0, 1023, 1024, 1536 << 10, 3 << 30, 1 << 40, 1 << 50, 5 << 60].map(human).into();
        assert_eq!(shown, ["0B", "1023B", "1.00K", "1.50M", "3.00G", "1.00T", "1.00P", "5120.00P"]);
    }
}
