//! The results of a test run in JUnit's XML, as pytest writes it: as much of XML as that needs.

use super::{Ending, Test};

/// The tests of a report, in its order.
pub(super) fn parse(xml: &str) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for tag in (Tags { rest: xml }) {
        match tag.name {
            "testcase" => {
                let class = tag.attribute("classname").unwrap_or_default();
                let name = tag.attribute("name").unwrap_or_default();
                let class = class.strip_prefix("tests.").unwrap_or(&class);
                tests.push(Test { name: format!("{class}::{name}"), ending: Ending::Passed });
            }
            "failure" | "error" => {
                end(&mut tests, Ending::Failed(tag.attribute("message").unwrap_or_default()))
            }
            "skipped" => end(&mut tests, Ending::Skipped),
            _ => {}
        }
    }
    tests
}

/// Notes how the test ended that the report is at. A test that failed and could not be put away either failed.
fn end(tests: &mut [Test], ending: Ending) {
    if let Some(test) = tests.last_mut().filter(|test| !matches!(test.ending, Ending::Failed(_))) {
        test.ending = ending;
    }
}

/// A start tag.
struct Tag<'a> {
    name: &'a str,
    attributes: &'a str,
}

impl Tag<'_> {
    fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some((found, behind)) = rest.split_once("=\"") {
            let (value, behind) = behind.split_once('"')?;
            if found.trim() == name {
                return Some(unescape(value));
            }
            rest = behind;
        }
        None
    }
}

/// All start tags of a text. What stands between tags has no `<` in it, attributes have no `>`.
struct Tags<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let (_, behind) = self.rest.split_once('<')?;
        let (tag, rest) = behind.split_once('>')?;
        self.rest = rest;
        let (name, attributes) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        Some(Tag { name: name.trim_end_matches('/'), attributes })
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        out.push_str(before);
        let Some((entity, behind)) = behind.split_once(';') else { break };
        match entity {
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            "amp" => out.push('&'),
            number => {
                let code = number.strip_prefix('#').and_then(|code| match code.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok(),
                    None => code.parse().ok(),
                });
                out.extend(code.and_then(char::from_u32));
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read() {
        let xml = "<?xml version=\"1.0\"?><testsuites><testsuite name=\"pytest\" errors=\"1\">\
            <testcase classname=\"tests.test_commands.TestCommands\" name=\"test_get\" time=\"0.1\" />\
            <testcase classname=\"tests.test_a\" name=\"test_b[&lt;x&gt;-1]\"><failure message=\"E &quot;1&quot;&#10;2\">\
            long &lt;text&gt;</failure><error message=\"gone\">x</error></testcase>\
            <testcase classname=\"tests.test_a\" name=\"c\"><skipped type=\"pytest.skip\" message=\"m\">y</skipped></testcase>\
            </testsuite></testsuites>";
        let test = |name: &str, ending| Test { name: name.to_owned(), ending };
        assert_eq!(
            parse(xml),
            [
                test("test_commands.TestCommands::test_get", Ending::Passed),
                test("test_a::test_b[<x>-1]", Ending::Failed("E \"1\"\n2".to_owned())),
                test("test_a::c", Ending::Skipped),
            ]
        );
    }
}
