//! An index that is wrong on purpose, in one way at a time, so that each check can be seen to fail.

use std::collections::BTreeMap;

use notifier_index::Reason;
use parking_lot::Mutex;

use crate::jemalloc::extent_index::{Answer, Cover, EXTENTS, ExtentFinder, ExtentIndex, Leftover, Way};
use crate::span::{Found, NotifierId, Span};

/// Nothing is wrong.
pub(crate) const STRAIGHT: u8 = 0;
/// Now and then an address is not found.
pub(crate) const BLIND: u8 = 1;
/// Now and then something is found under another arena's name.
pub(crate) const MISNAMING: u8 = 2;
/// A find pretends that it looked at an old version.
pub(crate) const OLD: u8 = 3;
/// A range of several extents shows a hole.
pub(crate) const HOLED: u8 = 4;
/// A range shows one extent twice.
pub(crate) const DOUBLED: u8 = 5;
/// A kept version changes.
pub(crate) const UNSTEADY: u8 = 6;
/// What is removed stays.
pub(crate) const STICKY: u8 = 7;
/// A split does not make the right half.
pub(crate) const HALVED: u8 = 8;
/// Something stays retired.
pub(crate) const HOARDING: u8 = 9;
/// Versions are skipped.
pub(crate) const SKIPPING: u8 = 10;
/// Every change but an insertion is refused.
pub(crate) const REFUSING: u8 = 11;

/// One find in so many is wrong.
const RARE: u64 = 1000;

#[derive(Debug, Default)]
struct State {
    extents: BTreeMap<u64, Found>,
    version: u64,
    find_count: u64,
}

/// The index; `FAULT` is what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Crooked<const FAULT: u8> {
    state: Mutex<State>,
}

impl State {
    fn put(&mut self, span: Span, id: NotifierId) {
        self.extents.insert(span.start(), Found { owner: EXTENTS, id, span });
    }

    fn raise(&mut self, by: u64) -> u64 {
        self.version += by;
        self.version
    }

    fn find(&self, address: u64) -> Option<Found> {
        let (_, found) = self.extents.range(..=address).next_back()?;
        found.span.contains(address).then_some(*found)
    }

    fn overlapping(&self, range: Span) -> Vec<Found> {
        let first = self.find(range.start()).map_or(range.start(), |found| found.span.start());
        self.extents.range(first..=range.last()).map(|(_, found)| *found).collect()
    }
}

impl<const FAULT: u8> ExtentIndex for Crooked<FAULT> {
    type Handle = (Span, NotifierId);
    type Finder<'i> = &'i Self;
    type Section<'i> = ();
    const NAME: &'static str = "crooked";
    const WAYS: &'static [Way] = &[Way::Guard];
    const KEEPS_VERSIONS: bool = true;

    fn insert(&self, span: Span, id: NotifierId) -> Option<u64> {
        let mut state = self.state.lock();
        state.put(span, id);
        Some(state.raise(if FAULT == SKIPPING { 2 } else { 1 }))
    }

    fn claim(&self, span: Span) -> Option<(Self::Handle, NotifierId)> {
        let found = *self.state.lock().extents.get(&span.start())?;
        (found.span == span).then_some(((span, found.id), found.id))
    }

    fn release(&self, _: Self::Handle) {}

    fn remove(&self, (span, id): Self::Handle) -> Result<u64, Self::Handle> {
        if FAULT == REFUSING {
            return Err((span, id));
        }
        let mut state = self.state.lock();
        if FAULT != STICKY {
            state.extents.remove(&span.start());
        }
        Ok(state.raise(1))
    }

    fn split(
        &self,
        handle: Self::Handle,
        left: Span,
        (right, right_id): (Span, NotifierId),
    ) -> Result<u64, Self::Handle> {
        if FAULT == REFUSING {
            return Err(handle);
        }
        let (_, left_id) = handle;
        let mut state = self.state.lock();
        state.put(left, left_id);
        if FAULT != HALVED {
            state.put(right, right_id);
        }
        Ok(state.raise(1))
    }

    fn merge(&self, handles: [Self::Handle; 2], whole: Span) -> Result<u64, [Self::Handle; 2]> {
        if FAULT == REFUSING {
            return Err(handles);
        }
        let [(_, left_id), (right, _)] = handles;
        let mut state = self.state.lock();
        state.extents.remove(&right.start());
        state.put(whole, left_id);
        Ok(state.raise(1))
    }

    fn begin_section(&self, _span: Span, _reason: Reason) {}

    fn finder(&self) -> &Self {
        self
    }

    fn stale_finder(&self) -> Option<&Self> {
        None
    }

    fn contents(&self) -> (Vec<Found>, u64) {
        let state = self.state.lock();
        (state.extents.values().copied().collect(), state.version)
    }

    fn retired_bytes(&self) -> Option<u64> {
        Some(0)
    }

    fn settle(&self) -> Leftover {
        Leftover { retired_objects: u64::from(FAULT == HOARDING), ..Leftover::default() }
    }
}

impl<const FAULT: u8> ExtentFinder for &Crooked<FAULT> {
    fn find_each(&mut self, _way: Way, addresses: &[u64], mut tick: impl FnMut(Answer)) {
        for address in addresses {
            let mut state = self.state.lock();
            state.find_count += 1;
            let mut answer = Answer { version: state.version, found: state.find(*address) };
            if state.find_count.is_multiple_of(RARE) {
                match FAULT {
                    BLIND => answer.found = None,
                    MISNAMING => answer.found.iter_mut().for_each(|found| found.id ^= 1),
                    OLD => answer.version /= 2,
                    _ => {}
                }
            }
            tick(answer);
        }
    }

    fn cover(&mut self, _way: Way, range: Span, inside: u64, cover: &mut Cover) {
        let state = self.state.lock();
        cover.all = state.overlapping(range);
        match FAULT {
            HOLED if cover.all.len() > 2 => drop(cover.all.remove(1)),
            DOUBLED if !cover.all.is_empty() => cover.all.insert(0, cover.all[0]),
            _ => {}
        }
        cover.any_owner_count = Some(cover.all.len());
        cover.gap = Some(if state.find(inside).is_some() { None } else { Some(Span::point(inside)) });
    }

    fn steady(&mut self, _way: Way, _addresses: &[u64], meanwhile: impl FnOnce()) -> Option<bool> {
        meanwhile();
        Some(FAULT != UNSTEADY)
    }
}
