//! The API reference in the repository is what the table says.

use kvdb_commands::{reference, table};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");

/// To bring the page in step: this test with `KVDB_WRITE_DOCS=1`.
#[test]
fn the_reference_is_in_step_with_the_table() {
    let page = reference::page();
    if std::env::var_os("KVDB_WRITE_DOCS").is_some() {
        std::fs::write(PATH, &page).expect("the page can be written");
    }
    let committed = std::fs::read_to_string(PATH).expect("the page is there");
    assert!(
        committed == page,
        "docs/commands.md is not what the table says: run `KVDB_WRITE_DOCS=1 cargo test -p kvdb-commands reference`"
    );
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
