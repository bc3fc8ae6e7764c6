//! The index, what must be in it, and where the run stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notifier_index::{Interval, NotifierIndex, Ops, Registration};

use super::sections::{Actor, Telling};
use crate::input::{Input, Spread};

/// Sections inside sections, at most: further ones would count as covering everything, with few slots.
pub(super) const DEEPEST: usize = 3;
/// Notifiers at once, at most.
pub(super) const MOST: usize = 24;

pub(super) struct Standing {
    pub(super) registration: Registration<Actor>,
    pub(super) bounds: Interval,
}

#[derive(Default)]
pub(super) struct State {
    bytes: Vec<u8>,
    at: usize,
    pub(super) made: u64,
    pub(super) standing: BTreeMap<u64, Standing>,
    /// How often each notifier was told or moved.
    pub(super) raised: BTreeMap<u64, u64>,
    pub(super) dropped: BTreeSet<u64>,
    /// Tickets that are taken and not yet checked.
    pub(super) tickets: usize,
    /// The sections that this thread is in, the innermost last.
    pub(super) tellings: Vec<Telling>,
    /// Whose callbacks this thread is in.
    pub(super) callbacks: Vec<u64>,
}

impl State {
    /// Takes from the input.
    pub(super) fn take<R>(&mut self, take: impl FnOnce(&mut Input<'_>) -> Option<R>) -> Option<R> {
        let mut input = Input(&self.bytes[self.at..]);
        let taken = take(&mut input);
        self.at = self.bytes.len() - input.0.len();
        taken
    }

    /// Whether this thread is in one of its callbacks, or between its first pass and its second.
    pub(super) fn is_running(&self, id: u64) -> bool {
        self.callbacks.contains(&id) || self.tellings.iter().any(|telling| telling.is_between_passes(id))
    }

    /// Payloads that were made and not yet dropped.
    fn left_count(&self) -> u64 {
        self.made - self.dropped.len() as u64
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(|input| input.byte())
    }

    pub(super) fn range(&mut self) -> Option<Interval> {
        let span = self.take(|input| input.span(Spread::Narrow))?;
        Interval::new(span.start(), span.last()).ok()
    }

    pub(super) fn pick(&mut self) -> Option<u64> {
        let pick = self.byte()?;
        self.standing.keys().nth(usize::from(pick).checked_rem(self.standing.len())?).copied()
    }

    pub(super) fn raise(&mut self, id: u64) {
        *self.raised.entry(id).or_default() += 1;
    }

    pub(super) fn raised(&self, id: u64) -> u64 {
        self.raised.get(&id).copied().unwrap_or(0)
    }
}

pub(super) struct Machine {
    pub(super) index: NotifierIndex,
    pub(super) ops: Ops<Actor>,
    state: Mutex<State>,
}

impl Machine {
    pub(super) fn new(data: &[u8]) -> Arc<Self> {
        let index = NotifierIndex::new();
        let ops = index.register_ops();
        let state = State { bytes: data.to_vec(), ..State::default() };
        Arc::new(Machine { index, ops, state: Mutex::new(state) })
    }

    /// Never held while the index is called.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All is removed, and each payload was dropped once.
    pub(super) fn end(self: &Arc<Self>) {
        let standing = std::mem::take(&mut self.state().standing);
        drop(standing);
        for _ in 0..200 {
            self.index.maintain();
            let left = self.state().left_count();
            if (left, self.index.stats().retired_objects) == (0, 0) {
                break;
            }
        }
        let state = self.state();
        assert_eq!((self.index.len(), self.index.stats().sections_active), (0, 0));
        assert_eq!(state.left_count(), 0, "never dropped");
        assert_eq!(self.index.stats().retired_objects, 0);
    }
}
