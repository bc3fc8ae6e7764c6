//! Giving up a tree that was never published: what the edit made goes back, what it shares stays.

use super::Tree;
use super::edit::NodeStore;
use super::node::{Handle, Inner, Leaf, Workshop};

/// Discards every private node of the tree.
pub(super) fn abandon<S: NodeStore>(tree: &Tree, workshop: &mut Workshop<'_, S>) {
    let Some(root) = tree.root else { return };
    if tree.height == 0 {
        abandon_leaf(workshop.root_handle(root), workshop);
    } else {
        abandon_inner(workshop.root_handle(root), workshop);
    }
}

fn abandon_leaf<S: NodeStore>(leaf: Handle<Leaf>, workshop: &mut Workshop<'_, S>) {
    if workshop.is_private(leaf) {
        workshop.discard_now(leaf);
    }
}

/// A node that is not private has no private node below it.
fn abandon_inner<S: NodeStore>(inner: Handle<Inner>, workshop: &mut Workshop<'_, S>) {
    if !workshop.is_private(inner) {
        return;
    }
    let (len, height) = (workshop.read(inner).header.len, workshop.read(inner).header.height);
    for slot in 0..usize::from(len) {
        match height {
            1 => abandon_leaf(workshop.child_of(inner, slot), workshop),
            _ => abandon_inner(workshop.child_of(inner, slot), workshop),
        }
    }
    workshop.discard_now(inner);
}
