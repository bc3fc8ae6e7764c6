//! Histories: all threads log what they do and the version it took effect at; the log, in the order of versions, is
//! replayed on the reference model.

use std::sync::atomic::{AtomicU64, Ordering};

use notifier_index::{NotifierIndex, Ops, Registration};
use parking_lot::Mutex;
use stress::history::{Recorder, Replay};
use stress::model::{Change, Query};
use stress::span::{NotifierId, Owner, Span};

use crate::canary::Canary;
use crate::draws::Draws;
use crate::forget::forget;
use crate::scope::scope;
use crate::turn::together;
use crate::ways::{Eyes, Way, ask, interval};

/// One race: how many of what.
#[derive(Clone, Copy)]
struct Race {
    writer_count: usize,
    finder_count: usize,
    owner_count: usize,
    steps: usize,
    /// Whether each writer keeps to owners of its own.
    apart: bool,
}

/// What all threads of a race share.
struct Course {
    race: Race,
    index: NotifierIndex,
    owners: Vec<Ops<Canary>>,
    next_id: AtomicU64,
    running: AtomicU64,
    recorders: Mutex<Vec<Recorder>>,
}

/// One thread of a race.
struct Runner<'c> {
    course: &'c Course,
    recorder: Recorder,
    eyes: Eyes<'c>,
    draws: Draws,
    mine: Vec<(NotifierId, Owner, Registration<Canary>)>,
    owners: Vec<Owner>,
}

impl<'c> Runner<'c> {
    fn new(course: &'c Course, number: usize) -> Self {
        let race = course.race;
        let owns = |owner: &Owner| !race.apart || *owner as usize % race.writer_count == number % race.writer_count;
        Runner {
            course,
            recorder: Recorder::new(race.steps * 4, race.steps * 4),
            eyes: Eyes::new(&course.index),
            draws: Draws::new(number as u64 + 1),
            mine: Vec::new(),
            owners: (0..race.owner_count as Owner).filter(owns).collect(),
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draws.below(bound)
    }

    fn span(&mut self) -> Span {
        let start = self.below(2000);
        match self.below(20) {
            0 => Span::FULL,
            1 => Span::point(u64::MAX - start % 3),
            2 => Span::between(start, start + 900),
            _ => Span::between(start, start + self.below(8)),
        }
    }

    fn owner(&mut self) -> Owner {
        let at = self.below(self.owners.len() as u64) as usize;
        self.owners[at]
    }

    fn fresh(&self) -> NotifierId {
        self.course.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn insert(&mut self) {
        let (owner, id, span) = (self.owner(), self.fresh(), self.span());
        let started = self.recorder.start();
        let ops = &self.course.owners[owner as usize];
        let registration = self.course.index.insert(ops, interval(span), Canary::new(id)).unwrap();
        self.recorder.change(started, registration.version(), Change::Insert { owner, id, span });
        self.mine.push((id, owner, registration));
    }

    fn update(&mut self, at: usize) {
        let span = self.span();
        let started = self.recorder.start();
        let (id, _, registration) = &self.mine[at];
        let version = registration.update(interval(span)).unwrap();
        self.recorder.change(started, version, Change::Update { id: *id, span });
    }

    fn remove(&mut self, at: usize) {
        let (id, _, registration) = self.mine.swap_remove(at);
        let started = self.recorder.start();
        let version = registration.remove().unwrap();
        self.recorder.change(started, version, Change::Remove { id });
    }

    /// Moves one twice, removes one, inserts two: as one version.
    fn batch(&mut self, at: usize) {
        let (gone_id, owner, gone) = self.mine.swap_remove(at);
        let spans = [(); 4].map(|()| self.span());
        let new_ids = [self.fresh(), self.fresh()];
        let mut changes = Vec::new();
        let started = self.recorder.start();
        let mut batch = self.course.index.batch();
        if let Some((id, _, registration)) = self.mine.first() {
            for span in [spans[0], spans[1]] {
                batch.update(registration, interval(span)).unwrap();
                changes.push(Change::Update { id: *id, span });
            }
        }
        batch.remove(&gone).unwrap();
        changes.push(Change::Remove { id: gone_id });
        let ops = &self.course.owners[owner as usize];
        let keys = [0, 1].map(|new| {
            changes.push(Change::Insert { owner, id: new_ids[new], span: spans[2 + new] });
            batch.insert(ops, interval(spans[2 + new]), Canary::new(new_ids[new])).unwrap()
        });
        let mut committed = batch.commit().unwrap();
        self.recorder.batch(started, committed.version(), &changes);
        for (id, key) in new_ids.into_iter().zip(keys) {
            self.mine.push((id, owner, committed.take(key).unwrap()));
        }
    }

    fn find(&mut self) {
        let owner = self.below(self.course.race.owner_count as u64) as Owner;
        let span = self.span();
        let query = match self.below(8) {
            0 => Query::FindAll { owner, span: Span::between(span.start(), span.start().saturating_add(40)) },
            1 => Query::GapAt { owner, address: span.start() },
            2 => Query::Len,
            _ => Query::Find { owner, span },
        };
        let way = Way::ALL[self.below(3) as usize];
        let owners = &self.course.owners;
        let started = self.recorder.start();
        let (version, answer) = self.eyes.look(way, |view| (view.version(), ask(view, owners, &query)));
        self.recorder.query(started, version, query, answer);
    }

    fn write(mut self) {
        for _ in 0..self.course.race.steps {
            let (choice, many) = (self.below(10), self.mine.len() as u64);
            let at = self.below(many.max(1)) as usize;
            match choice {
                _ if many == 0 => self.insert(),
                0..=2 if many < 150 => self.insert(),
                0..=5 => self.update(at),
                6..=7 => self.remove(at),
                _ => self.batch(at),
            }
            self.find();
        }
        self.course.running.fetch_sub(1, Ordering::Relaxed);
        self.finish();
    }

    fn search(mut self) {
        while self.course.running.load(Ordering::Relaxed) > 0 {
            self.find();
        }
        self.finish();
    }

    fn finish(self) {
        // The registrations stay: their removal would not be in the log.
        forget(self.mine);
        self.course.recorders.lock().push(self.recorder);
    }
}

fn run_and_judge(race: Race) {
    let index = NotifierIndex::new();
    let owners = (0..race.owner_count).map(|_| index.register_passive_ops()).collect();
    let course = Course {
        race,
        index,
        owners,
        next_id: AtomicU64::new(0),
        running: AtomicU64::new(race.writer_count as u64),
        recorders: Mutex::new(Vec::new()),
    };
    // The clock of all recorders is made at its first use, and ThreadSanitizer does not see how others wait for it.
    drop(Recorder::new(0, 0));
    scope(|scope| {
        for number in 0..race.writer_count {
            let course = &course;
            scope.spawn(move || Runner::new(course, number).write());
        }
        for number in 0..race.finder_count {
            let course = &course;
            scope.spawn(move || Runner::new(course, 100 + number).search());
        }
    });
    let recorders = course.recorders.into_inner();
    assert_eq!(recorders.len(), race.writer_count + race.finder_count);
    let logs: Vec<_> = recorders.iter().map(Recorder::log).collect();
    let verdict = Replay::new([], 0).judge(&logs, recorders[0].clock());
    assert_eq!(verdict.mismatches(), 0, "{:#?}", verdict.descriptions);
    assert!(verdict.replayed as usize >= 2 * race.steps * race.writer_count);
    assert_eq!(course.index.pin().view().check(), Ok(()));
}

#[test]
fn writers_of_one_owner_make_one_history() {
    let _turn = together();
    run_and_judge(Race { writer_count: 4, finder_count: 2, owner_count: 1, steps: 1200, apart: false });
}

#[test]
fn writers_of_owners_of_their_own_make_one_history() {
    let _turn = together();
    run_and_judge(Race { writer_count: 4, finder_count: 2, owner_count: 4, steps: 1200, apart: true });
}

#[test]
fn writers_of_many_owners_make_one_history() {
    let _turn = together();
    run_and_judge(Race { writer_count: 3, finder_count: 1, owner_count: 100, steps: 1000, apart: false });
}
