//! Sections that found no slot in their table: they stand for all ranges, and are counted.
//!
//! A slot tells whose section it holds. Those without one are noted by their own thread instead, for each index, so that a
//! thread is refused where it would wait for itself.

use std::cell::RefCell;

use arrayvec::ArrayVec;

use crate::gauge::{Entry, Gauge};
use crate::sync::{Number, Ordering, thread_local};
use crate::tuning::OVERFLOWS_OF_THREAD;

/// The overflowing sections of an index.
#[derive(Default)]
pub(crate) struct Overflow {
    pub(crate) active: Gauge,
    pub(crate) walking: Gauge,
    started: Number,
}

/// The place of a section that has no slot.
#[derive(Clone, Copy)]
pub(crate) struct OverflowPlace {
    active: Entry,
    note: Note,
}

impl Overflow {
    pub(crate) fn begin(&self, index: u64) -> OverflowPlace {
        // [O14] Relaxed: a statistic.
        self.started.fetch_add(1, Ordering::Relaxed);
        OverflowPlace { active: self.active.enter(), note: Note::begin(index) }
    }

    pub(crate) fn walk(&self, index: u64, place: OverflowPlace) -> Entry {
        place.note.change(index, |count| count.walking += 1);
        self.walking.enter()
    }

    pub(crate) fn stand(&self, index: u64, place: OverflowPlace, entry: Entry) {
        place.note.change(index, |count| count.walking -= 1);
        self.walking.leave(entry);
    }

    pub(crate) fn end(&self, index: u64, place: OverflowPlace) {
        place.note.change(index, |count| count.active -= 1);
        self.active.leave(place.active);
    }

    pub(crate) fn started(&self) -> u64 {
        // [O14] Relaxed: a statistic.
        self.started.load(Ordering::Relaxed)
    }
}

/// Whether this thread has an overflowing section of the index.
pub(crate) fn is_active_here(index: u64) -> bool {
    asks(index, |count| count.active > 0)
}

/// Whether this thread is in a callback of an overflowing section of the index.
pub(crate) fn is_walking_here(index: u64) -> bool {
    asks(index, |count| count.walking > 0)
}

/// Where a thread has noted one of its sections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Note {
    /// Under its index.
    Listed,
    /// There was no room: with others of whichever index.
    Elsewhere,
}

#[derive(Clone, Copy)]
struct Count {
    index: u64,
    active: u64,
    walking: u64,
}

impl Count {
    const fn of(index: u64) -> Self {
        Count { index, active: 0, walking: 0 }
    }
}

/// What a thread has noted: up to so many indexes apart, the rest together, as if of every index.
struct Notes {
    listed: ArrayVec<Count, OVERFLOWS_OF_THREAD>,
    elsewhere: Count,
}

thread_local! {
    static NOTES: RefCell<Notes> =
        const { RefCell::new(Notes { listed: ArrayVec::new_const(), elsewhere: Count::of(u64::MAX) }) };
}

impl Note {
    fn begin(index: u64) -> Self {
        let note = NOTES.try_with(|notes| notes.borrow_mut().place(index)).unwrap_or(Note::Elsewhere);
        note.change(index, |count| count.active += 1);
        note
    }

    /// While thread-locals are destroyed nobody asks any more, and nothing is noted.
    fn change(self, index: u64, change: impl FnOnce(&mut Count)) {
        let _ = NOTES.try_with(|notes| {
            let Notes { listed, elsewhere } = &mut *notes.borrow_mut();
            match listed.iter_mut().find(|count| self == Note::Listed && count.index == index) {
                Some(count) => change(count),
                None => change(elsewhere),
            }
            listed.retain(|count| count.active > 0);
        });
    }
}

impl Notes {
    fn place(&mut self, index: u64) -> Note {
        let is_listed =
            self.listed.iter().any(|count| count.index == index) || self.listed.try_push(Count::of(index)).is_ok();
        if is_listed { Note::Listed } else { Note::Elsewhere }
    }
}

fn asks(index: u64, is_so: impl Fn(&Count) -> bool) -> bool {
    let ask = |notes: &Notes| {
        is_so(&notes.elsewhere) || notes.listed.iter().any(|count| count.index == index && is_so(count))
    };
    NOTES.try_with(|notes| ask(&notes.borrow())).unwrap_or(false)
}
