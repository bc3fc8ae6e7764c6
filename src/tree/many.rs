//! Many first overlaps at once: descents side by side.
//!
//! A descent waits for memory once a level, and one descent cannot do anything else meanwhile. So a group of queries
//! goes down level by level together: each takes its step and asks for the node it will need next, and by
//! the time its turn comes again the node is there. All leaves have the same height, so the group arrives together.

use super::TreeRef;
use super::node::{Kind, NodeRef};
use super::search::{Bounds, Slot, Spot, first_reaching};
use super::simd::{Kernel, Query, dispatch};
use crate::interval::Interval;
use arrayvec::ArrayVec;

/// The number of descents side by side: about as many as a core has cache misses under way.
const GROUP: usize = 16;

impl<'v> TreeRef<'v> {
    /// Tells for each query, by its index, the first entry that overlaps it.
    pub(crate) fn first_overlap_many(self, queries: &[Interval], mut found: impl FnMut(usize, Option<Slot<'v>>)) {
        for (group, queries) in queries.chunks(GROUP).enumerate() {
            let group = Group { tree: self, queries, first_index: group * GROUP };
            dispatch(group, &mut found);
        }
    }
}

struct Group<'v, 'q> {
    tree: TreeRef<'v>,
    queries: &'q [Interval],
    first_index: usize,
}

/// One descent of the group.
struct Lane<'v> {
    node: NodeRef<'v>,
    bounds: Bounds,
    index: usize,
}

/// A descent that has arrived.
struct Arrival<'v> {
    spot: Spot<'v>,
    last: i64,
    index: usize,
}

impl<'v, F: FnMut(usize, Option<Slot<'v>>)> Query<&mut F> for Group<'v, '_> {
    type Answer = ();

    #[inline(always)]
    fn run<K: Kernel>(self, found: &mut F, kernel: K) {
        let mut lanes = self.set_off(found);
        for _ in 0..=self.tree.tree.height {
            for arrival in step_all(kernel, &mut lanes) {
                found(arrival.index, arrival.spot.slot_if_begun(arrival.last));
            }
        }
    }
}

impl<'v> Group<'v, '_> {
    /// The descents to make; queries that the summary rules out are answered at once.
    #[inline(always)]
    fn set_off(&self, found: &mut impl FnMut(usize, Option<Slot<'v>>)) -> ArrayVec<Lane<'v>, GROUP> {
        let mut lanes = ArrayVec::new();
        for (&query, index) in self.queries.iter().zip(self.first_index..) {
            let bounds = Bounds::of(query);
            let root = self.tree.root_if_reached(bounds);
            let lane = root.and_then(|node| lanes.try_push(Lane { node, bounds, index }).ok());
            if lane.is_none() {
                found(index, None);
            }
        }
        lanes
    }
}

/// Takes one step of every lane. Lanes that were at a leaf have arrived and are taken out.
#[inline(always)]
fn step_all<'v, K: Kernel>(kernel: K, lanes: &mut ArrayVec<Lane<'v>, GROUP>) -> ArrayVec<Arrival<'v>, GROUP> {
    let mut arrivals = ArrayVec::new();
    for lane in lanes.iter_mut() {
        match lane.node.kind() {
            Kind::Inner(inner) => {
                if let Some(child) = inner.child(first_reaching(kernel, &inner.last, lane.bounds.start)) {
                    child.prefetch();
                    lane.node = child;
                }
            }
            Kind::Leaf(leaf) => {
                let slot = first_reaching(kernel, &leaf.last, lane.bounds.start);
                leaf.prefetch_slot(slot);
                let arrival = Arrival { spot: Spot { leaf, slot }, last: lane.bounds.last, index: lane.index };
                let _ = arrivals.try_push(arrival);
            }
        }
    }
    if !arrivals.is_empty() {
        lanes.clear();
    }
    arrivals
}
