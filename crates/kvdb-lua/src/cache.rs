//! The scripts that EVALSHA can name.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::script::{Script, Sha};

/// How a script came into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By EVAL: it may be forgotten to make room.
    Eval,
    /// By SCRIPT LOAD: it stays until SCRIPT FLUSH.
    Load,
}

/// Bounds on scripts that came by EVAL. Redis 7.2 keeps them all; since 7.4 it keeps five hundred.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    /// Scripts.
    pub scripts: usize,
    /// Bytes of their texts, about.
    pub bytes: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { scripts: 500, bytes: 16 << 20 }
    }
}

/// The scripts that a server knows, shared by all its VMs.
///
/// Those loaded by SCRIPT LOAD are kept: a client that was given a digest relies on it. Those that came by EVAL are a
/// convenience, and an application that writes its arguments into its scripts makes a new one with each call; so the one
/// that was not used for longest makes room for the next.
///
/// # Invariants
/// `eval_scripts` and `eval_bytes` count the entries with [`Origin::Eval`], which never pass the limits, except that the
/// newest is always kept. `bytes` counts all entries.
#[derive(Debug)]
pub struct ScriptCache {
    limits: CacheLimits,
    /// Goes up with every use, so that older uses can be told from newer ones.
    ticks: AtomicU64,
    /// Goes up whenever scripts are forgotten.
    version: AtomicU64,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_sha: HashMap<Sha, (Arc<Script>, Origin)>,
    eval_scripts: usize,
    eval_bytes: usize,
    bytes: usize,
}

impl ScriptCache {
    /// An empty cache.
    #[must_use]
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, ticks: AtomicU64::new(1), version: AtomicU64::new(0), entries: Mutex::default() }
    }

    /// Puts in a script, which the caller has compiled to know that it can be. Returns the one that is in the cache: if
    /// there was one with that digest already, it stays.
    pub fn insert(&self, script: Script, origin: Origin) -> Arc<Script> {
        let tick = self.tick();
        let mut entries = self.lock();
        if let Some((known, known_origin)) = entries.by_sha.get_mut(&script.sha()) {
            known.touch(tick);
            let known = Arc::clone(known);
            if origin == Origin::Load && *known_origin == Origin::Eval {
                *known_origin = Origin::Load;
                entries.eval_scripts -= 1;
                entries.eval_bytes -= known.footprint();
            }
            return known;
        }
        script.touch(tick);
        let script = Arc::new(script);
        let bytes = script.footprint();
        if origin == Origin::Eval {
            while entries.eval_scripts > 0
                && (entries.eval_scripts >= self.limits.scripts
                    || entries.eval_bytes + bytes > self.limits.bytes)
            {
                entries.evict();
                self.version.fetch_add(1, Ordering::Release);
            }
            entries.eval_scripts += 1;
            entries.eval_bytes += bytes;
        }
        entries.bytes += bytes;
        entries.by_sha.insert(script.sha(), (Arc::clone(&script), origin));
        script
    }

    /// The script with this digest.
    #[must_use]
    pub fn get(&self, sha: &Sha) -> Option<Arc<Script>> {
        let script = self.lock().by_sha.get(sha).map(|(script, _)| Arc::clone(script))?;
        script.touch(self.tick());
        Some(script)
    }

    /// Notes that a script was used which is known to be in the cache.
    pub(crate) fn used(&self, script: &Script) {
        // It is as recent as the last one that was looked for; the count itself is every worker's, and need not change.
        script.touch(self.ticks.load(Ordering::Relaxed));
    }

    /// Whether there is one, for SCRIPT EXISTS: asking is no use.
    #[must_use]
    pub fn contains(&self, sha: &Sha) -> bool {
        self.lock().by_sha.contains_key(sha)
    }

    /// SCRIPT FLUSH.
    pub fn clear(&self) {
        let forgotten = std::mem::take(&mut *self.lock());
        self.version.fetch_add(1, Ordering::Release);
        drop(forgotten);
    }

    /// How many scripts there are, and the bytes they take.
    #[must_use]
    pub fn usage(&self) -> (usize, usize) {
        let entries = self.lock();
        (entries.by_sha.len(), entries.bytes)
    }

    /// A number that is another one whenever scripts have been forgotten: what was found under one version is there as
    /// long as that lasts.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::Relaxed)
    }

    /// A thread that panicked while it held the lock has left nothing half done that matters.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Forgets the script of EVAL that was not used for longest. Looks at all of them: there are few.
    fn evict(&mut self) {
        let candidates = self.by_sha.values().filter(|(_, origin)| *origin == Origin::Eval);
        let oldest = candidates.min_by_key(|(script, _)| script.last_use.load(Ordering::Relaxed));
        let Some(sha) = oldest.map(|(script, _)| script.sha()) else { return };
        if let Some((script, _)) = self.by_sha.remove(&sha) {
            self.eval_scripts -= 1;
            self.eval_bytes -= script.footprint();
            self.bytes -= script.footprint();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Script {
        Script::new(text.as_bytes()).unwrap()
    }

    fn cache(scripts: usize) -> ScriptCache {
        ScriptCache::new(CacheLimits { scripts, bytes: 1 << 20 })
    }

    #[test]
    fn the_script_of_eval_that_was_not_used_for_longest_makes_room() {
        let cache = cache(2);
        let loaded = cache.insert(script("return 0"), Origin::Load);
        let first = cache.insert(script("return 1"), Origin::Eval);
        let second = cache.insert(script("return 2"), Origin::Eval);
        assert!(cache.get(&first.sha()).is_some());
        let version = cache.version();
        let third = cache.insert(script("return 3"), Origin::Eval);
        assert_ne!(cache.version(), version);
        let present = [&loaded, &first, &second, &third].map(|script| cache.contains(&script.sha()));
        assert_eq!(present, [true, true, false, true]);
    }

    #[test]
    fn a_script_of_eval_that_is_loaded_later_stays() {
        let cache = cache(1);
        let first = cache.insert(script("return 1"), Origin::Eval);
        cache.insert(script("return 1"), Origin::Load);
        cache.insert(script("return 2"), Origin::Eval);
        cache.insert(script("return 3"), Origin::Eval);
        assert!(cache.contains(&first.sha()));
        assert_eq!(cache.usage().0, 2);
    }

    #[test]
    fn bytes_are_bounded_too_and_a_flush_forgets_all() {
        let cache = ScriptCache::new(CacheLimits { scripts: 1000, bytes: 4096 });
        for n in 0..100 {
            cache.insert(script(&format!("return {n:500}")), Origin::Eval);
        }
        let (scripts, bytes) = cache.usage();
        assert!(scripts < 8 && bytes <= 4096, "{scripts} scripts, {bytes} bytes");
        cache.clear();
        assert_eq!(cache.usage(), (0, 0));
    }
}
