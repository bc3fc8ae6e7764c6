//! Many notifiers that are to be inserted at once: allocated beforehand, so that the insertion itself cannot fail half-way.

use std::collections::TryReserveError;
use std::ptr::NonNull;

use crate::error::{BatchErrorKind, InsertManyError};
use crate::interval::Interval;
use crate::record::{Header, Kind, NewRecord};
use crate::registration::Registration;

/// Records for all items, and room for all results.
pub(crate) struct Many<N: Send + Sync + 'static> {
    intervals: Vec<Interval>,
    records: Vec<NewRecord<N>>,
    registrations: Vec<Registration<N>>,
    /// By start; among equal starts as given, which is the order of insertion.
    pub(crate) sorted: Vec<(Interval, NonNull<Header>)>,
}

impl<N: Send + Sync + 'static> Many<N> {
    pub(crate) fn allocate(
        owner: u64,
        kind: &'static Kind,
        items: Vec<(Interval, N)>,
    ) -> Result<Self, InsertManyError<N>> {
        let Ok(mut many) = Self::with_room(items.len()) else {
            return Err(InsertManyError { reason: BatchErrorKind::OutOfMemory, items });
        };
        let mut items = items.into_iter();
        while let Some((interval, payload)) = items.next() {
            match NewRecord::allocate(owner, kind, payload) {
                Ok(record) => many.push(interval, record),
                Err(payload) => return Err(many.give_back(interval, payload, items)),
            }
        }
        many.sort();
        Ok(many)
    }

    fn with_room(count: usize) -> Result<Self, TryReserveError> {
        let (mut intervals, mut records) = (Vec::new(), Vec::new());
        let (mut registrations, mut sorted) = (Vec::new(), Vec::new());
        intervals.try_reserve_exact(count)?;
        records.try_reserve_exact(count)?;
        registrations.try_reserve_exact(count)?;
        sorted.try_reserve_exact(count)?;
        Ok(Many { intervals, records, registrations, sorted })
    }

    fn push(&mut self, interval: Interval, record: NewRecord<N>) {
        self.sorted.push((interval, record.as_header()));
        self.intervals.push(interval);
        self.records.push(record);
    }

    /// Sorts in place, without memory: the position decides among equal starts.
    fn sort(&mut self) {
        if self.sorted.is_sorted_by_key(|(interval, _)| interval.start()) {
            return;
        }
        for (position, record) in self.records.iter().enumerate() {
            record.set_position(position as u64);
        }
        let position = |record: &NonNull<Header>| {
            // SAFETY: the records are this value's own, and not yet published.
            unsafe { record.as_ref() }.location()
        };
        self.sorted.sort_unstable_by_key(|(interval, record)| (interval.start(), position(record)));
    }

    /// The records in the order in which they were given.
    pub(crate) fn given(&self) -> impl Iterator<Item = (Interval, NonNull<Header>)> {
        self.intervals.iter().copied().zip(self.records.iter().map(NewRecord::as_header))
    }

    pub(crate) fn into_registrations(
        self,
        registration: impl Fn(NewRecord<N>, Interval) -> Registration<N>,
    ) -> Vec<Registration<N>> {
        let mut registrations = self.registrations;
        let made = self.records.into_iter().zip(self.intervals);
        registrations.extend(made.map(|(record, interval)| registration(record, interval)));
        registrations
    }

    pub(crate) fn into_error(self, reason: BatchErrorKind) -> InsertManyError<N> {
        let payloads = self.records.into_iter().map(NewRecord::into_payload);
        InsertManyError { reason, items: self.intervals.into_iter().zip(payloads).collect() }
    }

    fn give_back(
        self,
        interval: Interval,
        payload: N,
        rest: impl Iterator<Item = (Interval, N)>,
    ) -> InsertManyError<N> {
        let mut error = self.into_error(BatchErrorKind::OutOfMemory);
        error.items.push((interval, payload));
        error.items.extend(rest);
        error
    }
}
