//! Nodes: their layout, the references to them, and all the `unsafe` of the tree.
//!
//! A node is a struct of arrays, each aligned to cache lines, so that one question ("which slots reach this
//! bound?") reads one array and nothing else:
//!
//! ```text
//! Leaf    last[16] | start[16] | entry[16]             | birth link len     an interval and its entry a slot
//! Inner   last[16] | child[16] | start[16] | serial[16]| birth link len     a subtree a slot: its greatest last,
//!                                                                           its root, the key of its first entry
//! ```
//!
//! Entries stand in the order of their [`Key`]: the start, and among equal starts the serial, which is the
//! number of the insertion. Addresses are stored as signed numbers with the top bit flipped ([`flip`]),
//! because AVX2 compares signed numbers only. An unused slot holds the least `last` and the greatest `start`
//! there are: no comparison of a search finds it before a used slot, so a search does not read the length.
//!
//! Three kinds of reference keep the rest of the tree free of `unsafe`:
//!
//! - [`NodeRef`] and [`InnerRef`]: shared, of a published tree, for searches. The height, which tells leaves
//!   from inner nodes, goes down with the reference, since the header lies on a cache line of its own.
//! - [`Handle`]: names a node of the tree being edited. It is read through the [`Workshop`] of the edit.
//! - [`Private`]: names a node that this edit may change; only [`Workshop::own`] and [`Workshop::fresh`] make it.
//!
//! What the `unsafe` rests on:
//!
//! - **[T1]** The nodes and entries that a tree reaches stay allocated for as long as the tree is searched or
//!   edited, and those that are published stay unchanged. The header's link alone may be written meanwhile,
//!   by the reclaimer; no search and no copy reads it.
//! - **[T2]** A [`NodeStore`] hands out nodes that are exclusively the edit's, sized and aligned for their type, whose
//!   contents need not be initialised. A node with the store's birth was handed out by it and is seen by no one else.
//! - **[T3]** A used slot of an inner node of height h points to a node of height h - 1; height 0 is a leaf.
//!   An unused slot holds no pointer.
//! - **[T4]** A handle is used only with the workshop it came from, and a node that is let go is given back only
//!   when the workshop ends, so that every handle stays valid until then.
//! - **[T5]** A node reference is made only once all fields of the node are initialised.

use super::edit::NodeStore;
use super::simd;
use super::slots::Slots;
use crate::sync::Witness;
use arrayvec::ArrayVec;
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ops::Deref;
use std::ptr::{self, NonNull};

/// The number of slots of a node.
pub(crate) const CAPACITY: usize = if cfg!(any(tiny_nodes, loom)) { 4 } else { 16 };

/// The number of slots that any node but the root uses at least.
pub(crate) const LEAST_LEN: usize = CAPACITY / 2;

/// The greatest height of a tree: more than 2^48 entries do not fit into memory.
pub(crate) const MAX_HEIGHT: usize = if cfg!(tiny_nodes) { 48 } else { 16 };

/// What an unused slot holds as its last address: the least.
pub(super) const UNUSED_LAST: i64 = i64::MIN;

/// What an unused slot holds as its start: the greatest.
pub(super) const UNUSED_START: i64 = i64::MAX;

/// What an unused slot holds as its serial: the greatest.
pub(super) const UNUSED_SERIAL: u64 = u64::MAX;

/// The signed number that stands for an address, in the same order.
#[inline(always)]
pub(crate) const fn flip(address: u64) -> i64 {
    (address ^ (1 << 63)) as i64
}

/// The address that a signed number stands for.
#[inline(always)]
pub(crate) const fn unflip(key: i64) -> u64 {
    key as u64 ^ (1 << 63)
}

/// What every entry of the tree begins with.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct EntryHeader {
    /// The number of the insertion, which orders entries of equal start. Fixed once the entry is published.
    pub(crate) serial: Cell<u64>,
}

/// A pointer to an entry: the record that the header begins.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct EntryPtr(pub(crate) NonNull<EntryHeader>);

/// Where an entry stands in the order of the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    pub(super) start: i64,
    pub(super) serial: u64,
}

/// What an inner node keeps of each child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Summary {
    /// The key of the first entry below.
    pub(super) first: Key,
    /// The greatest last address below.
    pub(super) last: i64,
}

/// A pointer to a child, whose kind its height tells.
pub(super) type ChildPtr = NonNull<()>;

/// What every node ends with: all that searches do not need.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct NodeHeader {
    /// The version that the node was made for.
    pub(crate) birth: u64,
    /// Owned by the reclaimer; the tree sets it to null in a new node and never reads it.
    pub(crate) link: Cell<*mut ()>,
    /// The number of used slots.
    pub(crate) len: u8,
    /// The height of the node: 0 for a leaf.
    pub(crate) height: u8,
    pub(crate) witness: Witness,
}

impl NodeHeader {
    pub(crate) fn new(birth: u64, len: u8, height: u8) -> NodeHeader {
        NodeHeader { birth, link: Cell::new(ptr::null_mut()), len, height, witness: Witness::new() }
    }
}

/// A node of entries.
#[repr(C, align(64))]
pub(crate) struct Leaf {
    pub(super) last: [i64; CAPACITY],
    pub(super) start: [i64; CAPACITY],
    pub(super) entry: [Option<EntryPtr>; CAPACITY],
    pub(crate) header: NodeHeader,
}

/// A node of subtrees.
#[repr(C, align(64))]
pub(crate) struct Inner {
    /// The greatest last address of each subtree.
    pub(super) last: [i64; CAPACITY],
    pub(super) child: [Option<ChildPtr>; CAPACITY],
    /// The least start of each subtree.
    pub(super) start: [i64; CAPACITY],
    /// The serial of the first entry of each subtree.
    pub(super) serial: [u64; CAPACITY],
    pub(crate) header: NodeHeader,
}

impl Leaf {
    pub(super) fn empty(birth: u64) -> Leaf {
        Leaf {
            last: [UNUSED_LAST; CAPACITY],
            start: [UNUSED_START; CAPACITY],
            entry: [None; CAPACITY],
            header: NodeHeader::new(birth, 0, 0),
        }
    }

    /// Asks for the cache lines of one slot's start and entry.
    #[inline(always)]
    pub(super) fn prefetch_slot(&self, slot: usize) {
        simd::prefetch(&raw const self.start[slot % CAPACITY]);
        simd::prefetch(&raw const self.entry[slot % CAPACITY]);
    }

    /// The key of the entry in `slot`.
    pub(super) fn key_at(&self, slot: usize) -> Key {
        Key { start: self.start[slot % CAPACITY], serial: self.serial_at(slot) }
    }

    /// The serial of the entry in `slot`, from the entry itself; the greatest where there is none.
    #[inline]
    pub(super) fn serial_at(&self, slot: usize) -> u64 {
        match self.entry[slot % CAPACITY] {
            None => UNUSED_SERIAL,
            Some(EntryPtr(entry)) => {
                // SAFETY: [T1] The entries of a node stay allocated while the node is searched or edited.
                unsafe { entry.as_ref() }.serial.get()
            }
        }
    }
}

impl Inner {
    /// The key of the first entry below the child in `slot`.
    pub(super) fn key_at(&self, slot: usize) -> Key {
        Key { start: self.start[slot % CAPACITY], serial: self.serial[slot % CAPACITY] }
    }

    pub(super) fn empty(birth: u64, height: u8) -> Inner {
        Inner {
            last: [UNUSED_LAST; CAPACITY],
            child: [None; CAPACITY],
            start: [UNUSED_START; CAPACITY],
            serial: [UNUSED_SERIAL; CAPACITY],
            header: NodeHeader::new(birth, 0, height),
        }
    }
}

/// A published node of known height, for `'v`.
#[derive(Clone, Copy)]
pub(super) struct NodeRef<'v> {
    node: NonNull<()>,
    height: u8,
    lifetime: PhantomData<&'v Leaf>,
}

/// A node and its kind.
#[derive(Clone, Copy)]
pub(super) enum Kind<'v> {
    Leaf(&'v Leaf),
    Inner(InnerRef<'v>),
}

/// A published inner node, which knows its height.
#[derive(Clone, Copy)]
pub(super) struct InnerRef<'v> {
    /// The pointer that the tree holds: an edit writes through it, so it never becomes a reference and a pointer again.
    node: NonNull<Inner>,
    height: u8,
    lifetime: PhantomData<&'v Inner>,
}

impl<'v> NodeRef<'v> {
    /// # Safety
    /// [T1] and [T3] hold for `'v` for the tree of this height below `node`.
    #[inline(always)]
    pub(super) unsafe fn new(node: NonNull<()>, height: u8) -> NodeRef<'v> {
        NodeRef { node, height, lifetime: PhantomData }
    }

    /// Looks at the node. This is where a search visits a node.
    #[inline(always)]
    pub(super) fn kind(self) -> Kind<'v> {
        #[cfg(test)]
        super::tests::visits::count(self.height);
        if self.height == 0 {
            // SAFETY: [T1] [T3] A node of height 0 is a leaf, and stays allocated and unchanged for 'v.
            let leaf: &Leaf = unsafe { self.node.cast().as_ref() };
            leaf.header.witness.read();
            Kind::Leaf(leaf)
        } else {
            // SAFETY: [T1] [T3] A node of another height is inner, and stays allocated and unchanged for 'v.
            let inner = unsafe { InnerRef::new(self.node.cast(), self.height) };
            inner.header.witness.read();
            Kind::Inner(inner)
        }
    }

    pub(super) fn height(self) -> u8 {
        self.height
    }

    /// Whether it is the same node, and so the same tree below.
    pub(super) fn is_same(self, other: NodeRef<'_>) -> bool {
        self.node == other.node && self.height == other.height
    }

    /// The key of the first entry below.
    pub(super) fn first(self) -> Key {
        match self.kind() {
            Kind::Leaf(leaf) => leaf.key_at(0),
            Kind::Inner(inner) => inner.key_at(0),
        }
    }

    /// The leaf as a node of the tree being edited, if it is one.
    #[inline(always)]
    pub(super) fn leaf_handle(self) -> Option<Handle<Leaf>> {
        (self.height == 0).then(|| Handle(self.node.cast()))
    }

    /// Asks for the cache lines that the next step of a search reads.
    #[inline(always)]
    pub(super) fn prefetch(self) {
        let address = self.node.as_ptr().cast::<u8>();
        for line in 0..PREFETCHED_LINES {
            simd::prefetch(address.wrapping_add(64 * line));
        }
    }
}

/// The cache lines of `last` and of the array behind it.
const PREFETCHED_LINES: usize = 2 * size_of::<[i64; CAPACITY]>() / 64;

impl<'v> InnerRef<'v> {
    /// # Safety
    /// [T1] and [T3] hold for `'v` for the inner node of this height.
    #[inline(always)]
    unsafe fn new(node: NonNull<Inner>, height: u8) -> Self {
        InnerRef { node, height, lifetime: PhantomData }
    }

    /// The child in `slot`, if that is in use.
    #[inline(always)]
    pub(super) fn child(self, slot: usize) -> Option<NodeRef<'v>> {
        let node = self.child[slot % CAPACITY]?;
        Some(NodeRef { node, height: self.height - 1, lifetime: PhantomData })
    }

    #[inline(always)]
    pub(super) fn height(self) -> u8 {
        self.height
    }

    #[inline(always)]
    pub(super) fn handle(self) -> Handle<Inner> {
        Handle(self.node)
    }
}

impl Deref for InnerRef<'_> {
    type Target = Inner;

    #[inline(always)]
    fn deref(&self) -> &Inner {
        // SAFETY: [T1] the node stays allocated and unchanged for 'v, said `new`'s caller.
        unsafe { self.node.as_ref() }
    }
}

/// Names a node of the tree being edited. See [T4].
pub(super) struct Handle<N>(NonNull<N>);

/// Names a node that the edit may change. See [T2] and [T4].
pub(super) struct Private<N>(NonNull<N>);

impl<N> Clone for Handle<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Handle<N> {}

impl<N> Clone for Private<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Private<N> {}

impl<N> Private<N> {
    #[inline(always)]
    pub(super) fn handle(self) -> Handle<N> {
        Handle(self.0)
    }

    #[inline(always)]
    pub(super) fn address(self) -> ChildPtr {
        self.0.cast()
    }
}

/// What the workshop needs to know of a kind of node.
pub(super) trait Node: Slots + Sized {
    const IS_LEAF: bool;

    fn header(&self) -> &NodeHeader;
    /// The key of the first entry below.
    fn first(&self) -> Key;
    fn take(store: &mut impl NodeStore) -> NonNull<Self>;
    fn replace(store: &mut impl NodeStore, old: NonNull<Self>);
    fn discard(store: &mut impl NodeStore, private: NonNull<Self>);
    /// An unused node.
    fn blank(birth: u64, height: u8) -> Self;
    /// Copies all slots, but not the header.
    ///
    /// # Safety
    /// [T1] for `from`; [T2] for `to`.
    unsafe fn copy_slots(from: NonNull<Self>, to: NonNull<Self>);
    /// # Safety
    /// [T2] for `node`.
    unsafe fn set_header(node: NonNull<Self>, header: NodeHeader);
}

impl Node for Leaf {
    const IS_LEAF: bool = true;

    #[inline(always)]
    fn header(&self) -> &NodeHeader {
        &self.header
    }

    fn first(&self) -> Key {
        Key { start: self.start[0], serial: self.serial_at(0) }
    }

    #[inline]
    fn take(store: &mut impl NodeStore) -> NonNull<Leaf> {
        store.take_leaf()
    }

    #[inline]
    fn replace(store: &mut impl NodeStore, old: NonNull<Leaf>) {
        store.replace_leaf(old);
    }

    fn discard(store: &mut impl NodeStore, private: NonNull<Leaf>) {
        store.discard_leaf(private);
    }

    fn blank(birth: u64, _height: u8) -> Leaf {
        Leaf::empty(birth)
    }

    #[inline(always)]
    unsafe fn copy_slots(from: NonNull<Leaf>, to: NonNull<Leaf>) {
        // SAFETY: [T1] [T2] `from` is an initialised node that nothing changes but for its header, which comes
        // after the slots; `to` is another, of our own.
        unsafe { copy_prefix(from, to, offset_of!(Leaf, header)) }
    }

    #[inline(always)]
    unsafe fn set_header(node: NonNull<Leaf>, header: NodeHeader) {
        // SAFETY: [T2] The node is the edit's own, and of this type.
        unsafe { (&raw mut (*node.as_ptr()).header).write(header) }
    }
}

impl Node for Inner {
    const IS_LEAF: bool = false;

    #[inline(always)]
    fn header(&self) -> &NodeHeader {
        &self.header
    }

    #[inline]
    fn first(&self) -> Key {
        Key { start: self.start[0], serial: self.serial[0] }
    }

    #[inline]
    fn take(store: &mut impl NodeStore) -> NonNull<Inner> {
        store.take_inner()
    }

    #[inline]
    fn replace(store: &mut impl NodeStore, old: NonNull<Inner>) {
        store.replace_inner(old);
    }

    fn discard(store: &mut impl NodeStore, private: NonNull<Inner>) {
        store.discard_inner(private);
    }

    fn blank(birth: u64, height: u8) -> Inner {
        Inner::empty(birth, height)
    }

    #[inline(always)]
    unsafe fn copy_slots(from: NonNull<Inner>, to: NonNull<Inner>) {
        // SAFETY: [T1] [T2] `from` is an initialised node that nothing changes but for its header, which comes
        // after the slots; `to` is another, of our own.
        unsafe { copy_prefix(from, to, offset_of!(Inner, header)) }
    }

    #[inline(always)]
    unsafe fn set_header(node: NonNull<Inner>, header: NodeHeader) {
        // SAFETY: [T2] The node is the edit's own, and of this type.
        unsafe { (&raw mut (*node.as_ptr()).header).write(header) }
    }
}

/// Copies the first bytes of a value, in one piece: the C library's copy knows the widest registers there are.
///
/// # Safety
/// Both are valid for that many bytes, aligned, and different.
#[inline(always)]
unsafe fn copy_prefix<N>(from: NonNull<N>, to: NonNull<N>, byte_count: usize) {
    // SAFETY: [T1] [T2] The caller vouches for both.
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>().as_ptr(), to.cast::<u8>().as_ptr(), byte_count) }
}

/// A private node that is no longer used.
enum Discarded {
    Leaf(NonNull<Leaf>),
    Inner(NonNull<Inner>),
}

/// Where an edit reads, copies and changes nodes.
pub(super) struct Workshop<'s, S: NodeStore> {
    store: &'s mut S,
    birth: u64,
    /// Given back at the end, so that no handle dangles before. An edit empties one node a level and the root.
    discarded: ArrayVec<Discarded, { MAX_HEIGHT + 2 }>,
}

impl<'s, S: NodeStore> Workshop<'s, S> {
    /// # Safety
    /// [T1] for every tree and entry that the workshop is used with, [T2] for `store`.
    #[inline]
    pub(super) unsafe fn new(store: &'s mut S) -> Self {
        let birth = store.birth();
        Workshop { store, birth, discarded: ArrayVec::new() }
    }

    /// The root of a tree, for reading while nothing is changed.
    #[inline]
    pub(super) fn root(&self, node: NonNull<()>, height: u8) -> NodeRef<'_> {
        // SAFETY: [T1] [T4] The tree is the one being edited, and the borrow of the workshop keeps it unchanged.
        unsafe { NodeRef::new(node, height) }
    }

    /// The root of the tree as a node to edit.
    #[inline]
    pub(super) fn root_handle<N: Node>(&self, node: NonNull<()>) -> Handle<N> {
        Handle(node.cast())
    }

    #[inline(always)]
    pub(super) fn read<N: Node>(&self, node: Handle<N>) -> &N {
        // SAFETY: [T1] [T4] [T5] The node is valid, and only a workshop that is borrowed mutably changes it.
        let node = unsafe { node.0.as_ref() };
        node.header().witness.read();
        node
    }

    #[inline(always)]
    pub(super) fn write<N: Node>(&mut self, mut node: Private<N>) -> &mut N {
        // SAFETY: [T2] [T4] [T5] The node is valid and the edit's alone; the mutable borrow makes this the only
        // reference.
        unsafe { node.0.as_mut() }
    }

    /// Two different nodes, both to be changed.
    pub(super) fn write_both<N: Node>(&mut self, mut a: Private<N>, mut b: Private<N>) -> (&mut N, &mut N) {
        assert!(a.0 != b.0, "a node is not its own sibling");
        // SAFETY: [T2] [T4] [T5] Both are valid, the edit's alone, and different.
        unsafe { (a.0.as_mut(), b.0.as_mut()) }
    }

    /// Two different nodes, the first to be changed.
    pub(super) fn write_reading<N: Node>(&mut self, mut a: Private<N>, b: Handle<N>) -> (&mut N, &N) {
        assert!(a.0 != b.0, "a node is not its own sibling");
        // SAFETY: [T1] [T2] [T4] [T5] Both are valid and different, and the first is the edit's alone.
        unsafe { (a.0.as_mut(), b.0.as_ref()) }
    }

    /// The child of an inner node that has children of this kind.
    pub(super) fn child<N: Node>(&self, parent: Private<Inner>, slot: usize) -> Handle<N> {
        self.child_of(parent.handle(), slot)
    }

    /// As `child`, of a node that need not be private.
    pub(super) fn child_of<N: Node>(&self, parent: Handle<Inner>, slot: usize) -> Handle<N> {
        let parent = self.read(parent);
        assert!(N::IS_LEAF == (parent.header.height == 1), "the height of a node tells the kind of its children");
        Handle(parent.child[slot].expect("[T3] a used slot has a child").cast())
    }

    #[inline(always)]
    pub(super) fn is_private<N: Node>(&self, node: Handle<N>) -> bool {
        self.read(node).header().birth == self.birth
    }

    /// The node itself if it is private, else a private copy that replaces it.
    #[inline]
    pub(super) fn own<N: Node>(&mut self, node: Handle<N>) -> Private<N> {
        if self.is_private(node) { Private(node.0) } else { self.copy(node) }
    }

    #[inline]
    fn copy<N: Node>(&mut self, node: Handle<N>) -> Private<N> {
        let copy = N::take(self.store);
        let old = self.read(node).header();
        let header = NodeHeader::new(self.birth, old.len, old.height);
        // SAFETY: [T1] [T2] `node` is published, hence not the node just taken, which is ours to fill.
        unsafe {
            N::copy_slots(node.0, copy);
            N::set_header(copy, header);
        }
        N::replace(self.store, node.0);
        Private(copy)
    }

    /// A private node with all slots unused.
    pub(super) fn fresh<N: Node>(&mut self, height: u8) -> Private<N> {
        let node = N::take(self.store);
        // SAFETY: [T2] The node was handed out to us alone, sized and aligned for its type.
        unsafe { node.write(N::blank(self.birth, height)) };
        Private(node)
    }

    /// Gives up a node that the tree no longer reaches.
    pub(super) fn let_go<N: Node>(&mut self, node: Handle<N>) {
        if !self.is_private(node) {
            N::replace(self.store, node.0);
        } else if N::IS_LEAF {
            self.discarded.push(Discarded::Leaf(node.0.cast()));
        } else {
            self.discarded.push(Discarded::Inner(node.0.cast()));
        }
    }

    /// Gives a private node back at once, when the whole tree is given up from below.
    pub(super) fn discard_now<N: Node>(&mut self, node: Handle<N>) {
        N::discard(self.store, node.0);
    }

    /// The serial of an entry that is to be inserted.
    #[inline]
    pub(super) fn serial_of(&self, entry: EntryPtr) -> u64 {
        // SAFETY: [T1] The entries that the workshop is used with are allocated.
        unsafe { entry.0.as_ref() }.serial.get()
    }
}

impl<S: NodeStore> Drop for Workshop<'_, S> {
    #[inline]
    fn drop(&mut self) {
        for node in self.discarded.drain(..) {
            match node {
                Discarded::Leaf(leaf) => Leaf::discard(self.store, leaf),
                Discarded::Inner(inner) => Inner::discard(self.store, inner),
            }
        }
    }
}
