//! The locks and atomics of what `cargo xtask shuttle` explores: those of `parking_lot`, std and
//! `arc_swap`, and under `--cfg kvdb_shuttle` those of shuttle, which decides at each of them which
//! thread goes on.
//!
//! Shuttle runs all threads of a test on one. A lock that is not taken from here is therefore never
//! contended there, as long as nothing from here is used while it is held: a call of the simulated
//! file system counts as a single step. And time stands still, so a wait with a timeout ends as soon
//! as the other threads have had a chance.

#[cfg(not(kvdb_shuttle))]
pub(crate) use self::real::*;
#[cfg(kvdb_shuttle)]
pub(crate) use self::simulated::*;

#[cfg(not(kvdb_shuttle))]
mod real {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;

    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A number of the calling thread, counted from 0.
    pub(crate) fn thread_number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
        }
        NUMBER.with(|number| {
            if number.get() == usize::MAX {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        })
    }
}

#[cfg(kvdb_shuttle)]
mod simulated {
    use std::ops::{Deref, DerefMut};
    use std::sync::{Arc, PoisonError};
    use std::time::Duration;

    pub(crate) use shuttle::sync::atomic;
    pub(crate) use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};
    pub(crate) use shuttle::thread;

    /// A number of the calling thread, counted from 0.
    pub(crate) fn thread_number() -> usize {
        usize::from(shuttle::current::me())
    }

    /// A mutex with the face of `parking_lot`.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            MutexGuard { held: Some(held), mutex: self }
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            let held = self.0.try_lock().ok()?;
            Some(MutexGuard { held: Some(held), mutex: self })
        }

        pub(crate) fn try_lock_for(&self, _timeout: Duration) -> Option<MutexGuard<'_, T>> {
            self.try_lock()
        }
    }

    /// # Invariants
    /// `held` is there except while a condition variable has it.
    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T> {
        held: Option<shuttle::sync::MutexGuard<'a, T>>,
        mutex: &'a Mutex<T>,
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.held.as_deref().expect("held")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.held.as_deref_mut().expect("held")
        }
    }

    /// A condition variable with the face of `parking_lot`.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.held.take().expect("held");
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }

        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _timeout: Duration) {
            guard.held = None;
            thread::yield_now();
            guard.held = guard.mutex.lock().held.take();
        }
    }

    /// A read-write lock with the face of `parking_lot`.
    #[derive(Debug, Default)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A shared pointer that is replaced as a whole, with the face of `arc_swap`.
    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    /// What a pointer pointed at when it was loaded.
    #[derive(Debug)]
    pub(crate) struct Loaded<T>(Arc<T>);

    impl<T> Deref for Loaded<T> {
        type Target = Arc<T>;

        fn deref(&self) -> &Arc<T> {
            &self.0
        }
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Loaded<T> {
            Loaded(self.load_full())
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock())
        }

        pub(crate) fn store(&self, next: Arc<T>) {
            *self.0.lock() = next;
        }
    }
}
