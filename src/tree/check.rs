//! Every invariant of a tree, by name, and a walk that verifies them all.
//!
//! The tests run it after each step, and a listing of the index can run it in production: it reads the tree as
//! a search does and changes nothing.

use super::node::{
    CAPACITY, InnerRef, Key, Kind, LEAST_LEN, Leaf, NodeHeader, NodeRef, Summary, UNUSED_LAST, UNUSED_SERIAL,
    UNUSED_START,
};
use super::slots::Slots;
use super::{Tree, TreeRef};
use std::error::Error;
use std::fmt;

/// An invariant of the tree that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub(crate) enum Violation {
    /// Keys ascend strictly, within nodes and from node to node.
    Order,
    /// An entry begins no later than it ends.
    Inverted,
    /// An inner node, and the tree, hold the key of the first entry of each subtree.
    First,
    /// An inner node, and the tree, hold the greatest last address of each subtree.
    GreatestLast,
    /// Every node but the root is at least half full; the root holds an entry or two children.
    Thin,
    /// No node says that it uses more slots than there are.
    Overfull,
    /// A used slot has its entry or child.
    Missing,
    /// An unused slot holds what makes searches pass it by.
    UnusedSlot,
    /// All leaves have the same depth, and every node knows its height.
    Height,
    /// The tree knows the number of its entries.
    Len,
    /// No node is younger than its parent.
    Birth,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Violation::Order => "keys do not ascend",
            Violation::Inverted => "an entry ends before it begins",
            Violation::First => "the first key of a subtree is not as said above it",
            Violation::GreatestLast => "the greatest last address of a subtree is not as said above it",
            Violation::Thin => "a node uses too few slots",
            Violation::Overfull => "a node says it uses more slots than it has",
            Violation::Missing => "a used slot has no entry or child",
            Violation::UnusedSlot => "an unused slot is not marked as such",
            Violation::Height => "a node is not of the height where it stands",
            Violation::Len => "the number of entries is not as said",
            Violation::Birth => "a node is younger than its parent",
        })
    }
}

impl Error for Violation {}

/// What the walk found out about a subtree.
struct Findings {
    summary: Summary,
    len: u64,
}

/// What the walk carries from node to node.
struct Walk {
    /// The last key seen.
    previous: Option<Key>,
}

impl TreeRef<'_> {
    /// Verifies all invariants of the tree.
    ///
    /// # Errors
    /// The first violation that the walk meets.
    pub(crate) fn check(self) -> Result<(), Violation> {
        let Some(root) = self.root() else {
            return self.check_empty();
        };
        let mut walk = Walk { previous: None };
        let least_len = if self.tree.height == 0 { 1 } else { 2 };
        let found = walk.subtree(root, self.tree.height, least_len, u64::MAX)?;
        require(self.tree.lowest_start == found.summary.first.start, Violation::First)?;
        require(self.tree.greatest_last == found.summary.last, Violation::GreatestLast)?;
        require(self.tree.len == found.len, Violation::Len)
    }

    fn check_empty(self) -> Result<(), Violation> {
        let Tree { len, lowest_start, greatest_last, height, .. } = self.tree;
        require(len == 0, Violation::Len)?;
        require(lowest_start == UNUSED_START, Violation::First)?;
        require(greatest_last == UNUSED_LAST, Violation::GreatestLast)?;
        require(height == 0, Violation::Height)
    }
}

impl Walk {
    fn subtree(&mut self, node: NodeRef<'_>, height: u8, least_len: usize, birth: u64) -> Result<Findings, Violation> {
        match node.kind() {
            Kind::Leaf(leaf) => {
                check_header(&leaf.header, height, least_len, birth)?;
                self.leaf(leaf)
            }
            Kind::Inner(inner) => {
                check_header(&inner.header, height, least_len, birth)?;
                self.inner(inner)
            }
        }
    }

    fn leaf(&mut self, leaf: &Leaf) -> Result<Findings, Violation> {
        for slot in 0..leaf.len() {
            require(leaf.entry[slot].is_some(), Violation::Missing)?;
            self.pass(Key { start: leaf.start[slot], serial: leaf.serial_at(slot) })?;
            require(leaf.start[slot] <= leaf.last[slot], Violation::Inverted)?;
        }
        for slot in leaf.len()..CAPACITY {
            let unused =
                leaf.entry[slot].is_none() && leaf.last[slot] == UNUSED_LAST && leaf.start[slot] == UNUSED_START;
            require(unused, Violation::UnusedSlot)?;
        }
        let last = leaf.last.iter().copied().fold(UNUSED_LAST, i64::max);
        let first = Key { start: leaf.start[0], serial: leaf.serial_at(0) };
        Ok(Findings { summary: Summary { first, last }, len: leaf.len() as u64 })
    }

    fn inner(&mut self, inner: InnerRef<'_>) -> Result<Findings, Violation> {
        let mut len = 0;
        for slot in 0..inner.len() {
            let child = inner.child(slot).ok_or(Violation::Missing)?;
            let found = self.subtree(child, inner.height() - 1, LEAST_LEN, inner.header.birth)?;
            require(inner.first_at(slot) == found.summary.first, Violation::First)?;
            require(inner.last[slot] == found.summary.last, Violation::GreatestLast)?;
            len += found.len;
        }
        for slot in inner.len()..CAPACITY {
            let unused = inner.child[slot].is_none()
                && inner.last[slot] == UNUSED_LAST
                && inner.start[slot] == UNUSED_START
                && inner.serial[slot] == UNUSED_SERIAL;
            require(unused, Violation::UnusedSlot)?;
        }
        let last = inner.last.iter().copied().fold(UNUSED_LAST, i64::max);
        Ok(Findings { summary: Summary { first: inner.first_at(0), last }, len })
    }

    fn pass(&mut self, key: Key) -> Result<(), Violation> {
        require(self.previous.is_none_or(|previous| previous < key), Violation::Order)?;
        self.previous = Some(key);
        Ok(())
    }
}

fn check_header(header: &NodeHeader, height: u8, least_len: usize, birth: u64) -> Result<(), Violation> {
    require(header.height == height, Violation::Height)?;
    require(usize::from(header.len) <= CAPACITY, Violation::Overfull)?;
    require(usize::from(header.len) >= least_len, Violation::Thin)?;
    require(header.birth <= birth, Violation::Birth)
}

fn require(holds: bool, otherwise: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(otherwise) }
}
