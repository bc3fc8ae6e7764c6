//! The contenders: the index through its three ways of reading, and what one would use instead.
//!
//! A [`Contender`] is the shared structure; each thread works on it through a [`Session`] of its own, because some ways
//! of reading have state for each thread. What a change needs to know about a notifier (a handle, or just its present
//! bounds) is its `Registration`, which belongs to the thread that changes it and not to the structure: so nobody has
//! to look anything up under a lock that the caller knows already.
//!
//! | name | what | owners, overlaps | a move is atomic | has versions |
//! |---|---|---|---|---|
//! | `reader`, `guard`, `snapshot` | the index | yes | yes | yes |
//! | `locked-mutex`, `locked-rwlock` | [`locked`]: `iset` behind a lock | yes | yes | yes, raised under the lock |
//! | `mutex-btreemap` | [`btreemap`]: the standard map behind a mutex | no | yes | yes, raised under the lock |
//! | `arcswap-imbl` | [`persistent`]: a persistent map behind an atomic pointer | no | yes | yes, within the map's record |
//! | `skiplist` | [`skiplist`] | no | no | no |
//! | `scc-treeindex` | [`treeindex`] | no | no | no |

pub mod btreemap;
pub mod disjoint;
pub mod index;
pub mod kernel;
pub mod locked;
pub mod persistent;
pub mod skiplist;
pub mod treeindex;

use crate::span::{Found, NotifierId, Owner, Span};

/// What a find saw, and in which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The overlapping notifier with the lowest start, ties by insertion.
    pub found: Option<Found>,
    /// The version that was searched; `None` where there is no such thing.
    pub version: Option<u64>,
}

/// A structure that takes part in the race.
pub trait Contender: Sync + Sized {
    /// What a thread keeps for each notifier that it may change.
    type Registration: Send;
    /// A thread's access.
    type Session<'c>: Session<Registration = Self::Registration>
    where
        Self: 'c;

    /// An empty one.
    fn new() -> Self;

    /// Opens a thread's access; called on the thread that uses it.
    fn session(&self) -> Self::Session<'_>;

    /// Memory that is retired and not yet freed; `None` where that is not known or there is no such thing.
    fn retired_bytes(&self) -> Option<u64> {
        None
    }
}

/// A thread's access to a [`Contender`].
///
/// Changes return the version that they made, `None` where there is no such thing.
pub trait Session {
    /// See [`Contender::Registration`].
    type Registration;

    /// Registers a notifier.
    fn insert(&mut self, owner: Owner, id: NotifierId, span: Span) -> (Self::Registration, Option<u64>);

    /// Gives a notifier new bounds.
    fn update(&mut self, registration: &mut Self::Registration, span: Span) -> Option<u64>;

    /// Takes a notifier away.
    fn remove(&mut self, registration: Self::Registration) -> Option<u64>;

    /// The overlapping notifier of the owner with the lowest start, ties by insertion.
    fn find(&mut self, owner: Owner, span: Span) -> Sighting;

    /// All overlapping notifiers of the owner, ascending by start, ties by insertion, appended to `found`.
    fn find_all(&mut self, owner: Owner, span: Span, found: &mut Vec<Found>) -> Option<u64>;
}

#[cfg(test)]
mod tests;
