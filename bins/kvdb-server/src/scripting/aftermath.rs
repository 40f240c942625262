//! What there is to tell of a script: the messages that it published, what it ran, for those who watch and for the
//! statistics. It is told when the run that the script is a part of has been appended, since one that has to begin again
//! has done nothing.

use std::time::Duration;

use kvdb_commands::CommandSpec;
use kvdb_resp::OwnedArgs;

use super::tally::Tally;
use crate::node::Node;
use crate::stats::{WorkerStats, index_of};

/// See the module's text.
#[derive(Debug, Default)]
pub struct Aftermath {
    pub(super) tally: Tally,
    /// Channels, messages, and whether the channels are shard channels.
    pub(super) published: Vec<(Vec<u8>, Vec<u8>, bool)>,
    /// Commands with the databases in which they were run.
    pub(super) shown: Vec<(u16, OwnedArgs)>,
    ended: Option<Ended>,
}

/// How a script has ended.
#[derive(Debug)]
struct Ended {
    /// The command that ran it.
    spec: &'static CommandSpec,
    took: Duration,
    /// The error that it replied with, if it did.
    error: Option<Vec<u8>>,
}

impl Aftermath {
    /// Forgets everything: a run begins.
    pub(super) fn clear(&mut self) {
        self.tally.clear();
        self.published.clear();
        self.shown.clear();
        self.ended = None;
    }

    /// Notes how the script has ended, with this reply.
    pub(super) fn ended(&mut self, spec: &'static CommandSpec, took: Duration, reply: &[u8]) {
        let error = match reply {
            [b'-', text @ ..] => Some(text.strip_suffix(b"\r\n").unwrap_or(text).to_vec()),
            _ => None,
        };
        self.ended = Some(Ended { spec, took, error });
    }

    /// Tells those concerned, at this moment; `track` says whether times are kept. Nobody may see what was published before
    /// this sequence is safe.
    pub fn tell(&mut self, node: &Node, stats: &WorkerStats, track: bool, now: u64, depends_on: u64) {
        for (db, args) in self.shown.drain(..) {
            let args: Vec<&[u8]> = args.as_args().iter().collect();
            node.show_monitors(db, "lua", &args, now);
        }
        for (channel, payload, shard) in self.published.drain(..) {
            crate::publish::publish(node, &channel, &payload, shard, depends_on);
        }
        let Some(Ended { spec, took, error }) = self.ended.take() else { return };
        if error.is_some() {
            stats.failed(index_of(spec));
        }
        self.tally.hand_over(stats, took, track, error.as_deref());
    }
}
