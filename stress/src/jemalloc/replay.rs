//! The judgement of a whole round: everything that was logged, replayed in version order on the reference model.
//!
//! Beside the changes of the hooks and the finds of the finders there are the whole contents of the index, taken each
//! time that the workers rested: those are queries like any other, and the model must give the same.

use crate::history::clock::StampClock;
use crate::history::recorder::QueryRecord;
use crate::history::{Log, Replay, Verdict};
use crate::jemalloc::checks::{Check, Checks};
use crate::jemalloc::extent_index::EXTENTS;
use crate::jemalloc::find_log::{FindLog, LoggedFind};
use crate::model::{Answer, Query};
use crate::span::Span;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replayed {
    /// Changes and finds that were replayed.
    pub(crate) replayed: u64,
    /// What disagreed with the model, or with time.
    pub(crate) mismatches: u64,
    /// Finds that were made, and those of them that were logged.
    pub(crate) finds_made: u64,
    pub(crate) finds_logged: u64,
}

/// Replays a round whose index was empty in version 0.
pub(crate) fn replay(checks: &Checks, changes: Vec<Log>, finds: Vec<FindLog>, contents: Log) -> Replayed {
    let mut logs = changes;
    logs.push(contents);
    let mut result = Replayed::default();
    for log in finds {
        result.finds_made += log.made_count();
        let kept = log.into_kept();
        result.finds_logged += kept.len() as u64;
        let queries = kept.into_iter().map(query).collect();
        logs.push(Log { queries, ..Log::default() });
    }
    let verdict = Replay::new([], 0).judge(&logs.iter().collect::<Vec<_>>(), &StampClock::new());
    report(checks, &verdict);
    Replayed { replayed: verdict.replayed, mismatches: verdict.mismatches(), ..result }
}

fn query(find: LoggedFind) -> QueryRecord {
    QueryRecord {
        version: find.answer.version,
        started: find.time[0],
        ended: find.time[1],
        query: Query::Find { owner: EXTENTS, span: Span::point(find.address) },
        answer: Answer::One(find.answer.found),
    }
}

fn report(checks: &Checks, verdict: &Verdict) {
    checks.add(Check::Replayed, verdict.replayed);
    let mismatches = verdict.mismatches();
    let texts = verdict.descriptions.iter().cloned().chain(std::iter::repeat("another mismatch".to_owned()));
    texts.take(mismatches as usize).for_each(|text| checks.fail(Check::Replayed, text));
}
