//! The scripts that a machine was last asked for, so that it neither hashes their text nor asks the cache that it shares
//! with others.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use mlua::Function;

use crate::cache::ScriptCache;
use crate::script::Script;

/// Scripts that are kept: an application has few that it runs all the time.
const KEPT: usize = 8;

/// A script that a machine has compiled, for that machine to run.
#[derive(Clone)]
pub struct Ready(Rc<Parts>);

struct Parts {
    script: Arc<Script>,
    function: Function,
}

impl Ready {
    pub(super) fn new(script: Arc<Script>, function: Function) -> Self {
        Self(Rc::new(Parts { script, function }))
    }

    pub(super) fn function(&self) -> &Function {
        &self.0.function
    }
}

impl Deref for Ready {
    type Target = Script;

    fn deref(&self) -> &Script {
        &self.0.script
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

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
    scripts: Vec<Ready>,
    /// Where the next one is put.
    next: usize,
}

impl Recent {
    /// One of them that is still in the cache, and is used now.
    pub(super) fn find(&self, cache: &ScriptCache, is: impl Fn(&Script) -> bool) -> Option<Ready> {
        if self.of != address(cache) || self.version != cache.version() {
            return None;
        }
        let script = self.scripts.iter().find(|script| is(script))?;
        cache.used(script);
        Some(script.clone())
    }

    /// Keeps one that was in the cache when that had this version.
    pub(super) fn keep(&mut self, cache: &ScriptCache, version: u64, script: &Ready) {
        if (self.of, self.version) != (address(cache), version) {
            *self = Self { of: address(cache), version, ..Self::default() };
        }
        if self.scripts.len() < KEPT {
            self.scripts.push(script.clone());
        } else {
            self.scripts[self.next] = script.clone();
            self.next = (self.next + 1) % KEPT;
        }
    }
}

fn address(cache: &ScriptCache) -> usize {
    std::ptr::from_ref(cache).addr()
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::*;
    use crate::cache::{CacheLimits, Origin};

    fn with_text(recent: &Recent, cache: &ScriptCache, text: &str) -> Option<Ready> {
        recent.find(cache, |script| script.text() == text.as_bytes())
    }

    /// Puts a script into the cache, and keeps it.
    fn kept(recent: &mut Recent, cache: &ScriptCache, lua: &Lua, text: &str) -> Ready {
        let script = Script::new(text.as_bytes()).expect("it has no first line");
        let function = lua.load(text).into_function().expect("it compiles");
        let ready = Ready::new(cache.insert(script, Origin::Eval), function);
        recent.keep(cache, cache.version(), &ready);
        ready
    }

    #[test]
    fn a_script_is_found_until_the_cache_forgets_it() {
        let (lua, cache) = (Lua::new(), ScriptCache::new(CacheLimits::default()));
        let mut recent = Recent::default();
        assert!(with_text(&recent, &cache, "return 1").is_none());
        let texts: Vec<String> = (0..20).map(|n| format!("return {n}")).collect();
        for text in &texts {
            let script = kept(&mut recent, &cache, &lua, text);
            let found = with_text(&recent, &cache, text).expect("it is there");
            assert!(Rc::ptr_eq(&found.0, &script.0));
        }
        assert_eq!(recent.scripts.len(), KEPT);
        assert!(with_text(&recent, &cache, &texts[0]).is_none());
        assert!(with_text(&recent, &cache, &texts[19]).is_some());
        cache.clear();
        assert!(texts.iter().all(|text| with_text(&recent, &cache, text).is_none()));
        let other = ScriptCache::new(CacheLimits::default());
        let script = kept(&mut recent, &other, &lua, "return 1");
        let found = with_text(&recent, &other, "return 1").expect("it is there");
        assert!(Rc::ptr_eq(&found.0, &script.0) && with_text(&recent, &cache, "return 1").is_none());
    }
}
