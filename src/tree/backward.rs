//! The same enumeration from its end: the matching entries in descending order.
//!
//! The front keeps a stack of subtrees; the back keeps one leaf only, and seeks the leaf before it from the root:
//! an enumeration that never goes backward pays for it with three words. The two ends give the entries of different
//! leaves until they come to the same one, and from then on both take from the slots that the front holds:
//!
//! ```text
//! leaves     [ a b ] [ c d ] [ e f ] [ g h ]
//! front        . .     ^                           took a, b; stands in [ c d ]
//! back                         . ^     . .         took h, g, f; the leaf before [ e f ] will be the front's
//! ```
//!
//! To seek backward from a key is to go to the last subtree that passes and begins before the key. It can turn out
//! fruitless only where the key, or the greatest start, falls into it: on one path. What passes left of that path has
//! a match, as all of it begins early enough; so the last such subtree is remembered on the way down, and nothing
//! else: two descents at most.

use super::matching::Matching;
use super::node::{CAPACITY, InnerRef, Key, Kind, Leaf, NodeRef};
use super::search::{Slot, Spot};
use super::simd::{Kernel, Mask, Query, dispatch};
use std::iter::FusedIterator;

/// The leaf from which an enumeration gives its last entries.
#[derive(Clone, Copy)]
pub(super) struct Back<'v> {
    /// The whole tree, unless no entry of it can match.
    pub(super) root: Option<NodeRef<'v>>,
    /// The leaf, once there is one.
    pub(super) leaf: Option<&'v Leaf>,
    /// The slots of it that match and were not yet returned.
    pub(super) slots: Mask,
}

impl<'v> Back<'v> {
    #[inline(always)]
    pub(super) fn of(root: Option<NodeRef<'v>>) -> Self {
        Back { root, leaf: None, slots: 0 }
    }

    /// Whether the back stands in this leaf.
    #[inline(always)]
    pub(super) fn is_at(&self, leaf: &Leaf) -> bool {
        self.leaf.is_some_and(|own| std::ptr::eq(own, leaf))
    }
}

impl DoubleEndedIterator for Matching<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        while !self.is_in_last_leaf() {
            let found = last_of(self.back.leaf, &mut self.back.slots);
            if found.is_some() {
                return found;
            }
            self.go_back();
        }
        last_of(self.leaf, &mut self.leaf_slots)
    }
}

impl FusedIterator for Matching<'_> {}

impl<'v> Matching<'v> {
    /// Goes back to the previous leaf with a match, or to that of the front.
    fn go_back(&mut self) {
        let before = match self.back.leaf {
            None => Key { start: self.greatest_start, serial: u64::MAX },
            Some(leaf) => Key { start: leaf.start[0], serial: leaf.serial_at(0) },
        };
        match dispatch(LastLeaf(before), &*self) {
            Some((leaf, slots)) if !self.leaf.is_some_and(|own| std::ptr::eq(own, leaf)) => {
                (self.back.leaf, self.back.slots) = (Some(leaf), slots);
            }
            _ => self.end_with_leaf(),
        }
    }
}

/// Takes the last slot in use. A mask that was made of wide bounds has unused slots too.
fn last_of<'v>(leaf: Option<&'v Leaf>, slots: &mut Mask) -> Option<Slot<'v>> {
    let leaf = leaf?;
    while *slots != 0 {
        let found = Spot { leaf, slot: take_highest(slots) }.slot();
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Seeks the last leaf with a match among the entries before the key: the first of a leaf, or one after all that begin
/// early enough.
struct LastLeaf(Key);

impl<'v> Query<&Matching<'v>> for LastLeaf {
    type Answer = Option<(&'v Leaf, Mask)>;

    #[inline(always)]
    fn run<K: Kernel>(self, matching: &Matching<'v>, kernel: K) -> Self::Answer {
        let mut node = matching.back.root?;
        let mut sure_subtree = None;
        loop {
            match node.kind() {
                Kind::Inner(inner) => {
                    let mut slots = matching.passing(kernel, &inner.start, &inner.last) & before(kernel, inner, self.0);
                    let last = if slots == 0 { None } else { inner.child(take_highest(&mut slots)) };
                    if slots != 0 {
                        sure_subtree = inner.child(take_highest(&mut slots));
                    }
                    node = last.or_else(|| sure_subtree.take())?;
                }
                Kind::Leaf(leaf) => {
                    let slots = matching.passing(kernel, &leaf.start, &leaf.last);
                    // Only a tree of one leaf leads to the leaf where the back stands.
                    if slots != 0 && !matching.back.is_at(leaf) {
                        return Some((leaf, slots));
                    }
                    node = sure_subtree.take()?;
                }
            }
        }
    }
}

/// The subtrees whose first entry stands before the key.
#[inline(always)]
fn before<K: Kernel>(kernel: K, inner: InnerRef<'_>, key: Key) -> Mask {
    let begun = !kernel.greater(&inner.start, key.start);
    let mut tied = begun & kernel.at_least(&inner.start, key.start);
    let mut before = begun & !tied;
    while tied != 0 {
        let slot = take_highest(&mut tied);
        before |= Mask::from(inner.serial[slot % CAPACITY] < key.serial) << slot;
    }
    before
}

/// Takes the highest slot out of a mask that is not empty.
#[inline(always)]
fn take_highest(slots: &mut Mask) -> usize {
    let slot = slots.ilog2() as usize;
    *slots &= !(1 << slot);
    slot
}
