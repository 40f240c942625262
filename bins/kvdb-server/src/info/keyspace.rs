//! `# Keyspace`: a line for each database that has keys. There is none for an empty one: tools divide by what it says.

use kvdb_store::DbCounts;

use super::Asked;
use super::text::Text;
use crate::clock::unix_millis;

/// Databases with their counts, and how long their keys have left on average.
#[derive(Default)]
pub(super) struct Keyspace(Vec<(u16, DbCounts, u64)>);

impl Keyspace {
    pub(super) fn gather(asked: &Asked<'_>) -> Self {
        let (store, now) = (&asked.node.store, unix_millis());
        let of_database = |db| {
            let counts = store.counts(db);
            (db, counts, if counts.expires > 0 { store.mean_left(db, now) } else { 0 })
        };
        Self((0..store.databases()).map(of_database).collect())
    }

    pub(super) fn write(&self, text: &mut Text) {
        text.section("Keyspace");
        for (db, DbCounts { keys, expires }, left) in self.0.iter().filter(|(_, counts, _)| counts.keys > 0) {
            text.field(&format!("db{db}"), format_args!("keys={keys},expires={expires},avg_ttl={left}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_database_has_no_line() {
        let mut text = Text::default();
        let counts = |keys, expires| DbCounts { keys, expires };
        Keyspace(vec![(0, counts(3, 1), 7), (1, counts(0, 0), 0), (15, counts(1, 0), 0)]).write(&mut text);
        let lines = "# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=7\r\ndb15:keys=1,expires=0,avg_ttl=0\r\n";
        assert_eq!(text.finish(), lines);
    }
}
