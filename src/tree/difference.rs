//! What one tree has and another has not, where both share most of their nodes.
//!
//! Two cursors go through both trees in the order of keys. Each stands before a subtree or before an entry. Where both stand
//! before the same node, all below it is the same, and both pass it at once. Where they stand before different ones, the one whose
//! first key is less goes in, or the higher of the two; so neither goes into a node before the other has come up to it, and a node
//! that both have is met by both together. What is looked at is what changed, and the paths to it: O(changes x log n).

use super::TreeRef;
use super::node::{InnerRef, Key, Kind, Leaf, MAX_HEIGHT, NodeRef};
use super::search::{Slot, Spot};
use arrayvec::ArrayVec;
use std::cmp::Ordering;

/// Tells each entry that one of two trees has and the other has not with the same bounds: first those of `one`, if the two have
/// the same key.
pub(crate) fn difference<'v>(
    one: TreeRef<'v>,
    other: TreeRef<'v>,
    mut only_one: impl FnMut(Slot<'v>),
    mut only_other: impl FnMut(Slot<'v>),
) {
    let (mut ours, mut theirs) = (Cursor::new(one), Cursor::new(other));
    loop {
        match (ours.stands(), theirs.stands()) {
            (None, None) => return,
            (Some(_), None) => ours.pass(&mut only_one),
            (None, Some(_)) => theirs.pass(&mut only_other),
            (Some(mine), Some(other)) => step(&mut ours, mine, &mut theirs, other, &mut only_one, &mut only_other),
        }
    }
}

fn step<'v>(
    ours: &mut Cursor<'v>,
    mine: Standing<'v>,
    theirs: &mut Cursor<'v>,
    other: Standing<'v>,
    only_one: &mut impl FnMut(Slot<'v>),
    only_other: &mut impl FnMut(Slot<'v>),
) {
    match mine.first.cmp(&other.first) {
        Ordering::Less => ours.pass(only_one),
        Ordering::Greater => theirs.pass(only_other),
        Ordering::Equal => match (mine.what, other.what) {
            (What::Subtree(mine), What::Subtree(other)) if mine.is_same(other) => {
                ours.skip();
                theirs.skip();
            }
            (What::Entry(mine), What::Entry(other)) => {
                if mine.last != other.last {
                    only_one(mine);
                    only_other(other);
                }
                ours.skip();
                theirs.skip();
            }
            (mine, other) if mine.height() >= other.height() => ours.pass(only_one),
            _ => theirs.pass(only_other),
        },
    }
}

/// What a cursor stands before.
#[derive(Clone, Copy)]
enum What<'v> {
    Subtree(NodeRef<'v>),
    Entry(Slot<'v>),
}

impl What<'_> {
    /// An entry is below every subtree.
    fn height(self) -> Option<u8> {
        match self {
            What::Subtree(node) => Some(node.height()),
            What::Entry(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Standing<'v> {
    first: Key,
    what: What<'v>,
}

/// A place in a tree: what is before it has been passed.
struct Cursor<'v> {
    root: Option<NodeRef<'v>>,
    /// Inner nodes that it is in, and the next child of each.
    inner: ArrayVec<(InnerRef<'v>, usize), MAX_HEIGHT>,
    /// The leaf that it is in, and the next entry.
    leaf: Option<(&'v Leaf, usize)>,
}

impl<'v> Cursor<'v> {
    fn new(tree: TreeRef<'v>) -> Self {
        Cursor { root: tree.root(), inner: ArrayVec::new(), leaf: None }
    }

    /// What it stands before, once it has left what it has come to the end of.
    fn stands(&mut self) -> Option<Standing<'v>> {
        if let Some(root) = self.root {
            return Some(Standing { first: root.first(), what: What::Subtree(root) });
        }
        if let Some((leaf, at)) = self.leaf {
            let entry = Spot { leaf, slot: at }.slot().filter(|_| at < usize::from(leaf.header.len));
            if let Some(entry) = entry {
                return Some(Standing { first: leaf.key_at(at), what: What::Entry(entry) });
            }
            self.leaf = None;
        }
        while let Some((inner, at)) = self.inner.last() {
            if let Some(child) = inner.child(*at).filter(|_| *at < usize::from(inner.header.len)) {
                return Some(Standing { first: inner.key_at(*at), what: What::Subtree(child) });
            }
            self.inner.pop();
        }
        None
    }

    /// Leaves what it stands before behind.
    fn skip(&mut self) {
        if self.root.take().is_some() {
            return;
        }
        let in_leaf = self.leaf.as_mut().map(|(_, at)| at);
        let place = in_leaf.or_else(|| self.inner.last_mut().map(|(_, at)| at));
        place.into_iter().for_each(|at| *at += 1);
    }

    /// Goes into the subtree that it stands before, or past the entry, which it tells.
    fn pass(&mut self, only: &mut impl FnMut(Slot<'v>)) {
        let Some(standing) = self.stands() else { return };
        self.skip();
        match standing.what {
            What::Entry(entry) => only(entry),
            What::Subtree(node) => match node.kind() {
                Kind::Leaf(leaf) => self.leaf = Some((leaf, 0)),
                // A tree is no higher than that.
                Kind::Inner(inner) => _ = self.inner.try_push((inner, 0)),
            },
        }
    }
}
