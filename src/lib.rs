//! A lock-free index of notifiers on address intervals: the user-space counterpart of Linux's
//! `mmu_interval_notifier`, with a `find` whose result cannot go away while it is held.
//!
//! ```
//! use notifier_index::{Interval, NotifierIndex};
//!
//! let index = NotifierIndex::new();
//! let extents = index.register_passive_ops::<&str>();
//! let heap = index.insert(&extents, Interval::new(0x1000, 0x4fff)?, "heap").unwrap();
//! let guard = index.pin();
//! let hit = guard.find(&extents, 0x2345).expect("covered");
//! assert_eq!((hit.start(), *hit.payload()), (0x1000, "heap"));
//! heap.remove().unwrap();
//! assert!(guard.find(&extents, 0x2345).is_none() && !hit.is_live());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Three ways of reading
//! | | for | costs |
//! |---|---|---|
//! | [`Guard`] | some look-ups in a row | an epoch pin |
//! | [`Reader`] | many look-ups on one thread | one load and one compare |
//! | [`Snapshot`] | long scans, other threads | a slot, two counters |
//!
//! All three look through a [`View`] of one immutable version. They agree: a change takes effect at one instant, and a
//! look-up that starts after the change returned sees it, whichever way it goes.

#![deny(unsafe_code)]

mod activity;
#[allow(unsafe_code)]
mod batch;
mod bell;
mod bench;
#[cfg(busted)]
pub mod busted;
#[cfg(not(busted))]
mod busted;
#[allow(unsafe_code)]
mod carve;
mod changes;
#[allow(unsafe_code)]
mod clear;
mod collision;
mod config;
mod courtesy;
#[allow(unsafe_code)]
mod draft;
mod dump;
#[allow(unsafe_code)]
mod engine;
mod error;
#[allow(unsafe_code)]
mod fork;
mod gauge;
#[allow(unsafe_code)]
mod guard;
#[allow(unsafe_code)]
mod hit;
mod identity;
#[allow(unsafe_code)]
mod index;
mod interval;
mod invalidation;
mod known;
#[allow(unsafe_code)]
mod made;
#[allow(unsafe_code)]
mod many;
mod notifier;
mod ops;
mod overflow;
mod panics;
#[cfg(loom)]
#[doc(hidden)]
#[allow(unsafe_code)]
pub mod parts;
#[allow(unsafe_code)]
mod publish;
#[allow(unsafe_code)]
mod reader;
#[allow(unsafe_code)]
mod reclaim;
mod reclaiming;
#[allow(unsafe_code)]
mod record;
#[allow(unsafe_code)]
mod registration;
mod returned;
#[allow(unsafe_code)]
mod roots;
mod section;
mod settings;
#[allow(unsafe_code)]
mod shared;
#[allow(unsafe_code)]
mod slots;
#[allow(unsafe_code)]
mod snapshot;
mod stats;
mod sync;
mod tally;
#[allow(unsafe_code)]
mod telling;
mod tree;
mod tuning;
#[cfg(doctest)]
pub mod type_tests;
mod unwinding;
#[allow(unsafe_code)]
mod version;
#[allow(unsafe_code)]
mod view;
#[allow(unsafe_code)]
mod walk;

pub use batch::{Batch, Committed, InsertKey};
pub use carve::Carved;
pub use changes::{Change, Changes};
pub use collision::Ticket;
pub use config::Config;
pub use dump::Dump;
pub use error::{
    BatchError, BeginError, CloseError, Corruption, FindManyError, ForeignSnapshot, HeldBack, Holder, InsertError,
    Refused, RemoveError, TryInvalidateError, UpdateError, WaitError, WouldBlock,
};
pub use guard::Guard;
pub use hit::{AnyHit, AnyHits, Hit, Hits};
pub use index::{FoundOrInserted, NotifierIndex};
pub use interval::{Interval, IntervalError, ParseIntervalError};
pub use invalidation::Invalidation;
pub use notifier::{Event, Invalidating, Notifier, Reason};
pub use ops::Ops;
pub use reader::Reader;
pub use registration::{Held, Registration, Removal};
pub use returned::Returned;
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use view::View;
