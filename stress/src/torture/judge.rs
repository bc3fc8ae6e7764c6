//! Judging a round: its whole log is replayed, and near misses that only the log shows are counted.
//!
//! Two things have no version of their own and are judged by the versions between which they happened:
//!
//! - a removal by dropping the registration is one of the versions that nobody else has made in the meantime;
//! - what `find_or_insert_with` found is what the model finds in one of the versions in between.

use super::faults::Faults;
use super::marks::{Mark, Marks};
use super::seat::{Between, Report, Unversioned};
use super::world::World;
use crate::fast_model::FastModel;
use crate::history::clock::StampClock;
use crate::history::recorder::{ChangeRecord, QueryRecord};
use crate::history::{Log, Replay, Verdict};
use crate::model::{Answer, Change, Query};
use crate::span::{Found, Span};

/// The model of one world, and how far it has been replayed.
pub(crate) struct Judge {
    replay: Replay,
    clock: StampClock,
}

impl Judge {
    /// Starts from what there is, which must have been inserted by one thread.
    pub(crate) fn new(world: &World) -> Self {
        let (content, version) = world.content();
        Judge::of(content, version)
    }

    fn of(mut content: Vec<Found>, version: u64) -> Self {
        // Names rise in the order of insertion.
        content.sort_by_key(|found| found.id);
        Judge { replay: Replay::new(content, version), clock: StampClock::new() }
    }

    /// Judges the reports of all threads of one round.
    pub(crate) fn judge(&mut self, reports: &[&Report], faults: &Faults, marks: &mut Marks) -> Verdict {
        let base = self.replay.version();
        let mut logs: Vec<&Log> = reports.iter().map(|report| report.recorder.log()).collect();
        let old = logs.iter().map(|log| count_older(log, base)).sum::<u64>();
        let dropped = attribute(&logs, unversioned(reports), base, faults);
        logs.push(&dropped);
        count_near_misses(&logs, base, marks);
        let mut pending = Pending::new(reports);
        let mut verdict = self.replay.judge_with(&logs, &self.clock, |version, model| pending.look(version, model));
        verdict.replayed += pending.end(faults);
        verdict.too_old_count += old;
        if old > 0 {
            verdict.descriptions.push(format!("{old} operations saw less than what the round before had ended with"));
        }
        verdict
    }

    /// The index, at rest, is what the model says.
    pub(crate) fn compare(&self, world: &World, faults: &Faults) {
        let (content, version) = world.content();
        let made = self.replay.version();
        faults.expect(version == made, || format!("the index is at version {version}, the log ends with {made}"));
        let Answer::Many(expected) = self.replay.model().answer(&Query::Overlapping { span: Span::FULL }) else {
            unreachable!("overlapping answers with many")
        };
        let differs = |(one, other): &(&Found, &Found)| one != other;
        let first = content.iter().zip(&expected).find(differs);
        faults.expect(first.is_none() && content.len() == expected.len(), || {
            let (count, expected_count) = (content.len(), expected.len());
            format!("at rest {count} notifiers, the model has {expected_count}; first difference {first:x?}")
        });
        let checked = world.index.snapshot().view().check();
        faults.expect(checked.is_ok(), || format!("at rest: {checked:?}"));
    }
}

fn count_older(log: &Log, base: u64) -> u64 {
    let queries = log.queries.iter().filter(|record| record.version < base).count();
    let changes = log.changes.iter().filter(|record| record.version <= base).count();
    (queries + changes) as u64
}

fn unversioned(reports: &[&Report]) -> Vec<Unversioned> {
    let mut all: Vec<_> = reports.iter().flat_map(|report| report.unversioned.iter().cloned()).collect();
    all.sort_by_key(|unversioned| unversioned.above);
    all
}

/// Gives the removals without versions those that nobody else made: one at a time is dropped, so there is no choice.
fn attribute(logs: &[&Log], all: Vec<Unversioned>, base: u64, faults: &Faults) -> Log {
    let mut taken: Vec<u64> = logs.iter().flat_map(|log| log.changes.iter().map(|record| record.version)).collect();
    taken.sort_unstable();
    taken.dedup();
    let mut dropped = Log::default();
    for Unversioned { above, most, started, ended, ids } in all {
        let free = (above.max(base) + 1..=most).filter(|version| taken.binary_search(version).is_err());
        let free: Vec<u64> = free.collect();
        faults.expect(free.len() == ids.len(), || {
            format!("{} registrations dropped made {} versions between {above} and {most}", ids.len(), free.len())
        });
        let record = |(version, id)| ChangeRecord { version, started, ended, change: Change::Remove { id } };
        dropped.changes.extend(free.into_iter().zip(ids).map(record));
    }
    dropped
}

/// Look-ups whose version is not known exactly.
struct Pending {
    /// By least version, the least last.
    coming: Vec<Between>,
    open: Vec<Between>,
    missed: Vec<Between>,
    count: u64,
}

impl Pending {
    fn new(reports: &[&Report]) -> Self {
        let mut coming: Vec<_> = reports.iter().flat_map(|report| report.betweens.iter().copied()).collect();
        coming.sort_by_key(|between| std::cmp::Reverse(between.least));
        Pending { count: coming.len() as u64, coming, open: Vec::new(), missed: Vec::new() }
    }

    fn look(&mut self, version: u64, model: &FastModel) {
        while let Some(between) = self.coming.pop_if(|between| between.least <= version) {
            self.open.push(between);
        }
        let missed = &mut self.missed;
        self.open.retain(|between| {
            let Between { owner, span, .. } = *between;
            if between.most < version {
                missed.push(*between);
                return false;
            }
            model.answer(&Query::Find { owner, span }) != Answer::One(Some(between.found))
        });
    }

    /// How many there were; those that never came true are faults.
    fn end(self, faults: &Faults) -> u64 {
        for between in self.coming.iter().chain(&self.open).chain(&self.missed) {
            faults.note(format!("found instead of inserted, and in no version between: {between:x?}"));
        }
        self.count
    }
}

/// When a version was made.
#[derive(Clone, Copy, Default)]
struct Making {
    started: u64,
    ended: u64,
}

/// Counts look-ups that ran beside a publication, and those that saw one before its writer had returned.
fn count_near_misses(logs: &[&Log], base: u64, marks: &mut Marks) {
    let changes = || logs.iter().flat_map(|log| &log.changes).filter(|record| record.version > base);
    let newest = changes().map(|record| record.version).max().unwrap_or(base);
    let mut makings = vec![Making::default(); (newest - base) as usize];
    for ChangeRecord { version, started, ended, .. } in changes() {
        makings[(version - base - 1) as usize] = Making { started: *started, ended: *ended };
    }
    let making = |version: u64| makings.get(version.checked_sub(base + 1)? as usize).copied();
    for QueryRecord { version, started, ended, .. } in logs.iter().flat_map(|log| &log.queries) {
        let seen = making(*version).is_some_and(|making| *started < making.ended);
        let unseen = making(version + 1).is_some_and(|making| making.started < *ended);
        let early = making(*version).is_some_and(|making| *ended < making.ended);
        marks.add(Mark::OverlapsPublication, u64::from(seen || unseen));
        marks.add(Mark::SeenEarly, u64::from(early));
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
