//! The rules hold; without any one of them they do not.
//!
//! Each report is printed in one piece, since tests run side by side.

use std::fmt::Write;

use super::breaks::{self, Break};
use super::casts::{self, Cast};
use super::explore::{Counterexample, Explored, explore_all, find_counterexample};
use super::model::Protocol;

fn holds_for(casts: &[Cast]) {
    for cast in casts {
        let explored = explore_all(Protocol::right(*cast));
        print_explored(cast.name, &explored);
        assert!(explored.unseen.is_empty(), "{}: never seen: {:?}", cast.name, explored.unseen);
        assert!(explored.state_count >= cast.state_floor, "{}: the model has shrunk", cast.name);
    }
}

fn print_explored(name: &str, explored: &Explored) {
    let Explored { state_count, step_count, depth, .. } = explored;
    println!("protocol holds: {state_count:8} states {step_count:9} steps {depth:3} deep: {name}");
}

fn is_needed(rule: &str, breaks: &[Break]) {
    let mut report = format!("\n== {rule}\n");
    for Break { says, deviation, claim } in breaks {
        let model = Protocol::edited(deviation);
        let found = find_counterexample(&model, claim);
        let Counterexample { step_count, told } = found.unwrap_or_else(|| panic!("{rule}; {says}: breaks nothing"));
        write!(report, "\n-- {says}: not \"{claim}\", in {step_count} steps\n{told}")
            .expect("a String takes everything");
    }
    println!("{report}");
}

#[test]
fn rules_hold_while_the_notifier_stays() {
    holds_for(casts::STAYS);
}

#[test]
fn rules_hold_while_the_notifier_grows() {
    holds_for(casts::GROWS);
}

#[test]
fn rules_hold_while_the_notifier_shrinks() {
    holds_for(casts::SHRINKS);
}

#[test]
fn rules_hold_while_the_notifier_goes() {
    holds_for(casts::GOES);
}

#[test]
fn rules_hold_in_large_casts() {
    holds_for(if cfg!(debug_assertions) { &[] } else { casts::LARGE });
}

#[test]
fn free_orders_are_free() {
    for (says, deviation) in breaks::FREE {
        let explored = explore_all(Protocol::edited(deviation));
        print_explored(says, &explored);
        assert!(explored.unseen.is_empty(), "{says}: never seen: {:?}", explored.unseen);
    }
}

/// Each deviation is also a control of the model: its cast keeps all promises with the right programs.
#[test]
fn casts_of_breaks_hold_unbroken() {
    for Break { deviation, .. } in breaks::BY_RULE.iter().flat_map(|(_, breaks)| *breaks) {
        explore_all(Protocol::right(deviation.cast));
    }
}

#[test]
fn each_rule_is_needed() {
    for (rule, breaks) in breaks::BY_RULE {
        is_needed(rule, breaks);
    }
}
