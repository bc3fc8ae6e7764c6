//! A persistent B+tree of intervals: pure data structure, without atomics, without reclamation.
//!
//! A [`Tree`] is one owner's intervals in one version: a root and a summary, a few words that are copied into
//! the version. An edit takes a tree to a new one. It copies the nodes from the changed leaf up to the root
//! and shares all others, so that the old tree still stands, unchanged, for those who search it:
//!
//! ```text
//!         old root      new root            An edit copies one path. What it copied is replaced: reported to the
//!        /    |   \    /   |                NodeStore, which frees it once nobody can see the old tree. Nodes
//!       a     b    c <'    b'               that the edit itself made (same birth) are changed in place,
//!            / \   ^      / \               so that a batch of edits copies the upper levels once.
//!           d   e  |     d'  e (shared)
//! ```
//!
//! The order is (start, serial), and each inner node keeps the greatest last address of each subtree. The
//! first overlap then needs one descent and no way back: see `search`.
//!
//! Layout and all references: `node`. Comparisons: `simd`. Reading: `search`, `matching`, `backward`, `neighbours`, `many`,
//! `path`. Writing: `edit`, `rebalance`, `bulk`, on `slots`. Every invariant, checked: `check`.

mod abandon;
mod backward;
mod bulk;
mod check;
mod difference;
mod edit;
mod many;
mod matching;
mod neighbours;
#[allow(unsafe_code)]
mod node;
mod path;
mod picture;
mod rebalance;
mod search;
#[allow(unsafe_code)]
mod simd;
mod slots;
#[cfg(test)]
#[allow(unsafe_code)]
pub(crate) mod tests;

pub(crate) use check::Violation;
pub(crate) use difference::difference;
pub(crate) use edit::NodeStore;
pub(crate) use matching::Matching;
pub(crate) use node::{EntryHeader, EntryPtr, Inner, Leaf, NodeHeader};
pub(crate) use search::Slot;

use crate::interval::Interval;
use node::{NodeRef, UNUSED_LAST, UNUSED_START, Workshop};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The intervals of one owner in one version. Plain data: a copy is the same tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    root: Option<NonNull<()>>,
    len: u64,
    /// The least start, the greatest there is if the tree is empty.
    lowest_start: i64,
    /// The greatest last address, the least there is if the tree is empty.
    greatest_last: i64,
    height: u8,
}

/// A tree whose nodes stay for `'v`: what is searched.
#[derive(Clone, Copy)]
pub(crate) struct TreeRef<'v> {
    tree: Tree,
    lifetime: PhantomData<&'v Leaf>,
}

/// Numbers of nodes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct NodeCounts {
    pub(crate) leaf: usize,
    pub(crate) inner: usize,
}

impl Tree {
    /// The tree of no intervals.
    pub(crate) const EMPTY: Tree =
        Tree { root: None, len: 0, lowest_start: UNUSED_START, greatest_last: UNUSED_LAST, height: 0 };

    /// The number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of levels above the leaves.
    #[cfg(test)]
    pub(crate) fn height(&self) -> u8 {
        self.height
    }

    /// An upper bound on the nodes that one insert, remove or update of this tree takes: an update may be a
    /// removal, which copies a path and a sibling a level, and an insertion, which copies and splits a path.
    #[inline]
    pub(crate) fn worst_case(&self) -> NodeCounts {
        NodeCounts { leaf: 4, inner: 4 * usize::from(self.height) + 1 }
    }

    /// The nodes that `bulk_build` takes for `len` entries.
    pub(crate) fn bulk_counts(len: usize) -> NodeCounts {
        bulk::node_counts(len)
    }
}

/// The doors: whoever comes in here vouches for the memory; everything behind them is safe code.
#[allow(unsafe_code)]
impl Tree {
    /// The tree for searching.
    ///
    /// # Safety
    /// [T1] The nodes and entries that the tree reaches stay allocated and unchanged for `'v`.
    #[inline]
    pub(crate) unsafe fn as_ref<'v>(&self) -> TreeRef<'v> {
        TreeRef { tree: *self, lifetime: PhantomData }
    }

    /// Inserts an entry; its serial must differ from those in the tree.
    ///
    /// # Safety
    /// [T1] for the tree and `entry`, [T2] for `store`.
    #[inline]
    pub(crate) unsafe fn insert(&mut self, store: &mut impl NodeStore, interval: Interval, entry: EntryPtr) {
        // SAFETY: [T1] [T2] The caller vouches for both.
        edit::insert(self, &mut unsafe { Workshop::new(store) }, interval, entry);
    }

    /// Removes the entry of this start and serial and returns it. If there is none, nothing changes.
    ///
    /// # Safety
    /// [T1] for the tree, [T2] for `store`.
    #[inline]
    pub(crate) unsafe fn remove(
        &mut self,
        store: &mut impl NodeStore,
        start: u64,
        serial: u64,
    ) -> Option<(Interval, EntryPtr)> {
        // SAFETY: [T1] [T2] The caller vouches for both.
        edit::remove(self, &mut unsafe { Workshop::new(store) }, start, serial)
    }

    /// Gives the entry of this start and serial another interval and returns the old one. If there is no such
    /// entry, nothing changes.
    ///
    /// # Safety
    /// [T1] for the tree, [T2] for `store`.
    #[inline]
    pub(crate) unsafe fn update(
        &mut self,
        store: &mut impl NodeStore,
        start: u64,
        serial: u64,
        to: Interval,
    ) -> Option<Interval> {
        // SAFETY: [T1] [T2] The caller vouches for both.
        edit::update(self, &mut unsafe { Workshop::new(store) }, start, serial, to)
    }

    /// Discards every private node of a tree that was never published.
    ///
    /// # Safety
    /// [T1] for the tree, [T2] for `store`; nobody uses the tree any more.
    pub(crate) unsafe fn discard_private(&self, store: &mut impl NodeStore) {
        // SAFETY: [T1] [T2] The caller vouches for both.
        abandon::abandon(self, &mut unsafe { Workshop::new(store) });
    }

    /// Builds a tree of entries in ascending order of (start, serial), with full nodes.
    ///
    /// # Safety
    /// [T1] for the entries, [T2] for `store`.
    pub(crate) unsafe fn bulk_build(
        store: &mut impl NodeStore,
        sorted: impl ExactSizeIterator<Item = (Interval, EntryPtr)>,
    ) -> Tree {
        // SAFETY: [T1] [T2] The caller vouches for both.
        bulk::build(&mut unsafe { Workshop::new(store) }, sorted)
    }
}

impl<'v> TreeRef<'v> {
    #[inline]
    pub(crate) fn len(self) -> u64 {
        self.tree.len
    }

    /// The number of levels above the leaves.
    pub(crate) fn height(self) -> u8 {
        self.tree.height
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn root(self) -> Option<NodeRef<'v>> {
        let root = self.tree.root?;
        // SAFETY: [T1] [T3] Whoever made this reference vouched for the tree, for 'v.
        Some(unsafe { NodeRef::new(root, self.tree.height) })
    }
}
