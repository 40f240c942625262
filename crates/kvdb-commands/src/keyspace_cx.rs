//! What a command on whole databases may touch.

use std::sync::Arc;

use kvdb_store::{DbCounts, Draw, Env, Refusal, Scratch, Store, Walk, WriteCx};

use crate::blocking;
use crate::errors::CommandError;
use crate::spec::KeyspaceOutcome;

/// A command on databases. By itself it is a run only where it changes something, and holds no latch for long where it looks:
/// it is not atomic then, as SCAN and KEYS need not be. Within a run, one of a script or a transaction, it is a part of that.
pub struct KeyspaceCx<'r, 'w> {
    store: &'r Arc<Store>,
    /// The selected database.
    pub db: u16,
    /// Time, randomness and limits.
    pub env: Env,
    within: Within<'r, 'w>,
}

enum Within<'r, 'w> {
    /// No run; it may wait for the disk, or not.
    Nothing { may_wait: bool },
    /// A run that holds all latches.
    Run(&'r mut WriteCx<'w>),
}

impl<'r, 'w> KeyspaceCx<'r, 'w> {
    /// A command by itself. Where this thread may not wait for the disk a handler answers NeedIo, and is run again where it
    /// may.
    pub fn alone(store: &'r Arc<Store>, db: u16, env: Env, may_wait: bool) -> Self {
        Self { store, db, env, within: Within::Nothing { may_wait } }
    }

    /// A command that is a part of a run, which has to hold [all latches](WriteCx::reach_everything).
    pub fn within(store: &'r Arc<Store>, run: &'r mut WriteCx<'w>) -> Self {
        Self { store, db: run.db(), env: run.env(), within: Within::Run(run) }
    }

    /// Whether this thread may wait for the disk.
    pub fn may_wait(&self) -> bool {
        match self.within {
            Within::Nothing { may_wait } => may_wait,
            Within::Run(_) => true,
        }
    }

    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        self.store.databases()
    }

    /// Counts the keys.
    pub fn counts(&mut self) -> DbCounts {
        match &mut self.within {
            Within::Nothing { .. } => self.store.counts(self.db),
            Within::Run(run) => run.counts(),
        }
    }

    /// A step of a walk.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub fn walk(&mut self, cursor: u64, count: usize) -> Result<Walk, CommandError> {
        let walked = match &mut self.within {
            Within::Nothing { may_wait } => self.store.walk(self.db, cursor, count, self.env.now, *may_wait),
            Within::Run(run) => run.walk(cursor, count),
        };
        walked.map_err(unreadable)
    }

    /// Some key.
    ///
    /// # Errors
    /// When rows cannot be read.
    pub fn random_key(&mut self) -> Result<Draw, CommandError> {
        let drawn = match &mut self.within {
            Within::Nothing { may_wait } => {
                self.store.random_key(self.db, self.env.now, self.env.random, *may_wait)
            }
            Within::Run(run) => run.random_key(),
        };
        drawn.map_err(unreadable)
    }

    /// What a reply depends on that shows what is there: it may be as new as the newest write.
    pub fn has_seen(&self) -> KeyspaceOutcome {
        KeyspaceOutcome::Done(match self.within {
            Within::Nothing { .. } => self.store.appended(),
            // The run knows.
            Within::Run(_) => 0,
        })
    }

    /// Changes whole databases.
    ///
    /// # Errors
    /// When the log refuses that.
    pub fn change(
        &mut self,
        change: impl FnOnce(&mut WriteCx<'_>) -> Result<(), Refusal>,
    ) -> Result<KeyspaceOutcome, CommandError> {
        let refused = |refusal: Refusal| CommandError::new(refusal.to_string());
        if let Within::Run(run) = &mut self.within {
            change(run).map_err(refused)?;
            return Ok(KeyspaceOutcome::Done(0));
        }
        let mut scratch = Scratch::default();
        let mut run = WriteCx::new(self.store, self.store.latch_all(), &mut scratch, self.env, self.db);
        change(&mut run).and_then(|()| run.commit()).map_err(refused).map(|seq| {
            blocking::serve(self.store, self.env, &mut scratch);
            KeyspaceOutcome::Done(seq)
        })
    }
}

/// What the store says when it cannot read rows.
fn unreadable(message: String) -> CommandError {
    CommandError::new(format!("ERR {message}"))
}
