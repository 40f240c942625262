//! What a connection has yet to send, and what each part of it waits for.

use std::collections::VecDeque;

use super::KEPT_BUFFER;

/// Replies that have not been sent.
///
/// # Invariants
///
/// * The ends of `marks` ascend, and so do their sequences; the last end is `bytes.len()` when there is a mark.
/// * `head <= bytes.len()`, and no end is below it.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Bytes before this have been sent. They are moved out only when they are most of what is there, so that a large
    /// reply which leaves in small pieces is not moved once for each.
    head: usize,
    /// Bytes up to an end may leave when the sequence is safe; bytes before the first mark may leave now.
    marks: VecDeque<(u64, usize)>,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.head
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes to send next, `n` of them.
    pub(super) fn front(&self, n: usize) -> &[u8] {
        &self.bytes[self.head..self.head + n]
    }

    pub(super) fn push(&mut self, bytes: &[u8], gate: u64, settled: u64) {
        self.bytes.extend_from_slice(bytes);
        let gate = gate.max(self.marks.back().map_or(0, |(last, _)| *last));
        if gate > settled {
            match self.marks.back_mut() {
                Some((last, end)) if *last == gate => *end = self.bytes.len(),
                _ => self.marks.push_back((gate, self.bytes.len())),
            }
        } else if let Some((_, end)) = self.marks.back_mut() {
            *end = self.bytes.len();
        }
    }

    /// Takes away the marks that are safe now; tells how many bytes they, or the lack of marks, set free. Bytes that were
    /// set free before and are still here are the caller's to know.
    pub(super) fn free(&mut self, settled: u64) -> usize {
        let mut free = self.head;
        while let Some(&(gate, end)) = self.marks.front()
            && gate <= settled
        {
            free = end;
            self.marks.pop_front();
        }
        if self.marks.is_empty() { self.len() } else { free - self.head }
    }

    pub(super) fn sent(&mut self, n: usize) {
        self.head += n;
        if self.head <= self.bytes.len() / 2 {
            return;
        }
        self.bytes.drain(..self.head);
        for (_, end) in &mut self.marks {
            *end -= self.head;
        }
        self.head = 0;
        self.shrink();
    }

    /// Gives a large buffer back when it is empty.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BUFFER {
            self.bytes = Vec::new();
        }
    }

    /// Whether something has to wait for the log.
    pub(super) fn waits(&self) -> bool {
        !self.marks.is_empty()
    }
}
