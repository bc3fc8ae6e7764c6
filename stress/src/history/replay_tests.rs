//! Every kind of corruption of a log is caught; an untouched log is not.

use super::*;
use crate::history::Recorder;
use crate::model::{Answer, Model, Operation, Query};
use crate::span::Span;

const BASE: u64 = 40;

fn span(page: u64) -> Span {
    Span::between(page * 10, page * 10 + 4)
}

fn content() -> Vec<Found> {
    (0..8).map(|id| Found { owner: 0, id, span: span(id) }).collect()
}

/// A sequential history that is right, dealt to two threads in turns.
fn right_logs() -> [Log; 2] {
    let mut model = Model::starting_at(BASE - 8);
    for Found { owner, id, span } in content() {
        model.change(Change::Insert { owner, id, span }).unwrap();
    }
    let mut recorders = [Recorder::new(64, 64), Recorder::new(64, 64)];
    for step in 0..20 {
        let recorder = &mut recorders[step % 2];
        record_step(&mut model, recorder, step as u64);
        std::thread::sleep(std::time::Duration::from_micros(5));
    }
    recorders.map(|recorder| recorder.log().clone())
}

fn record_step(model: &mut Model, recorder: &mut Recorder, step: u64) {
    let started = recorder.start();
    if step % 5 == 4 {
        let batch = [Change::Remove { id: step / 5 }, Change::Insert { owner: 0, id: 100 + step, span: span(step) }];
        let version = model.batch(&batch).unwrap();
        recorder.batch(started, version, &batch);
    } else {
        let change = Change::Update { id: 5 + step % 3, span: span(20 + step) };
        recorder.change(started, model.change(change).unwrap(), change);
    }
    for query in [Query::Find { owner: 0, span: Span::FULL }, Query::FindAll { owner: 0, span: Span::FULL }] {
        let started = recorder.start();
        let answer = model.answer(&query);
        assert!(model.apply(&Operation::Query(query.clone())).is_ok());
        recorder.query(started, model.version(), query, answer);
    }
}

fn judge(logs: &[Log; 2]) -> Verdict {
    Replay::new(content(), BASE).judge(&[&logs[0], &logs[1]], &StampClock::new())
}

fn judge_corrupted(corrupt: impl FnOnce(&mut [Log; 2])) -> Verdict {
    let mut logs = right_logs();
    corrupt(&mut logs);
    judge(&logs)
}

#[test]
fn a_right_log_has_no_mismatch_and_is_replayed_whole() {
    let logs = right_logs();
    let verdict = judge(&logs);
    assert_eq!((verdict.mismatches(), verdict.descriptions.len()), (0, 0));
    let records = logs.iter().map(|log| log.changes.len() + log.queries.len()).sum::<usize>();
    assert_eq!(verdict.replayed, records as u64);
}

#[test]
fn a_wrong_answer_is_caught() {
    let verdict = judge_corrupted(|logs| logs[0].queries[3].answer = Answer::Many(Vec::new()));
    assert_eq!((verdict.wrong_answer_count, verdict.mismatches()), (1, 1));
    assert_eq!(verdict.descriptions.len(), 1);
}

#[test]
fn a_right_answer_under_the_wrong_version_is_caught() {
    let verdict = judge_corrupted(|logs| logs[0].queries[5].version -= 1);
    assert_eq!(verdict.wrong_answer_count, 1);
}

#[test]
fn an_old_answer_under_its_own_version_is_caught_by_time() {
    let verdict = judge_corrupted(|logs| {
        let old = logs[1].queries[1].clone();
        let stale = logs[1].queries.last_mut().unwrap();
        (stale.version, stale.query, stale.answer) = (old.version, old.query, old.answer);
    });
    assert_eq!((verdict.wrong_answer_count, verdict.too_old_count), (0, 1));
}

#[test]
fn a_lost_change_is_caught() {
    let verdict = judge_corrupted(|logs| logs[0].changes.retain(|record| record.version != BASE + 3));
    assert!(verdict.wrong_version_count > 0);
}

#[test]
fn a_lost_part_of_a_batch_is_caught() {
    let verdict = judge_corrupted(|logs| {
        let (log, at) = find_batch(logs);
        log.changes.remove(at);
    });
    assert!(verdict.wrong_answer_count > 0);
}

#[test]
fn a_version_made_twice_is_caught() {
    let verdict = judge_corrupted(|logs| logs[1].changes[0].version = logs[0].changes[0].version);
    assert!(verdict.wrong_version_count > 0);
}

#[test]
fn an_update_that_was_not_done_is_caught() {
    let verdict = judge_corrupted(|logs| {
        logs[0].changes[0].change = Change::Update { id: 5, span: span(99) };
    });
    assert!(verdict.wrong_answer_count > 0);
}

#[test]
fn a_change_of_what_is_not_there_is_caught() {
    let verdict = judge_corrupted(|logs| logs[0].changes[0].change = Change::Remove { id: 77 });
    assert_eq!(verdict.refused_count, 1);
}

#[test]
fn a_version_from_the_future_is_caught() {
    let verdict = judge_corrupted(|logs| logs[0].queries[0].version = 1000);
    assert!(verdict.wrong_version_count > 0);
}

#[test]
fn exchanged_changes_are_caught() {
    let verdict = judge_corrupted(|logs| {
        let version = logs[0].changes[0].version;
        logs[0].changes[0].version = logs[1].changes[0].version;
        logs[1].changes[0].version = version;
    });
    assert!(verdict.wrong_answer_count > 0 && verdict.too_old_count > 0);
}

#[test]
fn the_parts_of_a_batch_torn_apart_are_caught() {
    let verdict = judge_corrupted(|logs| {
        let (log, at) = find_batch(logs);
        log.changes[at + 1].version += 1;
    });
    assert!(verdict.wrong_version_count > 0);
}

/// The first batch: whose log it is in, and where.
fn find_batch(logs: &mut [Log; 2]) -> (&mut Log, usize) {
    let places = logs.iter_mut().filter_map(|log| log.changes.windows(2).position(is_batch).map(|at| (log, at)));
    { places }.next().unwrap()
}

fn is_batch(pair: &[ChangeRecord]) -> bool {
    pair[0].version == pair[1].version
}

#[test]
fn verdicts_add_up() {
    let mut sum = judge(&right_logs());
    let replayed = sum.replayed;
    sum.merge(judge_corrupted(|logs| logs[0].queries[0].version = 1000));
    assert!(sum.replayed > replayed && sum.mismatches() > 0);
}

#[test]
fn following_makes_the_changes_without_judging_versions() {
    let mut log = Log::default();
    for version in [9, 3, 3] {
        let change = Change::Update { id: 1, span: span(50 + version) };
        log.changes.push(ChangeRecord { version, started: 0, ended: 0, change });
    }
    let mut replay = Replay::new(content(), BASE);
    assert_eq!(replay.follow(&[&log]).mismatches(), 0);
    let query = Query::Find { owner: 0, span: span(53) };
    assert_eq!(replay.model().answer(&query), Answer::One(Some(Found { owner: 0, id: 1, span: span(53) })));
}
