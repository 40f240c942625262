//! All libraries of a server.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{FunctionInfo, Library};

/// The libraries and functions that FCALL finds, shared by all VMs.
#[derive(Debug, Default)]
pub struct FunctionRegistry(RwLock<Libraries>);

/// Libraries, and the functions that they have.
///
/// # Invariants
/// `by_function` has each function of each library in `libraries` under its name in lower case, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Libraries {
    libraries: BTreeMap<String, Arc<Library>>,
    by_function: HashMap<String, RegisteredFunction>,
}

/// A function that was found: of use even when its library is deleted meanwhile.
#[derive(Debug, Clone)]
pub struct RegisteredFunction {
    pub(crate) library: Arc<Library>,
    index: usize,
}

impl RegisteredFunction {
    /// What is known of it.
    #[must_use]
    pub fn info(&self) -> &FunctionInfo {
        &self.library.functions[self.index]
    }

    /// The library that it belongs to.
    #[must_use]
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }
}

impl FunctionRegistry {
    /// The function of this name, in any case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<RegisteredFunction> {
        let name = str::from_utf8(name).ok()?;
        let tables = self.read();
        // Names are mostly spelt as they were registered, and mostly in lower case.
        match tables.by_function.get(name) {
            Some(found) => Some(found.clone()),
            None => tables.by_function.get(&name.to_ascii_lowercase()).cloned(),
        }
    }

    /// The library of this name.
    #[must_use]
    pub fn library(&self, name: &[u8]) -> Option<Arc<Library>> {
        self.read().libraries.get(str::from_utf8(name).ok()?).cloned()
    }

    /// All libraries, by name.
    #[must_use]
    pub fn libraries(&self) -> Vec<Arc<Library>> {
        self.read().libraries.values().cloned().collect()
    }

    /// How many libraries and functions there are.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let tables = self.read();
        (tables.libraries.len(), tables.by_function.len())
    }

    /// Puts in a library, in the place of the one with its name if `replace` is set.
    ///
    /// # Errors
    /// The error reply where the name of the library or of a function is taken; then nothing has changed.
    pub fn insert(&self, library: Library, replace: bool) -> Result<Arc<Library>, Vec<u8>> {
        self.change(|libraries| libraries.insert(library, replace))
    }

    /// Takes out a library; false if there is none of that name.
    pub fn remove(&self, name: &[u8]) -> bool {
        str::from_utf8(name).is_ok_and(|name| self.write().remove(name))
    }

    /// Takes out all libraries.
    pub fn clear(&self) {
        *self.write() = Libraries::default();
    }

    /// Changes the libraries as one: nobody sees or changes them meanwhile, and where `change` fails, nothing has changed.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change<T, E>(&self, change: impl FnOnce(&mut Libraries) -> Result<T, E>) -> Result<T, E> {
        let mut guard = self.write();
        let mut next = guard.clone();
        let done = change(&mut next)?;
        *guard = next;
        Ok(done)
    }

    // A thread that panicked while it held the lock has not changed anything by halves.
    fn read(&self) -> RwLockReadGuard<'_, Libraries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Libraries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Libraries {
    /// The library of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Library>> {
        self.libraries.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Library>> {
        self.libraries.values()
    }

    /// Puts in a library, in the place of the one with its name if `replace` is set.
    ///
    /// # Errors
    /// The error reply where the name of the library or of a function is taken; what is left then is to be thrown away.
    pub fn insert(&mut self, library: Library, replace: bool) -> Result<Arc<Library>, Vec<u8>> {
        if !replace && self.libraries.contains_key(library.name()) {
            return Err(format!("ERR Library '{}' already exists", library.name()).into_bytes());
        }
        self.remove(library.name());
        let library = Arc::new(library);
        self.add(&library)?;
        Ok(library)
    }

    /// Puts in all of `others`, in the place of those with their names if `replace` is set: FUNCTION RESTORE.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), in Redis' slightly different words.
    pub fn join(&mut self, others: &Self, replace: bool) -> Result<(), Vec<u8>> {
        if let Some(name) =
            others.libraries.keys().find(|name| !replace && self.libraries.contains_key(*name))
        {
            return Err(format!("ERR Library {name} already exists").into_bytes());
        }
        others.libraries.keys().for_each(|name| _ = self.remove(name));
        others.iter().try_for_each(|library| self.add(library))
    }

    /// Takes out a library; false if there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        self.by_function.retain(|_, function| !Arc::ptr_eq(&function.library, &library));
        true
    }

    /// Adds a library whose name is free.
    fn add(&mut self, library: &Arc<Library>) -> Result<(), Vec<u8>> {
        for (index, function) in library.functions.iter().enumerate() {
            let entry = RegisteredFunction { library: Arc::clone(library), index };
            if let Some(known) = self.by_function.insert(function.name.to_ascii_lowercase(), entry)
                && !Arc::ptr_eq(&known.library, library)
            {
                return Err(format!("ERR Function {} already exists", function.name).into_bytes());
            }
        }
        self.libraries.insert(library.name().to_owned(), Arc::clone(library));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metadata;
    use super::*;
    use crate::script::Flags;

    fn library(name: &str, functions: &[&str]) -> Library {
        let functions = functions.iter().map(|name| FunctionInfo {
            name: (*name).to_owned(),
            description: None,
            flags: Flags::default(),
        });
        Library {
            metadata: Metadata { name: name.to_owned(), code_start: 0 },
            code: Box::default(),
            functions: functions.collect(),
        }
    }

    #[test]
    fn a_function_is_found_in_any_case_and_goes_with_its_library() {
        let registry = FunctionRegistry::default();
        registry.insert(library("one", &["Get", "put"]), false).unwrap();
        assert_eq!(registry.find(b"gET").unwrap().info().name, "Get");
        assert_eq!(registry.counts(), (1, 2));
        assert!(registry.remove(b"one"));
        assert!(!registry.remove(b"one"));
        assert!(registry.find(b"put").is_none());
    }

    #[test]
    fn a_refused_library_changes_nothing() {
        let registry = FunctionRegistry::default();
        registry.insert(library("one", &["f"]), false).unwrap();
        let taken = registry.insert(library("one", &["g"]), false).unwrap_err();
        assert_eq!(taken, b"ERR Library 'one' already exists");
        let taken = registry.insert(library("two", &["g", "F"]), true).unwrap_err();
        assert_eq!(taken, b"ERR Function F already exists");
        assert!(registry.find(b"g").is_none());
        registry.insert(library("one", &["g"]), true).unwrap();
        assert!(registry.find(b"f").is_none() && registry.find(b"g").is_some());
    }

    #[test]
    fn libraries_are_joined_all_or_none() {
        let registry = FunctionRegistry::default();
        registry.insert(library("one", &["f", "g"]), false).unwrap();
        registry.insert(library("two", &["h"]), false).unwrap();
        let mut others = Libraries::default();
        others.insert(library("one", &["f"]), false).unwrap();
        others.insert(library("three", &["G"]), false).unwrap();
        let join = |others: &Libraries, replace| registry.change(|libraries| libraries.join(others, replace));
        assert_eq!(join(&others, false).unwrap_err(), b"ERR Library one already exists");
        assert_eq!(registry.counts(), (2, 3));
        // The library that goes takes its function with it, so the name is free.
        join(&others, true).unwrap();
        assert_eq!(registry.counts(), (3, 3));
        assert_eq!(registry.find(b"g").unwrap().library().name(), "three");
        let mut others = Libraries::default();
        others.insert(library("four", &["i", "h"]), false).unwrap();
        assert_eq!(join(&others, true).unwrap_err(), b"ERR Function h already exists");
        assert!(registry.find(b"i").is_none());
        assert_eq!(registry.counts(), (3, 3));
    }
}
