//! The pool: memory of two sizes for tree nodes and version records, so that a steady state of changes
//! never calls the allocator.
//!
//! ```text
//!   slabs ──carved──> workbench: [hot magazine] [spare magazine]   one writer at a time, no atomics
//!                          │ full                ▲ empty
//!                          ▼                     │
//!                     shelves: stacks of magazines, exchanged by swap and compare-with-null
//! ```
//!
//! Magazines are Bonwick's ("Magazines and Vmem", USENIX 2001). A shelf is only ever swapped with null or
//! set from null, so there is no ABA to defend against and nobody waits for anybody: a writer stopped
//! anywhere keeps at most its own workbench's slots to itself.
//!
//! Invariants:
//! - **\[P1]** A slot is in exactly one place: in use, in one magazine, in the uncarved rest of one slab, or
//!   behind one shelf. Whoever takes it from a magazine owns it alone.
//! - **\[P2]** A slab stays allocated until the depot is dropped, or until every one of its slots lies in the
//!   hands of `shrink`.
//! - **\[P3]** The links of a free slot are written only by the owner of the list it is in.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::{self, NonNull};

use super::asan;
use crate::busted::{self, Sabotage};
use crate::sync::{AtomicPtr, Number, Ordering, Padded, Witness, dealloc};
use crate::tree::{Inner, Leaf};
use crate::tuning::{FIRST_SLAB, LARGEST_SLAB, MAGAZINE, SHELVES};

/// The two sizes of slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// A leaf of a tree.
    Leaf,
    /// An inner node, a table node, a version record or a page of replaced objects.
    Large,
}

const ALIGNMENT: usize = 64;

/// Bytes at the head of a slab that its own links take.
const SLAB_HEAD: usize = ALIGNMENT;

impl Class {
    /// Bytes of one slot.
    pub(crate) const fn slot_bytes(self) -> usize {
        match self {
            Class::Leaf => size_of::<Leaf>(),
            Class::Large if size_of::<Inner>() > LARGE_AT_LEAST => size_of::<Inner>(),
            Class::Large => LARGE_AT_LEAST,
        }
    }
}

/// A version record must fit whatever the capacity of nodes is; atomics of a checker are larger.
const LARGE_AT_LEAST: usize = if cfg!(any(loom, shuttle)) { 1024 } else { 576 };

/// A slot while it is free.
struct FreeSlot {
    next: *mut FreeSlot,
    /// Only in the first slot of a magazine on a shelf, as are the next two.
    tail: *mut FreeSlot,
    count: usize,
    /// The next magazine on the same shelf.
    below: *mut FreeSlot,
    witness: Witness,
}

/// Bytes at the head of a free slot that its links take.
pub(super) const LINK_BYTES: usize = size_of::<FreeSlot>();

/// A list of free slots with one owner.
struct Magazine {
    head: *mut FreeSlot,
    tail: *mut FreeSlot,
    count: usize,
}

impl Magazine {
    const EMPTY: Magazine = Magazine { head: ptr::null_mut(), tail: ptr::null_mut(), count: 0 };

    fn push(&mut self, slot: NonNull<u8>) {
        let slot = slot.cast::<FreeSlot>().as_ptr();
        // SAFETY: [P1] the slot is ours alone; it is larger and better aligned than a `FreeSlot`.
        unsafe {
            slot.write(FreeSlot {
                next: self.head,
                tail: ptr::null_mut(),
                count: 0,
                below: ptr::null_mut(),
                witness: Witness::new(),
            });
        }
        if self.head.is_null() {
            self.tail = slot;
        }
        self.head = slot;
        self.count += 1;
    }

    fn pop(&mut self) -> Option<NonNull<u8>> {
        let slot = NonNull::new(self.head)?;
        // SAFETY: [P1] [P3] the slot is in our list, so its link is initialised and ours.
        self.head = unsafe {
            slot.as_ref().witness.end();
            slot.as_ref().next
        };
        self.count -= 1;
        Some(slot.cast())
    }

    /// Puts all of `other` in front of this list.
    fn append(&mut self, other: Magazine) {
        if other.count == 0 {
            return;
        }
        // SAFETY: [P3] both lists are ours; a non-empty list's tail is a slot of it.
        unsafe { (*other.tail).next = self.head };
        if self.head.is_null() {
            self.tail = other.tail;
        }
        self.head = other.head;
        self.count += other.count;
    }
}

/// The places where workbenches leave magazines of one class for one another: a stack of magazines each.
struct Shelves([AtomicPtr<FreeSlot>; SHELVES]);

impl Shelves {
    fn new() -> Self {
        Shelves(std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())))
    }

    /// One magazine, if there is any.
    fn take(&self) -> Option<Magazine> {
        let top = self.0.iter().find_map(Self::take_stack)?;
        // SAFETY: [P1] the stack is ours; `put` wrote these fields of each magazine's first slot.
        let (magazine, below) = unsafe {
            let first = top.as_ref();
            first.witness.read();
            (Magazine { head: top.as_ptr(), tail: first.tail, count: first.count }, first.below)
        };
        self.put_stack(below);
        Some(magazine)
    }

    /// All that lies on one shelf.
    fn take_stack(shelf: &AtomicPtr<FreeSlot>) -> Option<NonNull<FreeSlot>> {
        // [O8] Relaxed look before the swap: only saves the write.
        if shelf.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // [O8] Acquire, partner of the Release in `put_stack`: the links of the magazines.
        NonNull::new(shelf.swap(ptr::null_mut(), Ordering::Acquire))
    }

    fn put(&self, magazine: Magazine) {
        if magazine.count == 0 {
            return;
        }
        // SAFETY: [P3] the list is ours until it is put down.
        unsafe {
            let first = &mut *magazine.head;
            (first.tail, first.count, first.below) = (magazine.tail, magazine.count, ptr::null_mut());
        }
        self.put_stack(magazine.head);
    }

    /// Puts a stack on an empty shelf; where there is none, on top of another stack.
    fn put_stack(&self, top: *mut FreeSlot) {
        while !top.is_null() {
            // [O8] Release, partner of the Acquire in `take_stack`.
            let put = |shelf: &AtomicPtr<FreeSlot>| {
                shelf.compare_exchange(ptr::null_mut(), top, Ordering::Release, Ordering::Relaxed).is_ok()
            };
            if self.0.iter().any(put) {
                return;
            }
            if let Some(other) = self.0.iter().find_map(Self::take_stack) {
                stack_onto(top, other);
            }
        }
    }
}

/// Puts the stack `other` below the last magazine of the stack `top`.
fn stack_onto(top: *mut FreeSlot, other: NonNull<FreeSlot>) {
    let mut last = top;
    // SAFETY: [P3] both stacks are the caller's.
    unsafe {
        while !(*last).below.is_null() {
            (*last).witness.read();
            last = (*last).below;
        }
        (*last).below = other.as_ptr();
    }
}

/// The head of a slab.
struct Slab {
    next: *mut Slab,
    bytes: usize,
    class: Class,
    witness: Witness,
}

/// What all workbenches of an index share: the slabs and the shelves.
pub(crate) struct Depot {
    leaf: Padded<Shelves>,
    large: Padded<Shelves>,
    slabs: AtomicPtr<Slab>,
    bytes: Number,
}

// SAFETY: [P1] [P3] all that is reached through the pointers is handed over by the atomics.
unsafe impl Send for Depot {}
// SAFETY: as above.
unsafe impl Sync for Depot {}

/// No memory was to be had; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoMemory;

impl Depot {
    pub(crate) fn new() -> Self {
        Depot {
            leaf: Padded(Shelves::new()),
            large: Padded(Shelves::new()),
            slabs: AtomicPtr::new(ptr::null_mut()),
            bytes: Number::new(0),
        }
    }

    /// Bytes of all slabs.
    pub(crate) fn bytes(&self) -> u64 {
        // [O9] Relaxed: a statistic.
        self.bytes.load(Ordering::Relaxed)
    }

    fn shelves(&self, class: Class) -> &Shelves {
        match class {
            Class::Leaf => &self.leaf.0,
            Class::Large => &self.large.0,
        }
    }

    /// A fresh slab of at least one slot: where its slots begin, and how many there are.
    fn new_slab(&self, class: Class, bytes: usize) -> Result<(*mut u8, usize), NoMemory> {
        let layout = slab_layout(bytes);
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            return Err(NoMemory);
        }
        let slab = memory.cast::<Slab>();
        // SAFETY: fresh memory of at least SLAB_HEAD bytes, aligned to 64.
        unsafe { slab.write(Slab { next: ptr::null_mut(), bytes, class, witness: Witness::new() }) };
        self.register(slab, slab);
        // [O9] Relaxed: a statistic.
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // SAFETY: a slab is longer than its head.
        let first = unsafe { memory.add(SLAB_HEAD) };
        Ok((first, slots_of(bytes, class)))
    }

    /// Puts the chain of slabs from `head` to `tail` back on the list.
    fn register(&self, head: *mut Slab, tail: *mut Slab) {
        let mut next = self.slabs.load(Ordering::Relaxed);
        loop {
            // SAFETY: [P2] the chain is allocated, and ours until the exchange succeeds.
            unsafe { (*tail).next = next };
            // [O9] Release, partner of the Acquire in `all_slabs`: the slab's head.
            match self.slabs.compare_exchange_weak(next, head, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Takes the whole list of slabs.
    fn all_slabs(&self) -> Vec<*mut Slab> {
        let mut slabs = Vec::new();
        // [O9] Acquire, partner of the Release in `register`.
        let mut slab = self.slabs.swap(ptr::null_mut(), Ordering::Acquire);
        while !slab.is_null() {
            slabs.push(slab);
            // SAFETY: [P2] slabs on the list are allocated; the swap made the list ours.
            slab = unsafe {
                (*slab).witness.read();
                (*slab).next
            };
        }
        slabs
    }

    /// Gives back to the allocator every slab that is wholly free in `racks` and on the shelves.
    ///
    /// One caller at a time; writers go on meanwhile, and what they hold counts as in use.
    pub(crate) fn shrink(&self, racks: &mut [&mut Workbench]) {
        // The slots before the slabs: a writer may add a slab meanwhile, and leave its slots on a shelf.
        let too_early = busted::is(Sabotage::SlabsFirst).then(|| self.all_slabs());
        let gathered = [Class::Leaf, Class::Large].map(|class| (class, self.gather(class, racks)));
        let mut slabs = too_early.unwrap_or_else(|| self.all_slabs());
        slabs.sort_unstable();
        for (class, mut free) in gathered {
            let mut free_count = vec![0_usize; slabs.len()];
            let mut kept = Magazine::EMPTY;
            let slots: Vec<NonNull<u8>> = std::iter::from_fn(|| free.pop()).collect();
            for slot in &slots {
                free_count[slab_of(&slabs, *slot)] += 1;
            }
            for slot in slots {
                let slab = slab_of(&slabs, slot);
                if !is_wholly_free(slabs[slab], free_count[slab]) {
                    kept.push(slot);
                }
            }
            self.shelves(class).put(kept);
            let mut counts = free_count.into_iter();
            slabs.retain(|slab| !self.free_if(*slab, class, counts.next().unwrap_or(0)));
        }
        self.put_back(&slabs);
    }

    /// Puts slabs that were taken from the list on it again, all at once.
    fn put_back(&self, slabs: &[*mut Slab]) {
        for pair in slabs.windows(2) {
            // SAFETY: [P2] the slabs are allocated, and ours since they were taken from the list.
            unsafe { (*pair[0]).next = pair[1] };
        }
        if let (Some(head), Some(tail)) = (slabs.first(), slabs.last()) {
            self.register(*head, *tail);
        }
    }

    /// All free slots of a class that are within reach.
    fn gather(&self, class: Class, racks: &mut [&mut Workbench]) -> Magazine {
        let mut free = Magazine::EMPTY;
        for workbench in racks {
            free.append(workbench.rack(class).empty_out());
        }
        while let Some(magazine) = self.shelves(class).take() {
            free.append(magazine);
        }
        free
    }

    fn free_if(&self, slab: *mut Slab, class: Class, free_count: usize) -> bool {
        // SAFETY: [P2] the slab is on our list, so it is allocated.
        let head = unsafe { slab.read() };
        let goes = head.class == class && is_wholly_free(slab, free_count);
        if goes {
            // [O9] Relaxed: a statistic.
            self.bytes.fetch_sub(head.bytes as u64, Ordering::Relaxed);
            // SAFETY: [P2] each of its slots was in our hands, and none was kept.
            unsafe { dealloc(slab.cast(), slab_layout(head.bytes)) };
        }
        goes
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        for slab in self.all_slabs() {
            // SAFETY: [P2] the depot's owner is gone, and with it all use of slots.
            unsafe { dealloc(slab.cast(), slab_layout((*slab).bytes)) };
        }
    }
}

fn slab_layout(bytes: usize) -> Layout {
    // The sizes are powers of two between FIRST_SLAB and LARGEST_SLAB: a valid layout.
    Layout::from_size_align(bytes, ALIGNMENT).unwrap_or(Layout::new::<Slab>())
}

const fn slots_of(bytes: usize, class: Class) -> usize {
    (bytes - SLAB_HEAD) / class.slot_bytes()
}

fn slab_of(sorted: &[*mut Slab], slot: NonNull<u8>) -> usize {
    let at = sorted.partition_point(|slab| slab.cast::<u8>() <= slot.as_ptr()) - 1;
    if cfg!(any(debug_assertions, loom)) {
        let offset = slot.as_ptr().addr() - sorted[at].addr();
        // SAFETY: [P2] only called with slabs of the list.
        assert!(offset < unsafe { (*sorted[at]).bytes }, "a free slot is in a slab of the list");
    }
    at
}

fn is_wholly_free(slab: *mut Slab, free_count: usize) -> bool {
    // SAFETY: [P2] only called with slabs of the list.
    let head = unsafe { &*slab };
    free_count == slots_of(head.bytes, head.class)
}

/// One class's free slots at one workbench.
struct Rack {
    class: Class,
    hot: Magazine,
    spare: Magazine,
    uncarved: *mut u8,
    uncarved_count: usize,
    next_slab: usize,
}

impl Rack {
    const fn new(class: Class) -> Self {
        Rack {
            class,
            hot: Magazine::EMPTY,
            spare: Magazine::EMPTY,
            uncarved: ptr::null_mut(),
            uncarved_count: 0,
            next_slab: FIRST_SLAB,
        }
    }

    const fn available(&self) -> usize {
        self.hot.count + self.spare.count + self.uncarved_count
    }

    #[cold]
    fn restock(&mut self, depot: &Depot) -> Result<(), NoMemory> {
        if let Some(magazine) = depot.shelves(self.class).take() {
            self.spare.append(magazine);
            return Ok(());
        }
        self.carve_rest();
        let (first, count) = depot.new_slab(self.class, self.next_slab)?;
        (self.uncarved, self.uncarved_count) = (first, count);
        self.next_slab = (self.next_slab * 2).min(LARGEST_SLAB);
        Ok(())
    }

    fn carve_rest(&mut self) {
        while let Some(slot) = self.carve() {
            self.spare.push(slot);
        }
    }

    fn carve(&mut self) -> Option<NonNull<u8>> {
        if self.uncarved_count == 0 {
            return None;
        }
        let slot = NonNull::new(self.uncarved);
        self.uncarved_count -= 1;
        // SAFETY: [P1] the uncarved rest holds `uncarved_count` slots more, so this stays within the slab
        // or one past its last slot.
        self.uncarved = unsafe { self.uncarved.add(self.class.slot_bytes()) };
        slot
    }

    #[inline]
    fn take(&mut self) -> Option<NonNull<u8>> {
        if let Some(slot) = self.hot.pop() {
            return Some(slot);
        }
        if self.spare.count > 0 {
            std::mem::swap(&mut self.hot, &mut self.spare);
            return self.hot.pop();
        }
        self.carve()
    }

    #[inline]
    fn give(&mut self, slot: NonNull<u8>, depot: &Depot) {
        if self.hot.count >= MAGAZINE {
            let full = std::mem::replace(&mut self.hot, Magazine::EMPTY);
            let spare = std::mem::replace(&mut self.spare, full);
            depot.shelves(self.class).put(spare);
        }
        self.hot.push(slot);
    }

    fn empty_out(&mut self) -> Magazine {
        self.carve_rest();
        let mut all = std::mem::replace(&mut self.hot, Magazine::EMPTY);
        all.append(std::mem::replace(&mut self.spare, Magazine::EMPTY));
        all
    }
}

/// One writer's own stock of slots: claimed for the time of a change, without contention.
pub(crate) struct Workbench {
    leaf: Rack,
    large: Rack,
}

// SAFETY: [P1] the slots behind its pointers belong to the workbench alone, whichever thread has it.
unsafe impl Send for Workbench {}

impl Workbench {
    pub(crate) const fn new() -> Self {
        Workbench { leaf: Rack::new(Class::Leaf), large: Rack::new(Class::Large) }
    }

    fn rack(&mut self, class: Class) -> &mut Rack {
        match class {
            Class::Leaf => &mut self.leaf,
            Class::Large => &mut self.large,
        }
    }

    /// Makes sure that the next `leaf` and `large` calls of `take` succeed.
    #[inline]
    pub(crate) fn reserve(&mut self, depot: &Depot, leaf: usize, large: usize) -> Result<(), NoMemory> {
        while self.leaf.available() < leaf {
            self.leaf.restock(depot)?;
        }
        while self.large.available() < large {
            self.large.restock(depot)?;
        }
        Ok(())
    }

    /// A slot of its own for the caller, uninitialised; `None` only beyond what was reserved.
    #[inline]
    pub(crate) fn take(&mut self, class: Class) -> Option<NonNull<u8>> {
        let slot = self.rack(class).take()?;
        asan::show(slot, class);
        poison::check(slot, class);
        Some(slot)
    }

    /// Takes a slot back.
    ///
    /// # Safety
    /// The slot came from `take` of the same class and depot, and nobody else can reach it any more.
    #[inline]
    pub(crate) unsafe fn give(&mut self, class: Class, slot: NonNull<u8>, depot: &Depot) {
        poison::fill(slot, class);
        asan::hide(slot, class);
        self.rack(class).give(slot, depot);
    }

    /// Leaves everything on the shelves.
    pub(crate) fn clear_away(&mut self, depot: &Depot) {
        for class in [Class::Leaf, Class::Large] {
            depot.shelves(class).put(self.rack(class).empty_out());
        }
    }
}

/// In builds with debug assertions a free slot is filled with a pattern, and a slot that was written to
/// while it was free stops the process where it is taken next.
mod poison {
    use super::{Class, FreeSlot};
    use std::ptr::NonNull;

    /// Under loom the witness of a slot outlives its use.
    const IS_ON: bool = cfg!(all(debug_assertions, not(loom)));
    const PATTERN: u8 = 0xA5;
    /// A slot that was never in use carries no pattern; one that was carries this mark behind its links.
    const MARK: u64 = 0xA5A5_A5A5_A5A5_A5A5;

    #[inline]
    pub(super) fn fill(slot: NonNull<u8>, class: Class) {
        if IS_ON {
            // SAFETY: [P1] the slot is the giver's alone, and `slot_bytes` long.
            unsafe { slot.as_ptr().write_bytes(PATTERN, class.slot_bytes()) };
        }
    }

    #[inline]
    pub(super) fn check(slot: NonNull<u8>, class: Class) {
        if IS_ON {
            let words = class.slot_bytes() / size_of::<u64>();
            let links = size_of::<FreeSlot>() / size_of::<u64>();
            // SAFETY: [P1] the slot is the taker's alone; any bit pattern is a u64, and the words read were
            // written by `fill` if the first of them carries the mark.
            let word = |at: usize| unsafe { slot.cast::<std::mem::MaybeUninit<u64>>().add(at).read() };
            // SAFETY: as above; slabs come zeroed, so that every word is initialised.
            let marked = unsafe { word(words - 1).assume_init() } == MARK;
            // SAFETY: as above.
            let intact = || (links..words).all(|at| unsafe { word(at).assume_init() } == MARK);
            assert!(!marked || intact(), "a pooled slot was written to while it was free");
        }
    }
}
