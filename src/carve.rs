//! Taking a range away from one owner, as one version: what lies inside goes, what reaches in is cut, what encloses is split.
//!
//! The right half of a split is a notifier of its own and wants a payload, which the caller makes: outside the change, under
//! no lock and no pin, from the bounds that are to be split. Where these have moved until the change is made, it is made anew.

use std::ptr::NonNull;

use crate::batch;
use crate::busted::{self, Sabotage};
use crate::draft::Draft;
use crate::engine::{Limit, Step};
use crate::error::{BatchError, Refusal, Refused};
use crate::hit::Hit;
use crate::interval::Interval;
use crate::ops::Ops;
use crate::record::{self, Header, NewRecord};
use crate::registration::{RawRegistration, Registration};
use crate::shared::SharedEngine;
use crate::snapshot::Snapshot;

/// What a [`carve`](crate::NotifierIndex::carve) has done.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "the right halves of what was split are removed when this is dropped"]
pub struct Carved<N: Send + Sync + 'static> {
    /// The version that shows the range free.
    pub version: u64,
    /// How many notifiers lay inside, and were removed.
    pub removed: usize,
    /// How many reached in or enclosed the range, and gave addresses up.
    pub cut: usize,
    /// What stands above the range of those that enclosed it, in their order.
    pub right_halves: Vec<Registration<N>>,
}

/// What the range leaves of a notifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Remains {
    Nothing,
    One(Interval),
    Both(Interval, Interval),
}

fn remains(bounds: Interval, range: Interval) -> Remains {
    let last_below = range.start().checked_sub(1).filter(|last| *last >= bounds.start());
    let first_above = range.last().checked_add(1).filter(|first| *first <= bounds.last());
    let below = last_below.map(|last| Interval::from_ordered(bounds.start(), last));
    let above = first_above.map(|first| Interval::from_ordered(first, bounds.last()));
    match (below, above) {
        (Some(below), Some(above)) => Remains::Both(below, above),
        (Some(one), None) | (None, Some(one)) => Remains::One(one),
        (None, None) => Remains::Nothing,
    }
}

/// A notifier that overlaps the range, in the version on which the change is made.
struct Touched {
    record: NonNull<Header>,
    serial: u64,
    bounds: Interval,
    remains: Remains,
}

/// All of them, and room for the registrations of right halves.
struct Cuts<N: Send + Sync + 'static> {
    touched: Vec<Touched>,
    right_halves: Vec<Registration<N>>,
}

/// What a right half was made for: which notifier, with which bounds.
type Split = (u64, Interval);

/// One carving, over as many attempts as it takes.
pub(crate) struct Carving<'a, N: Send + Sync + 'static, F> {
    engine: &'a SharedEngine,
    ops: &'a Ops<N>,
    range: Interval,
    make: F,
    /// The right halves made so far, ascending by what for; one that is published is taken out.
    halves: Vec<(Split, Option<NewRecord<N>>)>,
    /// Room for the payloads of all halves, so that giving them back needs no memory.
    payloads: Vec<N>,
}

impl<'a, N: Send + Sync + 'static, F: FnMut(Hit<'_, N>) -> N> Carving<'a, N, F> {
    pub(crate) fn new(engine: &'a SharedEngine, ops: &'a Ops<N>, range: Interval, make: F) -> Self {
        Carving { engine, ops, range, make, halves: Vec::new(), payloads: Vec::new() }
    }

    pub(crate) fn run(mut self, owner: u64) -> Result<Carved<N>, Refused<BatchError, Vec<N>>> {
        loop {
            let attempt = self.attempt(owner);
            match attempt {
                Ok((version, Some(cuts))) => return Ok(self.into_carved(version, cuts)),
                Ok((_, None)) => {}
                Err(refusal) => return Err(self.refused(refusal)),
            }
            if let Err(refusal) = self.prepare() {
                return Err(self.refused(refusal));
            }
        }
    }

    /// Makes the change if all right halves are there; `None` if one is not, and nothing was changed.
    fn attempt(&self, owner: u64) -> Result<(u64, Option<Cuts<N>>), Refusal> {
        // Who gives addresses up is not refused for what others hold back; who splits adds to it.
        let limit = if self.halves.is_empty() { Limit::Exceeded } else { Limit::Heeded };
        let edit = |draft: &mut Draft<'_>| {
            let cuts = self.find(draft, owner)?;
            if cuts.touched.is_empty() {
                return Ok(Step::Keep(Some(cuts)));
            }
            for touched in &cuts.touched {
                if !self.apply(draft, owner, touched)? {
                    return Ok(Step::Keep(None));
                }
            }
            Ok(Step::Publish(Some(cuts)))
        };
        let changed =
            self.engine.change(limit, edit, |cuts| cuts.iter().flat_map(|cuts| &cuts.touched).for_each(settle))?;
        Ok((changed.version, changed.result))
    }

    fn find(&self, draft: &Draft<'_>, owner: u64) -> Result<Cuts<N>, Refusal> {
        let overlapping = || draft.tree(owner).matching(self.range.last(), self.range.start());
        let mut cuts = Cuts { touched: Vec::new(), right_halves: Vec::new() };
        let mut splits = 0;
        cuts.touched.try_reserve_exact(overlapping().count()).map_err(|_| Refusal::OutOfMemory)?;
        for slot in overlapping() {
            let remains = remains(slot.interval(), self.range);
            splits += usize::from(matches!(remains, Remains::Both(..)));
            let record = record::header_of(slot.entry);
            // SAFETY: [D2] an entry of the draft's base, which stays protected for as long as the draft exists.
            let serial = unsafe { record.as_ref() }.serial();
            cuts.touched.push(Touched { record, serial, bounds: slot.interval(), remains });
        }
        cuts.right_halves.try_reserve_exact(splits).map_err(|_| Refusal::OutOfMemory)?;
        Ok(cuts)
    }

    /// Takes the range away from one notifier; false if its right half has not been made.
    fn apply(&self, draft: &mut Draft<'_>, owner: u64, touched: &Touched) -> Result<bool, Refusal> {
        // SAFETY: [D2] an entry of the draft's base, which stays protected for as long as the draft exists.
        let (record, start) = (unsafe { touched.record.as_ref() }, touched.bounds.start());
        draft.reserve(owner)?;
        match touched.remains {
            Remains::Nothing => _ = draft.remove(record, start),
            Remains::One(remaining) => _ = draft.update(record, start, remaining),
            Remains::Both(below, above) => {
                let Some((_, Some(half))) = self.place((touched.serial, touched.bounds)).map(|at| &self.halves[at])
                else {
                    return Ok(false);
                };
                draft.update(record, start, below);
                batch::insert(draft, above, half.as_header())?;
            }
        }
        Ok(true)
    }

    fn place(&self, split: Split) -> Option<usize> {
        let exact = self.halves.binary_search_by_key(&split, |(made_for, _)| *made_for).ok();
        let of_any_bounds = || self.halves.iter().position(|((serial, _), _)| *serial == split.0);
        exact.or_else(|| if busted::is(Sabotage::StaleHalf) { of_any_bounds() } else { None })
    }

    /// Makes the right halves that a newer version wants, and lets go of those that it does not.
    fn prepare(&mut self) -> Result<(), Refusal> {
        let snapshot = Snapshot::try_new(self.engine.clone())?;
        let (view, mut wanted) = (snapshot.view(), Vec::new());
        let encloses = |hit: &Hit<'_, N>| matches!(remains(hit.interval(), self.range), Remains::Both(..));
        for hit in view.find_all(self.ops, self.range).filter(encloses) {
            wanted.try_reserve(1).map_err(|_| Refusal::OutOfMemory)?;
            wanted.push(hit);
        }
        wanted.sort_unstable_by_key(split_of);
        self.halves.retain(|(split, _)| wanted.binary_search_by_key(split, split_of).is_ok());
        let kept = self.halves.len();
        for hit in wanted {
            if self.halves[..kept].binary_search_by_key(&split_of(&hit), |(split, _)| *split).is_err() {
                self.make_half(hit)?;
            }
        }
        self.halves.sort_unstable_by_key(|(split, _)| *split);
        Ok(())
    }

    fn make_half(&mut self, hit: Hit<'_, N>) -> Result<(), Refusal> {
        self.halves.try_reserve(1).map_err(|_| Refusal::OutOfMemory)?;
        self.payloads.try_reserve(self.halves.len() + 1).map_err(|_| Refusal::OutOfMemory)?;
        let payload = (self.make)(hit);
        match NewRecord::allocate(self.ops.number(), self.ops.kind(), payload) {
            Ok(half) => {
                self.halves.push((split_of(&hit), Some(half)));
                Ok(())
            }
            Err(payload) => {
                self.payloads.push(payload);
                Err(Refusal::OutOfMemory)
            }
        }
    }

    fn into_carved(mut self, version: u64, mut cuts: Cuts<N>) -> Carved<N> {
        let mut removed = 0;
        for touched in &cuts.touched {
            match touched.remains {
                Remains::Nothing => removed += 1,
                Remains::One(_) => {}
                Remains::Both(_, above) => {
                    let half = self.place((touched.serial, touched.bounds)).and_then(|at| self.halves[at].1.take());
                    let half = half.expect("what was split has a right half, or `apply` had refused");
                    cuts.right_halves.push(self.registration(half, version, above));
                }
            }
        }
        self.leave_the_rest();
        let cut = cuts.touched.len() - removed;
        Carved { version, removed, cut, right_halves: cuts.right_halves }
    }

    fn registration(&self, half: NewRecord<N>, version: u64, bounds: Interval) -> Registration<N> {
        // SAFETY: [H1] just published, and this is its one registration; [H3] a record of `N`.
        unsafe {
            let raw = RawRegistration::new(half.into_erased(), self.engine.clone());
            Registration::from_raw(raw, version, bounds)
        }
    }

    /// Halves that were made and not wanted in the end are dropped by a later change: their destructors may panic, and what
    /// has been done is to be told.
    fn leave_the_rest(&mut self) {
        for half in self.halves.drain(..).filter_map(|(_, half)| half) {
            // SAFETY: [N2] never published, so this list's alone.
            unsafe { self.engine.released.push(half.into_erased()) };
        }
    }

    fn refused(mut self, refusal: Refusal) -> Refused<BatchError, Vec<N>> {
        self.payloads.extend(self.halves.drain(..).filter_map(|(_, half)| half).map(NewRecord::into_payload));
        Refused::new(refusal, self.payloads)
    }
}

fn split_of<N: Send + Sync + 'static>(hit: &Hit<'_, N>) -> Split {
    (hit.serial(), hit.interval())
}

fn settle(touched: &Touched) {
    // SAFETY: [D2] the base still protects what the change has removed.
    let record = unsafe { touched.record.as_ref() };
    match touched.remains {
        Remains::Nothing => record.activity().mark_removed(),
        Remains::One(remaining) | Remains::Both(remaining, _) => record.moved(remaining, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_range_leaves() {
        let at = |start, last| Interval::new(start, last).unwrap();
        let whole = at(10, 29);
        assert_eq!(remains(whole, at(10, 29)), Remains::Nothing);
        assert_eq!(remains(whole, Interval::FULL), Remains::Nothing);
        assert_eq!(remains(whole, at(0, 14)), Remains::One(at(15, 29)));
        assert_eq!(remains(whole, at(25, u64::MAX)), Remains::One(at(10, 24)));
        assert_eq!(remains(whole, at(11, 28)), Remains::Both(at(10, 10), at(29, 29)));
        assert_eq!(remains(Interval::FULL, at(0, 0)), Remains::One(at(1, u64::MAX)));
        assert_eq!(remains(Interval::FULL, at(u64::MAX, u64::MAX)), Remains::One(at(0, u64::MAX - 1)));
    }
}
