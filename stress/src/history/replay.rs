//! The first half of the judgement: the merged log is replayed in version order on the model.
//!
//! Three things can be wrong, and each is counted: a version that was made twice or by nobody, a change that the model
//! refuses, an answer that is not the model's at that version. The model stays from round to round, so that a long run
//! is one history.

use super::clock::StampClock;
use super::real_time;
use super::recorder::{ChangeRecord, Log, QueryRecord};
use crate::fast_model::FastModel;
use crate::model::Change;
use crate::span::Found;

/// How many mismatches are described in words; all are counted.
const DESCRIBED: usize = 5;

/// The model of one contender, and how far it has been replayed.
#[derive(Clone, Debug)]
pub struct Replay {
    model: FastModel,
    version: u64,
}

/// What came of judging one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Operations that were replayed (a batch counts by its parts).
    pub replayed: u64,
    /// Answers that are not the model's at their version.
    pub wrong_answer_count: u64,
    /// Versions that were made twice, or by nobody.
    pub wrong_version_count: u64,
    /// Changes that the model refuses.
    pub refused_count: u64,
    /// Operations with an older version than something that had returned before they began.
    pub too_old_count: u64,
    /// The first few of them in words.
    pub descriptions: Vec<String>,
}

impl Verdict {
    /// All that was wrong.
    pub fn mismatches(&self) -> u64 {
        self.wrong_answer_count + self.wrong_version_count + self.refused_count + self.too_old_count
    }

    /// Adds another round's.
    pub fn merge(&mut self, other: Verdict) {
        self.replayed += other.replayed;
        self.wrong_answer_count += other.wrong_answer_count;
        self.wrong_version_count += other.wrong_version_count;
        self.refused_count += other.refused_count;
        self.too_old_count += other.too_old_count;
        let room = DESCRIBED.saturating_sub(self.descriptions.len());
        self.descriptions.extend(other.descriptions.into_iter().take(room));
    }

    fn describe(&mut self, text: impl FnOnce() -> String) {
        if self.descriptions.len() < DESCRIBED {
            self.descriptions.push(text());
        }
    }
}

impl Replay {
    /// Starts from the content, in order of insertion, that the contender has at this version.
    ///
    /// # Panics
    /// If an id is there twice.
    pub fn new(content: impl IntoIterator<Item = Found>, version: u64) -> Self {
        let mut model = FastModel::new();
        for Found { owner, id, span } in content {
            model.change(Change::Insert { owner, id, span }).expect("an id is used once");
        }
        Replay { model, version }
    }

    /// The model as it stands after what has been replayed.
    pub fn model(&self) -> &FastModel {
        &self.model
    }

    /// The version that has been replayed last.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Judges the logs of all threads of one round, which must hold *every* change that was made in it.
    pub fn judge(&mut self, logs: &[&Log], clock: &StampClock) -> Verdict {
        self.judge_with(logs, clock, |_, _| ())
    }

    /// The same, and shows the model at every version, from the one before the round on.
    pub fn judge_with(
        &mut self,
        logs: &[&Log],
        clock: &StampClock,
        mut at_version: impl FnMut(u64, &FastModel),
    ) -> Verdict {
        let changes = sorted_changes(logs);
        let queries = sorted_queries(logs);
        let mut verdict = Verdict::default();
        let mut next_query = queries.iter().peekable();
        at_version(self.version, &self.model);
        self.answer_due(&mut next_query, &mut verdict);
        for group in changes.chunk_by(is_same_operation) {
            self.replay_change(group, &mut verdict);
            at_version(self.version, &self.model);
            self.answer_due(&mut next_query, &mut verdict);
        }
        let from_nowhere = next_query.count() as u64;
        verdict.wrong_version_count += from_nowhere;
        verdict.replayed += from_nowhere;
        verdict.too_old_count = real_time::count_violations(logs, clock);
        if verdict.too_old_count > 0 {
            let count = verdict.too_old_count;
            verdict.describe(|| format!("{count} operations saw less than what had returned before they began"));
        }
        verdict
    }

    /// Makes the changes without judging versions: for contenders that have none. Each thread's log is taken in its own
    /// order, which is enough where no two threads change the same notifier.
    pub fn follow(&mut self, logs: &[&Log]) -> Verdict {
        let mut verdict = Verdict::default();
        for record in logs.iter().flat_map(|log| &log.changes) {
            self.make(record, &mut verdict);
        }
        verdict
    }

    fn replay_change(&mut self, group: &[(usize, &ChangeRecord)], verdict: &mut Verdict) {
        let made = group[0].1.version;
        if made != self.version + 1 {
            let expected = self.version + 1;
            verdict.wrong_version_count += 1;
            verdict.describe(|| format!("a change made version {made} where {expected} was due"));
        }
        self.version = self.version.max(made);
        for (_, record) in group {
            self.make(record, verdict);
            verdict.replayed += 1;
        }
    }

    fn make(&mut self, record: &ChangeRecord, verdict: &mut Verdict) {
        if let Err(refused) = self.model.change(record.change) {
            verdict.refused_count += 1;
            verdict.describe(|| format!("version {}: {refused}", record.version));
        }
    }

    /// Answers all queries whose version is not above the model's. Those below it belong to versions that are missing
    /// in the log; they are compared all the same and, being judged against the wrong version, may count as wrong.
    fn answer_due<'l>(
        &self,
        queries: &mut std::iter::Peekable<impl Iterator<Item = &'l &'l QueryRecord>>,
        verdict: &mut Verdict,
    ) {
        while let Some(record) = queries.next_if(|record| record.version <= self.version) {
            verdict.replayed += 1;
            let expected = self.model.answer(&record.query);
            if expected != record.answer {
                verdict.wrong_answer_count += 1;
                verdict.describe(|| {
                    let QueryRecord { version, query, answer, .. } = record;
                    format!("version {version}: {query:x?} answered {answer:x?}, the model {expected:x?}")
                });
            }
        }
    }
}

/// All changes by version; the thread goes with each, to tell two operations apart that claim one version.
fn sorted_changes<'l>(logs: &[&'l Log]) -> Vec<(usize, &'l ChangeRecord)> {
    let of_thread = |(thread, log): (usize, &&'l Log)| log.changes.iter().map(move |record| (thread, record));
    let mut changes: Vec<(usize, &ChangeRecord)> = logs.iter().enumerate().flat_map(of_thread).collect();
    // Stable: the parts of a batch keep their order.
    changes.sort_by_key(|(thread, record)| (record.version, *thread));
    changes
}

fn sorted_queries<'l>(logs: &[&'l Log]) -> Vec<&'l QueryRecord> {
    let mut queries: Vec<&QueryRecord> = logs.iter().flat_map(|log| &log.queries).collect();
    queries.sort_by_key(|record| record.version);
    queries
}

fn is_same_operation(one: &(usize, &ChangeRecord), other: &(usize, &ChangeRecord)) -> bool {
    let name = |(thread, record): &(usize, &ChangeRecord)| (*thread, record.version, record.started);
    name(one) == name(other)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
