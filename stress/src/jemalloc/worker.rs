//! A worker: allocates, resizes and frees without pause, and remembers what it owns.
//!
//! Sizes run from 16 bytes to 4 MiB, each doubling as likely as another, so slabs of small objects, single pages and
//! large extents are all there. Large allocations are also resized in place: that splits and merges an extent whose
//! first pages stay live, and stay shown to the finders, all the time.

use std::ffi::{c_int, c_void};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use tikv_jemalloc_sys::{MALLOCX_ARENA, MALLOCX_TCACHE_NONE, dallocx, mallocx, sallocx, xallocx};

use crate::jemalloc::checks::{Check, Checks};
use crate::jemalloc::control::{Arena, Lookup};
use crate::jemalloc::live::Place;
use crate::jemalloc::mapping::span_of;
use crate::span::Span;

/// Least and greatest exponent of a size.
const SIZE_EXPONENTS: std::ops::Range<u32> = 4..22;
/// Allocations from this size on have an extent of their own, which can be resized in place.
const LARGE: u64 = 16 << 10;

/// An allocation, as its owner knows it.
///
/// - **W1** `span` is a live allocation of jemalloc, made with [`flags_of`] its arena, and this worker alone frees it.
#[derive(Debug)]
struct Owned {
    span: Span,
    arena: Arena,
}

/// What a worker has done.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) allocated: u64,
    pub(crate) freed: u64,
    pub(crate) resized: u64,
    pub(crate) refused: u64,
}

impl Work {
    /// The sum of two workers'.
    pub(crate) fn plus(self, other: Work) -> Work {
        Work {
            allocated: self.allocated + other.allocated,
            freed: self.freed + other.freed,
            resized: self.resized + other.resized,
            refused: self.refused + other.refused,
        }
    }
}

/// A worker: the places that it fills, and the arenas that it fills them from.
#[derive(Debug)]
pub(crate) struct Worker<'r> {
    places: &'r [Place],
    arenas: &'r [Arena],
    checks: &'r Checks,
    lookup: Lookup,
    owned: Vec<Option<Owned>>,
    random: Xoshiro256PlusPlus,
    /// What it has done so far.
    pub(crate) work: Work,
}

impl<'r> Worker<'r> {
    /// A worker that owns nothing yet.
    pub(crate) fn new(places: &'r [Place], arenas: &'r [Arena], checks: &'r Checks, lookup: Lookup, seed: u64) -> Self {
        let owned = places.iter().map(|_| None).collect();
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Worker { places, arenas, checks, lookup, owned, random, work: Work::default() }
    }

    /// Does one thing to a random place.
    pub(crate) fn step(&mut self) {
        let place = self.random.random_range(0..self.places.len());
        match self.owned[place].take() {
            None => self.allocate(place),
            Some(owned) if bytes(owned.span) >= LARGE && self.random.random_bool(0.4) => self.resize(place, owned),
            Some(owned) => self.free(place, &owned),
        }
    }

    /// Frees every so-many-th place, so that neighbours merge; 1 frees all.
    pub(crate) fn ebb(&mut self, every: usize) {
        for place in (0..self.places.len()).step_by(every) {
            if let Some(owned) = self.owned[place].take() {
                self.free(place, &owned);
            }
        }
    }

    fn allocate(&mut self, place: usize) {
        let arena = self.arenas[self.random.random_range(0..self.arenas.len())];
        let size = self.random_size();
        // SAFETY: a size above 0, and an arena that exists until all workers have ended.
        let start = unsafe { mallocx(size, flags_of(arena)) } as u64;
        if start == 0 {
            self.work.refused += 1;
            return;
        }
        let Some(span) = usable(start, arena) else { return };
        self.work.allocated += 1;
        // SAFETY: W1: live, aligned to at least 8, at least 16 bytes.
        unsafe { stamp_at(span).write(stamp_of(span)) };
        self.show(place, span, arena);
        self.owned[place] = Some(Owned { span, arena });
    }

    fn free(&mut self, place: usize, owned: &Owned) {
        // SAFETY: W1: live, aligned, written by `allocate`.
        let stamp = unsafe { stamp_at(owned.span).read() };
        let span = owned.span;
        self.checks.expect(Check::Intact, stamp == stamp_of(span), || format!("{span:?} holds {stamp:#x}"));
        self.places[place].hide();
        // SAFETY: W1, and `owned` was taken out of its place.
        unsafe { dallocx(pointer(span), flags_of(owned.arena)) };
        self.work.freed += 1;
    }

    /// Resizes in place. What stays live in either case stays shown while jemalloc works.
    fn resize(&mut self, place: usize, owned: Owned) {
        let wished = self.random_size().max(LARGE as usize);
        let common = span_of(owned.span.start(), bytes(owned.span).min(wished as u64));
        self.places[place].hide();
        self.places[place].show(common.unwrap_or(owned.span), owned.arena.number());
        // SAFETY: W1; it is resized in place or stays as it is.
        let size = unsafe { xallocx(pointer(owned.span), wished, 0, flags_of(owned.arena)) };
        let span = span_of(owned.span.start(), size as u64).unwrap_or(owned.span);
        self.work.resized += 1;
        self.places[place].hide();
        self.show(place, span, owned.arena);
        self.owned[place] = Some(Owned { span, arena: owned.arena });
    }

    /// Shows an allocation, with the arena that jemalloc itself names for it.
    fn show(&self, place: usize, span: Span, arena: Arena) {
        let named = self.lookup.arena_of(span.start());
        let number = arena.number();
        self.checks.expect(Check::Owner, named == Some(number), || {
            format!("arenas.lookup names {named:?} for {span:?}, which was allocated from {number}")
        });
        self.places[place].show(span, named.unwrap_or(u32::MAX));
    }

    fn random_size(&mut self) -> usize {
        let least = 1usize << self.random.random_range(SIZE_EXPONENTS);
        self.random.random_range(least..=2 * least)
    }
}

fn flags_of(arena: Arena) -> c_int {
    MALLOCX_ARENA(arena.number() as usize) | MALLOCX_TCACHE_NONE
}

/// The bytes of a fresh allocation that may be used: at least as many as were asked for.
fn usable(start: u64, arena: Arena) -> Option<Span> {
    // SAFETY: called with what `mallocx` has just returned, which is live.
    let size = unsafe { sallocx(start as usize as *const c_void, flags_of(arena)) };
    span_of(start, size as u64)
}

fn bytes(span: Span) -> u64 {
    span.last() - span.start() + 1
}

fn pointer(span: Span) -> *mut c_void {
    span.start() as usize as *mut c_void
}

fn stamp_at(span: Span) -> *mut u64 {
    pointer(span).cast()
}

/// What an allocation is filled with: its own address, mixed so that no other word is likely to be the same.
fn stamp_of(span: Span) -> u64 {
    span.start().wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
