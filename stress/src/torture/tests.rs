//! The torture end to end, short and in this process: nothing is found wrong, and what is planted is found.

use std::time::Duration;

use super::campaign::{Campaign, Findings, Order};
use super::marks::Mark;
use super::mixes::Plan;
use super::summary;
use super::watchdog::Watchdog;
use crate::cli::{MixName, TortureSabotage};

const SEED: u64 = 7;

fn torture(name: MixName, sabotage: Option<TortureSabotage>, duration: Duration) -> Findings {
    let watchdog = Watchdog::new(Duration::from_secs(120), |text| {
        eprintln!("{text}");
        std::process::abort();
    });
    // A forgotten guard would be in the way of the other tests of this process.
    let order = Order { plan: Plan::of(name), seed: SEED, threads: 8, duration, sabotage, forgets: false };
    Campaign::new(order, &watchdog, &|findings| println!("{}", summary::line(name, SEED, findings))).run()
}

fn assert_nothing_is_wrong(name: MixName) {
    let findings = torture(name, None, Duration::from_millis(10));
    assert_eq!((findings.failures.as_slice(), findings.leaks), ([].as_slice(), 0));
    let marks = &findings.marks;
    let rare = [Mark::Finds, Mark::FindsLogged, Mark::Changes, Mark::Publications, Mark::Worlds];
    rare.into_iter().for_each(|mark| assert!(marks.get(mark) > 0, "no {}", mark.name()));
    assert!(findings.replayed >= marks.get(Mark::Changes) + marks.get(Mark::FindsLogged), "{findings:?}");
}

#[test]
fn look_ups_stand_it() {
    assert_nothing_is_wrong(MixName::Lookups);
}

#[test]
fn changes_stand_it() {
    assert_nothing_is_wrong(MixName::Changes);
}

#[test]
fn sections_stand_it() {
    assert_nothing_is_wrong(MixName::Sections);
}

#[test]
fn hostile_users_are_stood() {
    assert_nothing_is_wrong(MixName::Hostile);
}

#[test]
fn a_dropped_split_and_a_stale_find_are_found() {
    for sabotage in [TortureSabotage::DropSplit, TortureSabotage::StaleFind] {
        let findings = torture(MixName::Changes, Some(sabotage), Duration::from_secs(30));
        assert!(findings.mismatches > 0 && !findings.failures.is_empty(), "{sabotage:?}: {findings:?}");
    }
}
