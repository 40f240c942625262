//! Threads that may wait for the disk, so that workers never do.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Called once when a cold key has been loaded, or could not be: then with a message for the client.
pub struct Waiter(Box<dyn FnOnce(Result<(), Arc<str>>) + Send>);

impl Waiter {
    /// A waiter that runs this on the thread that finished the load.
    pub fn new(wake: impl FnOnce(Result<(), Arc<str>>) + Send + 'static) -> Self {
        Self(Box::new(wake))
    }

    /// Ends the wait.
    pub fn wake(self, result: Result<(), Arc<str>>) {
        (self.0)(result);
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter")
    }
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
}

/// A fixed number of threads and a queue. The queue is bounded by its users: a connection waits for its job before it
/// gives another.
pub struct IoPool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl IoPool {
    /// Starts `threads` threads, at least one.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let threads = (0..threads.max(1))
            .map(|i| {
                let shared = shared.clone();
                std::thread::Builder::new().name(format!("kvdb-io-{i}")).spawn(move || run(&shared))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Runs a job on one of the threads; drops it when the pool is closed.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) {
        let mut queue = self.shared.queue.lock();
        if !queue.closed {
            queue.jobs.push_back(Box::new(job));
            self.shared.ready.notify_one();
        }
    }

    /// Finishes the jobs that are queued and ends the threads.
    pub fn close(&self) {
        self.shared.queue.lock().closed = true;
        self.shared.ready.notify_all();
        for thread in self.threads.lock().drain(..) {
            // A job holds the pool's owner alive; the last one may therefore run this very function.
            if thread.thread().id() != std::thread::current().id() {
                thread.join().expect("an I/O job does not panic");
            }
        }
    }
}

fn run(shared: &Shared) {
    let mut queue = shared.queue.lock();
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            parking_lot::MutexGuard::unlocked(&mut queue, job);
        } else if queue.closed {
            return;
        } else {
            shared.ready.wait(&mut queue);
        }
    }
}

impl Drop for IoPool {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_job_is_run_before_the_pool_is_closed() {
        let done = Arc::new(AtomicUsize::new(0));
        let pool = IoPool::new(3).expect("threads start");
        for _ in 0..1000 {
            let done = done.clone();
            pool.submit(move || {
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        pool.close();
        assert_eq!(done.load(Ordering::Relaxed), 1000);
    }
}
