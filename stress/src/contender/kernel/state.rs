//! What is behind the mutex: the tree, the sequence, the count of active sections, and what is deferred.
//!
//! What is deferred has three parts, all empty while the sequence is even:
//!
//! ```text
//!   insert          arrivals + (key, entry)
//!   update          arrivals + (new key, entry)   departures + old key   the record is marked withdrawn in this phase
//!   remove                                        departures + old key   the same; nobody waits: released + its owner
//! ```
//!
//! A second update moves the arrival; a removal after an insert or update takes the arrival back. A find takes the
//! lower of the first frozen entry not withdrawn in this phase and the first arrival; both trees have the same kind of
//! keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use iset::IntervalMap;

use super::key::{Key, key, query, span_of};
use super::subscription::{KernelRegistration, KernelSubscription, Place};
use crate::span::{Owner, Span};

/// The sequence of a set that was never invalidated: even, and above the numbers of notifiers that came before.
const FIRST_SEQUENCE: u64 = 2;

/// The tree of all notifiers; one for all owners, as in the kernel.
pub(super) type Tree<N> = IntervalMap<u128, Entry<N>>;

/// What stands in a tree; the owner beside the pointer, so that a find that filters does not follow it.
#[derive(Debug)]
pub(super) struct Entry<N> {
    owner: Owner,
    subscription: Arc<KernelSubscription<N>>,
}

impl<N> Entry<N> {
    pub(super) fn new(owner: Owner, subscription: Arc<KernelSubscription<N>>) -> Self {
        Entry { owner, subscription }
    }

    pub(super) fn subscription(&self) -> &KernelSubscription<N> {
        &self.subscription
    }
}

/// What became of a removal. Who gets it owns the registration too, and drops both outside the lock.
#[derive(Debug)]
pub(super) enum Removed<N> {
    /// It is done.
    Done { _entry: Option<Entry<N>> },
    /// It will be done when this phase ends.
    Deferred(u64),
}

/// The present state and what has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelStats {
    /// Odd while the tree is frozen.
    pub sequence: u64,
    /// Sections started and not ended.
    pub active_invalidate_ranges: u64,
    /// Notifiers registered, those pending included.
    pub notifier_count: usize,
    /// Inserts, updates and removals waiting for the end of the phase; an update counts as two.
    pub deferred_count: usize,
    /// Threads that wait now for the end of a phase.
    pub waiting_count: usize,
    /// Waits for the end of a phase begun so far, by `read_begin`, `remove` and `synchronize`.
    pub wait_count: u64,
    /// Sections started so far.
    pub section_count: u64,
    /// Callbacks that refused in a section that may block, which they must not.
    pub refused_count: u64,
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct State<N> {
    /// Owned more than once only by walkers, hence only while the sequence is odd.
    tree: Arc<Tree<N>>,
    arrivals: IntervalMap<u128, Option<Entry<N>>>,
    departures: Vec<Key>,
    released: Vec<Arc<KernelSubscription<N>>>,
    /// Threads that drop released payloads.
    releasing_count: usize,
    inserted_count: u64,
    stats: KernelStats,
}

impl<N> State<N> {
    pub(super) fn new() -> Self {
        State {
            tree: Arc::new(Tree::new()),
            arrivals: IntervalMap::new(),
            departures: Vec::new(),
            released: Vec::new(),
            releasing_count: 0,
            inserted_count: 0,
            stats: KernelStats { sequence: FIRST_SEQUENCE, ..KernelStats::default() },
        }
    }

    #[inline]
    pub(super) fn sequence(&self) -> u64 {
        self.stats.sequence
    }

    #[inline]
    pub(super) fn is_invalidating(&self) -> bool {
        self.stats.sequence & 1 == 1
    }

    pub(super) fn is_releasing(&self) -> bool {
        self.releasing_count != 0
    }

    pub(super) fn stats(&self) -> KernelStats {
        KernelStats { deferred_count: self.arrivals.len() + self.departures.len(), ..self.stats }
    }

    /// A thread begins to wait for the end of a phase.
    pub(super) fn begin_wait(&mut self) {
        self.stats.wait_count += 1;
        self.stats.waiting_count += 1;
    }

    /// Its wait is over.
    pub(super) fn end_wait(&mut self) {
        self.stats.waiting_count -= 1;
    }

    pub(super) fn count_refused(&mut self) {
        self.stats.refused_count += 1;
    }

    /// Counts a section; if it hits anything, freezes the tree and hands it out to be walked.
    pub(super) fn start(&mut self, span: Span) -> (u64, Option<Arc<Tree<N>>>) {
        self.stats.active_invalidate_ranges += 1;
        self.stats.section_count += 1;
        let is_hit = self.tree.has_overlap(query(span));
        self.stats.sequence |= u64::from(is_hit);
        (self.stats.sequence, is_hit.then(|| Arc::clone(&self.tree)))
    }

    /// Uncounts a section; if that ends a phase, does what was deferred and returns what is to be released then.
    pub(super) fn end(&mut self) -> Option<Vec<Arc<KernelSubscription<N>>>> {
        self.stats.active_invalidate_ranges -= 1;
        if self.stats.active_invalidate_ranges != 0 || !self.is_invalidating() {
            return None;
        }
        self.stats.sequence += 1;
        let tree = sole(&mut self.tree);
        // No record is dropped under the lock by this: what departs also arrives, is among the released, or its
        // remover waits.
        self.departures.drain(..).for_each(|key| drop(tree.remove(key)));
        for (key, entry) in self.arrivals.unsorted_iter_mut() {
            if let Some(entry) = entry.take() {
                tree.insert(key, entry);
            }
        }
        self.arrivals.clear();
        self.releasing_count += usize::from(!self.released.is_empty());
        Some(std::mem::take(&mut self.released))
    }

    /// A thread has dropped what it was given by [`end`](State::end), and gives the memory back.
    pub(super) fn end_release(&mut self, emptied: Vec<Arc<KernelSubscription<N>>>) {
        self.releasing_count -= 1;
        if self.released.capacity() == 0 {
            self.released = emptied;
        }
    }

    pub(super) fn insert(&mut self, span: Span, entry: Entry<N>) -> Place {
        let serial = self.inserted_count;
        self.inserted_count += 1;
        self.stats.notifier_count += 1;
        let is_deferred = self.is_invalidating();
        self.join(entry.subscription());
        if is_deferred {
            self.arrivals.insert(key(span, serial), Some(entry));
            Place { serial, span, deferred_in: self.stats.sequence, is_frozen: false }
        } else {
            sole(&mut self.tree).insert(key(span, serial), entry);
            Place { serial, span, deferred_in: 0, is_frozen: false }
        }
    }

    pub(super) fn update(&mut self, registration: &mut KernelRegistration<N>, span: Span) {
        let KernelRegistration { subscription, place, .. } = registration;
        let (before, after) = (key(place.span, place.serial), key(span, place.serial));
        let is_deferred = self.is_invalidating();
        // Addresses that are new to it may be in an active section that will not call it.
        if self.stats.active_invalidate_ranges != 0 && !place.span.covers(span) {
            self.join(subscription);
        }
        if !is_deferred {
            relocate(sole(&mut self.tree), before, after);
        } else if place.deferred_in == self.stats.sequence {
            relocate(&mut self.arrivals, before, after);
        } else {
            self.withdraw(subscription, before);
            let entry = Entry::new(registration.owner, Arc::clone(subscription));
            self.arrivals.insert(after, Some(entry));
            (place.deferred_in, place.is_frozen) = (self.stats.sequence, true);
        }
        place.span = span;
    }

    pub(super) fn remove(&mut self, registration: &KernelRegistration<N>) -> Removed<N> {
        let KernelRegistration { subscription, place, .. } = registration;
        let present = key(place.span, place.serial);
        self.stats.notifier_count -= 1;
        if !self.is_invalidating() {
            return Removed::Done { _entry: sole(&mut self.tree).remove(present) };
        }
        if place.deferred_in != self.stats.sequence {
            self.withdraw(subscription, present);
        } else {
            let arrival = self.arrivals.remove(present).flatten();
            if !place.is_frozen {
                return Removed::Done { _entry: arrival };
            }
        }
        Removed::Deferred(self.stats.sequence)
    }

    /// Owns a deferred removal's record until the phase has ended.
    pub(super) fn release_later(&mut self, subscription: Arc<KernelSubscription<N>>) {
        self.released.push(subscription);
    }

    /// The overlapping notifier of the owner with the lowest start, ties by insertion, as if nothing were deferred.
    #[inline]
    pub(super) fn lowest(&self, owner: Owner, span: Span) -> Option<(Span, &Arc<KernelSubscription<N>>)> {
        let is_changed = !self.departures.is_empty();
        let frozen = self.tree.iter(query(span)).find(|(_, entry)| {
            entry.owner == owner && !(is_changed && entry.subscription.is_withdrawn(self.stats.sequence))
        });
        let lowest = if self.arrivals.is_empty() { frozen } else { lower(frozen, self.arrival(owner, span)) };
        lowest.map(|(key, entry)| (span_of(&key), &entry.subscription))
    }

    fn arrival(&self, owner: Owner, span: Span) -> Option<(Key, &Entry<N>)> {
        let arrivals = self.arrivals.iter(query(span));
        let mut entries = arrivals.filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
        entries.find(|(_, entry)| entry.owner == owner)
    }

    /// The notifier is assumed to be in every active section; with none, its readers need not wait.
    fn join(&mut self, subscription: &KernelSubscription<N>) {
        let sequence = if self.stats.active_invalidate_ranges != 0 {
            self.stats.sequence |= 1;
            self.stats.sequence
        } else {
            self.stats.sequence - 1
        };
        // Relaxed: read under the lock by `read_begin`, and under the user's lock by `read_retry`.
        subscription.sequence().store(sequence, Ordering::Relaxed);
    }

    /// The place of the notifier in the frozen tree no longer counts, and goes when the phase ends.
    fn withdraw(&mut self, subscription: &KernelSubscription<N>, present: Key) {
        subscription.withdraw(self.stats.sequence);
        self.departures.push(present);
    }
}

fn relocate<V>(tree: &mut IntervalMap<u128, V>, before: Key, after: Key) {
    if let Some(value) = tree.remove(before) {
        tree.insert(after, value);
    }
}

/// The tree, to be changed.
fn sole<N>(tree: &mut Arc<Tree<N>>) -> &mut Tree<N> {
    // Only walkers own it besides; a walker lets go before its section ends, and until then the sequence is odd.
    Arc::get_mut(tree).expect("nobody walks a tree that is not frozen")
}

fn lower<'t, N>(one: Option<(Key, &'t Entry<N>)>, other: Option<(Key, &'t Entry<N>)>) -> Option<(Key, &'t Entry<N>)> {
    one.into_iter().chain(other).min_by_key(|(key, _)| key.start)
}
