//! Reclamation: when an object that a version replaced may be used again.
//!
//! # The two-condition rule
//! An object born in version *b* and replaced in version *s* is reached by the versions *b* ..= *s* - 1. It may go
//! when (a) no pin can see any of them, and (b) no slot protects any of them.
//!
//! # How
//! (a) A writer now and then asks the collector for a grace period, *after* `current` has reached its version; when that is
//! over, the horizon rises to it (`epoch.rs`). One request is outstanding at a time, and one number serves all objects of
//! all versions below.
//!
//! (b) What a writer has replaced stays at its bench (`retired.rs`), so that nobody waits for anybody to take it. Now and then
//! the bench takes a turn: one scan of all slots (`slots.rs`), and then a bounded number of objects, each of which is
//! freed, or held by the version that keeps it. Each turn also helps one other bench, if nobody sits there: so what a thread has
//! left behind goes too, and a thread that was stopped in the middle of a change keeps no more than its own bench's.

mod asan;
pub(crate) mod epoch;
mod freed;
mod objects;
pub(crate) mod pool;
mod retired;
// AddressSanitizer ends the process where the pool would panic.
#[cfg(all(test, debug_assertions, not(asan_poison)))]
mod pool_tests;

pub(crate) use freed::Freed;
pub(crate) use objects::{Chained, Lot, Object, Outlet, PAGE_OBJECTS, Page, Replaced, give_up_record};
pub(crate) use retired::{Evidence, Retired, Strays, Turned};
