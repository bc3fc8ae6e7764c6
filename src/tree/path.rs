//! The way to one entry, or to the place where it would stand: a descent by (start, serial).
//!
//! In an inner node the way goes on in the last subtree whose first key does not exceed the key sought. Starts
//! are compared all at once. Only where several slots have the start that is sought are serials compared,
//! by halving, so that the way is as short among any number of equal starts. A leaf keeps no serials; they
//! are read from the entries, on such ties alone.

use super::TreeRef;
use super::node::{CAPACITY, Handle, Inner, InnerRef, Key, Kind, Leaf, MAX_HEIGHT, NodeRef, flip};
use super::search::{Slot, Spot};
use super::simd::{Kernel, Mask, Query, dispatch};
use arrayvec::ArrayVec;

/// An inner node on the way, and the slot in which the way goes on.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) node: Handle<Inner>,
    pub(super) slot: usize,
}

/// The way from the root to a leaf.
pub(super) struct Path {
    /// The inner nodes from the root down.
    pub(super) steps: ArrayVec<Step, MAX_HEIGHT>,
    pub(super) leaf: Handle<Leaf>,
    /// The number of entries of the leaf up to and including the key sought.
    pub(super) rank: usize,
    /// Whether the entry in slot `rank - 1` has the very key.
    pub(super) found: bool,
}

/// The way to `key`. `None` if the tree is broken.
#[inline]
pub(super) fn path_to(root: NodeRef<'_>, key: Key) -> Option<Path> {
    dispatch(PathTo(key), root)
}

struct PathTo(Key);

impl Query<NodeRef<'_>> for PathTo {
    type Answer = Option<Path>;

    #[inline(always)]
    fn run<K: Kernel>(self, root: NodeRef<'_>, kernel: K) -> Option<Path> {
        let mut steps = ArrayVec::new();
        let (node, leaf, rank) =
            descend(kernel, root, self.0, |inner, slot| steps.try_push(Step { node: inner.handle(), slot }).ok())?;
        Some(Path { steps, leaf: node.leaf_handle()?, rank, found: is_key_before(leaf, rank, self.0) })
    }
}

impl<'v> TreeRef<'v> {
    /// The entry of this start and serial.
    pub(crate) fn locate(self, start: u64, serial: u64) -> Option<Slot<'v>> {
        dispatch(Locate(Key { start: flip(start), serial }), self.root()?)?.slot()
    }
}

struct Locate(Key);

impl<'v> Query<NodeRef<'v>> for Locate {
    type Answer = Option<Spot<'v>>;

    #[inline(always)]
    fn run<K: Kernel>(self, root: NodeRef<'v>, kernel: K) -> Option<Spot<'v>> {
        let (_, leaf, rank) = descend(kernel, root, self.0, |_, _| Some(()))?;
        is_key_before(leaf, rank, self.0).then(|| Spot { leaf, slot: rank - 1 })
    }
}

/// Goes down to the leaf where `key` belongs and tells how many of its entries go up to `key`.
#[inline(always)]
fn descend<'v, K: Kernel>(
    kernel: K,
    root: NodeRef<'v>,
    key: Key,
    mut pass: impl FnMut(InnerRef<'v>, usize) -> Option<()>,
) -> Option<(NodeRef<'v>, &'v Leaf, usize)> {
    let mut node = root;
    loop {
        match node.kind() {
            Kind::Inner(inner) => {
                let slot = count_up_to(kernel, &inner.start, key, |slot| inner.serial[slot % CAPACITY]).max(1) - 1;
                pass(inner, slot)?;
                node = inner.child(slot)?;
            }
            Kind::Leaf(leaf) => {
                return Some((node, leaf, count_up_to(kernel, &leaf.start, key, |slot| leaf.serial_at(slot))));
            }
        }
    }
}

/// The number of slots whose key is `key` or less.
#[inline(always)]
fn count_up_to<K: Kernel>(kernel: K, starts: &[i64; CAPACITY], key: Key, serial_at: impl Fn(usize) -> u64) -> usize {
    let count = first_of(kernel.greater(starts, key.start));
    if count == 0 || starts[count - 1] != key.start || serial_at(count - 1) <= key.serial {
        return count;
    }
    let (mut low, mut high) = (first_of(kernel.at_least(starts, key.start)), count - 1);
    while low < high {
        let middle = (low + high) / 2;
        if serial_at(middle) <= key.serial { low = middle + 1 } else { high = middle }
    }
    low
}

/// The lowest slot of a mask; the capacity if there is none.
#[inline(always)]
pub(super) fn first_of(mask: Mask) -> usize {
    (mask | 1 << CAPACITY).trailing_zeros() as usize
}

#[inline(always)]
fn is_key_before(leaf: &Leaf, rank: usize, key: Key) -> bool {
    rank > 0 && leaf.start[(rank - 1) % CAPACITY] == key.start && leaf.serial_at(rank - 1) == key.serial
}
