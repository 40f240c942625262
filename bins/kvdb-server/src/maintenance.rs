//! What has to be done some ten times a second (`hz`), on a thread of its own: expiry, eviction, and looking after idle clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kvdb_commands::blocking;
use kvdb_commands::server::ClientKind;
use kvdb_store::{ColdWalk, Env, Scratch};
use kvdb_ttl::pace::Pace;
use parking_lot::{Condvar, Mutex};

use crate::clock::unix_millis;
use crate::memory::Room;
use crate::node::Node;
use crate::placement::Watch;
use crate::scrubbing::Scrubbing;
use crate::stats::totals;

/// The longest time to the next expiry cycle: what dies in between is there too long.
const EXPIRY_LOOK: Duration = Duration::from_millis(50);
/// The time to the next expiry cycle while keys are dying.
const WHILE_KEYS_DIE: Duration = Duration::from_millis(20);
/// How often memory is counted when nothing else asks for it.
const CENSUS_EVERY: u32 = 10;
/// Idle time after which a memtable of some size is flushed, so that its memory is free and a restart has little to replay.
const FLUSH_WHEN_IDLE: Duration = Duration::from_secs(2);
/// A memtable below this many bytes is not worth a table of its own after each pause …
const WORTH_A_FLUSH: usize = 16 << 20;
/// … but after this time it is flushed all the same.
const FLUSH_ANYWAY: Duration = Duration::from_secs(60);

/// The longest time that a round deletes keys for want of room.
const EVICTION_SLICE: Duration = Duration::from_millis(20);

/// How long an I/O thread loads the keys of a cache in one go.
const LOADING_SLICE: Duration = Duration::from_millis(50);

/// Rows on disk that are looked at in a round, for each step of the expiry effort.
const COLD_ROWS: usize = 1_000;

/// Ends the thread.
#[derive(Default)]
pub struct Stopper {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stopper {
    /// Has the loop end after its round.
    pub fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    /// Waits for a period; `false` when the loop is to end.
    fn wait(&self, period: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.changed.wait_for(&mut stopped, period);
        }
        !*stopped
    }
}

/// Rounds from one look for deleted collections that are gone to the next.
const BURY_EVERY: u32 = 256;
/// Deleted collections that such a look takes.
const BURIED_AT_A_TIME: usize = 256;

/// The state of the rounds.
struct Rounds {
    node: Arc<Node>,
    scratch: Scratch,
    pace: Pace,
    effort: u8,
    next_shard: usize,
    round: u32,
    random: u64,
    seen_seq: u64,
    quiet_since: Instant,
    flushed_seq: u64,
    cold: Arc<Cold>,
    scrubbing: Arc<Scrubbing>,
    watch: Watch,
    processed: u64,
}

/// What an I/O thread does with keys on disk: deletes those whose time has come, and loads those of a cache.
#[derive(Default)]
struct Cold {
    walk: Mutex<ColdWalk>,
    /// Whether a step is queued or being run.
    is_busy: AtomicBool,
    /// The database and slot up to which a cache has been loaded.
    loaded: Mutex<(u16, u16)>,
    /// Whether a step of that is queued or being run.
    is_loading: AtomicBool,
}

/// Runs rounds until stopped.
pub fn run(node: Arc<Node>, stopper: &Stopper, seed: u64) {
    let effort = node.config.lock().settings().active_expire_effort;
    let mut rounds = Rounds {
        scratch: Scratch::default(),
        pace: Pace::new(effort),
        effort,
        next_shard: 0,
        round: 0,
        random: seed | 1,
        seen_seq: 0,
        quiet_since: Instant::now(),
        flushed_seq: node.store.appended(),
        cold: Arc::default(),
        scrubbing: Arc::default(),
        watch: Watch::default(),
        processed: 0,
        node,
    };
    let mut next_round = Instant::now();
    let mut pause = Duration::ZERO;
    while stopper.wait(pause) {
        let now = Instant::now();
        if rounds.node.upkeep_rests.load(Ordering::Relaxed) {
            pause = rounds.period();
            continue;
        }
        if now >= next_round {
            next_round = now + rounds.period();
            rounds.once();
        }
        let rest = rounds.expire(unix_millis());
        let until_round = next_round.saturating_duration_since(Instant::now());
        pause = rest.unwrap_or(EXPIRY_LOOK).min(until_round);
    }
}

impl Rounds {
    fn once(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let now = unix_millis();
        self.follow_effort();
        self.evict(now);
        self.expire_cold(now);
        self.close_idle_clients(now);
        self.close_slow_clients(now);
        self.close_large_clients(now);
        self.serve_sleepers(now);
        self.flush_when_quiet();
        self.bury();
        self.scrubbing.tend(&self.node, self.random);
        let sums = totals(self.node.workers.iter().map(|w| &**w));
        self.node.rates.sample(now, sums.processed, sums.net_in, sums.net_out);
        self.place(sums.processed);
    }

    /// Looks at which workers serve, where anything has been done since the last round.
    fn place(&mut self, processed: u64) {
        if std::mem::replace(&mut self.processed, processed) == processed {
            return;
        }
        let fixed = self.node.hot.active_workers.load(Ordering::Relaxed);
        self.node.placement.tend(&mut self.watch, processed, (fixed != 0).then_some(fixed));
    }

    /// Lets those try again who wait for keys that have been deleted: who reads for a group is told that it is gone.
    fn serve_sleepers(&mut self, now: u64) {
        if !self.scratch.ready.is_empty() {
            blocking::serve(&self.node.store, Env::at(now), &mut self.scratch);
        }
    }

    /// Runs an expiry cycle; returns the rest before the next one when there is more to do.
    fn expire(&mut self, now: u64) -> Option<Duration> {
        if !self.may_expire(now) {
            return None;
        }
        let rest = self.expire_due(now);
        self.serve_sleepers(now);
        rest
    }

    fn expire_due(&mut self, now: u64) -> Option<Duration> {
        let began = Instant::now();
        let slice = self.pace.slice();
        let cycle =
            self.node.store.expire_due(now, self.next_shard, &mut self.scratch, || began.elapsed() < slice);
        self.next_shard = (self.next_shard + 1) % kvdb_store::key::SHARDS;
        self.node.expiry_took(began.elapsed());
        match cycle {
            Ok(cycle) => {
                if cycle.found_dead() {
                    self.node.push_log();
                    self.node.latency.spike("expire-cycle", began.elapsed());
                }
                let soon = cycle.found_dead().then_some(WHILE_KEYS_DIE);
                self.pace.finished(cycle.cut_short).or(soon)
            }
            // The keys read as absent; they are deleted when the log takes writes again.
            Err(refusal) => {
                tracing::debug!(%refusal, "keys that have expired are not deleted now");
                None
            }
        }
    }

    /// Has an I/O thread take another step through the keys on disk, if that is due.
    fn expire_cold(&self, now: u64) {
        if !self.may_expire(now) || self.cold.is_busy.load(Ordering::Acquire) {
            return;
        }
        {
            let walk = self.cold.walk.lock();
            if !walk.is_under_way() && !self.round.is_multiple_of(CENSUS_EVERY) {
                return;
            }
            if !walk.is_due(&self.node.store, now) {
                return;
            }
        }
        self.cold.is_busy.store(true, Ordering::Release);
        let (node, cold) = (self.node.clone(), self.cold.clone());
        let rows = COLD_ROWS * usize::from(self.effort);
        self.node.store.io().submit(move || {
            let (began, mut scratch) = (Instant::now(), Scratch::default());
            let stepped = cold.walk.lock().step(&node.store, now, rows, &mut scratch);
            blocking::serve(&node.store, Env::at(now), &mut scratch);
            match stepped {
                Ok(0) => {}
                Ok(_) => node.push_log(),
                Err(reason) => tracing::debug!(reason, "keys on disk that have expired are not deleted now"),
            }
            node.expiry_took(began.elapsed());
            cold.is_busy.store(false, Ordering::Release);
        });
    }

    /// Whether keys may be deleted because their time has come.
    fn may_expire(&self, now: u64) -> bool {
        self.node.active_expire.load(Ordering::Relaxed) && !self.node.pause.is_on(now)
    }

    /// The time from one round to the next.
    fn period(&self) -> Duration {
        Duration::from_secs(1) / self.node.config.lock().settings().hz.max(1)
    }

    /// Takes over the effort, if it has changed.
    fn follow_effort(&mut self) {
        let effort = self.node.config.lock().settings().active_expire_effort;
        if effort != self.effort {
            self.effort = effort;
            self.pace = Pace::new(effort);
        }
    }

    fn evict(&mut self, now: u64) {
        if let Some(limit) = self.node.hot.cache_limit() {
            self.note_memory();
            self.delete_for_room(limit, now);
            self.load_cold(limit, now);
            return;
        }
        let limit = self.node.hot.maxmemory.load(Ordering::Relaxed);
        if limit == 0 {
            if self.round.is_multiple_of(CENSUS_EVERY) {
                self.note_memory();
            }
            return;
        }
        let used = self.note_memory() as u64;
        if used <= limit {
            return;
        }
        let resident = self.node.store.resident_bytes() as u64;
        let target = resident.saturating_sub(used - limit + limit / 50);
        let began = Instant::now();
        let settled = self.node.settled();
        self.node.store.evict_to_disk(target as usize, settled, now, self.random);
        self.node.latency.spike("eviction-cycle", began.elapsed());
    }

    /// Deletes keys above the limit of a cache. Data that was on disk before there was a policy, and may not be deleted, goes
    /// back to it where reads bring much more of it than fits.
    fn delete_for_room(&mut self, limit: u64, now: u64) {
        let began = Instant::now();
        let env = Env { random: self.random, ..Env::at(now) };
        let mut random = env.random;
        let mut room = Room::Free;
        while began.elapsed() < EVICTION_SLICE {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            room = self.node.make_room(Env { random, ..env }, &mut self.scratch);
            if room != Room::Shrinking {
                break;
            }
        }
        if room == Room::Full && self.node.cache_bytes() > limit.saturating_add(limit / 8) {
            let kept =
                (limit + limit / 16).saturating_sub(self.node.client_bytes.load(Ordering::Relaxed) as u64);
            let kept = usize::try_from(kept).unwrap_or(usize::MAX);
            self.node.store.evict_to_disk(kept, self.node.settled(), now, self.random);
        }
        if self.node.store.appended() > self.node.settled() {
            self.node.push_log();
        }
        self.node.latency.spike("eviction-cycle", began.elapsed());
    }

    /// Has an I/O thread bring what is on disk alone into memory, where a cache has its data.
    fn load_cold(&self, limit: u64, now: u64) {
        if !self.node.store.has_cold_keys() || self.cold.is_loading.swap(true, Ordering::AcqRel) {
            return;
        }
        let (node, cold, seed) = (self.node.clone(), self.cold.clone(), self.random);
        self.node.store.io().submit(move || {
            let mut scratch = Scratch::default();
            let (began, mut seed) = (Instant::now(), seed);
            let mut has_room = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let room = node.make_room(Env { random: seed, ..Env::at(now) }, &mut scratch);
                room == Room::Free && node.cache_bytes() < limit
            };
            let mut at = cold.loaded.lock();
            while began.elapsed() < LOADING_SLICE {
                match node.store.load_cold(*at, now, &mut has_room) {
                    Ok(Some(next)) => *at = next,
                    Ok(None) => {
                        *at = (0, 0);
                        break;
                    }
                    Err(reason) => {
                        tracing::debug!(reason, "keys on disk are not loaded now");
                        break;
                    }
                }
            }
            drop(at);
            blocking::serve(&node.store, Env::at(now), &mut scratch);
            cold.is_loading.store(false, Ordering::Release);
        });
    }

    /// Forgets deleted collections of which compactions have left nothing.
    fn bury(&self) {
        if self.round.is_multiple_of(BURY_EVERY) {
            let store = self.node.store.clone();
            self.node.store.io().submit(move || {
                if let Err(error) = store.bury(BURIED_AT_A_TIME) {
                    tracing::debug!(error, "deleted collections are looked for again later");
                }
            });
        }
    }

    fn note_memory(&self) -> usize {
        self.node.store.census();
        let used = crate::memory::used(&self.node);
        self.node.peak_memory.fetch_max(used, Ordering::Relaxed);
        used
    }

    fn close_idle_clients(&self, now: u64) {
        let timeout = self.node.hot.timeout_millis.load(Ordering::Relaxed);
        if timeout == 0 || !self.round.is_multiple_of(10) {
            return;
        }
        for client in self.node.clients.matching(&Default::default(), now) {
            if now.saturating_sub(client.last_seen()) > timeout && !client.is_monitor() {
                client.kill();
            }
        }
    }

    /// Closes clients that are above the soft limit of their output for longer than they may.
    fn close_slow_clients(&self, now: u64) {
        let limits = self.node.config.lock().settings().client_output_buffer_limit;
        if limits.normal.soft == 0 && limits.pubsub.soft == 0 {
            return;
        }
        for client in self.node.clients.matching(&Default::default(), now) {
            let limit = if client.kind() == ClientKind::PubSub { limits.pubsub } else { limits.normal };
            let (soft, millis) =
                (usize::try_from(limit.soft).unwrap_or(usize::MAX), limit.soft_for.as_millis() as u64);
            if limit.soft != 0 && client.is_behind(soft, millis, now) {
                self.node.closes_slow_client(&client);
                client.kill();
            }
        }
    }

    /// Closes the largest clients where all together take more than they may.
    fn close_large_clients(&self, now: u64) {
        let limit = {
            let config = self.node.config.lock();
            let settings = config.settings();
            settings.maxmemory_clients.limit(settings.maxmemory.unwrap_or(0))
        };
        let Some(limit) = limit else { return };
        let mut clients: Vec<_> = self.node.clients.matching(&Default::default(), now);
        // One that is being closed already makes room by itself, and nobody else has to go for it.
        clients.retain(|client| !client.is_killed());
        let mut total: u64 = clients.iter().map(|client| client.memory_bytes() as u64).sum();
        if total <= limit {
            return;
        }
        clients.retain(|client| client.is_evictable());
        clients.sort_by_cached_key(|client| std::cmp::Reverse(client.memory_bytes()));
        for client in clients {
            if total <= limit {
                return;
            }
            total = total.saturating_sub(client.memory_bytes() as u64);
            self.node.warn_of_evicted_client(&client);
            self.node.evicted_clients.fetch_add(1, Ordering::Relaxed);
            client.kill();
        }
    }

    fn flush_when_quiet(&mut self) {
        let seq = self.node.store.appended();
        if seq != self.seen_seq {
            self.seen_seq = seq;
            self.quiet_since = Instant::now();
            return;
        }
        let quiet = self.quiet_since.elapsed();
        if seq == self.flushed_seq || quiet < FLUSH_WHEN_IDLE {
            return;
        }
        if quiet >= FLUSH_ANYWAY || self.node.rows.stats().active_bytes >= WORTH_A_FLUSH {
            self.flushed_seq = seq;
            let rows = self.node.rows.clone();
            self.node.store.io().submit(move || {
                if let Err(error) = rows.flush() {
                    tracing::debug!(%error, "the memtable is not flushed now");
                }
            });
        }
    }
}
