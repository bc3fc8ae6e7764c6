//! The last scene of a hostile process: a guard is forgotten, which pins for good. What is retired stays below the limit,
//! changes are refused, removals and look-ups go on, and the end of the index still frees everything.

use std::sync::Arc;

use notifier_index::{Config, HeldBack, Holder, InsertError, Interval, NotifierIndex, UpdateError};

use super::actor::{Actor, Ledger};
use super::faults::Faults;
use super::marks::{Mark, Marks};

/// Bytes that may be retired.
const LIMIT: u64 = 1 << 20;
/// What one change may retire beyond the limit, generously.
const SLACK: u64 = 64 << 10;
/// Changes until the limit must have been met.
const MOST_CHANGES: u64 = 200_000;
const NOTIFIERS: u64 = 100;

/// Plays it.
pub(crate) fn scene(faults: &Arc<Faults>, marks: &mut Marks) {
    let ledger = Ledger::new(Arc::clone(faults));
    let index = NotifierIndex::with_config(Config::new().retired_limit(LIMIT));
    let ops = index.register_passive_ops::<Actor>();
    let insert = |id| index.insert(&ops, Interval::point(id), Actor::new(&ledger, id, None, None));
    let mut all: Vec<_> = (0..NOTIFIERS).filter_map(|id| insert(id).ok()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(index.pin()));
    });
    let update = |step: u64| all[(step % NOTIFIERS) as usize].update(Interval::point(step));
    let refused = (0..MOST_CHANGES).find_map(|step| update(step).err());
    let by_pin = |held_back: HeldBack| held_back.by == Holder::Pin && held_back.bytes > LIMIT;
    faults.expect(matches!(refused, Some(UpdateError::RetiredLimit(held_back)) if by_pin(held_back)), || {
        format!("under a forgotten guard {MOST_CHANGES} changes ended with {refused:?}")
    });
    let refused = insert(NOTIFIERS);
    let has_cause = |reason| matches!(reason, InsertError::RetiredLimit(held_back) if by_pin(held_back));
    let is_refused = refused.as_ref().is_err_and(|refused| has_cause(refused.reason));
    faults.expect(is_refused, || "under a forgotten guard an insertion goes beyond the limit".to_owned());
    let retired = index.stats().retired_bytes;
    faults.expect((LIMIT..LIMIT + SLACK).contains(&retired), || format!("{retired} bytes are retired"));
    let removed = all.pop().map(|registration| registration.remove().is_ok());
    faults.expect(removed == Some(true), || "under a forgotten guard nothing can be removed".to_owned());
    let found = index.snapshot().view().iter().count() as u64;
    faults.expect(found == NOTIFIERS - 1, || format!("under a forgotten guard {found} notifiers are found"));
    marks.add(Mark::ForgottenGuard, u64::from(is_refused));
    drop((refused, all, index));
    faults.expect(ledger.left() == 0, || format!("{} payloads outlive their index", ledger.left()));
}
