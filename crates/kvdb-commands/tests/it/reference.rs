//! The API reference in the repository is what the table says.

use kvdb_commands::{reference, table};

/// Compares a page of the repository with what it should be; writes it first with `KVDB_WRITE_DOCS=1`.
fn check(name: &str, page: impl FnOnce(&str) -> String) {
    let path = format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"));
    let committed = std::fs::read_to_string(&path).expect("the page is there");
    let page = page(&committed);
    if std::env::var_os("KVDB_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).expect("the page can be written");
        return;
    }
    assert!(
        committed == page,
        "docs/{name} is not what the table says: run `KVDB_WRITE_DOCS=1 cargo test -p kvdb-commands reference`"
    );
}

#[test]
fn the_reference_is_in_step_with_the_table() {
    check("commands.md", |_| reference::page());
}

#[test]
fn the_overview_is_in_step_with_the_table() {
    check("compatibility.md", |page| {
        let (open, close) = ("<!-- commands -->", "<!-- /commands -->");
        let (before, rest) = page.split_once(open).expect("the page has the section");
        let (_, after) = rest.split_once(close).expect("the section ends");
        format!("{before}{open}\n\n{}\n{close}{after}", reference::overview())
    });
}

#[test]
fn every_command_has_its_section() {
    let page = reference::page();
    for spec in table::all() {
        assert!(page.contains(&format!("\n### {}\n", spec.name.to_uppercase())), "{}", spec.name);
        for sub in spec.subcommands {
            let name = format!("{} {}", spec.name, sub.name).to_uppercase();
            assert!(page.contains(&format!("\n#### {name}\n")), "{name}");
        }
    }
}

#[test]
fn every_summary_is_a_sentence() {
    let every = table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    for spec in every {
        let starts = spec.summary.starts_with(|c: char| c.is_uppercase());
        assert!(starts && spec.summary.ends_with('.'), "{}: {:?}", spec.name, spec.summary);
    }
}
