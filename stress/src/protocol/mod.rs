//! The collision-retry protocol as a model that is explored exhaustively: every interleaving, not a sample of them.
//!
//! # What is modelled
//! A user has a *source* of two pages (each a version number) and a *mirror* made from it (an entry a page, which
//! remembers the version it was made from). One notifier, whose bounds cover none, one or both of the pages, stands
//! between them. Up to six actors run at once, each a program of atomic steps (`programs.rs`):
//!
//! ```text
//!   section   publish section, load tree, tell the notifier, change the source, free the section, wake
//!   filler    read generation, check coverage, scan, wait, read source, lock, compare, fill, unlock
//!   owner     a script of insert, grow, shrink (or move) and remove
//!
//!   source  [ 0 | 1 ]                 tree     bounds of the notifier, or nothing
//!   mirror  [ 0 | . ]   user lock     table    one slot a section: its range, or free
//!                                     notifier generation, running callbacks, dead
//! ```
//!
//! A step does what one atomic access (or one access under the lock) of the implementation does; memory is sequentially
//! consistent. A state is the shared world plus the place and the local variables of each actor; the checker, breadth
//! first, takes each enabled step from each state it has found. Nothing is bounded: a filler retries for as long as it
//! is told to, and still the state space is finite, because each retry was caused by one of finitely many raises.
//!
//! Waiting is modelled as a futex does it: *compare and sleep* is one step, a sleeper runs again only after somebody's
//! wake step, and then compares anew. So a lost wake-up is a deadlock here, as it would be in a program.
//!
//! # What is claimed
//! - *No stale mirror entry.* Between the return of `invalidate` and the end of its section there is no mirror entry of
//!   its pages at all, and at any time an entry has the present version of its page.
//! - *No callback after remove returned.*
//! - *No deadlock.* Some step is enabled until all are done. Since no execution is infinite, everybody finishes.
//!
//! And, because an empty model keeps every promise: fills succeed, retries happen, fillers wait for sections, removers
//! wait for callbacks, each at least once in every cast that can show it; and the number of states has a floor.
//!
//! # How it is shown that each rule is needed
//! A program is a list, so a broken rule is an *edit* of a list: a step dropped, moved or added (`breaks.rs`). For each,
//! the checker must find a shortest execution that breaks the promise named, and it is printed. Some orders turned out to
//! be free: `breaks.rs` lists those too, and they must hold.
//!
//! # What it says beyond the rules' own words
//! - `read_begin` is generation, *then* coverage, *then* scan. Each exchange of two neighbours is a counterexample: the
//!   first meets a shrink, the second a grow or an insert.
//! - Coverage may be recalled instead of looked up, if it was noted in the generation that `read_begin` has just read.
//! - A walker that finds the notifier dead has to wake the remover like any other: it may have been counted when the
//!   remover looked.
//! - Lower `running`, then wake; free the slot, then wake. The other way round loses the wake-up.
//! - Shrinking raises the generation before the lock is given back, removing sets dead before it is; but dead may be set
//!   before the publication, once the mirror is torn down.
//!
//! # What is left out
//! Weak memory: loom does that. Each store that is followed by a load of what the other side stores needs a fence on both
//! sides: section and tree (R1 to R3), and also `running` and dead (R6). Payload lifetimes, slots that one section uses
//! after another, two passes, panics. Each section notifies at most one notifier.

mod actor;
mod breaks;
mod casts;
mod explore;
mod model;
mod programs;
mod tests;
mod world;
