//! Mending a node that has become too thin, with a sibling.
//!
//! If both fit into one node they are joined: the thin node, which is the edit's own already, takes in a copy
//! of the sibling, so that no other node is copied. Else slots move over the border until both
//! have the same number, give or take one, so that neither is at the limit again soon.

use super::edit::NodeStore;
use super::node::{CAPACITY, Inner, Leaf, Node, Private, Summary, Workshop};
use super::slots::Slots;

/// Mends the child of `parent` in `slot`, which is private and too thin.
pub(super) fn mend<S: NodeStore>(workshop: &mut Workshop<'_, S>, parent: Private<Inner>, slot: usize) {
    let inner = workshop.read(parent.handle());
    if inner.len() < 2 {
        return;
    }
    if inner.header.height == 1 {
        mend_child::<Leaf, S>(workshop, parent, slot);
    } else {
        mend_child::<Inner, S>(workshop, parent, slot);
    }
}

fn mend_child<N: Node, S: NodeStore>(workshop: &mut Workshop<'_, S>, parent: Private<Inner>, thin: usize) {
    let left = thin.max(1) - 1;
    let len_at = |slot| workshop.read(workshop.child::<N>(parent, slot)).len();
    if len_at(left) + len_at(left + 1) <= CAPACITY {
        join::<N, S>(workshop, parent, left, thin);
    } else {
        balance::<N, S>(workshop, parent, left);
    }
}

/// Joins the children in `left` and the slot after it into the one in `thin`.
fn join<N: Node, S: NodeStore>(workshop: &mut Workshop<'_, S>, parent: Private<Inner>, left: usize, thin: usize) {
    let other = if thin == left { left + 1 } else { left };
    let gone = workshop.child::<N>(parent, other);
    let kept = workshop.child::<N>(parent, thin);
    let kept = workshop.own(kept);
    let (node, sibling) = workshop.write_reading(kept, gone);
    if thin == left {
        node.absorb_right(sibling)
    } else {
        node.absorb_left(sibling)
    }
    workshop.let_go(gone);
    let inner = workshop.write(parent);
    let summary = Summary { first: inner.first_at(left), last: inner.last[left].max(inner.last[left + 1]) };
    inner.set(left, kept.address(), summary);
    inner.close_gap(left + 1);
}

/// Evens out the children in `left` and the slot after it.
fn balance<N: Node, S: NodeStore>(workshop: &mut Workshop<'_, S>, parent: Private<Inner>, left: usize) {
    let (a, b) = (workshop.child::<N>(parent, left), workshop.child::<N>(parent, left + 1));
    let (a, b) = (workshop.own(a), workshop.own(b));
    let (node, sibling) = workshop.write_both(a, b);
    node.balance(sibling);
    let (last, sibling_summary) =
        (node.greatest_last(), Summary { first: sibling.first(), last: sibling.greatest_last() });
    let inner = workshop.write(parent);
    let summary = Summary { first: inner.first_at(left), last };
    inner.set(left, a.address(), summary);
    inner.set(left + 1, b.address(), sibling_summary);
}
