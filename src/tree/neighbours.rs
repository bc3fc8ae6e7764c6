//! What lies beside an address: the next entry, the previous one, and the gap around it.
//!
//! Each is one descent by start. Starts of inner nodes are exact, so the entry before an address lies in the
//! last subtree that begins before it, and the entry after it is either in the subtree where the address
//! falls or is the first of the next one, remembered on the way down.
//!
//! A gap ends below where the entries that begin at or before the address end: at their greatest last address,
//! which is the maximum over all slots that the descent leaves on its left.

use super::TreeRef;
use super::node::{CAPACITY, Kind, NodeRef, flip, unflip};
use super::path::first_of;
use super::search::{Slot, Spot};
use super::simd::{Kernel, Query, dispatch};
use crate::interval::Interval;

impl<'v> TreeRef<'v> {
    /// The first entry that begins after `address`.
    pub(crate) fn first_after(self, address: u64) -> Option<Slot<'v>> {
        if address == u64::MAX {
            return None;
        }
        dispatch(FirstAfter(flip(address)), self.root()?)?.slot()
    }

    /// The last entry, in order of (start, serial), that begins before `address`.
    pub(crate) fn last_before(self, address: u64) -> Option<Slot<'v>> {
        if flip(address) <= self.tree.lowest_start {
            return None;
        }
        dispatch(LastBefore(flip(address)), self.root()?)?.slot()
    }

    /// The widest interval around `address` that no entry overlaps; `None` if one covers the address.
    pub(crate) fn gap_at(self, address: u64) -> Option<Interval> {
        let Some(root) = self.root() else {
            return Some(Interval::FULL);
        };
        if flip(address) > self.tree.greatest_last {
            return Some(Interval::from_ordered(unflip(self.tree.greatest_last) + 1, u64::MAX));
        }
        if address == u64::MAX {
            return None;
        }
        let reached = dispatch(ReachedBefore(flip(address)), root);
        let start = match reached {
            None => 0,
            Some(last) if last >= flip(address) => return None,
            Some(last) => unflip(last) + 1,
        };
        let last = self.first_after(address).map_or(u64::MAX, |next| next.start - 1);
        Some(Interval::from_ordered(start, last))
    }
}

/// `address` is not the greatest there is, so that an unused slot lies after it.
struct FirstAfter(i64);

impl<'v> Query<NodeRef<'v>> for FirstAfter {
    type Answer = Option<Spot<'v>>;

    #[inline(always)]
    fn run<K: Kernel>(self, root: NodeRef<'v>, kernel: K) -> Option<Spot<'v>> {
        let mut next_subtree = None;
        let mut node = root;
        loop {
            match node.kind() {
                Kind::Inner(inner) => {
                    let after = first_of(kernel.greater(&inner.start, self.0));
                    if after < CAPACITY {
                        next_subtree = inner.child(after).or(next_subtree);
                    }
                    node = inner.child(after.max(1) - 1)?;
                }
                Kind::Leaf(leaf) => {
                    let after = first_of(kernel.greater(&leaf.start, self.0));
                    if after < CAPACITY && leaf.entry[after].is_some() {
                        return Some(Spot { leaf, slot: after });
                    }
                    return first_of_all(next_subtree?);
                }
            }
        }
    }
}

/// The first entry of a subtree.
#[inline(always)]
fn first_of_all(subtree: NodeRef<'_>) -> Option<Spot<'_>> {
    let mut node = subtree;
    loop {
        match node.kind() {
            Kind::Inner(inner) => node = inner.child(0)?,
            Kind::Leaf(leaf) => return Some(Spot { leaf, slot: 0 }),
        }
    }
}

/// Some entry begins before `address`.
struct LastBefore(i64);

impl<'v> Query<NodeRef<'v>> for LastBefore {
    type Answer = Option<Spot<'v>>;

    #[inline(always)]
    fn run<K: Kernel>(self, root: NodeRef<'v>, kernel: K) -> Option<Spot<'v>> {
        let mut node = root;
        loop {
            match node.kind() {
                Kind::Inner(inner) => {
                    node = inner.child(first_of(kernel.at_least(&inner.start, self.0)).max(1) - 1)?;
                }
                Kind::Leaf(leaf) => {
                    let slot = first_of(kernel.at_least(&leaf.start, self.0)).max(1) - 1;
                    return Some(Spot { leaf, slot });
                }
            }
        }
    }
}

/// `address` is not the greatest there is, so that an unused slot lies after it.
struct ReachedBefore(i64);

impl Query<NodeRef<'_>> for ReachedBefore {
    /// The greatest last address of the entries that begin at or before the address.
    type Answer = Option<i64>;

    #[inline(always)]
    fn run<K: Kernel>(self, root: NodeRef<'_>, kernel: K) -> Option<i64> {
        let mut reached = None;
        let mut node = root;
        loop {
            match node.kind() {
                Kind::Inner(inner) => {
                    let after = first_of(kernel.greater(&inner.start, self.0));
                    let slot = after.max(1) - 1;
                    reached = reached.max(inner.last.iter().take(slot).copied().max());
                    node = inner.child(slot)?;
                }
                Kind::Leaf(leaf) => {
                    let after = first_of(kernel.greater(&leaf.start, self.0));
                    return reached.max(leaf.last.iter().take(after).copied().max());
                }
            }
        }
    }
}
