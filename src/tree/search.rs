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

impl<'v> Slot<'v> {
    /// What stands in a slot of a leaf, if that is in use.
    #[inline(always)]
    pub(super) fn of(leaf: &'v Leaf, slot: usize) -> Option<Slot<'v>> {
        let slot = slot % CAPACITY;
        let entry = leaf.entry[slot]?;
        Some(Slot {
            start: unflip(leaf.start[slot]),
            last: unflip(leaf.last[slot]),
            entry,
            lifetime: PhantomData,
        })
    }

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
        Bounds {
            start: flip(query.start()),
            last: flip(query.last()),
        }
    }
}

impl<'v> TreeRef<'v> {
    /// The first entry, in order of (start, serial), that overlaps the query.
    #[inline]
    pub(crate) fn first_overlap(self, query: Interval) -> Option<Slot<'v>> {
        let bounds = Bounds::of(query);
        dispatch(FirstOverlap {
            root: self.root_if_reached(bounds)?,
            bounds,
        })
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

pub(super) struct FirstOverlap<'v> {
    pub(super) root: NodeRef<'v>,
    pub(super) bounds: Bounds,
}

impl<'v> Query for FirstOverlap<'v> {
    type Answer = Option<Slot<'v>>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Option<Slot<'v>> {
        let mut node = self.root;
        loop {
            match node.kind() {
                Kind::Inner(inner) => {
                    node = inner.child(first_reaching(kernel, &inner.last, self.bounds.start))?
                }
                Kind::Leaf(leaf) => {
                    let slot = first_reaching(kernel, &leaf.last, self.bounds.start);
                    return slot_if_begun(leaf, slot, self.bounds.last);
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

/// What stands in the slot, if it begins no later than `last`.
#[inline(always)]
pub(super) fn slot_if_begun(leaf: &Leaf, slot: usize, last: i64) -> Option<Slot<'_>> {
    if leaf.start[slot % CAPACITY] > last {
        None
    } else {
        Slot::of(leaf, slot)
    }
}
