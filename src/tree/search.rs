//! The first overlap: one descent, never back.
//!
//! In every inner node take the first subtree whose greatest last address reaches the start of the query; in
//! the leaf take the first entry whose last address does. Of all entries that end at or after the start of
//! the query this is the first in order, hence the one with the least start: what stands before it ends too
//! early. So it overlaps the query if and only if it begins no later than the query ends, and if it does
//! not, nothing does.
//!
//! ```text
//! query [40, 50]       greatest last:  30 | 90 | 70          first that reaches 40: the second
//!                                           |
//!                                last: 20 | 90 | 35 | 80     first that reaches 40: start 32, last 90 -> overlaps
//! ```
//!
//! The summary of the whole tree is asked first: a query outside of it touches no node.

use super::TreeRef;
use super::node::{CAPACITY, EntryPtr, Kind, Leaf, NodeRef, flip, unflip};
use super::simd::{Kernel, Query, dispatch};
use crate::interval::Interval;
use std::marker::PhantomData;

/// An interval of the tree and its entry, which stays for `'v`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'v> {
    pub(crate) start: u64,
    pub(crate) last: u64,
    pub(crate) entry: EntryPtr,
    lifetime: PhantomData<&'v EntryPtr>,
}

impl Slot<'_> {
    #[inline]
    pub(crate) fn interval(self) -> Interval {
        Interval::from_ordered(self.start, self.last)
    }
}

/// An interval to search for, in the numbers of the nodes.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) start: i64,
    pub(super) last: i64,
}

impl Bounds {
    #[inline(always)]
    pub(super) fn of(query: Interval) -> Bounds {
        Bounds { start: flip(query.start()), last: flip(query.last()) }
    }
}

impl<'v> TreeRef<'v> {
    /// The first entry, in order of (start, serial), that overlaps the query.
    #[inline]
    pub(crate) fn first_overlap(self, query: Interval) -> Option<Slot<'v>> {
        let bounds = Bounds::of(query);
        dispatch(FirstReaching(bounds.start), self.root_if_reached(bounds)?)?.slot_if_begun(bounds.last)
    }

    /// The root, unless the summary of the tree rules out any overlap.
    #[inline(always)]
    pub(super) fn root_if_reached(self, bounds: Bounds) -> Option<NodeRef<'v>> {
        if bounds.last < self.tree.lowest_start || bounds.start > self.tree.greatest_last {
            return None;
        }
        self.root()
    }
}

/// A slot of a leaf: what a descent answers, small enough for registers.
#[derive(Clone, Copy)]
pub(super) struct Spot<'v> {
    pub(super) leaf: &'v Leaf,
    pub(super) slot: usize,
}

impl<'v> Spot<'v> {
    /// What stands there, if the slot is in use.
    #[inline(always)]
    pub(super) fn slot(self) -> Option<Slot<'v>> {
        let slot = self.slot % CAPACITY;
        let entry = self.leaf.entry[slot]?;
        let (start, last) = (unflip(self.leaf.start[slot]), unflip(self.leaf.last[slot]));
        Some(Slot { start, last, entry, lifetime: PhantomData })
    }

    /// What stands there, if it begins no later than `last`.
    ///
    /// Hit or miss is the one thing that a processor cannot guess here, and a wrong guess would throw away the work on
    /// the search that follows: so it is a selection, not a branch.
    #[inline(always)]
    pub(super) fn slot_if_begun(self, last: i64) -> Option<Slot<'v>> {
        let slot = self.slot % CAPACITY;
        let begun = self.leaf.start[slot] <= last;
        let entry = std::hint::select_unpredictable(begun, self.leaf.entry[slot], None);
        let (start, last) = (unflip(self.leaf.start[slot]), unflip(self.leaf.last[slot]));
        entry.map(|entry| Slot { start, last, entry, lifetime: PhantomData })
    }
}

/// Seeks the first entry that ends at or after the address. There is one.
pub(super) struct FirstReaching(pub(super) i64);

impl<'v> Query<NodeRef<'v>> for FirstReaching {
    type Answer = Option<Spot<'v>>;

    #[inline(always)]
    fn run<K: Kernel>(self, root: NodeRef<'v>, kernel: K) -> Option<Spot<'v>> {
        let mut node = root;
        loop {
            match node.kind() {
                Kind::Inner(inner) => node = inner.child(first_reaching(kernel, &inner.last, self.0))?,
                Kind::Leaf(leaf) => {
                    return Some(Spot { leaf, slot: first_reaching(kernel, &leaf.last, self.0) });
                }
            }
        }
    }
}

/// The first slot whose last address reaches `bound`. The summaries say that there is one.
#[inline(always)]
pub(super) fn first_reaching<K: Kernel>(kernel: K, last: &[i64; CAPACITY], bound: i64) -> usize {
    kernel.at_least(last, bound).trailing_zeros() as usize % CAPACITY
}
