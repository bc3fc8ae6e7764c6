//! What can be refused, and what comes back with the refusal.

use std::error::Error;
use std::fmt;

use crate::reclaim::pool::NoMemory;
use crate::tree::Violation;

/// Why the engine refused a change, before it is told to the caller in the terms of his call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Closed,
    OutOfMemory,
    RetiredLimit(HeldBack),
    Removed,
    Forked,
}

/// Who keeps memory from being freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Holder {
    /// A pinned thread: a [`Guard`](crate::Guard) that is not let go.
    Pin,
    /// A [`Reader`](crate::Reader) that neither looks anything up nor [rests](crate::Reader::rest).
    Reader,
    /// A [`Snapshot`](crate::Snapshot).
    Snapshot,
    /// A section whose callbacks do not return.
    Section,
    /// A change on its way.
    Change,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Holder::Pin => "a guard that is not let go",
            Holder::Reader => "a reader that neither looks anything up nor rests",
            Holder::Snapshot => "a snapshot",
            Holder::Section => "a section whose callbacks do not return",
            Holder::Change => "a change on its way",
        })
    }
}

/// What is held back, and by whom: the evidence with which a change is refused, and what [`Stats`](crate::Stats) show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeldBack {
    /// The kind of holder that holds back most.
    pub by: Holder,
    /// What all holders of that kind hold back.
    pub bytes: u64,
    /// How many versions ago the oldest of them began to.
    pub age_in_versions: u64,
    /// The thread that made the oldest of them, as the operating system numbers it, where that is known.
    pub thread: Option<u32>,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HeldBack { by, bytes, age_in_versions, thread } = self;
        write!(f, "{bytes} bytes are held back by {by}, since {age_in_versions} versions")?;
        thread.map_or(Ok(()), |thread| write!(f, ", of thread {thread}"))
    }
}

impl From<NoMemory> for Refusal {
    fn from(NoMemory: NoMemory) -> Self {
        Refusal::OutOfMemory
    }
}

const CLOSED: &str = "the index is closed to new notifiers";
const OUT_OF_MEMORY: &str = "no memory for the change; nothing was changed";

fn retired_limit(f: &mut fmt::Formatter<'_>, held_back: HeldBack) -> fmt::Result {
    write!(f, "too much memory waits to be freed: {held_back}; nothing was changed")
}

const REMOVED: &str = "the notifier has been removed";
const FORKED: &str = "the index was inherited through fork: it can be read here, and not changed or waited for";
const HELD: &str = "the notifier is held";
const WOULD_DEADLOCK: &str = "this would wait for the section or the callback that the calling thread is in";
const FOREIGN_OPS: &str = "this Ops was registered with another index";
const FOREIGN_REGISTRATION: &str = "this Registration belongs to another index";

/// A refusal that gives back what the call was given: why, and what comes back. Nothing was changed.
///
/// All calls that take something over answer with it, so that the reason and the value are reached the same way everywhere.
/// Who wants only the reason lets `?` turn the one into the other.
///
/// ```
/// use notifier_index::{InsertError, NotifierIndex, Refused, RemoveError};
///
/// let index = NotifierIndex::new();
/// let ops = index.register_passive_ops::<String>();
/// let registration = index.insert(&ops, 7, "stays".to_string())?;
/// index.close().unwrap();
///
/// let refused = index.insert(&ops, 1, "mine".to_string()).unwrap_err();
/// assert_eq!((refused.reason, refused.value.as_str()), (InsertError::Closed, "mine"));
///
/// let held = registration.hold();
/// let Err(Refused { reason, value: registration, .. }) = registration.remove_if_unheld() else { panic!() };
/// assert_eq!(reason, RemoveError::Held);
/// assert!(registration.is_live());
/// # Ok::<(), InsertError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused<E, T> {
    /// Why.
    pub reason: E,
    /// What comes back.
    pub value: T,
}

impl<E, T> Refused<E, T> {
    pub(crate) fn new(reason: impl Into<E>, value: T) -> Self {
        Refused { reason: reason.into(), value }
    }
}

impl<E: fmt::Display, T> fmt::Display for Refused<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

/// Shows the reason alone, so that what comes back need not be shown.
impl<E: fmt::Debug, T> fmt::Debug for Refused<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl<E: Error, T> Error for Refused<E, T> {}

/// Why an insertion was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InsertError {
    /// The index was closed.
    Closed,
    /// The allocator had no memory.
    OutOfMemory,
    /// What is retired and held back exceeds [`Config::retired_limit`](crate::Config::retired_limit).
    RetiredLimit(HeldBack),
    /// The owner belongs to another index.
    ForeignOps,
    /// The index was inherited through `fork`.
    Forked,
}

impl From<Refusal> for InsertError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => InsertError::Closed,
            Refusal::OutOfMemory => InsertError::OutOfMemory,
            Refusal::RetiredLimit(held_back) => InsertError::RetiredLimit(held_back),
            Refusal::Forked => InsertError::Forked,
            Refusal::Removed => unreachable!("an insertion changes no notifier that could have been removed"),
        }
    }
}

impl<T> From<Refused<InsertError, T>> for InsertError {
    fn from(refused: Refused<InsertError, T>) -> Self {
        refused.reason
    }
}

impl fmt::Display for InsertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InsertError::Closed => CLOSED,
            InsertError::OutOfMemory => OUT_OF_MEMORY,
            InsertError::RetiredLimit(held_back) => return retired_limit(f, *held_back),
            InsertError::ForeignOps => FOREIGN_OPS,
            InsertError::Forked => FORKED,
        })
    }
}

impl Error for InsertError {}

/// Why an update was refused; the notifier keeps its bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// The allocator had no memory.
    OutOfMemory,
    /// What is retired and held back exceeds [`Config::retired_limit`](crate::Config::retired_limit).
    RetiredLimit(HeldBack),
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
            Refusal::RetiredLimit(held_back) => UpdateError::RetiredLimit(held_back),
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
            UpdateError::RetiredLimit(held_back) => return retired_limit(f, *held_back),
            UpdateError::Closed => CLOSED,
            UpdateError::Removed => REMOVED,
            UpdateError::Forked => FORKED,
        })
    }
}

impl Error for UpdateError {}

/// Why a removal was refused; what was to be removed stands as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RemoveError {
    /// The allocator had no memory for the path to copy.
    OutOfMemory,
    /// Somebody holds the notifier, and it was to be removed only if nobody does.
    Held,
    /// A blocking removal inside a callback of the same index could wait for itself: use
    /// [`remove_deferred`](crate::Registration::remove_deferred).
    WouldDeadlock,
    /// A registration belongs to another index.
    ForeignRegistration,
    /// The index was inherited through `fork`.
    Forked,
}

impl From<Refusal> for RemoveError {
    fn from(refusal: Refusal) -> Self {
        RemoveError::of_batch(refusal.into())
    }
}

impl RemoveError {
    /// Why nothing but removals was refused: they are subject to no limit, go on when the index is closed, and change
    /// nothing of what is removed.
    pub(crate) fn of_batch(reason: BatchError) -> Self {
        match reason {
            BatchError::ForeignRegistration => RemoveError::ForeignRegistration,
            BatchError::Forked => RemoveError::Forked,
            _ => RemoveError::OutOfMemory,
        }
    }
}

impl<T> From<Refused<RemoveError, T>> for RemoveError {
    fn from(refused: Refused<RemoveError, T>) -> Self {
        refused.reason
    }
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemoveError::OutOfMemory => OUT_OF_MEMORY,
            RemoveError::Held => HELD,
            RemoveError::WouldDeadlock => WOULD_DEADLOCK,
            RemoveError::ForeignRegistration => FOREIGN_REGISTRATION,
            RemoveError::Forked => FORKED,
        })
    }
}

impl Error for RemoveError {}

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

/// Why several changes at once were refused: a batch, or one of its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BatchError {
    /// The index is closed, and the batch inserts.
    Closed,
    /// The allocator had no memory.
    OutOfMemory,
    /// What is retired and held back exceeds [`Config::retired_limit`](crate::Config::retired_limit).
    RetiredLimit(HeldBack),
    /// The owner belongs to another index.
    ForeignOps,
    /// The registration belongs to another index.
    ForeignRegistration,
    /// The batch gives new bounds to a notifier that has been removed.
    Removed,
    /// The index was inherited through `fork`.
    Forked,
}

impl From<Refusal> for BatchError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => BatchError::Closed,
            Refusal::OutOfMemory => BatchError::OutOfMemory,
            Refusal::RetiredLimit(held_back) => BatchError::RetiredLimit(held_back),
            Refusal::Removed => BatchError::Removed,
            Refusal::Forked => BatchError::Forked,
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BatchError::Closed => CLOSED,
            BatchError::OutOfMemory => OUT_OF_MEMORY,
            BatchError::RetiredLimit(held_back) => return retired_limit(f, *held_back),
            BatchError::ForeignOps => FOREIGN_OPS,
            BatchError::ForeignRegistration => FOREIGN_REGISTRATION,
            BatchError::Removed => REMOVED,
            BatchError::Forked => FORKED,
        })
    }
}

/// A batch's insertion is refused for the reasons of one alone.
impl From<InsertError> for BatchError {
    fn from(reason: InsertError) -> Self {
        match reason {
            InsertError::Closed => BatchError::Closed,
            InsertError::OutOfMemory => BatchError::OutOfMemory,
            InsertError::RetiredLimit(held_back) => BatchError::RetiredLimit(held_back),
            InsertError::ForeignOps => BatchError::ForeignOps,
            InsertError::Forked => BatchError::Forked,
        }
    }
}

impl<T> From<Refused<BatchError, T>> for BatchError {
    fn from(refused: Refused<BatchError, T>) -> Self {
        refused.reason
    }
}

impl Error for BatchError {}

/// Two snapshots that were to be compared are of different indexes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForeignSnapshot;

impl fmt::Display for ForeignSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this Snapshot was taken of another index")
    }
}

impl Error for ForeignSnapshot {}

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
