//! The clients that listen to one name, in the order in which they came.

use smallvec::SmallVec;

use crate::ClientId;

/// By what a client finds its place among the subscribers of a name again.
pub(crate) type Ticket = u64;

/// Marks the place of a client that has left.
const GONE: u64 = 1 << 63;

#[derive(Debug)]
struct Place {
    ticket: u64,
    client: ClientId,
}

/// Clients in the order of their coming; to leave takes logarithmic time.
///
/// A client that leaves in the middle is only marked, and the marked ones are swept out when they are the majority, so
/// that leaving costs no more when a million others stay. One subscriber, the most common case, needs no allocation.
///
/// # Invariants
/// * Tickets ascend, marks aside.
/// * `live` places are not marked, and at least half of all places are not.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    places: SmallVec<[Place; 1]>,
    live: usize,
}

impl Subscribers {
    /// Puts a client last.
    pub(crate) fn join(&mut self, client: ClientId) -> Ticket {
        let ticket = self.places.last().map_or(0, |last| (last.ticket & !GONE) + 1);
        self.places.push(Place { ticket, client });
        self.live += 1;
        ticket
    }

    /// Takes out the client with this ticket.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        let found = self.places.binary_search_by_key(&ticket, |place| place.ticket & !GONE);
        let Ok(at) = found else { return };
        if self.places[at].ticket & GONE != 0 {
            return;
        }
        self.places[at].ticket |= GONE;
        self.live -= 1;
        if self.live * 2 < self.places.len() {
            self.places.retain(|place| place.ticket & GONE == 0);
            self.places.shrink_to_fit();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ClientId> {
        self.places.iter().filter(|place| place.ticket & GONE == 0).map(|place| place.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn clients_keep_their_order_and_leave_by_their_tickets(steps in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut subscribers = Subscribers::default();
            let mut model: Vec<(Ticket, ClientId)> = Vec::new();
            for (client, step) in steps.into_iter().enumerate() {
                if step % 2 == 0 || model.is_empty() {
                    model.push((subscribers.join(client as u64), client as u64));
                } else {
                    let (ticket, _) = model.remove(usize::from(step) % model.len());
                    subscribers.leave(ticket);
                    subscribers.leave(ticket); // A second time it is nobody's.
                }
                prop_assert!(subscribers.iter().eq(model.iter().map(|(_, client)| *client)));
                prop_assert_eq!((subscribers.len(), subscribers.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(subscribers.places.len() <= 2 * model.len());
            }
        }
    }
}
