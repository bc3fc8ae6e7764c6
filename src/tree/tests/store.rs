//! A node store that knows every node: who may have it, what it held when it was published, where it went.
//!
//! Each node is an allocation of its own, filled with a pattern before it is handed out and after it is
//! given back, so that a read too early or too late meets nonsense.

use super::super::node::{InnerRef, Kind, NodeRef};
use super::super::{Inner, Leaf, NodeCounts, NodeStore, Tree, TreeRef};
use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr::NonNull;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Handed out to the edit under way.
    Private,
    /// Seen by searches, with this content.
    Published(u64),
    /// As published, and reported as replaced by the edit under way.
    Replaced(u64),
    /// Replaced by an edit that was published.
    Retired(u64),
}

pub(super) struct TestStore {
    birth: u64,
    nodes: HashMap<usize, (Layout, State)>,
    /// Taken since the last look.
    taken: NodeCounts,
}

impl TestStore {
    pub(super) fn new() -> TestStore {
        TestStore { birth: 1, nodes: HashMap::new(), taken: NodeCounts::default() }
    }

    /// The nodes taken since this was called last.
    pub(super) fn taken(&mut self) -> NodeCounts {
        std::mem::take(&mut self.taken)
    }

    pub(super) fn live_count(&self) -> usize {
        self.nodes.values().filter(|(_, state)| !matches!(state, State::Retired(_))).count()
    }

    pub(super) fn replaced_count(&self) -> usize {
        self.nodes.values().filter(|(_, state)| matches!(state, State::Replaced(_))).count()
    }

    /// Publishes what the edit made: all its nodes must be reached by `tree`, and none that it replaced.
    pub(super) fn publish(&mut self, tree: TreeRef<'_>) {
        let reached = contents(tree);
        for (address, (_, state)) in &mut self.nodes {
            *state = match (*state, reached.get(address)) {
                (State::Private, Some(&content)) => State::Published(content),
                (State::Private, None) => panic!("a private node is not reached: it leaks"),
                (State::Published(old), Some(&content)) => {
                    assert_eq!(old, content, "a published node was changed");
                    State::Published(old)
                }
                (State::Published(_), None) => {
                    panic!("a published node is no longer reached, but not replaced")
                }
                (State::Replaced(old), None) => State::Retired(old),
                (State::Replaced(_), Some(_)) => panic!("a replaced node is still reached"),
                (retired, None) => retired,
                (State::Retired(_), Some(_)) => panic!("a retired node is reached again"),
            };
        }
        assert!(reached.keys().all(|address| self.nodes.contains_key(address)));
        self.birth += 1;
    }

    /// Forgets what the edit made and replaced, as after a lost race.
    pub(super) fn abort(&mut self) {
        let private: Vec<usize> = self.addresses_of(|state| state == State::Private);
        private.into_iter().for_each(|address| self.free(address));
        for (_, state) in self.nodes.values_mut() {
            if let State::Replaced(content) = *state {
                *state = State::Published(content);
            }
        }
        self.birth += 1;
    }

    /// Verifies that a tree of the past still has the content it was published with.
    pub(super) fn verify_unchanged(&self, tree: TreeRef<'_>) {
        for (address, content) in contents(tree) {
            match self.nodes[&address].1 {
                State::Private => panic!("an old tree reaches a private node"),
                State::Published(old) | State::Replaced(old) | State::Retired(old) => {
                    assert_eq!(old, content)
                }
            }
        }
    }

    fn addresses_of(&self, wanted: impl Fn(State) -> bool) -> Vec<usize> {
        self.nodes.iter().filter(|(_, (_, state))| wanted(*state)).map(|(&address, _)| address).collect()
    }

    fn take<N>(&mut self) -> NonNull<N> {
        let layout = Layout::new::<N>();
        // SAFETY: [T2] A node is not of size zero.
        let node = NonNull::new(unsafe { alloc(layout) }).expect("memory");
        // SAFETY: [T2] The allocation is of this size.
        unsafe { node.as_ptr().write_bytes(0xa5, layout.size()) };
        self.nodes.insert(node.as_ptr() as usize, (layout, State::Private));
        node.cast()
    }

    fn replace(&mut self, address: usize, birth: u64) {
        assert!(birth < self.birth, "a node of this edit is not replaced but discarded");
        let (_, state) = self.nodes.get_mut(&address).expect("a node of this store");
        match *state {
            State::Published(content) => *state = State::Replaced(content),
            other => panic!("replaced while {other:?}"),
        }
    }

    fn discard(&mut self, address: usize) {
        assert_eq!(self.nodes[&address].1, State::Private, "only a private node is discarded");
        self.free(address);
    }

    fn free(&mut self, address: usize) {
        let (layout, _) = self.nodes.remove(&address).expect("a node of this store");
        let node = address as *mut u8;
        // SAFETY: [T2] The node was allocated by `take` with this layout, and is forgotten here.
        unsafe {
            node.write_bytes(0xdd, layout.size());
            dealloc(node, layout);
        }
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.addresses_of(|_| true).into_iter().for_each(|address| self.free(address));
    }
}

impl NodeStore for TestStore {
    fn birth(&self) -> u64 {
        self.birth
    }

    fn take_leaf(&mut self) -> NonNull<Leaf> {
        self.taken.leaf += 1;
        self.take()
    }

    fn take_inner(&mut self) -> NonNull<Inner> {
        self.taken.inner += 1;
        self.take()
    }

    fn replace_leaf(&mut self, old: NonNull<Leaf>) {
        // SAFETY: [T1] A node that an edit replaces is still allocated.
        self.replace(old.as_ptr() as usize, unsafe { old.as_ref() }.header.birth);
    }

    fn replace_inner(&mut self, old: NonNull<Inner>) {
        // SAFETY: [T1] A node that an edit replaces is still allocated.
        self.replace(old.as_ptr() as usize, unsafe { old.as_ref() }.header.birth);
    }

    fn discard_leaf(&mut self, private: NonNull<Leaf>) {
        self.discard(private.as_ptr() as usize);
    }

    fn discard_inner(&mut self, private: NonNull<Inner>) {
        self.discard(private.as_ptr() as usize);
    }
}

/// The addresses of all nodes of a tree, with a hash of what they hold.
fn contents(tree: TreeRef<'_>) -> HashMap<usize, u64> {
    let mut found = HashMap::new();
    if let Some(root) = tree.root() {
        collect(root, &mut found);
    }
    found
}

fn collect(node: NodeRef<'_>, found: &mut HashMap<usize, u64>) {
    let mut hasher = DefaultHasher::new();
    let address = match node.kind() {
        Kind::Leaf(leaf) => {
            (leaf.last, leaf.start, leaf.entry, leaf.header.birth, leaf.header.len).hash(&mut hasher);
            (leaf as *const Leaf) as usize
        }
        Kind::Inner(inner) => {
            (inner.last, inner.child, inner.start, inner.serial, inner.header.birth).hash(&mut hasher);
            (inner.header.len, inner.header.height).hash(&mut hasher);
            children(inner).for_each(|child| collect(child, found));
            (&raw const *inner) as usize
        }
    };
    assert!(found.insert(address, hasher.finish()).is_none(), "a node is reached on two ways");
}

fn children<'v>(inner: InnerRef<'v>) -> impl Iterator<Item = NodeRef<'v>> {
    (0..usize::from(inner.header.len)).filter_map(move |slot| inner.child(slot))
}

/// The addresses of all nodes of a tree.
pub(super) fn node_addresses(tree: &Tree) -> HashSet<usize> {
    // SAFETY: [T1] The store frees no node of a tree before the end of the test.
    contents(unsafe { tree.as_ref() }).into_keys().collect()
}
