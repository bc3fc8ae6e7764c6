//! The race end to end, short: every contender is judged, every sabotage is noticed.

use clap::Parser;

use super::lane::{Lane, Racer};
use super::*;
use crate::cli::{CommandLine, Job};
use crate::contender::{Contender, Session, Sighting};
use crate::span::{Found, NotifierId, Owner, Span};

fn options(line: &str) -> MixOptions {
    let line = format!("stress mix --seconds 0.05 --rounds 2 --intervals 300 --threads 2 {line}");
    match CommandLine::try_parse_from(line.split_whitespace()).unwrap().job {
        Some(Job::Mix(options)) => options,
        other => panic!("expected mix, got {other:?}"),
    }
}

#[test]
fn all_contenders_run_a_disjoint_set_without_mismatch() {
    let outcome = run(&options("--find-share 0.9")).unwrap();
    assert_eq!((outcome.failures.as_slice(), outcome.rows.len()), ([].as_slice(), 9));
    for row in &outcome.rows {
        assert!(row.find_mops > Some(0.0) && row.update_mops > Some(0.0) && row.p50_ns.is_some());
        assert_eq!(row.mismatches, Some(0), "{}", row.contender);
        let has_versions = !["skiplist", "scc-treeindex"].contains(&row.contender.as_str());
        assert_eq!(row.replayed.is_some_and(|count| count > 0), has_versions, "{}", row.contender);
    }
}

#[test]
fn who_cannot_run_a_workload_has_a_row_without_figures() {
    for shape in ["adversarial", "overlap"] {
        let outcome = run(&options(&format!("--find-share 0.5 --workload {shape}"))).unwrap();
        assert_eq!((outcome.failures.as_slice(), outcome.rows.len()), ([].as_slice(), 9));
        let with_figures = outcome.rows.iter().filter(|row| row.find_mops.is_some()).count();
        assert_eq!(with_figures, 5);
        assert!(outcome.rows.iter().all(|row| row.find_mops.is_some() == row.mismatches.is_some()));
    }
}

#[test]
fn the_pure_mixes_have_only_their_own_figures() {
    let finds = run(&options("--find-share 1 --contender locked-rwlock")).unwrap().rows.remove(0);
    assert!(finds.find_mops.is_some() && finds.update_mops.is_none() && finds.replayed > Some(0));
    let updates = run(&options("--find-share 0 --contender locked-rwlock")).unwrap().rows.remove(0);
    assert!(updates.find_mops.is_none() && updates.update_mops.is_some() && updates.p50_ns.is_none());
}

#[test]
fn a_stale_find_is_noticed_in_every_contender_with_versions() {
    let outcome = run(&options("--find-share 0.9 --break stale-find")).unwrap();
    assert_eq!(outcome.failures.len(), 7, "{:?}", outcome.failures);
}

#[test]
fn a_lost_update_is_noticed_in_every_contender() {
    let outcome = run(&options("--find-share 0.5 --break lost-update")).unwrap();
    assert_eq!(outcome.failures.len(), 9, "{:?}", outcome.failures);
}

#[test]
fn a_sabotage_that_nobody_could_notice_is_refused() {
    for line in [
        "--find-share 1 --break lost-update",
        "--find-share 0 --break stale-find",
        "--contender skiplist --break stale-find",
        "--workload overlap --contender skiplist --break lost-update",
    ] {
        assert!(run(&options(line)).is_err(), "{line}");
    }
}

/// Answers every find with a notifier that is not there, and forgets every update.
struct Liar(std::sync::atomic::AtomicU64);

impl Contender for Liar {
    type Registration = ();
    type Session<'c> = &'c Liar;

    fn new() -> Self {
        Liar(std::sync::atomic::AtomicU64::new(0))
    }

    fn session(&self) -> &Liar {
        self
    }

    fn retired_bytes(&self) -> Option<u64> {
        Some(self.0.load(std::sync::atomic::Ordering::Relaxed))
    }
}

impl Session for &Liar {
    type Registration = ();

    fn insert(&mut self, _owner: Owner, _id: NotifierId, _span: Span) -> ((), Option<u64>) {
        ((), None)
    }

    fn update(&mut self, _registration: &mut (), _span: Span) -> Option<u64> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        None
    }

    fn remove(&mut self, _registration: ()) -> Option<u64> {
        None
    }

    fn find(&mut self, owner: Owner, _span: Span) -> Sighting {
        Sighting { found: Some(Found { owner, id: 0, span: Span::point(0) }), version: None }
    }

    fn find_all(&mut self, _owner: Owner, _span: Span, _found: &mut Vec<Found>) -> Option<u64> {
        None
    }
}

#[test]
fn a_contender_without_versions_is_judged_by_its_hits_and_by_what_is_left() {
    let course = Course::new(&options("--find-share 0.5"));
    let mut recorders = [course.recorder(), course.recorder()];
    let mut lane = Lane::<Liar>::new(&course);
    lane.run_round(&course, &mut recorders, 0);
    let figures = lane.figures();
    assert!(!lane.has_versions() && figures.retired_bytes_max > Some(0));
    assert_eq!((figures.absurd_count, figures.misplaced_count), (figures.find_count, 300));
}
