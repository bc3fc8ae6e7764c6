//! The extent hooks: where jemalloc, written in C, calls in.
//!
//! Each hook turns raw arguments into spans and calls a safe method of [`ArenaHooks`]. A panic is caught before it
//! reaches C and becomes a refusal and a failed check; jemalloc takes a refusal (`true`, or null) to mean that nothing
//! has changed. Where contents or mappings go (`dalloc`, `destroy`, the purges, `decommit`), a section over the range begins before the
//! memory is touched and ends after it. Purges change no registration; `commit` changes nothing at all.
//!
//! An arena either *keeps* what it was given (it refuses `dalloc` until it is destroyed, so its regions stay covered
//! without a hole by extents that are split and merged all the time: [`Regions`]) or *gives back* whatever jemalloc
//! wants to be rid of.
//!
//! Invariants that the `unsafe` blocks of this file rest on:
//! - **H1** jemalloc passes to a hook the very table pointer that was given to `arenas.create`: that of the first
//!   field of a leaked `#[repr(C)] ArenaHooks<I>` with the same `I`, which therefore lives for ever.
//! - **H2** A range that jemalloc names in a hook was returned by this table's `alloc`, whole or in part, has not been
//!   unmapped since, and is jemalloc's to decide about: it has no allocation in it that is in use, except for `split`
//!   and `merge`, which do not touch memory.
//! - **H3** `zero` and `commit` point to booleans of the caller.

use std::ffi::{c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

use notifier_index::Reason;
use tikv_jemalloc_sys::extent_hooks_t;

use crate::jemalloc::apart::Apart;
use crate::jemalloc::checks::Check;
use crate::jemalloc::driver::Driver;
use crate::jemalloc::extent_index::ExtentIndex;
use crate::jemalloc::mapping::{self, span_of};
use crate::jemalloc::regions::Regions;
use crate::span::Span;

/// A hook table, and behind it what the hooks need.
#[repr(C)]
pub(crate) struct ArenaHooks<I: ExtentIndex> {
    /// First, so that a pointer to it is one to the whole: H1.
    table: extent_hooks_t,
    driver: &'static Driver<I>,
    apart: Apart,
    /// What was mapped for an arena that keeps it; `None` for an arena that gives back.
    kept: Option<Regions>,
    /// The arena is being destroyed: from now on everything is given back.
    is_closing: AtomicBool,
}

impl<I: ExtentIndex> ArenaHooks<I> {
    /// Hooks that live for ever, as jemalloc demands.
    pub(crate) fn leak(driver: &'static Driver<I>, keeps: bool) -> &'static Self {
        let table = extent_hooks_t {
            alloc: Some(alloc::<I>),
            dalloc: Some(dalloc::<I>),
            destroy: Some(destroy::<I>),
            commit: Some(commit),
            decommit: Some(decommit::<I>),
            purge_lazy: Some(purge_lazy::<I>),
            purge_forced: Some(purge_forced::<I>),
            split: Some(split::<I>),
            merge: Some(merge::<I>),
        };
        let kept = keeps.then(Regions::default);
        Box::leak(Box::new(ArenaHooks {
            table,
            driver,
            apart: Apart::default(),
            kept,
            is_closing: AtomicBool::new(false),
        }))
    }

    /// The table to make an arena with.
    pub(crate) fn table(&'static self) -> &'static extent_hooks_t {
        &self.table
    }

    /// What the arena was given and keeps; `None` if it gives back.
    pub(crate) fn regions(&self) -> Option<&Regions> {
        self.kept.as_ref()
    }

    /// From now on, everything is given back.
    pub(crate) fn close(&self) {
        // Release: the hooks of the destruction run on this thread, or on one that it has synchronised with.
        self.is_closing.store(true, Ordering::Release);
    }

    fn alloc(&self, wish: u64, bytes: u64, alignment: u64, arena: u32) -> Option<Span> {
        let span = if wish == 0 { self.apart.map(bytes, alignment) } else { self.apart.map_at(wish, bytes) }?;
        if self.driver.mapped(span, arena).is_err() {
            // SAFETY: mapping's U1: made above, and neither jemalloc nor the index has it.
            unsafe { self.apart.unmap(span) };
            return None;
        }
        if let Some(regions) = &self.kept {
            regions.push(span);
        }
        Some(span)
    }

    /// True if the range has been given back.
    fn give_back(&self, span: Span) -> bool {
        let keeps = self.kept.is_some() && !self.is_closing.load(Ordering::Acquire);
        if keeps {
            return false;
        }
        self.driver.in_section(span, Reason::Unmap, || self.unmap(span))
    }

    fn unmap(&self, span: Span) -> bool {
        let Ok(arena) = self.driver.unmapping(span) else {
            return false;
        };
        // SAFETY: mapping's U1 by H2: jemalloc wants to be rid of it, and the index no longer has it.
        if unsafe { self.apart.unmap(span) } {
            return true;
        }
        if self.driver.mapped(span, arena).is_err() {
            self.driver.checks.fail(Check::Named, format!("{span:?} could be neither unmapped nor registered again"));
        }
        false
    }

    /// True if the contents of the range may go, and the kernel has been told so.
    ///
    /// # Safety
    /// H2.
    unsafe fn purge(&self, range: Span, at_once: bool) -> bool {
        // SAFETY: mapping's U2 by H2.
        self.driver.in_section(range, Reason::Clear, || unsafe { mapping::discard(range, at_once) })
    }

    fn split(&self, whole: Span, left_bytes: u64, arena: u32) -> bool {
        let middle = whole.start() + left_bytes;
        let (left, right) = (Span::between(whole.start(), middle - 1), Span::between(middle, whole.last()));
        self.driver.split(left, right, arena).is_ok()
    }

    /// Runs a hook; `None` if it panicked, which is a failed check.
    fn guarded<T>(&self, hook: impl FnOnce() -> T) -> Option<T> {
        let result = catch_unwind(AssertUnwindSafe(hook));
        if result.is_err() {
            self.driver.checks.fail(Check::Named, "a hook panicked".to_owned());
        }
        result.ok()
    }
}

/// # Safety
/// H1.
unsafe fn hooks_of<I: ExtentIndex>(table: *mut extent_hooks_t) -> &'static ArenaHooks<I> {
    // SAFETY: H1 by contract.
    unsafe { &*table.cast::<ArenaHooks<I>>() }
}

fn span(start: *mut c_void, bytes: usize) -> Option<Span> {
    span_of(start as u64, bytes as u64)
}

unsafe extern "C" fn alloc<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    wish: *mut c_void,
    bytes: usize,
    alignment: usize,
    zero: *mut bool,
    commit: *mut bool,
    arena: c_uint,
) -> *mut c_void {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    let mapped = hooks.guarded(|| hooks.alloc(wish as u64, bytes as u64, alignment as u64, arena));
    let Some(mapped) = mapped.flatten() else {
        return null_mut();
    };
    // SAFETY: H3. Fresh anonymous memory is zeroed, and backed when it is touched.
    unsafe {
        zero.write(true);
        commit.write(true);
    }
    mapped.start() as usize as *mut c_void
}

unsafe extern "C" fn dalloc<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    bytes: usize,
    _committed: bool,
    _arena: c_uint,
) -> bool {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    let given_back = hooks.guarded(|| span(start, bytes).is_some_and(|span| hooks.give_back(span)));
    !given_back.unwrap_or(false)
}

unsafe extern "C" fn destroy<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    bytes: usize,
    _committed: bool,
    _arena: c_uint,
) {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    // Nothing can be refused here; a range that stays is found by the check that everything is gone.
    let _ = hooks.guarded(|| span(start, bytes).is_some_and(|span| hooks.give_back(span)));
}

unsafe extern "C" fn split<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    bytes: usize,
    left_bytes: usize,
    _right_bytes: usize,
    _committed: bool,
    arena: c_uint,
) -> bool {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    let split = hooks.guarded(|| span(start, bytes).is_some_and(|whole| hooks.split(whole, left_bytes as u64, arena)));
    !split.unwrap_or(false)
}

unsafe extern "C" fn merge<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    left_start: *mut c_void,
    left_bytes: usize,
    right_start: *mut c_void,
    right_bytes: usize,
    _committed: bool,
    _arena: c_uint,
) -> bool {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    let merged = hooks.guarded(|| {
        let (left, right) = (span(left_start, left_bytes)?, span(right_start, right_bytes)?);
        hooks.driver.merge(left, right).ok()
    });
    merged.flatten().is_none()
}

unsafe extern "C" fn commit(
    _table: *mut extent_hooks_t,
    _start: *mut c_void,
    _bytes: usize,
    _offset: usize,
    _length: usize,
    _arena: c_uint,
) -> bool {
    // Memory is never decommitted, so there is nothing to do.
    false
}

unsafe extern "C" fn decommit<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    _bytes: usize,
    offset: usize,
    length: usize,
    _arena: c_uint,
) -> bool {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    // Refused, as jemalloc itself does where the kernel overcommits: it purges instead. The section is told all the
    // same: to announce a change that is then refused is allowed.
    let range = span_of(start as u64 + offset as u64, length as u64);
    let _ = hooks.guarded(|| range.map(|range| hooks.driver.in_section(range, Reason::Unmap, || ())));
    true
}

unsafe extern "C" fn purge_lazy<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    _bytes: usize,
    offset: usize,
    length: usize,
    _arena: c_uint,
) -> bool {
    // SAFETY: H1, H2.
    unsafe { purge::<I>(table, start, (offset, length), false) }
}

unsafe extern "C" fn purge_forced<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    _bytes: usize,
    offset: usize,
    length: usize,
    _arena: c_uint,
) -> bool {
    // SAFETY: H1, H2.
    unsafe { purge::<I>(table, start, (offset, length), true) }
}

/// True if refused.
///
/// # Safety
/// H1, H2.
unsafe fn purge<I: ExtentIndex>(
    table: *mut extent_hooks_t,
    start: *mut c_void,
    (offset, length): (usize, usize),
    at_once: bool,
) -> bool {
    // SAFETY: H1.
    let hooks = unsafe { hooks_of::<I>(table) };
    let range = span_of(start as u64 + offset as u64, length as u64);
    // SAFETY: H2.
    let purged = hooks.guarded(|| range.is_some_and(|range| unsafe { hooks.purge(range, at_once) }));
    !purged.unwrap_or(false)
}
