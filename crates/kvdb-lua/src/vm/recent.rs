//! The scripts that a machine was last asked for, so that it neither hashes their text nor asks the cache that it shares
//! with others.

use std::sync::Arc;

use crate::cache::ScriptCache;
use crate::script::{Script, Sha};

/// Scripts that are kept: an application has few that it runs all the time.
const KEPT: usize = 8;

/// See the module's text.
///
/// # Invariants
///
/// * While the cache `of` has the version `version`, all of `scripts` are in it.
#[derive(Default)]
pub(super) struct Recent {
    /// The address of the cache.
    of: usize,
    version: u64,
    scripts: Vec<Arc<Script>>,
    /// Where the next one is put.
    next: usize,
}

impl Recent {
    fn find(&self, cache: &ScriptCache, is: impl Fn(&Script) -> bool) -> Option<Arc<Script>> {
        if self.of != address(cache) || self.version != cache.version() {
            return None;
        }
        let script = self.scripts.iter().find(|script| is(script))?;
        cache.used(script);
        Some(script.clone())
    }

    /// The script with this text, from here or from the cache.
    pub(super) fn with_text(&mut self, cache: &ScriptCache, text: &[u8]) -> Option<Arc<Script>> {
        self.find(cache, |script| script.text() == text).or_else(|| self.ask(cache, &Sha::of(text)))
    }

    /// The script with this digest, from here or from the cache.
    pub(super) fn with_sha(&mut self, cache: &ScriptCache, sha: &Sha) -> Option<Arc<Script>> {
        self.find(cache, |script| script.sha() == *sha).or_else(|| self.ask(cache, sha))
    }

    fn ask(&mut self, cache: &ScriptCache, sha: &Sha) -> Option<Arc<Script>> {
        // What is forgotten between the two is known to be: the version is older then.
        let version = cache.version();
        let script = cache.get(sha)?;
        if (self.of, self.version) != (address(cache), version) {
            *self = Self { of: address(cache), version, ..Self::default() };
        }
        if self.scripts.len() < KEPT {
            self.scripts.push(script.clone());
        } else {
            self.scripts[self.next] = script.clone();
            self.next = (self.next + 1) % KEPT;
        }
        Some(script)
    }
}

fn address(cache: &ScriptCache) -> usize {
    std::ptr::from_ref(cache).addr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{CacheLimits, Origin};

    #[test]
    fn a_script_is_found_until_the_cache_forgets_it() {
        let cache = ScriptCache::new(CacheLimits::default());
        let mut recent = Recent::default();
        assert!(recent.with_text(&cache, b"return 1").is_none());
        let texts: Vec<String> = (0..20).map(|n| format!("return {n}")).collect();
        for text in &texts {
            let script = Script::new(text.as_bytes()).expect("it has no first line");
            let kept = cache.insert(script, Origin::Eval);
            for _ in 0..2 {
                let found = recent.with_text(&cache, text.as_bytes()).expect("it is there");
                assert!(Arc::ptr_eq(&found, &kept));
                let found = recent.with_sha(&cache, &kept.sha()).expect("it is there");
                assert!(Arc::ptr_eq(&found, &kept));
            }
        }
        assert_eq!(recent.scripts.len(), KEPT);
        assert!(recent.with_text(&cache, texts[0].as_bytes()).is_some());
        cache.clear();
        assert!(texts.iter().all(|text| recent.with_text(&cache, text.as_bytes()).is_none()));
        let other = ScriptCache::new(CacheLimits::default());
        let script = other.insert(Script::new(b"return 1").expect("it has no first line"), Origin::Load);
        let found = recent.with_text(&other, b"return 1").expect("it is there");
        assert!(Arc::ptr_eq(&found, &script) && recent.with_text(&cache, b"return 1").is_none());
    }
}
