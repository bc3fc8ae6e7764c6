//! Collision-retry: how a filler learns that what it read may be old.
//!
//! ```text
//!   read_begin: s = generation ─> covered in a version? ─> fence ─> wait for the sections that overlap ─> Ticket(s)
//!   (read the source, take the lock)
//!   read_retry: generation != s, or dead
//! ```
//!
//! The order is the proof. The generation is read before the table is scanned (R2): a section that the scan did not see
//! raises it later. Coverage is read from the tree before the scan too (R3): a section that did not find the notifier
//! where it now stands, loaded the tree before that, hence was published before that, hence is seen by the scan. Both
//! need the `SeqCst` fence that stands between, and its partner between a section's publication and its load of the
//! tree (R1).

use std::fmt;
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use crate::activity::Stamp;
use crate::busted::{self, Sabotage};
use crate::engine::{Engine, thread_number};
use crate::error::BeginError;
use crate::interval::Interval;
use crate::known::Known;
use crate::record::Header;
use crate::registration::{bounds_in, scan};
use crate::section::Obstacle;
use crate::sync::{Ordering, fence, spin_loop};
use crate::tuning::{LOCATE_ATTEMPTS, SECTION_SLOTS};
use crate::version::Version;

/// The right to fill what mirrors a range, until something happens to it. Made by `read_begin`, consumed by
/// `read_retry`, so that it cannot be used for a second try.
///
/// ```compile_fail,E0382
/// # use notifier_index::{Interval, NotifierIndex};
/// # let index = NotifierIndex::new();
/// # let ops = index.register_passive_ops::<()>();
/// let registration = index.insert(&ops, Interval::point(7), ()).unwrap();
/// let ticket = registration.read_begin(Interval::point(7)).unwrap();
/// registration.read_retry(ticket);
/// registration.read_retry(ticket);
/// ```
/// ```
/// # use notifier_index::{Interval, NotifierIndex};
/// # let index = NotifierIndex::new();
/// # let ops = index.register_passive_ops::<()>();
/// let registration = index.insert(&ops, Interval::point(7), ()).unwrap();
/// let ticket = registration.read_begin(Interval::point(7)).unwrap();
/// assert!(!registration.read_retry(ticket));
/// ```
#[must_use = "a ticket is what read_retry asks for"]
pub struct Ticket<'n> {
    header: &'n Header,
    stamp: Stamp,
}

impl Ticket<'_> {
    /// Whether a retry is certain already: a cheap look, to stop early. Only `read_retry` under the lock decides.
    pub fn is_stale(&self) -> bool {
        self.header.activity().stamp() != self.stamp
    }
}

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?})", self.stamp)
    }
}

/// When to stop waiting.
pub(crate) fn deadline_after(timeout: Duration) -> Option<Instant> {
    // A time beyond what the clock can name is for ever.
    Instant::now().checked_add(timeout)
}

/// What a handle has seen of its notifier's bounds, to save `read_begin` a search.
pub(crate) enum Seen<'h> {
    /// A version in which they cover the range that is asked about.
    In(&'h Version),
    /// What was known in some generation; noted again when that has passed.
    Known(&'h Known),
    Nothing,
}

/// How long a filler waits for the sections over its range.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Up to a time.
    Until(Instant),
    /// Until they end.
    Endless,
}

impl Patience {
    /// So long; for ever, where that is beyond what the clock can name.
    pub(crate) fn of(timeout: Duration) -> Self {
        deadline_after(timeout).map_or(Patience::Endless, Patience::Until)
    }
}

/// Begins a read of the source under `interval`.
pub(crate) fn begin<'n>(
    engine: &Engine,
    header: &'n Header,
    interval: Interval,
    seen: &Seen<'_>,
    patience: Patience,
) -> Result<Ticket<'n>, BeginError> {
    if engine.is_inherited() {
        return Err(BeginError::Forked);
    }
    let stamp = header.activity().stamp();
    let is_late = busted::is(Sabotage::CoverageAfterScan);
    if !is_late {
        check_coverage(engine, header, interval, seen, stamp)?;
    }
    // [O19] SeqCst, partner of the fence through which a section looks at the tree ([O6], or a pin's).
    fence(Ordering::SeqCst);
    if let Some(first) = engine.sections.obstacles(interval).next() {
        wait_for_all(engine, interval, first, patience)?;
    }
    if is_late {
        check_coverage(engine, header, interval, seen, stamp)?;
    }
    let stamp = if busted::is(Sabotage::GenerationAfterScan) { header.activity().stamp() } else { stamp };
    Ok(Ticket { header, stamp })
}

/// Whether the notifier covers the range, in a version that is read here or was read after `stamp` was (R3).
#[inline]
fn check_coverage(
    engine: &Engine,
    header: &Header,
    interval: Interval,
    seen: &Seen<'_>,
    stamp: Stamp,
) -> Result<(), BeginError> {
    let is_covered = match seen {
        Seen::In(version) => engine.cell.is_current(&raw const **version) && !version.closed,
        Seen::Known(known) => known.covers(stamp, interval),
        Seen::Nothing => false,
    };
    if is_covered || busted::is(Sabotage::NoCoverage) {
        return Ok(());
    }
    let bounds = covering_bounds(engine, header, interval)?;
    if let Seen::Known(known) = seen {
        known.note(stamp, bounds);
    }
    Ok(())
}

/// Waits for the overlapping sections of one scan.
#[cold]
fn wait_for_all(engine: &Engine, interval: Interval, first: Obstacle, patience: Patience) -> Result<(), BeginError> {
    let deadline = match patience {
        Patience::None => return Err(BeginError::WouldWait),
        Patience::Until(deadline) => Some(deadline),
        // Two callbacks that wait for each other's sections would never end, whichever those are.
        Patience::Endless if engine.is_in_callback() => return Err(BeginError::WouldDeadlock),
        Patience::Endless => None,
    };
    let thread = thread_number();
    let mut obstacles = ArrayVec::<Obstacle, { SECTION_SLOTS + 2 }>::new();
    obstacles.push(first);
    obstacles.extend(engine.sections.obstacles(interval).take(SECTION_SLOTS + 1));
    if obstacles.iter().any(|obstacle| engine.sections.is_own(*obstacle, thread)) {
        return Err(BeginError::WouldDeadlock);
    }
    engine.tally.note_begin_wait();
    match obstacles.into_iter().all(|obstacle| engine.sections.wait(obstacle, deadline)) {
        true => Ok(()),
        false => Err(BeginError::TimedOut),
    }
}

#[cold]
fn covering_bounds(engine: &Engine, header: &Header, interval: Interval) -> Result<Interval, BeginError> {
    let (is_closed, bounds) = engine.with_current(|version| (version.closed, bounds_in(version, header)));
    if is_closed {
        return Err(BeginError::Closed);
    }
    match bounds.or_else(|| current_bounds(engine, header)) {
        None => Err(BeginError::Removed),
        Some(bounds) if bounds.covers(interval) => Ok(bounds),
        Some(_) => Err(BeginError::NotCovered),
    }
}

/// The bounds of a notifier in a current version, if it is in one.
pub(crate) fn current_bounds(engine: &Engine, header: &Header) -> Option<Interval> {
    for _ in 0..LOCATE_ATTEMPTS {
        if let Some(bounds) = engine.with_current(|version| bounds_in(version, header)) {
            return Some(bounds);
        }
        if !header.is_live() {
            return None;
        }
        spin_loop();
    }
    let found = engine.with_current(|version| scan(version.tree(header.owner()), header));
    // Two updates at once can leave a hint behind that no later change mends: whoever had to scan does.
    found.inspect(|bounds| header.set_location(bounds.start()))
}

/// Whether what was read under the ticket may be old. To be called under the lock that the callbacks take.
pub(crate) fn retry(engine: &Engine, header: &Header, ticket: &Ticket<'_>) -> bool {
    let is_other = !std::ptr::eq(header, ticket.header) || engine.is_inherited();
    let is_stale = (is_other || ticket.is_stale()) && !busted::is(Sabotage::SkipRetry);
    if is_stale {
        engine.tally.note_retry();
    }
    is_stale
}

/// What a handle knows: its engine, its notifier, and what it has seen of that.
pub(crate) type Parts<'h, 'n> = (&'h Engine, &'n Header, Seen<'h>);

/// Gives a handle with a method `filler_parts` the three calls of a filler that may wait.
macro_rules! fillers {
    () => {
        /// Begins to read the source under `interval`: waits for the sections over it that are active now.
        ///
        /// Blocking: until each overlapping section that is active has ended; those elsewhere, and those that begin
        /// later, do not matter. Never in a callback of this index: there it is refused where it would wait.
        ///
        /// # Errors
        /// [`BeginError`](crate::BeginError): removed, not covered, closed, or it would wait for this thread itself, or
        /// inside a callback.
        pub fn read_begin(&self, interval: impl Into<crate::Interval>) -> Result<crate::Ticket<'_>, crate::BeginError> {
            let interval = interval.into();
            let (engine, header, seen) = self.filler_parts(interval);
            crate::collision::begin(engine, header, interval, &seen, crate::collision::Patience::Endless)
        }

        /// As [`read_begin`](Self::read_begin), for at most so long, in callbacks too.
        ///
        /// # Errors
        /// As for [`read_begin`](Self::read_begin), and [`BeginError::TimedOut`](crate::BeginError::TimedOut).
        pub fn read_begin_timeout(
            &self,
            interval: impl Into<crate::Interval>,
            timeout: std::time::Duration,
        ) -> Result<crate::Ticket<'_>, crate::BeginError> {
            let interval = interval.into();
            let (engine, header, seen) = self.filler_parts(interval);
            crate::collision::begin(engine, header, interval, &seen, crate::collision::Patience::of(timeout))
        }

        /// Whether what was read under the ticket may be old: then nothing may be filled, and a new
        /// [`read_begin`](Self::read_begin) is due. To be called under the lock that the callbacks take, before filling.
        /// A ticket of another notifier is always stale.
        pub fn read_retry(&self, ticket: crate::Ticket<'_>) -> bool {
            let (engine, header, _) = self.filler_parts(crate::Interval::FULL);
            crate::collision::retry(engine, header, &ticket)
        }
    };
}
pub(crate) use fillers;

#[cfg(test)]
mod tests {
    use crate::{Interval, NotifierIndex};

    #[test]
    fn whoever_has_to_scan_mends_the_hint() {
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops::<u64>();
        let all = index.insert_many(&ops, (0..100).map(|at| (Interval::point(at), at))).unwrap();
        let header = all[70].raw().header();
        header.set_location(3);
        assert_eq!(all[70].interval(), Interval::point(70));
        assert_eq!(header.location(), 70, "the next look-up would scan again");
    }
}
