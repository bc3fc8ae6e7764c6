//! What the maps of disjoint intervals have in common: one owner, keyed by start, a find from above downwards.
//!
//! These contenders are no rivals where intervals overlap or have owners; they are in the race because a user whose
//! intervals happen to be disjoint would take one of them. The lowest overlapping interval is found in one descent in
//! almost all cases:
//!
//! ```text
//!       [---]   [----]    [--]
//!                  [query]      the greatest start <= query.last; if it ends before the query, nothing overlaps;
//!               ^               if it starts before the query, it is the lowest; else step down
//! ```

use crate::span::{Found, NotifierId, Span};

/// What a map holds under a start.
pub(crate) type Rest = (u64, NotifierId);

/// The only owner these maps have.
const OWNER: u32 = 0;

/// The lowest of disjoint intervals that overlaps the query, given those that start no later than it ends, from above.
#[inline]
pub(crate) fn lowest_overlap(descending: impl Iterator<Item = (u64, Rest)>, query: Span) -> Option<Found> {
    let mut lowest = None;
    for (start, (last, id)) in descending {
        if last < query.start() {
            break;
        }
        lowest = Some(notifier(start, (last, id)));
        if start <= query.start() {
            break;
        }
    }
    lowest
}

/// All overlapping ones, ascending, from the same order.
pub(crate) fn all_overlaps(descending: impl Iterator<Item = (u64, Rest)>, query: Span, found: &mut Vec<Found>) {
    let first = found.len();
    let overlapping = descending.take_while(|(_, (last, _))| *last >= query.start());
    found.extend(overlapping.map(|(start, rest)| notifier(start, rest)));
    found[first..].reverse();
}

fn notifier(start: u64, (last, id): Rest) -> Found {
    Found { owner: OWNER, id, span: Span::between(start, last) }
}

/// The registration of all maps: what a caller must know to find its entry again.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub(crate) id: NotifierId,
    pub(crate) span: Span,
}

impl Entry {
    pub(crate) fn new(id: NotifierId, span: Span) -> Self {
        Entry { id, span }
    }
}
