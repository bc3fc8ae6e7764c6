//! One contender through all rounds: its structure, its model, its figures.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::course::Course;
use super::worker::{Owned, Tally, Worker};
use crate::contender::{Contender, Session};
use crate::history::{Log, Recorder, Replay, Verdict};
use crate::latency::Latency;
use crate::model::{Answer, Query};
use crate::span::{Found, Span};
use crate::workload::draws;

/// How often the retired memory is looked at during a round.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What the rounds of one contender came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    /// Million finds a second, one for each round.
    pub(super) find_mops: Vec<f64>,
    /// Million updates a second, one for each round.
    pub(super) update_mops: Vec<f64>,
    pub(super) latency: Latency,
    pub(super) retired_bytes_max: Option<u64>,
    pub(super) find_count: u64,
    pub(super) update_count: u64,
    pub(super) hit_count: u64,
    pub(super) logged_find_count: u64,
    pub(super) absurd_count: u64,
    /// Notifiers that were not, at the end of a round, where the log says, or stood in another order.
    pub(super) misplaced_count: u64,
    pub(super) verdict: Verdict,
}

impl Figures {
    pub(super) fn mismatches(&self) -> u64 {
        self.absurd_count + self.misplaced_count + self.verdict.mismatches()
    }

    fn add_round(&mut self, tallies: &[Tally]) {
        let rate = |count: fn(&Tally) -> u64| {
            tallies.iter().map(|tally| count(tally) as f64 / tally.elapsed.as_secs_f64() / 1e6).sum()
        };
        self.find_mops.push(rate(|tally| tally.find_count));
        self.update_mops.push(rate(|tally| tally.update_count));
        for tally in tallies {
            self.find_count += tally.find_count;
            self.update_count += tally.update_count;
            self.hit_count += tally.hit_count;
            self.absurd_count += tally.absurd_count;
        }
    }

    fn add_latencies(&mut self, recorders: &[Recorder]) {
        for recorder in recorders {
            self.logged_find_count += recorder.log().queries.len() as u64;
            for record in &recorder.log().queries {
                self.latency.record(recorder.clock().nanoseconds(record.started, record.ended));
            }
        }
    }
}

/// A contender as the race sees it, whatever its type.
pub(super) trait Racer {
    /// Runs once, then judges what was logged.
    fn run_round(&mut self, course: &Course, recorders: &mut [Recorder], round: u32);
    fn figures(&self) -> &Figures;
    fn has_versions(&self) -> bool;
}

pub(super) struct Lane<C: Contender> {
    /// Declared first: registrations are dropped before the structure that they belong to.
    owned: Vec<Vec<Owned<C::Registration>>>,
    contender: C,
    replay: Replay,
    has_versions: bool,
    figures: Figures,
}

impl<C: Contender> Lane<C> {
    /// Fills the structure in the order of the content and deals the registrations to the threads.
    pub(super) fn new(course: &Course) -> Self {
        let content = course.workload.content(course.seed);
        let contender = C::new();
        let mut owned: Vec<Vec<Owned<C::Registration>>> = Vec::new();
        owned.resize_with(course.thread_count, Vec::new);
        let mut session = contender.session();
        let mut version = None;
        for (place, found) in content.iter().enumerate() {
            let (registration, made) = session.insert(found.owner, found.id, found.span);
            owned[place % course.thread_count].push((found.id, registration));
            version = made;
        }
        drop(session);
        let replay = Replay::new(content, version.unwrap_or(0));
        Lane { owned, contender, replay, has_versions: version.is_some(), figures: Figures::default() }
    }

    fn run_threads(&mut self, course: &Course, recorders: &mut [Recorder], round: u32) -> Vec<Tally> {
        let (contender, figures) = (&self.contender, &mut self.figures);
        let (stop, start_line) = (&AtomicBool::new(false), &Barrier::new(course.thread_count + 1));
        thread::scope(|scope| {
            let lanes = self.owned.iter_mut().zip(recorders).enumerate();
            let handles: Vec<_> = lanes
                .map(|(thread, (owned, recorder))| {
                    let stream = u64::from(round) * course.thread_count as u64 + thread as u64;
                    scope.spawn(move || {
                        let draws = draws(course.seed, stream);
                        let worker = Worker::new(contender.session(), owned, recorder, draws, course);
                        start_line.wait();
                        worker.run(stop)
                    })
                })
                .collect();
            start_line.wait();
            watch_retired(contender, course.duration, &mut figures.retired_bytes_max);
            // Relaxed: it only ends the loops; joining the threads orders everything else.
            stop.store(true, Ordering::Relaxed);
            handles.into_iter().map(|handle| handle.join().expect("a worker does not panic")).collect()
        })
    }

    fn judge(&mut self, recorders: &[Recorder]) {
        let logs: Vec<&Log> = recorders.iter().map(Recorder::log).collect();
        let verdict =
            if self.has_versions { self.replay.judge(&logs, recorders[0].clock()) } else { self.replay.follow(&logs) };
        self.figures.verdict.merge(verdict);
    }

    fn compare_content(&mut self, course: &Course) {
        let mut session = self.contender.session();
        for &owner in course.workload.owners() {
            let mut content = Vec::new();
            session.find_all(owner, Span::FULL, &mut content);
            let Answer::Many(expected) = self.replay.model().answer(&Query::FindAll { owner, span: Span::FULL }) else {
                unreachable!("find-all answers with many")
            };
            self.figures.misplaced_count += difference_count(&content, &expected);
        }
    }
}

impl<C: Contender> Racer for Lane<C> {
    fn run_round(&mut self, course: &Course, recorders: &mut [Recorder], round: u32) {
        recorders.iter_mut().for_each(Recorder::clear);
        let tallies = self.run_threads(course, recorders, round);
        self.figures.add_round(&tallies);
        self.figures.add_latencies(recorders);
        self.judge(recorders);
        self.compare_content(course);
    }

    fn figures(&self) -> &Figures {
        &self.figures
    }

    fn has_versions(&self) -> bool {
        self.has_versions
    }
}

/// Sleeps for the round and keeps the greatest amount of retired memory that it saw.
fn watch_retired<C: Contender>(contender: &C, duration: Duration, greatest: &mut Option<u64>) {
    let began = Instant::now();
    loop {
        *greatest = contender.retired_bytes().max(*greatest);
        let left = duration.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(LOOK_INTERVAL));
    }
}

/// How many places differ; what one has more than the other counts too.
fn difference_count(content: &[Found], expected: &[Found]) -> u64 {
    let differing = content.iter().zip(expected).filter(|(one, other)| one != other).count();
    (differing + content.len().abs_diff(expected.len())) as u64
}
