//! Running the checker, and telling what it found.

use std::fmt::Write;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::actor::Role;
use super::model::{Protocol, ROLES, State};

/// What there is to say about an exhaustive exploration.
#[derive(Clone, Debug)]
pub(super) struct Explored {
    /// Different states.
    pub(super) state_count: usize,
    /// Steps taken from them.
    pub(super) step_count: usize,
    /// The greatest number of steps that a state is away from the first.
    pub(super) depth: usize,
    /// Sights that were expected and not seen.
    pub(super) unseen: Vec<&'static str>,
}

/// Explores all states of a model and asserts that all its claims hold in each.
pub(super) fn explore_all(model: Protocol) -> Explored {
    let checker = model.checker().spawn_bfs().join();
    let mut discoveries = checker.discoveries();
    let mut unseen = Vec::new();
    for Property { name, expectation, .. } in checker.model().properties() {
        match (expectation.discovery_is_failure(), discoveries.remove(name)) {
            (true, Some(way)) => {
                let model = checker.model();
                panic!("{}: not \"{name}\":\n{}", model.cast().name, tell(model, way.into_vec()));
            }
            (false, None) => unseen.push(name),
            _ => {}
        }
    }
    let depth = checker.max_depth() - 1;
    Explored { state_count: checker.unique_state_count(), step_count: checker.state_count() - 1, depth, unseen }
}

/// A shortest execution after which a claim is wrong, if there is one.
#[derive(Clone, Debug)]
pub(super) struct Counterexample {
    /// The number of its steps.
    pub(super) step_count: usize,
    /// The steps, one a line.
    pub(super) told: String,
}

/// Looks for a shortest counterexample to one claim.
///
/// The checker goes on to the end of its block of states when it has found one, and keeps the last: so it is asked for
/// something shorter until there is nothing shorter.
pub(super) fn find_counterexample(model: &Protocol, claim: &'static str) -> Option<Counterexample> {
    let mut shortest = find_within(model, claim, usize::MAX)?;
    while let Some(shorter) = find_within(model, claim, shortest.step_count) {
        shortest = shorter;
    }
    Some(shortest)
}

/// Looks at the states that take fewer than `step_limit` steps.
fn find_within(model: &Protocol, claim: &'static str, step_limit: usize) -> Option<Counterexample> {
    let stop = HasDiscoveries::AnyOf([claim].into());
    // The checker counts states along the way, not steps, and leaves out those at the depth given.
    let depth_limit = step_limit.saturating_add(1);
    let checker = model.clone().checker().finish_when(stop).target_max_depth(depth_limit).spawn_bfs().join();
    let way = checker.discovery(claim)?.into_vec();
    Some(Counterexample { step_count: way.len() - 1, told: tell(model, way) })
}

/// One line a step: who, what, and the world after it where it changed.
fn tell(model: &Protocol, way: Vec<(State, Option<usize>)>) -> String {
    let mut told = format!("  {:3} {:36} {}\n", 0, "", way[0].0.world);
    for (number, pair) in way.windows(2).enumerate() {
        let [(before, Some(index)), (after, _)] = pair else { continue };
        let step = model.next_step(before, *index).map_or_else(String::new, |step| format!("{step:?}"));
        let what = format!("{}  {step}{}", name(ROLES[*index]), outcome(model, after, *index));
        let world = if after.world == before.world { String::new() } else { after.world.to_string() };
        let line = format!("  {:3} {what:36} {world}", number + 1);
        writeln!(told, "{}", line.trim_end()).expect("a String takes everything");
    }
    told
}

fn name(role: Role) -> String {
    match role {
        Role::Section(number) => format!("section {number}"),
        Role::Filler(number) => format!("filler {number} "),
        Role::Owner(number) => format!("owner {number}  "),
    }
}

/// What a step came to, where its name does not say it.
fn outcome(model: &Protocol, after: &State, index: usize) -> &'static str {
    let actor = &after.actors[index];
    match model.next_step(after, index) {
        _ if actor.asleep => ": sleeps",
        _ if actor.must_retry(ROLES[index]) => ": retry",
        None => ": done",
        Some(_) => "",
    }
}
