//! Links in the documentation lead somewhere: to a file of the repository, and to a heading that it has.

use super::Finding;
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            if let Some(problem) = problem_with(tree, file, target) {
                findings.push(Finding::error(&file.path, line, format!("the link `{target}` {problem}")));
            }
        }
    }
}

/// The targets of inline links and reference definitions outside code, with their lines counted from 1.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second piece between backquotes is code.
        for piece in line.split('`').step_by(2) {
            for (start, _) in piece.match_indices("](") {
                let rest = &piece[start + 2..];
                if let Some(end) = rest.find([')', ' ']) {
                    found.push((at + 1, &rest[..end]));
                }
            }
        }
    }
    found
}

fn problem_with(tree: &Tree, from: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { from.path.clone() } else { resolve(&from.path, path)? };
    if !tree.has(&path) {
        return Some("leads to no file of the repository".to_owned());
    }
    let page = tree.files.iter().find(|file| file.path == path && path.ends_with(".md"));
    match page {
        Some(page) if !heading.is_empty() && !headings(&page.text).any(|known| known == heading) => {
            Some(format!("leads to a heading that {path} does not have"))
        }
        _ => None,
    }
}

/// `target` as seen from the file `from`, relative to the root; a path that leaves the repository resolves to itself.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Some(target.to_owned());
                }
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that a page's headings get.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::errors_of;

    #[test]
    fn dead_links_are_caught() {
        for link in ["gone.md", "../gone/", "#gone", "b.md#gone", "/docs/gone.md", "../../above.md"] {
            let errors = errors_of(&[("docs/a.md", &format!("# A\n[x]({link})\n")), ("docs/b.md", "# B\n")]);
            assert!(errors.len() == 1 && errors[0].starts_with("docs/a.md:2: "), "{link}: {errors:?}");
        }
    }

    #[test]
    fn live_links_web_links_and_code_pass() {
        let text = "# A title, here\n[x](b.md#b) [y](../README.md) [z](#a-title-here) [w](https://example.org/x)\n\
                    `[c](gone.md)`\n```\n[d](gone.md)\n```\n[dir](../docs)\n";
        let files = [("docs/a.md", text), ("docs/b.md", "## B\n"), ("README.md", "hi")];
        assert_eq!(errors_of(&files), [""; 0]);
    }
}
