//! INFO: what the server tells about itself, in the words of Redis.
//!
//! Tools parse this text, so it has every field that exporters and consoles read, by Redis' names and in Redis' sections.
//! Where KVDB has no such thing (forks, replicas, modules) the field is there and says 0. What only KVDB has is in
//! `# Storage`. Each section is a struct of plain figures, *gathered* from the node and then *written*: the two are apart
//! so that the text can be tested without a node.

mod clients;
mod commands;
mod cpu;
mod keyspace;
mod memory;
mod persistence;
mod replication;
mod server;
mod stats;
mod storage;
mod text;

use std::cell::OnceCell;
use std::sync::Arc;

use kvdb_lsm::DbStats;

use self::text::Text;
use crate::node::Node;
use crate::settings::Settings;
use crate::stats::{Totals, totals};

/// A node while it is asked: what several sections need is fetched once, so they agree with each other.
struct Asked<'n> {
    node: &'n Node,
    settings: Arc<Settings>,
    totals: OnceCell<Totals>,
    rows: OnceCell<DbStats>,
}

impl<'n> Asked<'n> {
    fn new(node: &'n Node) -> Self {
        let settings = node.config.lock().settings().clone();
        Self { node, settings, totals: OnceCell::new(), rows: OnceCell::new() }
    }

    fn totals(&self) -> &Totals {
        self.totals.get_or_init(|| totals(self.node.workers.iter().map(|worker| &**worker)))
    }

    fn rows(&self) -> &DbStats {
        self.rows.get_or_init(|| self.node.rows.stats())
    }
}

/// A section: its name in the request, whether it is shown when none is named, and how it is made.
struct Section {
    name: &'static str,
    is_default: bool,
    write: fn(&Asked<'_>, &mut Text),
}

impl Section {
    const fn new(name: &'static str, is_default: bool, write: fn(&Asked<'_>, &mut Text)) -> Self {
        Self { name, is_default, write }
    }
}

/// All sections, in the order in which they are shown.
const SECTIONS: &[Section] = &[
    Section::new("server", true, |asked, text| server::Server::gather(asked).write(text)),
    Section::new("clients", true, |asked, text| clients::Clients::gather(asked).write(text)),
    Section::new("memory", true, |asked, text| memory::Memory::gather(asked).write(text)),
    Section::new("persistence", true, |asked, text| persistence::Persistence::gather(asked).write(text)),
    Section::new("stats", true, |asked, text| stats::Stats::gather(asked).write(text)),
    Section::new("replication", true, |asked, text| replication::Replication::gather(asked).write(text)),
    Section::new("cpu", true, |_, text| cpu::Cpu::gather().write(text)),
    // There are no modules, and tools look for the header.
    Section::new("modules", true, |_, text| text.section("Modules")),
    Section::new("commandstats", false, |asked, text| commands::CommandStats::gather(asked).write(text)),
    Section::new("errorstats", true, |asked, text| commands::ErrorStats::gather(asked).write(text)),
    Section::new("latencystats", false, |asked, text| commands::LatencyStats::gather(asked).write(text)),
    Section::new("cluster", true, |_, text| {
        text.section("Cluster");
        text.field("cluster_enabled", 0);
    }),
    Section::new("storage", true, |asked, text| storage::Storage::gather(asked).write(text)),
    Section::new("keyspace", true, |asked, text| keyspace::Keyspace::gather(asked).write(text)),
];

/// The text of INFO for these sections, in lower case: names of sections, `default`, `all` and `everything`. None means
/// `default`; names that are not known add nothing.
pub fn text(node: &Node, sections: &[String]) -> String {
    let asked = Asked::new(node);
    let mut text = Text::default();
    for section in chosen(sections) {
        (section.write)(&asked, &mut text);
    }
    text.finish()
}

/// The sections that are meant, each once, in the order in which they are shown.
fn chosen(names: &[String]) -> impl Iterator<Item = &'static Section> {
    SECTIONS.iter().filter(|section| {
        let is_meant = |name: &String| match name.as_str() {
            "default" => section.is_default,
            "all" | "everything" => true,
            name => name == section.name,
        };
        (names.is_empty() && section.is_default) || names.iter().any(is_meant)
    })
}

#[cfg(test)]
mod tests;
