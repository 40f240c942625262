//! What was compiled from scripts and libraries, for as long as they are known.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use mlua::{FromLua, IntoLua, Lua, Table, Value};

/// Entries that may be of no more use before they are looked for.
const SPARE: usize = 64;

/// Lua values made from values of type `T`, which are found by keys of type `K`.
///
/// # Invariants
/// `values` has under the number of each slot what was made from `of`, and nothing else. The values are in a table of
/// Lua's because it has few places, some thousands, for references from outside.
pub(super) struct Compiled<K, T> {
    slots: HashMap<K, Slot<T>>,
    values: Table,
    next_number: i64,
    sweep_at: usize,
}

struct Slot<T> {
    of: Weak<T>,
    number: i64,
}

impl<K: Eq + Hash, T> Compiled<K, T> {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self { slots: HashMap::new(), values: lua.create_table()?, next_number: 1, sweep_at: SPARE })
    }

    /// What was made from `of`, whose key this is.
    pub(super) fn get<Q, V>(&self, key: &Q, of: &Arc<T>) -> mlua::Result<Option<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        V: FromLua,
    {
        match self.slots.get(key).filter(|slot| std::ptr::eq(slot.of.as_ptr(), Arc::as_ptr(of))) {
            Some(slot) => self.values.raw_get(slot.number).map(Some),
            None => Ok(None),
        }
    }

    /// Keeps what was made from `of`, in the place of what there is under this key.
    pub(super) fn keep(&mut self, key: K, of: &Arc<T>, value: impl IntoLua) -> mlua::Result<()> {
        if self.slots.len() >= self.sweep_at {
            self.sweep();
        }
        let number = self.next_number;
        self.next_number += 1;
        self.values.raw_set(number, value)?;
        match self.slots.insert(key, Slot { of: Arc::downgrade(of), number }) {
            Some(old) => self.values.raw_set(old.number, Value::Nil),
            None => Ok(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Drops what was made from values that are gone.
    fn sweep(&mut self) {
        self.slots.retain(|_, slot| {
            let is_alive = slot.of.strong_count() > 0;
            if !is_alive {
                // Taking something out of a table takes no memory, so it cannot fail.
                let _ = self.values.raw_set(slot.number, Value::Nil);
            }
            is_alive
        });
        self.sweep_at = self.slots.len() * 2 + SPARE;
    }
}
