//! Effects on the groups of a stream.

use super::Stream;
use super::group::{Group, Pending};
use super::id::StreamId;
use super::log::Log;
use super::rows::GroupRows;
use crate::edit::Edit;

/// How pending entries change hands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claim {
    /// Only those that were last delivered so many milliseconds ago, or more.
    pub min_idle: u64,
    /// When they count as delivered, in Unix milliseconds.
    pub delivered_at: u64,
    /// How often they count as delivered; once more than before where nothing is said.
    pub deliveries: Option<u64>,
    /// Whether an entry that is not pending becomes so.
    pub force: bool,
    /// Whether the entry itself is not looked at, which is then not another delivery.
    pub just_id: bool,
}

/// What [`Edit::auto_claim`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AutoClaimed {
    /// Where to go on; [`StreamId::MIN`] at the end.
    pub next: StreamId,
    /// What is the consumer's now.
    pub claimed: Vec<StreamId>,
    /// What is not pending any more, since the entries are gone.
    pub deleted: Vec<StreamId>,
}

impl Edit<'_, Stream> {
    /// Changes a group and records rows; `None` when there is none of that name.
    fn in_group<R>(
        &mut self,
        name: &[u8],
        change: impl FnOnce(&mut Group, &Log, &mut GroupRows<'_, '_>) -> R,
    ) -> Option<R> {
        let mut rows = GroupRows { rows: &mut self.rows, name };
        self.value.change_group(name, |group, log| change(group, log, &mut rows))
    }

    /// Adds a group that has come as far as an id; tells whether there was none of that name.
    pub fn create_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<i64>) -> bool {
        let group = Group { last_id, entries_read, ..Group::default() };
        let is_new = self.value.add_group(name, group);
        if is_new {
            self.in_group(name, |group, _, rows| rows.put_group(group));
        }
        is_new
    }

    /// Says how far a group has come.
    pub fn set_group(&mut self, name: &[u8], last_id: StreamId, entries_read: Option<i64>) {
        self.in_group(name, |group, _, rows| {
            (group.last_id, group.entries_read) = (last_id, entries_read);
            rows.put_group(group);
        });
    }

    /// Removes a group with all it has; tells whether it was there.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let Some(group) = self.value.remove_group(name) else { return false };
        let mut rows = GroupRows { rows: &mut self.rows, name };
        rows.delete_group();
        group.consumers().for_each(|consumer| rows.delete_consumer(consumer.name()));
        group.pending.keys().for_each(|&id| rows.delete_pending(id));
        true
    }

    /// Adds a consumer to a group; tells whether there was none of that name.
    pub fn create_consumer(&mut self, group: &[u8], name: &[u8], now: u64) -> bool {
        let created = self.in_group(group, |group, _, rows| {
            let (number, is_new) = group.consumers.enter(name, now);
            if is_new {
                rows.put_consumer(group.consumers.get(number));
            }
            is_new
        });
        created.unwrap_or(false)
    }

    /// Removes a consumer with what waits for it; returns how much that was.
    pub fn delete_consumer(&mut self, group: &[u8], name: &[u8]) -> usize {
        let deleted = self.in_group(group, |group, _, rows| {
            let ids = group.dismiss(name)?;
            rows.delete_consumer(name);
            ids.iter().for_each(|&id| rows.delete_pending(id));
            Some(ids.len())
        });
        deleted.flatten().unwrap_or(0)
    }

    /// Notes that a consumer was seen, which is made when it is not there; tells whether it was. When it was last seen is
    /// written down only with the next thing that is.
    pub fn see_consumer(&mut self, group: &[u8], name: &[u8], now: u64) -> bool {
        let created = self.create_consumer(group, name, now);
        if !created {
            self.in_group(group, |group, _, _| {
                if let Some(number) = group.consumers.number(name) {
                    group.consumers.get_mut(number).seen_at = now;
                }
            });
        }
        created
    }

    /// Delivers entries to a consumer of a group, which both are there: those behind the last that was delivered, in their
    /// order. They wait for its acknowledgement unless there is to be none.
    pub fn deliver(&mut self, group: &[u8], consumer: &[u8], ids: &[StreamId], now: u64, no_ack: bool) {
        if ids.is_empty() {
            return;
        }
        self.in_group(group, |group, log, rows| {
            let Some(number) = group.consumers.number(consumer) else { return };
            for &id in ids {
                if id > group.last_id {
                    let read = match group.entries_read {
                        Some(read) if !log.has_gap_from(id) => Some(read.wrapping_add(1)),
                        read if log.added == 0 => read,
                        _ => log.count_up_to(id),
                    };
                    // A counter that was set as far as it goes counts on below zero, where -1 is none.
                    group.entries_read = read.filter(|&read| read != -1);
                    group.last_id = id;
                }
                if !no_ack {
                    group.assign(id, Pending { delivered_at: now, deliveries: 1, consumer: number });
                    rows.put_pending(group, id);
                }
            }
            rows.put_group(group);
            if !no_ack {
                group.consumers.get_mut(number).active_at = Some(now);
                rows.put_consumer(group.consumers.get(number));
            }
        });
    }

    /// Delivers pending entries once more to those that they wait for.
    pub fn redeliver(&mut self, group: &[u8], ids: &[StreamId], now: u64) {
        self.in_group(group, |group, _, rows| {
            for &id in ids {
                if let Some(pending) = group.pending.get_mut(&id) {
                    pending.delivered_at = now;
                    pending.deliveries = pending.deliveries.saturating_add(1);
                    rows.put_pending(group, id);
                }
            }
        });
    }

    /// Acknowledges an entry; tells whether it was pending.
    pub fn acknowledge(&mut self, group: &[u8], id: StreamId) -> bool {
        let settled = self.in_group(group, |group, _, rows| {
            let settled = group.settle(id);
            if settled {
                rows.delete_pending(id);
            }
            settled
        });
        settled.unwrap_or(false)
    }

    /// Has pending entries wait for a consumer of a group, which both are there, as far as the entries are; what is pending
    /// of others goes. Returns which they are.
    pub fn claim(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        ids: &[StreamId],
        claim: &Claim,
        now: u64,
    ) -> Vec<StreamId> {
        let claimed = self.in_group(group, |group, log, rows| {
            let mut claimed = Vec::new();
            let Some(number) = group.consumers.number(consumer) else { return claimed };
            for &id in ids {
                if log.entries.get(id).is_none() {
                    if group.settle(id) {
                        rows.delete_pending(id);
                    }
                } else if take_over(group, id, number, claim, now) {
                    rows.put_pending(group, id);
                    claimed.push(id);
                }
            }
            note_claims(group, number, &claimed, rows, now);
            claimed
        });
        claimed.unwrap_or_default()
    }

    /// Likewise with the pending entries of a group from an id on: `count` at the most are claimed or go, and ten times as
    /// many are looked at.
    pub fn auto_claim(
        &mut self,
        group: &[u8],
        consumer: &[u8],
        from: StreamId,
        count: usize,
        claim: &Claim,
        now: u64,
    ) -> AutoClaimed {
        const LOOKS: usize = 10;
        let done = self.in_group(group, |group, log, rows| {
            let mut done = AutoClaimed::default();
            let Some(number) = group.consumers.number(consumer) else { return done };
            let looks = count.saturating_mul(LOOKS);
            let mut next = Some(from);
            let mut looked = 0;
            while let Some(from) = next {
                let Some((&id, _)) = group.pending.range(from..).next() else { break };
                if looked == looks || done.claimed.len() + done.deleted.len() == count {
                    done.next = id;
                    break;
                }
                looked += 1;
                next = id.next();
                if log.entries.get(id).is_none() {
                    group.settle(id);
                    rows.delete_pending(id);
                    done.deleted.push(id);
                } else if take_over(group, id, number, claim, now) {
                    rows.put_pending(group, id);
                    done.claimed.push(id);
                }
            }
            note_claims(group, number, &done.claimed, rows, now);
            done
        });
        done.unwrap_or_default()
    }
}

/// Has a pending entry wait for a consumer, when it has waited long enough; tells whether it does now.
fn take_over(group: &mut Group, id: StreamId, consumer: u32, claim: &Claim, now: u64) -> bool {
    let before = match group.pending.get(&id) {
        Some(pending) if now.saturating_sub(pending.delivered_at) < claim.min_idle => return false,
        Some(pending) => pending.deliveries,
        None if claim.force => 1,
        None => return false,
    };
    let more = u64::from(!claim.just_id);
    let deliveries = claim.deliveries.unwrap_or(before.saturating_add(more));
    group.assign(id, Pending { delivered_at: claim.delivered_at, deliveries, consumer });
    true
}

/// Notes that a consumer got something, if it did.
fn note_claims(group: &mut Group, number: u32, claimed: &[StreamId], rows: &mut GroupRows<'_, '_>, now: u64) {
    if !claimed.is_empty() {
        group.consumers.get_mut(number).active_at = Some(now);
        rows.put_consumer(group.consumers.get(number));
    }
}
