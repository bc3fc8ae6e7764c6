//! What is told, and to whom: the trait of payloads that want to be told, and the event.

use std::fmt;

use crate::error::WouldBlock;
use crate::interval::Interval;

/// A payload that is told when a range over it is about to change. See [`Ops`](crate::Ops) for those that are not.
///
/// ```
/// use notifier_index::{Event, Interval, Invalidating, Notifier, NotifierIndex, Reason, WouldBlock};
/// use std::sync::Mutex;
///
/// struct Mirror(Mutex<Option<&'static str>>);
///
/// impl Notifier for Mirror {
///     fn invalidate(&self, invalidating: &Invalidating<'_>) -> Result<(), WouldBlock> {
///         assert_eq!(invalidating.reason(), Reason::Unmap);
///         *self.0.lock().unwrap() = None;
///         Ok(())
///     }
/// }
///
/// let index = NotifierIndex::new();
/// let mirrors = index.register_ops::<Mirror>();
/// let mirror = index.insert(&mirrors, Interval::new(0x1000, 0x1fff).unwrap(), Mirror(Mutex::new(Some("entry")))).unwrap();
/// let section = index.invalidate(Interval::point(0x1800), Event::new(Reason::Unmap));
/// // Here the source is changed; fillers of an overlapping range wait.
/// drop(section);
/// assert!(mirror.payload().0.lock().unwrap().is_none());
/// ```
///
/// Both methods run on the thread that invalidates, under no lock and no pin of the index: they may sleep, change the
/// index, look things up and invalidate other ranges. They must not wait for the end of the section that calls them.
pub trait Notifier: Send + Sync + 'static {
    /// The first pass: take down what mirrors the range, or start to. Called once for each section that overlaps.
    ///
    /// # Errors
    /// [`WouldBlock`] if it cannot be done without waiting, and
    /// [`may_block`](Invalidating::may_block) is false. Where it is true a refusal is counted and reported, and the
    /// section goes on.
    fn invalidate(&self, invalidating: &Invalidating<'_>) -> Result<(), WouldBlock>;

    /// The second pass, after the first passes of all: wait for what the first has started.
    ///
    /// Where more than 32 notifiers of one section are dead, refuse or panic, the second passes of those told so far
    /// come before the first passes of the rest.
    fn finish(&self, invalidating: &Invalidating<'_>) {
        let _ = invalidating;
    }
}

/// Why a range is about to change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It is being unmapped, or given back.
    Unmap,
    /// Its contents go, the mapping stays.
    Clear,
    /// Its access rights change.
    Protect,
    /// Its contents move elsewhere.
    Migrate,
    /// The index is being closed.
    Release,
    /// Something else.
    Other,
}

/// Why, and by whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Event {
    reason: Reason,
    initiator: Option<u64>,
}

impl Event {
    /// An event without an initiator.
    pub const fn new(reason: Reason) -> Self {
        Event { reason, initiator: None }
    }

    /// The same, begun by `initiator`: an opaque number by which an owner can know its own events.
    #[must_use]
    pub const fn by(self, initiator: u64) -> Self {
        Event { initiator: Some(initiator), ..self }
    }

    /// Why.
    pub const fn reason(self) -> Reason {
        self.reason
    }

    /// By whom.
    pub const fn initiator(self) -> Option<u64> {
        self.initiator
    }
}

/// What a notifier is told.
pub struct Invalidating<'c> {
    pub(crate) section: Interval,
    pub(crate) bounds: Interval,
    pub(crate) event: &'c Event,
    pub(crate) may_block: bool,
}

impl Invalidating<'_> {
    /// The range that is about to change.
    pub fn interval(&self) -> Interval {
        self.section
    }

    /// The bounds that the notifier had when the section looked: it may have given some up since, and an address that
    /// it no longer covers must be harmless.
    pub fn bounds(&self) -> Interval {
        self.bounds
    }

    /// The event.
    pub fn event(&self) -> Event {
        *self.event
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        self.event.reason
    }

    /// By whom.
    pub fn initiator(&self) -> Option<u64> {
        self.event.initiator
    }

    /// Whether the first pass may wait.
    pub fn may_block(&self) -> bool {
        self.may_block
    }
}

impl fmt::Debug for Invalidating<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invalidating({}, {:?})", self.section, self.event)
    }
}
