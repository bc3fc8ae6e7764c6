//! What can be refused, and what comes back with the refusal.

use std::error::Error;
use std::fmt;

use crate::batch::Batch;
use crate::reclaim::pool::NoMemory;
use crate::registration::Registration;
use crate::tree::Violation;

/// Why the engine refused a change, before it is told to the caller in the terms of his call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Closed,
    OutOfMemory,
    RetiredLimit,
    Removed,
    Forked,
}

impl From<NoMemory> for Refusal {
    fn from(NoMemory: NoMemory) -> Self {
        Refusal::OutOfMemory
    }
}

const CLOSED: &str = "the index is closed to new notifiers";
const OUT_OF_MEMORY: &str = "no memory for the change; nothing was changed";
const RETIRED_LIMIT: &str = "too much memory waits for a reader that is still pinned: let the guard go, \
    or raise Config::retired_limit; nothing was changed";
const REMOVED: &str = "the notifier has been removed";
const FORKED: &str = "the index was inherited through fork: it can be read here, and not changed or waited for";
const HELD: &str = "the notifier is held";
const WOULD_DEADLOCK: &str = "this would wait for the section or the callback that the calling thread is in";
const FOREIGN_OPS: &str = "this Ops was registered with another index";
const FOREIGN_REGISTRATION: &str = "this Registration belongs to another index";

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Refusal::Closed => CLOSED,
            Refusal::OutOfMemory => OUT_OF_MEMORY,
            Refusal::RetiredLimit => RETIRED_LIMIT,
            Refusal::Removed => REMOVED,
            Refusal::Forked => FORKED,
        }
    }
}

/// An insertion was refused; the payload comes back, and nothing was changed.
///
/// ```
/// use notifier_index::{InsertError, Interval, NotifierIndex};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<String>();
/// index.close().unwrap();
/// let refused = index.insert(&ops, Interval::point(1), "mine".to_string()).unwrap_err();
/// assert!(matches!(refused, InsertError::Closed(_)));
/// assert_eq!(refused.into_payload(), "mine");
/// ```
#[non_exhaustive]
pub enum InsertError<N> {
    /// The index was closed.
    Closed(N),
    /// The allocator had no memory.
    OutOfMemory(N),
    /// What is retired and cannot be freed yet exceeds [`Config::retired_limit`](crate::Config::retired_limit).
    RetiredLimit(N),
    /// The owner belongs to another index.
    ForeignOps(N),
    /// The index was inherited through `fork`.
    Forked(N),
}

impl<N> InsertError<N> {
    pub(crate) fn new(refusal: Refusal, payload: N) -> Self {
        match refusal {
            Refusal::Closed => InsertError::Closed(payload),
            Refusal::OutOfMemory => InsertError::OutOfMemory(payload),
            Refusal::RetiredLimit => InsertError::RetiredLimit(payload),
            Refusal::Forked => InsertError::Forked(payload),
            Refusal::Removed => unreachable!("an insertion changes no notifier that could have been removed"),
        }
    }

    /// The payload that was not inserted.
    pub fn into_payload(self) -> N {
        match self {
            InsertError::Closed(payload)
            | InsertError::OutOfMemory(payload)
            | InsertError::RetiredLimit(payload)
            | InsertError::ForeignOps(payload)
            | InsertError::Forked(payload) => payload,
        }
    }

    fn text(&self) -> &'static str {
        match self {
            InsertError::Closed(_) => CLOSED,
            InsertError::OutOfMemory(_) => OUT_OF_MEMORY,
            InsertError::RetiredLimit(_) => RETIRED_LIMIT,
            InsertError::ForeignOps(_) => FOREIGN_OPS,
            InsertError::Forked(_) => FORKED,
        }
    }
}

impl<N> fmt::Display for InsertError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<N> fmt::Debug for InsertError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InsertError({})", self.text())
    }
}

impl<N> Error for InsertError<N> {}

/// An update was refused; the notifier keeps its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// The allocator had no memory.
    OutOfMemory,
    /// What is retired and cannot be freed yet exceeds [`Config::retired_limit`](crate::Config::retired_limit).
    RetiredLimit,
    /// The index is closed to this change.
    Closed,
    /// The notifier has been removed by another call.
    Removed,
    /// The index was inherited through `fork`.
    Forked,
}

impl From<Refusal> for UpdateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::RetiredLimit => UpdateError::RetiredLimit,
            Refusal::OutOfMemory => UpdateError::OutOfMemory,
            Refusal::Closed => UpdateError::Closed,
            Refusal::Removed => UpdateError::Removed,
            Refusal::Forked => UpdateError::Forked,
        }
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UpdateError::OutOfMemory => OUT_OF_MEMORY,
            UpdateError::RetiredLimit => RETIRED_LIMIT,
            UpdateError::Closed => CLOSED,
            UpdateError::Removed => REMOVED,
            UpdateError::Forked => FORKED,
        })
    }
}

impl Error for UpdateError {}

/// A removal was refused; the registration comes back and stands as before.
#[non_exhaustive]
pub enum RemoveError<N: Send + Sync + 'static> {
    /// The allocator had no memory for the path to copy.
    OutOfMemory(Registration<N>),
    /// Somebody holds the notifier, and it was to be removed only if nobody does.
    Held(Registration<N>),
    /// A blocking removal inside a callback of the same index could wait for itself: use
    /// [`remove_deferred`](Registration::remove_deferred).
    WouldDeadlock(Registration<N>),
    /// The index was inherited through `fork`.
    Forked(Registration<N>),
}

impl<N: Send + Sync + 'static> RemoveError<N> {
    /// The registration that was not removed.
    pub fn into_registration(self) -> Registration<N> {
        match self {
            RemoveError::OutOfMemory(registration)
            | RemoveError::Held(registration)
            | RemoveError::WouldDeadlock(registration)
            | RemoveError::Forked(registration) => registration,
        }
    }

    fn text(&self) -> &'static str {
        match self {
            RemoveError::OutOfMemory(_) => OUT_OF_MEMORY,
            RemoveError::Held(_) => HELD,
            RemoveError::WouldDeadlock(_) => WOULD_DEADLOCK,
            RemoveError::Forked(_) => FORKED,
        }
    }
}

impl<N: Send + Sync + 'static> fmt::Display for RemoveError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<N: Send + Sync + 'static> fmt::Debug for RemoveError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoveError({})", self.text())
    }
}

impl<N: Send + Sync + 'static> Error for RemoveError<N> {}

/// Why an index was not closed; it is as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseError {
    /// There was no memory for it.
    OutOfMemory,
    /// The index was inherited through `fork`.
    Forked,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseError::OutOfMemory => OUT_OF_MEMORY,
            CloseError::Forked => FORKED,
        })
    }
}

impl Error for CloseError {}

/// Many notifiers were to be inserted and none was; all come back.
#[non_exhaustive]
pub struct InsertManyError<N> {
    /// Why.
    pub reason: BatchErrorKind,
    /// What was to be inserted, in the order in which it was given.
    pub items: Vec<(crate::Interval, N)>,
}

impl<N> fmt::Display for InsertManyError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<N> fmt::Debug for InsertManyError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InsertManyError({}, {} items)", self.reason, self.items.len())
    }
}

impl<N> Error for InsertManyError<N> {}

/// Many notifiers were to be removed and none was; all registrations come back and stand as before.
#[non_exhaustive]
pub struct RemoveManyError<N: Send + Sync + 'static> {
    /// Why.
    pub reason: BatchErrorKind,
    /// What was to be removed, in the order in which it was given.
    pub registrations: Vec<Registration<N>>,
}

impl<N: Send + Sync + 'static> fmt::Display for RemoveManyError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<N: Send + Sync + 'static> fmt::Debug for RemoveManyError<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoveManyError({}, {} registrations)", self.reason, self.registrations.len())
    }
}

impl<N: Send + Sync + 'static> Error for RemoveManyError<N> {}

/// Why a batch was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BatchErrorKind {
    /// The index is closed, and the batch inserts.
    Closed,
    /// The allocator had no memory.
    OutOfMemory,
    /// What is retired and cannot be freed yet exceeds [`Config::retired_limit`](crate::Config::retired_limit).
    RetiredLimit,
    /// The owner belongs to another index.
    ForeignOps,
    /// The registration belongs to another index.
    ForeignRegistration,
    /// The batch gives new bounds to a notifier that has been removed.
    Removed,
    /// The index was inherited through `fork`.
    Forked,
}

impl From<Refusal> for BatchErrorKind {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => BatchErrorKind::Closed,
            Refusal::OutOfMemory => BatchErrorKind::OutOfMemory,
            Refusal::RetiredLimit => BatchErrorKind::RetiredLimit,
            Refusal::Removed => BatchErrorKind::Removed,
            Refusal::Forked => BatchErrorKind::Forked,
        }
    }
}

impl fmt::Display for BatchErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BatchErrorKind::Closed => Refusal::Closed.text(),
            BatchErrorKind::OutOfMemory => Refusal::OutOfMemory.text(),
            BatchErrorKind::RetiredLimit => Refusal::RetiredLimit.text(),
            BatchErrorKind::ForeignOps => FOREIGN_OPS,
            BatchErrorKind::ForeignRegistration => FOREIGN_REGISTRATION,
            BatchErrorKind::Removed => REMOVED,
            BatchErrorKind::Forked => FORKED,
        })
    }
}

/// A batch was refused as a whole; it comes back with all that is in it, and nothing was changed.
pub struct BatchError<'a> {
    pub(crate) kind: BatchErrorKind,
    pub(crate) batch: Batch<'a>,
}

impl<'a> BatchError<'a> {
    /// Why.
    pub fn kind(&self) -> BatchErrorKind {
        self.kind
    }

    /// The batch, to commit again or to take payloads back from.
    pub fn into_batch(self) -> Batch<'a> {
        self.batch
    }
}

impl fmt::Display for BatchError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for BatchError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchError({})", self.kind)
    }
}

impl Error for BatchError<'_> {}

impl Error for BatchErrorKind {}

/// A batched look-up was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FindManyError {
    /// There are not as many places for results as there are queries.
    LengthMismatch,
}

impl fmt::Display for FindManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FindManyError::LengthMismatch => "the slices of queries and of hits differ in length",
        })
    }
}

impl Error for FindManyError {}

/// An invariant of a version does not hold: a defect of this crate, or memory overwritten by somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corruption(Broken);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Broken {
    Tree(Violation),
    Count,
}

impl Corruption {
    pub(crate) const COUNT: Corruption = Corruption(Broken::Count);

    pub(crate) fn of_tree(violation: Violation) -> Self {
        Corruption(Broken::Tree(violation))
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Broken::Tree(violation) => write!(f, "an invariant of a tree does not hold: {violation:?}"),
            Broken::Count => f.write_str("the owners' notifiers do not add up to those of the version"),
        }
    }
}

impl Error for Corruption {}

/// A notifier cannot do without waiting what it was asked to do without waiting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WouldBlock;

impl fmt::Display for WouldBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a notifier would have to wait; the section is over")
    }
}

impl Error for WouldBlock {}

/// Why a section that may not wait was not begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TryInvalidateError {
    /// A notifier would have to wait. Those told before have finished.
    WouldBlock,
    /// The index was inherited through `fork`.
    Forked,
}

impl fmt::Display for TryInvalidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryInvalidateError::WouldBlock => WouldBlock.fmt(f),
            TryInvalidateError::Forked => f.write_str(FORKED),
        }
    }
}

impl Error for TryInvalidateError {}

/// Why a read of the source cannot begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BeginError {
    /// The notifier has been removed.
    Removed,
    /// The notifier does not cover the range, so it would not be told of changes there.
    NotCovered,
    /// The index is closed.
    Closed,
    /// It would wait for a section of the calling thread, or, inside a callback and without a deadline, for any section.
    WouldDeadlock,
    /// It would have to wait, and a hit does not, because it may stand under a pin: [`hold`](crate::Hit::hold) it, let the
    /// guard go, and begin through the held handle.
    WouldWait,
    /// The time was over before the sections were.
    TimedOut,
    /// The index was inherited through `fork`.
    Forked,
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BeginError::Removed => REMOVED,
            BeginError::NotCovered => "the notifier does not cover the range",
            BeginError::Closed => CLOSED,
            BeginError::WouldDeadlock => WOULD_DEADLOCK,
            BeginError::WouldWait => {
                "a section over the range is active, and a hit does not wait: hold it, let the guard go, \
                begin through the held handle"
            }
            BeginError::Forked => FORKED,
            BeginError::TimedOut => "the time was over before the overlapping sections were",
        })
    }
}

impl Error for BeginError {}

/// Why a wait for callbacks ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WaitError {
    /// It would wait for a callback that the calling thread may be in.
    WouldDeadlock,
    /// The time was over before the callbacks were.
    TimedOut,
    /// The index was inherited through `fork`.
    Forked,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitError::WouldDeadlock => WOULD_DEADLOCK,
            WaitError::Forked => FORKED,
            WaitError::TimedOut => "the time was over before the callbacks were",
        })
    }
}

impl Error for WaitError {}
