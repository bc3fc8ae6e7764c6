//! The checks of the whole index: with workers at rest against jemalloc's own figures, and at any time against the
//! kernel's list of mappings.

use std::collections::HashSet;

use crate::jemalloc::checks::{Check, Checks};
use crate::jemalloc::control::{Arena, ControlError, Lookup};
use crate::jemalloc::driver::Driver;
use crate::jemalloc::extent_index::{Answer, ExtentFinder, ExtentIndex, Leftover, arena_of};
use crate::jemalloc::judge;
use crate::jemalloc::live::{Live, Place};
use crate::jemalloc::process_maps::Mappings;
use crate::span::Found;

/// How often a mapping has to be missing in a row before it counts as missing.
const MAPS_TRIES: usize = 3;

/// All checks of the whole index, whose contents these are; nobody allocates or frees meanwhile.
///
/// # Errors
/// If jemalloc does not give its figures.
pub(crate) fn check_at_rest<I: ExtentIndex>(
    driver: &Driver<I>,
    contents: &[Found],
    arenas: &[Arena],
    places: &[Place],
    lookup: Lookup,
) -> Result<(), ControlError> {
    for arena in arenas {
        let truth = arena.bytes()?;
        check_bytes(&driver.checks, contents, arena.number(), truth.mapped + truth.retained);
    }
    check_disjoint(&driver.checks, contents);
    check_mapped(driver);
    check_mirror(driver);
    let (registered, found) = (driver.registered_count(), contents.len());
    driver
        .checks
        .expect(Check::Named, registered == found, || format!("{registered} registered, {found} in the index"));
    check_owners(driver, places, lookup);
    Ok(())
}

/// The bytes that the index has of an arena are exactly those that jemalloc says it has.
pub(crate) fn check_bytes(checks: &Checks, contents: &[Found], arena: u32, truth: u64) {
    let of_arena = contents.iter().filter(|found| arena_of(found.id) == arena);
    let bytes: u64 = of_arena.map(|found| found.span.last() - found.span.start() + 1).sum();
    checks.expect(Check::Bytes, bytes == truth, || {
        format!("arena {arena}: {bytes} bytes in the index, mapped + retained are {truth}")
    });
}

/// No address is covered twice.
pub(crate) fn check_disjoint(checks: &Checks, contents: &[Found]) {
    for pair in contents.windows(2) {
        let (left, right) = (pair[0].span, pair[1].span);
        checks.expect(Check::Unbroken, left.last() < right.start(), || format!("{left:?} and {right:?} overlap"));
    }
}

/// Every interval that was there before and after the kernel's list was read is in that list.
pub(crate) fn check_mapped<I: ExtentIndex>(driver: &Driver<I>) {
    let mut missing = Vec::new();
    for try_count in 0..MAPS_TRIES {
        let before = driver.index.contents().0;
        let Ok(mappings) = Mappings::read() else { return };
        let after: HashSet<Found> = driver.index.contents().0.into_iter().collect();
        let stayed = before.into_iter().filter(|found| after.contains(found));
        let (mapped, not_mapped): (Vec<_>, Vec<_>) = stayed.partition(|found| mappings.cover(found.span));
        if try_count == 0 {
            driver.checks.add(Check::Mapped, (mapped.len() + not_mapped.len()) as u64);
        }
        // An extent can be cut, unmapped, mapped and joined again while the list is read, but not each time.
        missing = not_mapped;
        if missing.is_empty() {
            return;
        }
    }
    missing.iter().for_each(|found| driver.checks.fail(Check::Mapped, format!("{:?} is not mapped", found.span)));
}

/// Every entry of the mirror is what its page is.
pub(crate) fn check_mirror<I: ExtentIndex>(driver: &Driver<I>) {
    let Some(mirror) = driver.index.mirror() else { return };
    let (entry_count, wrong) = mirror.compare();
    driver.checks.add(Check::Mirrored, entry_count);
    let text = |address: u64| format!("the entry of page {address:#x} is not what the page is");
    wrong.into_iter().for_each(|address| driver.checks.fail(Check::Mirrored, text(address)));
}

/// Every live allocation is found in every way, and is of the arena that `arenas.lookup` names for it now.
fn check_owners<I: ExtentIndex>(driver: &Driver<I>, places: &[Place], lookup: Lookup) {
    let live: Vec<Live> = places.iter().filter_map(Place::look).collect();
    let bases: Vec<u64> = live.iter().map(|live| live.span.start()).collect();
    let mut finder = driver.index.finder();
    for way in I::WAYS {
        let mut answers = Vec::with_capacity(bases.len());
        finder.find_each(*way, &bases, |answer| answers.push(answer));
        live.iter().zip(&answers).for_each(|(live, answer)| check_owner(&driver.checks, *live, answer, lookup));
    }
}

fn check_owner(checks: &Checks, live: Live, answer: &Answer, lookup: Lookup) {
    let holds = judge::holds(answer, live.span.start(), live);
    checks.expect(Check::Found, holds.is_ok(), || holds.unwrap_err());
    let (named, said) = (lookup.arena_of(live.span.start()), answer.found.map(|found| arena_of(found.id)));
    checks.expect(Check::Owner, named.is_some() && named == said, || {
        format!("{:?} is of arena {named:?} by arenas.lookup, of {said:?} by the index", live.span)
    });
}

/// After the arenas are gone and no reader is left, nothing is left at all.
pub(crate) fn check_emptied<I: ExtentIndex>(driver: &Driver<I>) {
    let (contents, _) = driver.index.contents();
    let expect = |holds, text: &dyn Fn() -> String| driver.checks.expect(Check::Emptied, holds, text);
    expect(contents.is_empty(), &|| format!("{} intervals stay in the index, first {:?}", contents.len(), contents[0]));
    let registered = driver.registered_count();
    expect(registered == 0, &|| format!("{registered} extents were never given back"));
    let mirrored = driver.index.mirror().map_or(0, |mirror| mirror.compare().0);
    expect(mirrored == 0, &|| format!("{mirrored} pages stay mirrored"));
    let leftover = driver.index.settle();
    expect(leftover == Leftover::default(), &|| format!("after maintain there is still {leftover:?}"));
}
