//! A registered notifier, and its three handles: the record itself, the unique registration, a hit.
//!
//! In the kernel the record is the caller's memory and the caller must know how long it lives; here it is counted. What
//! is deferred for a notifier is not noted in the record but in its registration, because only the registration can
//! change the notifier: "deferred in phase 7 from these bounds" needs no tidying up when the phase ends, since phases
//! are numbered and the number is then past.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::span::{Owner, Span};

/// A registered notifier: its payload and its copy of the sequence.
#[derive(Debug)]
pub struct KernelSubscription<N> {
    payload: N,
    home: u64,
    sequence: AtomicU64,
    /// The phase in which its place in the frozen tree ceased to count; written and read under the lock.
    withdrawn_in: AtomicU64,
}

impl<N> KernelSubscription<N> {
    pub(super) fn new(home: u64, payload: N) -> Self {
        KernelSubscription { payload, home, sequence: AtomicU64::new(0), withdrawn_in: AtomicU64::new(0) }
    }

    /// The payload.
    pub fn payload(&self) -> &N {
        &self.payload
    }

    /// Whether what was read since `read_begin` gave this ticket must be read again. To be called under the user's
    /// lock, and the ticket not to be used again.
    #[inline]
    pub fn read_retry(&self, ticket: u64) -> bool {
        // Relaxed: set under the user's lock, which is held here.
        self.sequence.load(Ordering::Relaxed) != ticket
    }

    pub(super) fn home(&self) -> u64 {
        self.home
    }

    pub(super) fn sequence(&self) -> &AtomicU64 {
        &self.sequence
    }

    pub(super) fn withdraw(&self, phase: u64) {
        // Relaxed: under the lock, as is its reader.
        self.withdrawn_in.store(phase, Ordering::Relaxed);
    }

    pub(super) fn is_withdrawn(&self, phase: u64) -> bool {
        // Relaxed: under the lock, as is its writer.
        self.withdrawn_in.load(Ordering::Relaxed) == phase
    }
}

/// Where a notifier stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) serial: u64,
    /// The bounds last asked for.
    pub(super) span: Span,
    /// The phase in which that was deferred; past: it has been done.
    pub(super) deferred_in: u64,
    /// Whether the frozen tree of that phase has it, under older bounds; if not, it was inserted in that phase.
    pub(super) is_frozen: bool,
}

/// The unique handle of a notifier; dropping it does nothing.
#[derive(Debug)]
#[must_use = "without its registration a notifier cannot be removed"]
pub struct KernelRegistration<N> {
    pub(super) owner: Owner,
    pub(super) subscription: Arc<KernelSubscription<N>>,
    pub(super) place: Place,
}

impl<N> KernelRegistration<N> {
    pub(super) fn new(owner: Owner, subscription: Arc<KernelSubscription<N>>, place: Place) -> Self {
        KernelRegistration { owner, subscription, place }
    }

    /// The notifier, to be shared with those who read.
    pub fn subscription(&self) -> &Arc<KernelSubscription<N>> {
        &self.subscription
    }

    /// The payload.
    pub fn payload(&self) -> &N {
        self.subscription.payload()
    }

    /// The present bounds, as a find shows them.
    pub fn span(&self) -> Span {
        self.place.span
    }
}

/// A notifier that was found; it keeps the notifier's memory, not its registration.
#[derive(Debug)]
pub struct KernelHit<N> {
    span: Span,
    subscription: Arc<KernelSubscription<N>>,
}

impl<N> KernelHit<N> {
    pub(super) fn new(span: Span, subscription: Arc<KernelSubscription<N>>) -> Self {
        KernelHit { span, subscription }
    }

    /// The bounds when it was found.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The notifier.
    pub fn subscription(&self) -> &Arc<KernelSubscription<N>> {
        &self.subscription
    }

    /// The payload.
    pub fn payload(&self) -> &N {
        self.subscription.payload()
    }
}
