//! Building a tree of sorted entries from the leaves up, with full nodes.
//!
//! How many nodes each level has follows from the number of entries, and so does how full each of them is:
//! all are full but the last two, which share what is left for them evenly, so that no node is too thin. So
//! the entries need to be seen once, and nothing but one open node a level is kept:
//!
//! ```text
//! level 2                [ open ]
//! level 1     [ full ] [ open ]             a node that has its share is closed: its parent takes it in
//! leaves      ...  [ full ] [ full ] [ open ]  <- entries
//! ```

use super::edit::NodeStore;
use super::node::{CAPACITY, ChildPtr, EntryPtr, Inner, Leaf, MAX_HEIGHT, Node, Private, Summary, Workshop, flip};
use super::slots::Slots;
use super::{NodeCounts, Tree};
use crate::interval::Interval;
use arrayvec::ArrayVec;

/// How many nodes hold `count` slots, and how many each.
#[derive(Clone, Copy)]
struct Shares {
    node_count: usize,
    slot_count: usize,
}

impl Shares {
    fn of(slot_count: usize) -> Shares {
        Shares { node_count: slot_count.div_ceil(CAPACITY), slot_count }
    }

    /// The number of slots of the node at `index`.
    fn at(self, index: usize) -> usize {
        if index + 2 < self.node_count || self.node_count == 1 {
            return CAPACITY.min(self.slot_count);
        }
        let left_for_two = self.slot_count - (self.node_count - 2) * CAPACITY;
        if index + 1 < self.node_count { left_for_two.div_ceil(2) } else { left_for_two / 2 }
    }
}

/// The nodes of a tree of `len` entries.
pub(super) fn node_counts(len: usize) -> NodeCounts {
    let leaf = Shares::of(len).node_count;
    let (mut inner, mut level) = (0, leaf);
    while level > 1 {
        level = Shares::of(level).node_count;
        inner += level;
    }
    NodeCounts { leaf, inner }
}

/// The open node of a level above the leaves.
struct Level {
    shares: Shares,
    closed_count: usize,
    open: Private<Inner>,
}

struct Builder<'w, 's, S: NodeStore> {
    workshop: &'w mut Workshop<'s, S>,
    /// From the lowest up.
    levels: ArrayVec<Level, MAX_HEIGHT>,
}

pub(super) fn build<S: NodeStore>(
    workshop: &mut Workshop<'_, S>,
    mut sorted: impl ExactSizeIterator<Item = (Interval, EntryPtr)>,
) -> Tree {
    let len = sorted.len();
    if len == 0 {
        return Tree::EMPTY;
    }
    let shares = Shares::of(len);
    let mut builder = Builder::new(workshop, shares);
    let mut top = None;
    for index in 0..shares.node_count {
        let leaf = builder.fill_leaf(sorted.by_ref().take(shares.at(index)));
        top = builder.close(leaf);
    }
    let (root, summary) = top.expect("the last node closed is the root");
    Tree {
        root: Some(root),
        len: len as u64,
        lowest_start: summary.first.start,
        greatest_last: summary.last,
        height: builder.levels.len() as u8,
    }
}

impl<'w, 's, S: NodeStore> Builder<'w, 's, S> {
    /// A builder with an open node on each level above `leaves`.
    fn new(workshop: &'w mut Workshop<'s, S>, leaves: Shares) -> Self {
        let mut levels = ArrayVec::new();
        let mut child_count = leaves.node_count;
        while child_count > 1 {
            let shares = Shares::of(child_count);
            let open = workshop.fresh(levels.len() as u8 + 1);
            levels.push(Level { shares, closed_count: 0, open });
            child_count = shares.node_count;
        }
        Builder { workshop, levels }
    }

    fn fill_leaf(&mut self, entries: impl Iterator<Item = (Interval, EntryPtr)>) -> (ChildPtr, Summary) {
        let node = self.workshop.fresh::<Leaf>(0);
        let leaf = self.workshop.write(node);
        for (interval, entry) in entries {
            leaf.insert(leaf.len(), flip(interval.start()), flip(interval.last()), entry);
        }
        (node.address(), Summary { first: leaf.first(), last: leaf.greatest_last() })
    }

    /// Puts a node into its parent, and the parent into its own once it has its share. Returns the root once
    /// all are closed.
    fn close(&mut self, mut child: (ChildPtr, Summary)) -> Option<(ChildPtr, Summary)> {
        for height in 0..self.levels.len() {
            let level = &mut self.levels[height];
            let inner = self.workshop.write(level.open);
            inner.insert(inner.len(), child.0, child.1);
            if inner.len() < level.shares.at(level.closed_count) {
                return None;
            }
            child = (level.open.address(), Summary { first: inner.first(), last: inner.greatest_last() });
            level.closed_count += 1;
            if level.closed_count < level.shares.node_count {
                level.open = self.workshop.fresh(height as u8 + 1);
            }
        }
        Some(child)
    }
}
