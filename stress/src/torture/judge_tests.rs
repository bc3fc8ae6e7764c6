//! Logs that are right are judged right, and planted mistakes are found.

use super::*;
use crate::history::clock::StampClock;
use crate::span::NotifierId;

const BASE: u64 = 100;

fn span(id: NotifierId) -> Span {
    Span::between(id * 10, id * 10 + 4)
}

fn found(id: NotifierId) -> Found {
    Found { owner: 1, id, span: span(id) }
}

fn insert(id: NotifierId) -> Change {
    Change::Insert { owner: 1, id, span: span(id) }
}

/// What two threads did after version 100: inserted 5, dropped 1 without a version, inserted 6, and looked.
fn reports() -> [Report; 2] {
    let mut reports = [Report::new(), Report::new()];
    let clock = StampClock::new();
    let started = clock.start();
    reports[0].recorder.change(started, BASE + 1, insert(5));
    let (dropping, ended) = (clock.start(), clock.end());
    let ids = vec![1];
    reports[0].unversioned.push(Unversioned { above: BASE + 1, most: BASE + 2, started: dropping.0, ended, ids });
    let started = clock.start();
    reports[0].recorder.change(started, BASE + 3, insert(6));
    let started = clock.start();
    let query = Query::Find { owner: 1, span: Span::FULL };
    reports[1].recorder.query(started, BASE + 3, query, Answer::One(Some(found(2))));
    reports[1].betweens.push(between(BASE, BASE + 2));
    reports
}

/// That notifier 1 was found in one of these versions; it goes with 102.
fn between(least: u64, most: u64) -> Between {
    Between { least, most, owner: 1, span: Span::FULL, found: found(1) }
}

fn judge(reports: &[Report; 2]) -> (Verdict, u64) {
    let (faults, mut marks) = (Faults::default(), Marks::default());
    let mut judge = Judge::of(vec![found(2), found(1)], BASE);
    let verdict = judge.judge(&[&reports[0], &reports[1]], &faults, &mut marks);
    (verdict, faults.count())
}

fn judge_spoilt(spoil: impl FnOnce(&mut [Report; 2])) -> (Verdict, u64) {
    let mut reports = reports();
    spoil(&mut reports);
    judge(&reports)
}

#[test]
fn a_right_report_is_judged_right_and_replayed_whole() {
    let (verdict, faults) = judge(&reports());
    assert_eq!((verdict.mismatches(), verdict.replayed, faults), (0, 5, 0), "{verdict:?}");
}

#[test]
fn a_planted_wrong_answer_is_found() {
    let (verdict, _) = judge_spoilt(|reports| {
        let query = Query::Find { owner: 1, span: Span::FULL };
        let started = StampClock::new().start();
        reports[1].recorder.query(started, BASE + 3, query, Answer::One(Some(found(1))));
    });
    assert_eq!((verdict.wrong_answer_count, verdict.descriptions.len()), (1, 1));
}

#[test]
fn a_change_that_is_not_in_the_log_is_found() {
    let (_, faults) = judge_spoilt(|reports| reports[0].unversioned[0].ids.push(2));
    assert_eq!(faults, 1);
    let (verdict, _) = judge_spoilt(|reports| reports[0].unversioned.clear());
    assert!(verdict.mismatches() > 0);
}

#[test]
fn what_was_found_in_no_version_in_between_is_found_out() {
    let (_, faults) = judge_spoilt(|reports| reports[1].betweens[0] = between(BASE + 2, BASE + 3));
    assert_eq!(faults, 1);
    let (_, faults) = judge_spoilt(|reports| reports[1].betweens[0] = between(BASE + 90, BASE + 99));
    assert_eq!(faults, 1);
    let (_, faults) = judge_spoilt(|reports| reports[1].betweens[0] = between(BASE + 1, BASE + 1));
    assert_eq!(faults, 0);
}

#[test]
fn a_look_at_what_the_round_before_has_left_behind_is_too_old() {
    let (verdict, _) = judge_spoilt(|reports| {
        let started = StampClock::new().start();
        reports[1].recorder.query(started, BASE - 1, Query::Len, Answer::Count(2));
    });
    assert!(verdict.too_old_count > 0);
}

#[test]
fn look_ups_beside_a_publication_are_counted() {
    let (mut marks, reports) = (Marks::default(), reports());
    let logs = [reports[0].recorder.log(), reports[1].recorder.log()];
    count_near_misses(&logs, BASE, &mut marks);
    assert_eq!((marks.get(Mark::OverlapsPublication), marks.get(Mark::SeenEarly)), (0, 0));
    let mut log = Log::default();
    log.changes.push(ChangeRecord { version: BASE + 1, started: 10, ended: 50, change: insert(5) });
    let query =
        |version, started, ended| QueryRecord { version, started, ended, query: Query::Len, answer: Answer::Count(3) };
    log.queries = vec![query(BASE + 1, 20, 30), query(BASE, 5, 20), query(BASE + 1, 60, 70)];
    count_near_misses(&[&log], BASE, &mut marks);
    assert_eq!((marks.get(Mark::OverlapsPublication), marks.get(Mark::SeenEarly)), (2, 1));
}
