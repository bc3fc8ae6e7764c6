//! All entries that begin early enough and end late enough, in order, found as they are asked for.
//!
//! Overlapping a query, covering it, and being there at all are the same question with other bounds: `start`
//! is at most one address and `last` at least another. Both are answered for all slots of a node at once,
//! and the slots that pass are kept as a mask, in a stack of fixed size with one frame a level.
//!
//! A subtree passes if its least start and its greatest last address do. All entries of a subtree begin no
//! later than the next subtree does; so where the next one begins early enough, the entry with the greatest
//! last address is a match. Only the last subtree that begins early enough can turn out fruitless: at most
//! one a level.

use super::TreeRef;
use super::backward::Back;
use super::node::{CAPACITY, InnerRef, Kind, Leaf, MAX_HEIGHT, NodeRef, flip};
use super::search::{Slot, Spot};
use super::simd::{Kernel, Mask, Query, dispatch};
use arrayvec::ArrayVec;

/// An iterator over the entries that match, ascending by (start, serial).
#[derive(Clone)]
pub(crate) struct Matching<'v> {
    pub(super) greatest_start: i64,
    least_last: i64,
    pub(super) leaf: Option<&'v Leaf>,
    /// The slots of the leaf that match and were not yet returned.
    pub(super) leaf_slots: Mask,
    /// The root, until the first step.
    root: Option<NodeRef<'v>>,
    frames: ArrayVec<Frame<'v>, MAX_HEIGHT>,
    /// The other end, see `backward.rs`.
    pub(super) back: Back<'v>,
}

/// An inner node and the subtrees of it that are still to be visited.
#[derive(Clone, Copy)]
struct Frame<'v> {
    inner: InnerRef<'v>,
    slots: Mask,
}

impl<'v> TreeRef<'v> {
    /// The entries with `start <= greatest_start` and `last >= least_last`, in order.
    ///
    /// With `(query.last(), query.start())` these are the overlaps of a query, with `(query.start(),
    /// query.last())` those that cover all of it, with `(u64::MAX, 0)` all entries.
    #[inline]
    pub(crate) fn matching(self, greatest_start: u64, least_last: u64) -> Matching<'v> {
        let (greatest_start, least_last) = (flip(greatest_start), flip(least_last));
        let outside = greatest_start < self.tree.lowest_start || least_last > self.tree.greatest_last;
        let root = if outside { None } else { self.root() };
        let (frames, back) = (ArrayVec::new(), Back::of(root));
        Matching { greatest_start, least_last, leaf: None, leaf_slots: 0, root, frames, back }
    }
}

impl<'v> Iterator for Matching<'v> {
    type Item = Slot<'v>;

    #[inline]
    fn next(&mut self) -> Option<Slot<'v>> {
        loop {
            while self.leaf_slots == 0 {
                dispatch(NextLeaf, &mut *self)?;
            }
            let found = Spot { leaf: self.leaf?, slot: take_lowest(&mut self.leaf_slots) }.slot();
            if found.is_some() {
                return found;
            }
            // The bounds were so wide that unused slots passed, which are the last of a node.
            self.leaf_slots = 0;
        }
    }
}

struct NextLeaf;

impl<'v> Query<&mut Matching<'v>> for NextLeaf {
    type Answer = Option<()>;

    /// Goes on to the next leaf that passes.
    #[inline(always)]
    fn run<K: Kernel>(self, matching: &mut Matching<'v>, kernel: K) -> Option<()> {
        let mut node = match matching.root.take() {
            Some(root) => root,
            None => matching.next_subtree()?,
        };
        loop {
            match node.kind() {
                Kind::Inner(inner) => {
                    let slots = matching.passing(kernel, &inner.start, &inner.last);
                    matching.frames.try_push(Frame { inner, slots }).ok()?;
                    node = matching.next_subtree()?;
                }
                Kind::Leaf(leaf) => {
                    matching.leaf = Some(leaf);
                    if matching.back.is_at(leaf) {
                        matching.leaf_slots = matching.back.slots;
                        matching.end_with_leaf();
                    } else {
                        matching.leaf_slots = matching.passing(kernel, &leaf.start, &leaf.last);
                    }
                    return Some(());
                }
            }
        }
    }
}

impl<'v> Matching<'v> {
    /// Whether nothing is to come but what is left of the front's leaf: both ends take from it then.
    pub(super) fn is_in_last_leaf(&self) -> bool {
        self.root.is_none() && self.frames.is_empty()
    }

    /// Leaves nothing to come but what is left of the front's leaf.
    #[cold]
    pub(super) fn end_with_leaf(&mut self) {
        self.root = None;
        self.frames.clear();
    }

    #[inline(always)]
    pub(super) fn passing<K: Kernel>(&self, kernel: K, start: &[i64; CAPACITY], last: &[i64; CAPACITY]) -> Mask {
        kernel.at_least(last, self.least_last) & !kernel.greater(start, self.greatest_start)
    }

    /// The next subtree to visit, of the lowest level that has one.
    #[inline(always)]
    fn next_subtree(&mut self) -> Option<NodeRef<'v>> {
        loop {
            let frame = self.frames.last_mut()?;
            if frame.slots != 0 {
                let child = frame.inner.child(take_lowest(&mut frame.slots));
                if child.is_some() {
                    return child;
                }
            }
            self.frames.pop();
        }
    }
}

/// Takes the lowest slot out of a mask that is not empty.
#[inline(always)]
fn take_lowest(slots: &mut Mask) -> usize {
    let slot = slots.trailing_zeros() as usize;
    *slots &= slots.wrapping_sub(1);
    slot
}
