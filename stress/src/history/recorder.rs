//! The log of one thread: appended to while it runs, without locks and, until it is full, without allocation.
//!
//! Changes are kept all of them, because replay needs every one; if there are more than was expected, the log grows.
//! Queries are kept up to a limit, so that memory stays bounded; those beyond it are counted, so that a report can say
//! how much was left out. (Which queries are logged at all is the caller's choice: the race logs one in so many.)

use super::clock::{StampClock, Started};
use crate::model::{Answer, Change, Query};

/// One change, or one part of a batch: the parts follow each other and have the same stamps and the same version.
#[derive(Clone, Copy, Debug)]
pub struct ChangeRecord {
    /// The version that it made.
    pub version: u64,
    /// When the call began, in ticks.
    pub started: u64,
    /// When the call had returned, in ticks.
    pub ended: u64,
    /// What it changed.
    pub change: Change,
}

/// One query with what it answered.
#[derive(Clone, Debug)]
pub struct QueryRecord {
    /// The version that it saw.
    pub version: u64,
    /// When the call began, in ticks.
    pub started: u64,
    /// When the call had returned, in ticks.
    pub ended: u64,
    /// What was asked.
    pub query: Query,
    /// What the contender answered.
    pub answer: Answer,
}

/// What one thread did, in its own order.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// All changes.
    pub changes: Vec<ChangeRecord>,
    /// The queries that were logged.
    pub queries: Vec<QueryRecord>,
    /// Queries that were to be logged and found no room.
    pub dropped_query_count: u64,
}

/// Writes a [`Log`]; one for each thread.
///
/// ```
/// use stress::history::Recorder;
/// use stress::model::Change;
///
/// let mut recorder = Recorder::new(1000, 1000);
/// let started = recorder.start();
/// // ... the operation, which returns version 1 ...
/// recorder.change(started, 1, Change::Remove { id: 7 });
/// assert_eq!(recorder.log().changes.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Recorder {
    clock: StampClock,
    log: Log,
    query_limit: usize,
}

impl Recorder {
    /// A recorder with room for so many changes (more will make it grow) and at most so many queries.
    pub fn new(expected_change_count: usize, query_limit: usize) -> Self {
        let changes = Vec::with_capacity(expected_change_count);
        let queries = Vec::with_capacity(query_limit);
        let log = Log { changes, queries, dropped_query_count: 0 };
        Recorder { clock: StampClock::new(), log, query_limit }
    }

    /// Stamps the beginning of an operation.
    #[inline]
    pub fn start(&self) -> Started {
        self.clock.start()
    }

    /// Logs a change that has just returned the version it made.
    #[inline]
    pub fn change(&mut self, started: Started, version: u64, change: Change) {
        let ended = self.clock.end();
        self.log.changes.push(ChangeRecord { version, started: started.0, ended, change });
    }

    /// Logs a batch that has just returned the version it made.
    pub fn batch(&mut self, started: Started, version: u64, changes: &[Change]) {
        let ended = self.clock.end();
        let record = |change: &Change| ChangeRecord { version, started: started.0, ended, change: *change };
        self.log.changes.extend(changes.iter().map(record));
    }

    /// Logs a query that has just answered; if the log is full, only counts it.
    #[inline]
    pub fn query(&mut self, started: Started, version: u64, query: Query, answer: Answer) {
        let ended = self.clock.end();
        if self.log.queries.len() == self.query_limit {
            self.log.dropped_query_count += 1;
            return;
        }
        self.log.queries.push(QueryRecord { version, started: started.0, ended, query, answer });
    }

    /// The clock of the stamps, to turn them into nanoseconds.
    pub fn clock(&self) -> &StampClock {
        &self.clock
    }

    /// What was logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Forgets what was logged and keeps the memory, already touched, for the next round.
    pub fn clear(&mut self) {
        self.log.changes.clear();
        self.log.queries.clear();
        self.log.dropped_query_count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_drops_queries_and_counts_them_but_keeps_changes() {
        let mut recorder = Recorder::new(1, 2);
        for id in 0..5 {
            let started = recorder.start();
            recorder.change(started, id, Change::Remove { id });
            recorder.query(started, id, Query::Len, Answer::Count(0));
        }
        let log = recorder.log();
        assert_eq!((log.changes.len(), log.queries.len(), log.dropped_query_count), (5, 2, 3));
        assert!(log.changes.iter().all(|record| record.started <= record.ended));
        recorder.clear();
        assert_eq!(recorder.log().changes.len() as u64 + recorder.log().dropped_query_count, 0);
    }
}
