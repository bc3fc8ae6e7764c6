//! What a notifier is told: the payload's trait, the range with its event, the sequence it has to set.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::span::Span;

/// The payload.
pub trait KernelNotifier: Send + Sync {
    /// The range is about to change. Take the user's lock, call [`KernelSequence::set`], tear down what was made from
    /// the range, unlock. `false` only if that would have to wait and [`KernelRange::blockable`] is false; nothing may
    /// have been set then.
    ///
    /// Called under no lock. Allowed here: find, insert, update, `remove_deferred`, further sections. Never here:
    /// `remove`, `read_begin`, `synchronize`.
    fn invalidate(&self, range: &KernelRange, sequence: KernelSequence<'_>) -> bool;
}

/// Why a range changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelEvent {
    /// It goes away.
    Unmap,
    /// Its content is replaced.
    Clear,
    /// Its protection changes.
    Protect,
    /// It moves.
    Migrate,
    /// Everything goes away.
    Release,
}

/// What is about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRange {
    /// The addresses.
    pub span: Span,
    /// Why.
    pub event: KernelEvent,
    /// Whether a callback may wait.
    pub blockable: bool,
}

/// The sequence number of a section, to be set on the notifier that is called.
#[derive(Debug)]
pub struct KernelSequence<'s> {
    value: u64,
    target: &'s AtomicU64,
}

impl<'s> KernelSequence<'s> {
    pub(super) fn new(value: u64, target: &'s AtomicU64) -> Self {
        KernelSequence { value, target }
    }

    /// The number, always odd.
    pub fn value(&self) -> u64 {
        self.value
    }

    /// Sets it on the notifier, so that readers under way retry and new ones wait. To be called under the user's lock.
    pub fn set(self) {
        // Relaxed: `read_retry` is ordered by the user's lock; a `read_begin` that misses it is caught there.
        self.target.store(self.value, Ordering::Relaxed);
    }
}

/// A notifier could not be told without waiting; the section has been ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelWouldBlock;

impl fmt::Display for KernelWouldBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a notifier would have to wait")
    }
}

impl Error for KernelWouldBlock {}
