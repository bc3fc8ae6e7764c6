//! One thread of one contender in one round: draws operations, does them, counts them, logs them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;

use super::course::Course;
use crate::cli::MixSabotage;
use crate::contender::{Session, Sighting};
use crate::history::Recorder;
use crate::history::clock::Started;
use crate::model::{Answer, Change, Query};
use crate::span::{NotifierId, Owner, Span};
use crate::workload::{Draws, Workload};

/// The end of the round is looked for once in so many operations.
const OPERATIONS_BETWEEN_LOOKS: u32 = 64;
/// A sabotaged find or update is one in so many of those that are logged.
const SABOTAGE_ONE_IN: u64 = 64;

/// A notifier that a thread may change: its name and the contender's handle.
pub(super) type Owned<R> = (NotifierId, R);

/// What a thread did in a round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) find_count: u64,
    pub(super) update_count: u64,
    pub(super) hit_count: u64,
    /// Hits that do not overlap their query or belong to somebody else.
    pub(super) absurd_count: u64,
    pub(super) elapsed: Duration,
}

pub(super) struct Worker<'w, S: Session> {
    session: S,
    owned: &'w mut [Owned<S::Registration>],
    recorder: &'w mut Recorder,
    draws: Draws,
    workload: Workload,
    /// A draw of 32 bits below this is a find.
    find_threshold: u64,
    stride: u64,
    sabotage: Option<MixSabotage>,
    remembered: Option<(Query, Answer, u64)>,
    last_version: u64,
    tally: Tally,
}

impl<'w, S: Session> Worker<'w, S> {
    pub(super) fn new(
        session: S,
        owned: &'w mut [Owned<S::Registration>],
        recorder: &'w mut Recorder,
        draws: Draws,
        course: &Course,
    ) -> Self {
        Worker {
            session,
            owned,
            recorder,
            draws,
            workload: course.workload,
            find_threshold: (course.find_share * (1_u64 << 32) as f64) as u64,
            stride: course.stride,
            sabotage: course.sabotage,
            remembered: None,
            last_version: 0,
            tally: Tally::default(),
        }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self, stop: &AtomicBool) -> Tally {
        let began = Instant::now();
        // Relaxed: it only ends the loop, nothing is published through it.
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..OPERATIONS_BETWEEN_LOOKS {
                self.step();
            }
        }
        self.tally.elapsed = began.elapsed();
        if self.sabotage == Some(MixSabotage::LostUpdate) {
            self.lose_update();
        }
        self.tally
    }

    #[inline]
    fn step(&mut self) {
        if u64::from(self.draws.next_u32()) < self.find_threshold {
            self.find();
        } else {
            self.update();
        }
    }

    /// The search stands here once, timed or not: a copy of it that runs now and then would be timed cold.
    #[inline]
    fn find(&mut self) {
        let (owner, span) = self.workload.query(&mut self.draws);
        self.tally.find_count += 1;
        let is_logged = self.tally.find_count.is_multiple_of(self.stride);
        let started = is_logged.then(|| self.recorder.start());
        let sighting = self.session.find(owner, span);
        if let Some(started) = started {
            self.log_find(started, owner, span, sighting);
        }
        self.consume(sighting, owner, span);
    }

    #[inline]
    fn consume(&mut self, sighting: Sighting, owner: Owner, span: Span) {
        if let Some(found) = sighting.found {
            self.tally.hit_count += 1;
            self.tally.absurd_count += u64::from(found.owner != owner || !found.span.overlaps(span));
        }
    }

    #[inline]
    fn log_find(&mut self, started: Started, owner: Owner, span: Span, sighting: Sighting) {
        let (query, answer) = (Query::Find { owner, span }, Answer::One(sighting.found));
        let version = sighting.version.unwrap_or(0);
        match self.sabotaged_answer(&query, &answer, version) {
            Some((query, answer, version)) => self.recorder.query(started, version, query, answer),
            None => self.recorder.query(started, version, query, answer),
        }
    }

    /// With `--break stale-find`, now and then: what was answered long ago, as if it had been answered now.
    #[inline]
    fn sabotaged_answer(&mut self, query: &Query, answer: &Answer, version: u64) -> Option<(Query, Answer, u64)> {
        if self.sabotage != Some(MixSabotage::StaleFind) {
            return None;
        }
        let first = (query.clone(), answer.clone(), version);
        let remembered = self.remembered.get_or_insert(first);
        let is_due = (self.tally.find_count / self.stride).is_multiple_of(SABOTAGE_ONE_IN);
        is_due.then(|| remembered.clone())
    }

    #[inline]
    fn update(&mut self) {
        self.tally.update_count += 1;
        if self.sabotage == Some(MixSabotage::LostUpdate) && self.tally.update_count.is_multiple_of(SABOTAGE_ONE_IN) {
            return self.lose_update();
        }
        let (place, span) = self.draw_update();
        let (id, registration) = &mut self.owned[place];
        let started = self.recorder.start();
        let version = self.session.update(registration, span).unwrap_or(0);
        self.recorder.change(started, version, Change::Update { id: *id, span });
        self.last_version = version;
    }

    #[inline]
    fn draw_update(&mut self) -> (usize, Span) {
        let place = ((self.draws.next_u64() >> 32) * self.owned.len() as u64) >> 32;
        let place = place as usize;
        (place, self.workload.bounds(self.owned[place].0, &mut self.draws))
    }

    /// Reports an update that it does not do, under the version of the last one that it did.
    #[inline(never)]
    fn lose_update(&mut self) {
        let (place, span) = self.draw_update();
        let started = self.recorder.start();
        self.recorder.change(started, self.last_version, Change::Update { id: self.owned[place].0, span });
    }
}
