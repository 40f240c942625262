//! News: what a run tells others of when it has ended, beside the keys themselves.
//!
//! While a run goes on, what there is to tell is collected in its [`Scratch`]: events of keys, and, where clients keep
//! what they have read, the keys that were changed and those that were read. When its changes have been appended, and
//! while its latches are still held, it becomes [`News`] in one queue; so the news of a key come in the order of its
//! changes. They are delivered when the latches have been given back, so that no key waits for those who listen, and
//! before the run's end is reported, so that who sees its reply can count on them. What is delivered takes no latches.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::OnceLock;

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::context::{Change, Env, Scratch};
use crate::events::Event;
use crate::key::Place;
use crate::latches::Guards;
use crate::store::Store;
use crate::write::WriteCx;

/// Something that others want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something has happened to a key.
    Event {
        /// What.
        event: Event,
        /// The key's database.
        db: u16,
        /// The key.
        key: Box<[u8]>,
        /// The sequence that must be safe before anybody may see it.
        depends_on: u64,
    },
    /// What clients have read of a key is no longer so, or has to be forgotten for want of room. They are no longer known
    /// as its readers.
    Stale {
        /// The key, in whatever database.
        key: Box<[u8]>,
        /// The clients.
        readers: Readers,
        /// The client that changed it; 0 where none did.
        by: u64,
    },
    /// One run has changed these keys; told only where [`Store::set_names_wanted`] says so. Each is there once.
    Changed {
        /// The keys, in whatever database, in order.
        keys: Vec<Box<[u8]>>,
        /// The client that changed them; 0 where none did.
        by: u64,
    },
    /// Databases were emptied or exchanged: whatever anybody has read may be no longer so.
    Emptied,
}

/// Clients by their numbers, in order.
pub type Readers = SmallVec<[u64; 2]>;

/// Who is told.
pub trait Audience: Send + Sync {
    /// Hears of what has happened, in its order. Called by one thread at a time, which holds no latch; it must not run
    /// anything on the store.
    fn hear(&self, news: &[News]);
}

/// What a run has to tell, collected while it goes on.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something has happened to a key of a database.
    Event(Event, u16, Box<[u8]>),
    /// A key was changed.
    Changed(Box<[u8]>),
    /// A key was read by the client of the run, which had made so many changes by then.
    Read(Place, Box<[u8]>, usize),
    /// A key was read by the client of the run, and then changed by it.
    Outdated(Box<[u8]>),
    /// A key was changed that these clients have read.
    Stale(Box<[u8]>, Readers),
    /// Databases were emptied or exchanged.
    Emptied,
}

impl Told {
    #[cold]
    pub(crate) fn event(event: Event, db: u16, key: &[u8]) -> Self {
        Self::Event(event, db, key.into())
    }
}

/// Finds out what a run has read and then changed.
#[cold]
pub(crate) fn outdate(told: &mut [Told], changed: &[Change]) {
    if !told.iter().any(|told| matches!(told, Told::Read(..))) {
        return;
    }
    let changes = changed.iter().enumerate().filter(|(_, change)| !change.quiet);
    let last: HashMap<Place, usize> = changes.map(|(at, change)| (change.place, at)).collect();
    for told in told {
        if let Told::Read(place, key, before) = told
            && last.get(place).is_some_and(|at| at >= before)
        {
            *told = Told::Outdated(std::mem::take(key));
        }
    }
}

/// The queue of news and those who hear them.
#[derive(Default)]
pub(crate) struct NewsDesk {
    queue: Mutex<Vec<News>>,
    /// Held while news are delivered, so that they arrive in the order of the queue.
    delivering: Mutex<()>,
    audience: OnceLock<Box<dyn Audience>>,
}

impl fmt::Debug for NewsDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NewsDesk").field(&self.queue.lock().len()).finish()
    }
}

impl NewsDesk {
    /// Puts news into the queue; those who do hold the latches of the keys.
    pub(crate) fn add(&self, news: impl IntoIterator<Item = News>) {
        if self.audience.get().is_some() {
            self.queue.lock().extend(news);
        }
    }

    /// Delivers what is in the queue; when this returns, whatever the caller has put there has been delivered. No latch
    /// may be held.
    pub(crate) fn deliver(&self) {
        let Some(audience) = self.audience.get() else { return };
        let _in_turn = self.delivering.lock();
        let news = std::mem::take(&mut *self.queue.lock());
        if !news.is_empty() {
            audience.hear(&news);
        }
    }
}

impl Store {
    /// Has somebody told of what happens. Only the first audience counts; without one nothing is told.
    pub fn set_audience(&self, audience: Box<dyn Audience>) {
        // Whether it is the first is the caller's business.
        let _: Result<(), _> = self.news.audience.set(audience);
    }

    /// Ends a run that has something to tell. Its changes have been appended with this sequence, or it has none and
    /// depends on it; its latches are given back here.
    #[cold]
    pub(crate) fn announce(&self, mut guards: Guards<'_>, scratch: &mut Scratch, env: &Env, seq: u64) {
        let (mut news, mut changed, mut outdated, mut has_read) =
            (Vec::new(), Vec::new(), BTreeSet::new(), false);
        for told in scratch.told.drain(..) {
            match told {
                Told::Event(event, db, key) => news.push(News::Event { event, db, key, depends_on: seq }),
                Told::Changed(key) => changed.push(key),
                Told::Stale(key, readers) => news.push(News::Stale { key, readers, by: env.client }),
                Told::Emptied => news.push(News::Emptied),
                // After the changes: a run that changes a key and then reads it has read what is there now.
                Told::Read(place, key, _) => {
                    guards.shard_mut(place).readers.add(place, &key, env.client, &self.readers);
                    has_read = true;
                }
                Told::Outdated(key) => {
                    outdated.insert(key);
                }
            }
        }
        for news in &news {
            if let News::Stale { key, readers, .. } = news
                && readers.contains(&env.client)
            {
                // It had read the key before, and is told of that.
                outdated.remove(key);
            }
        }
        let readers = || Readers::from_slice(&[env.client]);
        news.extend(outdated.into_iter().map(|key| News::Stale { key, readers: readers(), by: env.client }));
        if !changed.is_empty() {
            changed.sort_unstable();
            changed.dedup();
            news.push(News::Changed { keys: changed, by: env.client });
        }
        let is_silent = news.is_empty();
        if !is_silent {
            self.news.add(news);
        }
        drop(guards);
        if has_read {
            self.forget_readers(env.random);
        }
        if !is_silent || has_read {
            self.news.deliver();
        }
    }
}

impl WriteCx<'_> {
    /// Tells of a key that was changed and, where `is_new`, has come to be.
    #[cold]
    pub(crate) fn tell_changed(&mut self, key: &[u8], is_new: bool) {
        if is_new {
            self.notify(Event::NEW, key);
        }
        if self.store.wants_names() {
            self.scratch.told.push(Told::Changed(key.into()));
        }
    }
}
