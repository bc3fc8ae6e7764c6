//! The hooks by hand, step by step; a live arena; and every check against an index that is wrong in just that way.

use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(not(busted))]
use clap::Parser;
use notifier_index::Reason;
use rayon::ThreadPoolBuilder;
use tikv_jemalloc_sys::extent_hooks_t;

use super::checks::Check;
use super::control::{Arena, Lookup};
use super::crooked::{self, Crooked};
use super::driver::{Driver, Refused};
use super::extent_index::{Answer, ExtentFinder, ExtentIndex, Fill, Way, arena_of};
use super::hooks::ArenaHooks;
use super::indexed_extents::IndexedExtents;
use super::locked_extents::LockedExtents;
use super::mapping::{PAGE, span_of};
use super::rest;
use super::round::{self, RoundPlan};
use super::tally::{RoundTally, missing_checks};
#[cfg(not(busted))]
use crate::cli::{CommandLine, Impossible, Job};
use crate::span::Span;

const ARENA: u32 = 9;

fn leaked<I: ExtentIndex + Default>(keeps: bool) -> (&'static Driver<I>, &'static ArenaHooks<I>) {
    let driver: &'static Driver<I> = Box::leak(Box::new(Driver::new(I::default(), false)));
    (driver, ArenaHooks::leak(driver, keeps))
}

/// The hooks of a table, called as jemalloc calls them.
struct ByHand(*mut extent_hooks_t);

impl ByHand {
    fn alloc(&self, wish: u64, bytes: u64, alignment: u64) -> u64 {
        let (mut zero, mut commit) = (false, false);
        // SAFETY: hooks' H1, H3.
        let start = unsafe {
            (*self.0).alloc.unwrap()(
                self.0,
                wish as *mut c_void,
                bytes as usize,
                alignment as usize,
                &raw mut zero,
                &raw mut commit,
                ARENA,
            )
        };
        assert!(start.is_null() || zero && commit);
        start as u64
    }

    fn dalloc(&self, start: u64, bytes: u64) -> bool {
        // SAFETY: hooks' H1, H2: mapped by `alloc`, used by nobody.
        unsafe { (*self.0).dalloc.unwrap()(self.0, start as *mut c_void, bytes as usize, true, ARENA) }
    }

    fn destroy(&self, start: u64, bytes: u64) {
        // SAFETY: as in `dalloc`.
        unsafe { (*self.0).destroy.unwrap()(self.0, start as *mut c_void, bytes as usize, true, ARENA) }
    }

    fn split(&self, start: u64, left: u64, right: u64) -> bool {
        let bytes = (left + right) as usize;
        // SAFETY: hooks' H1, H2.
        unsafe {
            (*self.0).split.unwrap()(self.0, start as *mut c_void, bytes, left as usize, right as usize, true, ARENA)
        }
    }

    fn merge(&self, start: u64, left: u64, right: u64) -> bool {
        let middle = (start + left) as *mut c_void;
        // SAFETY: hooks' H1, H2.
        unsafe {
            (*self.0).merge.unwrap()(self.0, start as *mut c_void, left as usize, middle, right as usize, true, ARENA)
        }
    }
}

/// The spans in the index, in pages from `start`: (first, last).
fn pages<I: ExtentIndex>(driver: &Driver<I>, start: u64) -> Vec<(u64, u64)> {
    let (contents, _) = driver.index.contents();
    assert!(contents.iter().all(|found| arena_of(found.id) == ARENA));
    contents.iter().map(|found| ((found.span.start() - start) / PAGE, (found.span.last() - start) / PAGE)).collect()
}

fn hooks_by_hand<I: ExtentIndex + Default>() {
    let (driver, hooks) = leaked::<I>(false);
    let by_hand = ByHand(std::ptr::from_ref(hooks.table()).cast_mut());
    let start = by_hand.alloc(0, 8 * PAGE, 4 * PAGE);
    assert!(start != 0 && start.is_multiple_of(4 * PAGE));
    assert_eq!(by_hand.alloc(start, PAGE, PAGE), 0, "a place in use is refused");
    assert_eq!(pages(driver, start), [(0, 7)]);

    assert!(!by_hand.split(start, 2 * PAGE, 6 * PAGE));
    assert!(!by_hand.split(start + 2 * PAGE, PAGE, 5 * PAGE));
    assert_eq!(pages(driver, start), [(0, 1), (2, 2), (3, 7)]);
    assert!(!by_hand.merge(start, 2 * PAGE, PAGE));
    assert_eq!(pages(driver, start), [(0, 2), (3, 7)]);

    assert!(!by_hand.dalloc(start + 3 * PAGE, 5 * PAGE));
    assert_eq!(pages(driver, start), [(0, 2)]);
    assert_eq!(by_hand.alloc(start + 3 * PAGE, PAGE, PAGE), start + 3 * PAGE);
    assert_eq!((pages(driver, start), driver.checks.failed_count()), (vec![(0, 2), (3, 3)], 0));

    by_hand.destroy(start, 3 * PAGE);
    by_hand.destroy(start + 3 * PAGE, PAGE);
    rest::check_emptied(driver);
    assert_eq!((driver.checks.failed_count(), driver.checks.texts()), (0, Vec::new()));
    assert_eq!(driver.returned_version(), 8);
}

#[test]
fn hooks_by_hand_drive_the_index() {
    hooks_by_hand::<IndexedExtents>();
}

#[test]
fn hooks_by_hand_drive_the_baseline() {
    hooks_by_hand::<LockedExtents>();
}

#[test]
fn ranges_that_are_not_registered_are_refused_and_change_nothing() {
    let (driver, hooks) = leaked::<IndexedExtents>(false);
    let by_hand = ByHand(std::ptr::from_ref(hooks.table()).cast_mut());
    let start = by_hand.alloc(0, 4 * PAGE, PAGE);
    assert!(by_hand.dalloc(start, PAGE) && by_hand.dalloc(start + PAGE, 3 * PAGE) && by_hand.dalloc(start, 0));
    assert!(by_hand.split(start, PAGE, PAGE) && by_hand.merge(start, 4 * PAGE, PAGE));
    assert_eq!((pages(driver, start), driver.registered_count()), (vec![(0, 3)], 1));
    assert_eq!(driver.checks.failed(Check::Named), 4);
    assert!(!by_hand.dalloc(start, 4 * PAGE));
}

#[test]
fn an_arena_that_keeps_gives_back_only_when_it_is_closed() {
    let (driver, hooks) = leaked::<IndexedExtents>(true);
    let by_hand = ByHand(std::ptr::from_ref(hooks.table()).cast_mut());
    let start = by_hand.alloc(0, 4 * PAGE, PAGE);
    assert!(by_hand.dalloc(start, 4 * PAGE));
    assert_eq!(hooks.regions().unwrap().get(7), span_of(start, 4 * PAGE));
    hooks.close();
    assert!(!by_hand.dalloc(start, 4 * PAGE));
    assert_eq!((driver.registered_count(), driver.checks.failed_count()), (0, 0));
}

#[test]
fn a_live_arena_agrees_with_the_index_at_rest() {
    let (driver, hooks) = leaked::<IndexedExtents>(false);
    let arena = Arena::create(hooks.table()).unwrap();
    let flags = tikv_jemalloc_sys::MALLOCX_ARENA(arena.number() as usize) | tikv_jemalloc_sys::MALLOCX_TCACHE_NONE;
    // SAFETY: the arena exists; sizes are above 0.
    let starts = [16, 5000, 70_000, 3 << 20].map(|size| unsafe { tikv_jemalloc_sys::mallocx(size, flags) } as u64);
    let lookup = Lookup::new().unwrap();
    let mut finder = driver.index.finder();
    for way in IndexedExtents::WAYS {
        finder.find_each(*way, &starts, |Answer { found, .. }| assert_eq!(arena_of(found.unwrap().id), arena.number()));
    }
    assert!(starts.iter().all(|start| lookup.arena_of(*start) == Some(arena.number())));
    rest::check_at_rest(driver, &driver.index.contents().0, &[arena], &[], lookup).unwrap();
    // SAFETY: control's contract: nothing of the arena is used any more; destroying frees what is allocated.
    unsafe { arena.destroy() }.unwrap();
    drop(finder);
    rest::check_emptied(driver);
    assert_eq!(driver.checks.texts(), Vec::<String>::new());
    assert!(Arena::create(hooks.table()).is_ok_and(|arena| {
        // SAFETY: as above.
        unsafe { arena.destroy() }.is_ok()
    }));
}

#[test]
fn bytes_overlaps_and_unmapped_intervals_are_seen() {
    let (driver, _) = leaked::<IndexedExtents>(false);
    let nowhere = Span::between(PAGE, 3 * PAGE - 1);
    assert_eq!(driver.mapped(nowhere, ARENA), Ok(()));
    rest::check_mapped(driver);
    assert_eq!(driver.checks.failed(Check::Mapped), 1);
    let (contents, _) = driver.index.contents();
    rest::check_bytes(&driver.checks, &contents, ARENA, 2 * PAGE);
    assert_eq!(driver.checks.failed(Check::Bytes), 0);
    rest::check_bytes(&driver.checks, &contents, ARENA, PAGE);
    rest::check_bytes(&driver.checks, &contents, ARENA + 1, PAGE);
    assert_eq!(driver.checks.failed(Check::Bytes), 2);
    rest::check_disjoint(&driver.checks, &[contents[0], contents[0]]);
    assert_eq!(driver.checks.failed(Check::Unbroken), 1);
    rest::check_emptied(driver);
    assert!(driver.checks.failed(Check::Emptied) > 0);
    assert_eq!(driver.unmapping(nowhere), Ok(ARENA));
    assert_eq!(driver.unmapping(nowhere), Err(Refused));
}

#[test]
fn a_dropped_split_is_seen_by_the_hooks() {
    let driver = Driver::new(IndexedExtents::default(), true);
    let (left, right) = (Span::between(0, PAGE - 1), Span::between(PAGE, 2 * PAGE - 1));
    assert_eq!(driver.mapped(Span::between(0, 2 * PAGE - 1), ARENA), Ok(()));
    assert_eq!((driver.split(left, right, ARENA), driver.index.contents().0.len()), (Ok(()), 1));
    assert_eq!(driver.unmapping(right), Err(Refused));
    assert_eq!(driver.checks.failed(Check::Named), 1);
    assert_eq!(driver.counts.split.load(Ordering::Relaxed), 1);
}

#[test]
fn what_the_index_refuses_is_refused_and_stays_registered() {
    let driver = Driver::new(Crooked::<{ crooked::REFUSING }>::default(), false);
    let (left, right) = (Span::between(0, PAGE - 1), Span::between(PAGE, 3 * PAGE - 1));
    let halves = (Span::between(PAGE, 2 * PAGE - 1), Span::between(2 * PAGE, 3 * PAGE - 1));
    assert_eq!((driver.mapped(left, ARENA), driver.mapped(right, ARENA)), (Ok(()), Ok(())));
    assert_eq!(driver.merge(left, right), Err(Refused));
    assert_eq!(driver.split(halves.0, halves.1, ARENA), Err(Refused));
    assert_eq!((driver.unmapping(left), driver.unmapping(right)), (Err(Refused), Err(Refused)));
    assert_eq!((driver.registered_count(), driver.counts.refused.load(Ordering::Relaxed)), (2, 4));
    assert_eq!((driver.returned_version(), driver.checks.failed_count()), (2, 0));
}

/// A short round with one worker and one finder.
fn short_round<I: ExtentIndex + Default>() -> RoundTally {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let plan = RoundPlan { churn: Duration::from_millis(150), threads: 1, seed: 3, sabotage: None };
    round::run::<I>(plan, &pool, &|_| {}).unwrap()
}

fn assert_flawless<I: ExtentIndex + Default>() {
    let round = short_round::<I>();
    assert_eq!((round.failures, round.failed_count), (Vec::new(), 0));
    assert_eq!(missing_checks::<I>(&round.checks), []);
}

#[test]
fn a_round_on_the_index_is_flawless() {
    assert_flawless::<IndexedExtents>();
}

#[test]
fn a_round_on_the_baseline_is_flawless() {
    assert_flawless::<LockedExtents>();
}

fn assert_seen<const FAULT: u8>(by: &[Check]) {
    let round = short_round::<Crooked<FAULT>>();
    for check in by {
        let prefix = format!("{}: ", check.name());
        assert!(round.failures.iter().any(|text| text.starts_with(&prefix)), "{prefix} not in {:?}", round.failures);
    }
    assert_eq!(round.failed_count == 0, by.is_empty(), "{:?}", round.failures);
}

#[test]
fn an_index_that_is_wrong_is_seen_to_be_wrong() {
    assert_seen::<{ crooked::STRAIGHT }>(&[]);
    assert_seen::<{ crooked::BLIND }>(&[Check::Found, Check::Replayed]);
    assert_seen::<{ crooked::MISNAMING }>(&[Check::Owner, Check::Replayed]);
    assert_seen::<{ crooked::OLD }>(&[Check::Fresh, Check::Replayed]);
    assert_seen::<{ crooked::HOLED }>(&[Check::Unbroken]);
    assert_seen::<{ crooked::DOUBLED }>(&[Check::Unbroken]);
    assert_seen::<{ crooked::UNSTEADY }>(&[Check::Steady]);
    assert_seen::<{ crooked::STICKY }>(&[Check::Bytes, Check::Mapped, Check::Emptied, Check::Replayed]);
    assert_seen::<{ crooked::HALVED }>(&[Check::Found, Check::Bytes, Check::Unbroken, Check::Replayed]);
    assert_seen::<{ crooked::HOARDING }>(&[Check::Emptied]);
    assert_seen::<{ crooked::SKIPPING }>(&[Check::Replayed]);
}

#[test]
fn what_appears_in_the_mirror_inside_a_section_is_seen() {
    let driver = Driver::new(IndexedExtents::default(), false);
    let (whole, part) = (Span::between(0x40_0000, 0x40_7fff), Span::between(0x40_2000, 0x40_3fff));
    assert_eq!(driver.mapped(whole, ARENA), Ok(()));
    let mirror = driver.index.mirror().unwrap();
    let fill = || driver.index.finder().fill(Way::Reader, whole, || ());
    assert_eq!((fill(), mirror.count_in(whole)), (Fill::Filled(8), 8));
    let inside = driver.in_section(part, Reason::Clear, || (mirror.count_in(part), mirror.count_in(whole)));
    assert_eq!((inside, driver.checks.failed_count()), ((0, 6), 0));
    let late = driver.index.finder().fill(Way::Guard, whole, || driver.in_section(part, Reason::Clear, || ()));
    assert_eq!((late, driver.checks.failed_count()), (Fill::Retry, 0));

    let old = mirror.read(part);
    driver.in_section(part, Reason::Clear, || mirror.commit(part, &old, || false));
    assert_eq!(driver.checks.failed(Check::Cleared), 1);
    rest::check_mirror(&driver);
    assert_eq!(driver.checks.failed(Check::Mirrored), 2);
}

#[test]
fn what_is_cut_off_or_removed_is_torn_down() {
    let driver = Driver::new(IndexedExtents::default(), false);
    let (left, right) = (Span::between(0x40_0000, 0x40_3fff), Span::between(0x40_4000, 0x40_7fff));
    assert_eq!(driver.mapped(Span::between(left.start(), right.last()), ARENA), Ok(()));
    let mirror = driver.index.mirror().unwrap();
    let fill = |range| driver.index.finder().fill(Way::Guard, range, || ());
    assert_eq!(fill(Span::between(left.start(), right.last())), Fill::Filled(8));
    assert_eq!(driver.split(left, right, ARENA), Ok(()));
    assert_eq!((mirror.count_in(left), mirror.count_in(right), fill(right)), (4, 0, Fill::Filled(4)));
    assert_eq!(driver.merge(left, right), Ok(()));
    assert_eq!((mirror.count_in(left), mirror.count_in(right)), (4, 0));
    assert_eq!(driver.unmapping(Span::between(left.start(), right.last())), Ok(ARENA));
    assert_eq!((mirror.count_in(left), fill(left)), (0, Fill::Nowhere));
}

#[cfg(not(busted))]
#[test]
fn sabotages_of_the_library_are_refused_where_they_are_not_compiled_in() {
    for name in ["early-free", "skip-retry", "section-after-load"] {
        let line = CommandLine::parse_from(["stress", "jemalloc", "--break", name]);
        let Some(Job::Jemalloc(options)) = line.job else { panic!("not the job asked for") };
        assert!(super::run(&options).is_err_and(|Impossible(reason)| reason.contains(name)));
    }
}
