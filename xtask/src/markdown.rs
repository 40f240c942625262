//! Sections of the documentation that are written by the commands whose results they show.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::failure::{Outcome, While};

/// Puts `text` between the markers `<!-- NAME -->` and `<!-- /NAME -->` of a page; a page without them gets them at its
/// end, and a page that is not there is begun.
pub(crate) fn replace_section(page: &Path, name: &str, text: &str) -> Outcome {
    let old = match fs::read_to_string(page) {
        Err(error) if error.kind() == ErrorKind::NotFound => title_of(page),
        old => old.while_doing(|| format!("cannot read {}", page.display()))?,
    };
    fs::write(page, with_section(&old, name, text)).while_doing(|| format!("cannot write {}", page.display()))
}

/// What stands between the markers of a page, if it has them.
pub(crate) fn section<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (_, rest) = page.split_once(&open)?;
    rest.split_once(&close).map(|(text, _)| text.trim())
}

/// `# Performance` for `docs/performance.md`.
fn title_of(page: &Path) -> String {
    let name = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    format!("# {}{rest}\n", first.to_uppercase())
}

fn with_section(page: &str, name: &str, text: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let section = format!("{open}\n\n{}\n\n{close}", text.trim());
    let found = page.find(&open).and_then(|start| {
        let end = page[start..].find(&close)? + start + close.len();
        Some((start, end))
    });
    match found {
        Some((start, end)) => format!("{}{section}{}", &page[..start], &page[end..]),
        None => format!("{}\n\n{section}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_in_place_or_added_at_the_end() {
        let page = "# P\n\n<!-- a -->\nold\n<!-- /a -->\n\nrest\n";
        let new = with_section(page, "a", "new");
        assert_eq!(new, "# P\n\n<!-- a -->\n\nnew\n\n<!-- /a -->\n\nrest\n");
        assert_eq!(with_section(&new, "a", "new"), new);
        assert_eq!((section(&new, "a"), section(&new, "b")), (Some("new"), None));
        assert!(with_section(page, "b", "x").ends_with("rest\n\n<!-- b -->\n\nx\n\n<!-- /b -->\n"));
    }
}
