//! Many first overlaps at once: descents side by side.
//!
//! A descent waits for memory once a level, and one descent cannot do anything else meanwhile. So a group of queries
//! goes down level by level together: each takes its step and asks for the node it will need next, and by
//! the time its turn comes again the node is there. All leaves have the same height, so the group arrives together.

use super::TreeRef;
use super::node::{Kind, Leaf, NodeRef};
use super::search::{Bounds, Slot, first_reaching, slot_if_begun};
use super::simd::{Kernel, Query, dispatch};
use crate::interval::Interval;
use arrayvec::ArrayVec;

/// The number of descents side by side: about as many as a core has cache misses under way.
const GROUP: usize = 16;

impl<'v> TreeRef<'v> {
    /// Tells for each query, by its index, the first entry that overlaps it.
    pub(crate) fn first_overlap_many(
        self,
        queries: &[Interval],
        mut found: impl FnMut(usize, Option<Slot<'v>>),
    ) {
        for (group, queries) in queries.chunks(GROUP).enumerate() {
            let found = |index: usize, slot| found(group * GROUP + index, slot);
            dispatch(Group {
                tree: self,
                queries,
                found,
            });
        }
    }
}

struct Group<'v, 'q, F> {
    tree: TreeRef<'v>,
    queries: &'q [Interval],
    found: F,
}

/// One descent of the group.
struct Lane<'v> {
    node: NodeRef<'v>,
    bounds: Bounds,
    index: usize,
}

/// A descent that has arrived.
struct Arrival<'v> {
    leaf: &'v Leaf,
    slot: usize,
    last: i64,
    index: usize,
}

impl<'v, F: FnMut(usize, Option<Slot<'v>>)> Query for Group<'v, '_, F> {
    type Answer = ();

    #[inline(always)]
    fn run<K: Kernel>(mut self, kernel: K) {
        let mut lanes = self.set_off();
        for _ in 0..=self.tree.tree.height {
            for arrival in step_all(kernel, &mut lanes) {
                (self.found)(
                    arrival.index,
                    slot_if_begun(arrival.leaf, arrival.slot, arrival.last),
                );
            }
        }
    }
}

impl<'v, F: FnMut(usize, Option<Slot<'v>>)> Group<'v, '_, F> {
    /// The descents to make; queries that the summary rules out are answered at once.
    #[inline(always)]
    fn set_off(&mut self) -> ArrayVec<Lane<'v>, GROUP> {
        let mut lanes = ArrayVec::new();
        for (index, &query) in self.queries.iter().enumerate() {
            let bounds = Bounds::of(query);
            let root = self.tree.root_if_reached(bounds);
            let lane = root.and_then(|node| lanes.try_push(Lane { node, bounds, index }).ok());
            if lane.is_none() {
                (self.found)(index, None);
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
                let arrival = Arrival {
                    leaf,
                    slot,
                    last: lane.bounds.last,
                    index: lane.index,
                };
                let _ = arrivals.try_push(arrival);
            }
        }
    }
    if !arrivals.is_empty() {
        lanes.clear();
    }
    arrivals
}
