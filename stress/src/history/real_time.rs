//! The second half of the judgement: did time and versions go the same way?
//!
//! An operation that began after another one had returned must not have taken effect before it: its version is at least
//! the other's, and greater if it is a change, for every version is made once. So walk through the operations in order
//! of their beginnings and carry along the greatest version among those that had ended by then. One sort by beginning,
//! one by end, one sweep.

use super::clock::{SLACK_NS, StampClock};
use super::recorder::Log;

/// An operation as far as time is concerned.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    started: u64,
    ended: u64,
    version: u64,
    makes_version: bool,
}

/// Counts the operations whose version is older than something that had returned before they began.
///
/// # Complexity
/// O(n log n) in the number of records.
pub fn count_violations(logs: &[&Log], clock: &StampClock) -> u64 {
    let mut by_start: Vec<Stretch> = logs.iter().flat_map(|log| stretches(log)).collect();
    by_start.sort_unstable_by_key(|stretch| stretch.started);
    let mut by_end = by_start.clone();
    by_end.sort_unstable_by_key(|stretch| stretch.ended);

    let mut ended = by_end.iter().peekable();
    let mut greatest = None;
    let mut violation_count = 0;
    for stretch in &by_start {
        while let Some(earlier) = ended.next_if(|other| is_before(other.ended, stretch.started, clock)) {
            greatest = greatest.max(Some(earlier.version));
        }
        violation_count += u64::from(greatest.is_some_and(|seen| is_too_old(stretch, seen)));
    }
    violation_count
}

fn stretches(log: &Log) -> impl Iterator<Item = Stretch> + '_ {
    let mut last_operation = None;
    // The parts of one batch are one operation: they share stamps and version.
    let changes = log.changes.iter().filter(move |record| {
        last_operation.replace((record.started, record.version)) != Some((record.started, record.version))
    });
    let changes = changes.map(|record| Stretch {
        started: record.started,
        ended: record.ended,
        version: record.version,
        makes_version: true,
    });
    let queries = log.queries.iter().map(|record| Stretch {
        started: record.started,
        ended: record.ended,
        version: record.version,
        makes_version: false,
    });
    changes.chain(queries)
}

fn is_before(ended: u64, started: u64, clock: &StampClock) -> bool {
    clock.nanoseconds(ended, started) > SLACK_NS
}

fn is_too_old(stretch: &Stretch, seen: u64) -> bool {
    if stretch.makes_version { stretch.version <= seen } else { stretch.version < seen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::recorder::{ChangeRecord, QueryRecord};
    use crate::model::{Answer, Change, Query};

    const TICKS: u64 = 1_000_000;

    fn change(version: u64, started: u64, ended: u64) -> ChangeRecord {
        let change = Change::Remove { id: version };
        ChangeRecord { version, started: started * TICKS, ended: ended * TICKS, change }
    }

    fn query(version: u64, started: u64, ended: u64) -> QueryRecord {
        let (started, ended) = (started * TICKS, ended * TICKS);
        QueryRecord { version, started, ended, query: Query::Len, answer: Answer::Count(0) }
    }

    fn violations(changes: Vec<ChangeRecord>, queries: Vec<QueryRecord>) -> u64 {
        let writer = Log { changes, ..Log::default() };
        let finder = Log { queries, ..Log::default() };
        count_violations(&[&writer, &finder], &StampClock::new())
    }

    #[test]
    fn a_query_may_see_what_runs_beside_it_or_not() {
        let changes = vec![change(1, 0, 1), change(2, 2, 5)];
        assert_eq!(violations(changes.clone(), vec![query(1, 3, 4)]), 0);
        assert_eq!(violations(changes, vec![query(2, 3, 4)]), 0);
    }

    #[test]
    fn a_query_must_see_what_returned_before_it_began() {
        assert_eq!(violations(vec![change(1, 0, 1), change(2, 2, 3)], vec![query(1, 4, 5)]), 1);
    }

    #[test]
    fn queries_do_not_go_back_in_time() {
        assert_eq!(violations(vec![change(1, 0, 1), change(2, 2, 9)], vec![query(2, 3, 4), query(1, 5, 6)]), 1);
    }

    #[test]
    fn changes_in_sequence_make_greater_versions() {
        assert_eq!(violations(vec![change(2, 0, 1), change(1, 2, 3)], vec![]), 1);
        assert_eq!(violations(vec![change(1, 0, 1)], vec![query(2, 2, 3)]), 0);
    }

    #[test]
    fn the_parts_of_a_batch_are_one_operation() {
        assert_eq!(violations(vec![change(1, 0, 1), change(1, 0, 1), change(2, 2, 3)], vec![]), 0);
    }
}
