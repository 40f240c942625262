//! Many lookups at once: every memtable and every table is gone through once for all of them.

use super::state::{Lookup, Met, State};
use crate::batch::Seq;
use crate::entry::Content;
use crate::error::Error;
use crate::table::{Lookups, Table};
use crate::version::{LEVELS, VersionFile};

/// A key whose newest version has not been found yet.
#[derive(Debug, Clone, Copy)]
struct Open<'a> {
    lookup: Lookup<'a>,
    /// The place of its answer.
    place: usize,
}

type Answers = [Option<Vec<u8>>];

impl State {
    /// The values of `keys` that `at` sees, in the order of the keys.
    pub(super) fn multi_get<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        at: Seq,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut answers = vec![None; keys.len()];
        let lookups = keys.iter().map(|key| Lookup::new(key.as_ref(), at));
        let mut open: Vec<Open<'_>> =
            lookups.enumerate().map(|(place, lookup)| Open { lookup, place }).collect();
        for memtable in self.memtables() {
            open.retain(|&Open { lookup, place }| {
                let take = |value: Option<&[u8]>| answers[place] = value.map(<[u8]>::to_vec);
                memtable.get_with(lookup.hash, lookup.key, lookup.at, take).is_none()
            });
        }
        open.sort_unstable_by_key(|open| open.lookup.key);
        let levels = (1..LEVELS).map(|level| self.version.level(level));
        for files in self.version.runs().iter().chain(levels) {
            self.noting(self.search_level(files, &mut open, &mut answers))?;
        }
        Ok(answers)
    }

    /// Searches tables that follow each other; `open` is sorted.
    fn search_level(
        &self,
        files: &[VersionFile],
        open: &mut Vec<Open<'_>>,
        answers: &mut Answers,
    ) -> Result<(), Error> {
        let mut unanswered = Vec::with_capacity(open.len());
        let mut rest = open.as_slice();
        while let Some(first) = rest.first() {
            let at = files.partition_point(|file| file.meta.largest.as_slice() < first.lookup.key);
            let Some(file) = files.get(at) else {
                break;
            };
            let count = rest.partition_point(|open| open.lookup.key <= file.meta.largest.as_slice());
            let (here, behind) = rest.split_at(count);
            let mut here = here.to_vec();
            self.search_file(file, &mut here, answers)?;
            unanswered.append(&mut here);
            rest = behind;
        }
        unanswered.extend_from_slice(rest);
        *open = unanswered;
        Ok(())
    }

    /// Removes from `open`, which is sorted, what the table knows.
    fn search_file(
        &self,
        file: &VersionFile,
        open: &mut Vec<Open<'_>>,
        answers: &mut Answers,
    ) -> Result<(), Error> {
        let table: &Table = &file.table;
        // All filters before the first block: their cache misses overlap.
        let passed: Vec<bool> = open
            .iter()
            .map(|open| {
                file.meta.overlaps(open.lookup.key, open.lookup.key) && table.may_contain(open.lookup.hash)
            })
            .collect();
        let mut lookups = Lookups::new(table);
        let mut unanswered = Vec::with_capacity(open.len());
        for (&Open { lookup, place }, passed) in open.iter().zip(passed) {
            let mut take = |value: Option<&[u8]>| answers[place] = value.map(<[u8]>::to_vec);
            if passed {
                let met = |content: Content<'_>| Met::of(content, &mut take);
                let looked = lookups.get_with(lookup.hash, lookup.key, met)?;
                if let Some(met) = looked.found {
                    self.follow(met, lookup.key, take)?;
                    continue;
                }
                if looked.has_read {
                    self.note_detour(file);
                }
            }
            unanswered.push(Open { lookup, place });
        }
        *open = unanswered;
        Ok(())
    }
}
