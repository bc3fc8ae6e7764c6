//! Who may be seen after a panic: every handle, whatever its payload.
//!
//! The compiler cannot see it, as there are cells and atomics behind all of them, so it is said here, of the few types
//! that they reach. It holds because no panic leaves any of these half changed:
//!
//! - A change is one publication: before it nothing was changed, after it everything. The caller's code (iterators, what
//!   makes a payload, destructors) runs before a version is begun or after it was published.
//! - What unwinds out of a callback or of a payload's destructor is let go on only when the others were told or dropped
//!   (`panics.rs`), and the section is freed on the way (`section.rs`).
//! - Payloads are shared by all threads: one that is left half changed by a panic is its author's concern, as behind an
//!   `Arc`, and no handle of ours makes it worse.

use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::engine::Engine;
use crate::guard::Guard;
use crate::hit::Hits;
use crate::record::{Header, Record};
use crate::tree::{EntryHeader, NodeHeader};
use crate::version::Version;

impl RefUnwindSafe for Engine {}
impl RefUnwindSafe for Version {}
impl RefUnwindSafe for Header {}
impl<N> RefUnwindSafe for Record<N> {}

// What enumerations point to: published nodes, which nobody changes.
impl RefUnwindSafe for NodeHeader {}
impl RefUnwindSafe for EntryHeader {}

// It borrows payloads as `Hit` does, whose marker is a record.
impl<N> UnwindSafe for Hits<'_, N> {}
impl<N> RefUnwindSafe for Hits<'_, N> {}

// It holds crossbeam's pin, which unwinding lets go of as any other return does.
impl UnwindSafe for Guard<'_> {}
impl RefUnwindSafe for Guard<'_> {}
