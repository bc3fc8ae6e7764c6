//! The model as the checker sees it: states, enabled steps, and what is claimed of every state.

use stateright::{Model, Property};

use super::actor::{Actor, Role, Wake};
use super::breaks::Deviation;
use super::casts::Cast;
use super::programs::{self, Program, Step};
use super::world::{Pages, World};

/// The actors, in the order in which their steps are tried.
pub(super) const ROLES: [Role; 6] =
    [Role::Section(0), Role::Section(1), Role::Filler(0), Role::Filler(1), Role::Owner(0), Role::Owner(1)];

/// The promise of the contract, section 5.
pub(super) const NO_STALE_ENTRY: &str = "no stale mirror entry";
/// The promise of `remove`.
pub(super) const NO_LATE_CALLBACK: &str = "no callback after remove returned";
/// Everybody finishes.
pub(super) const NO_DEADLOCK: &str = "no deadlock";

/// One state of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// What is shared.
    pub(super) world: World,
    /// What each has for itself, in the order of [`ROLES`].
    pub(super) actors: [Actor; ROLES.len()],
}

/// A cast with its programs, right or broken.
#[derive(Clone, Debug)]
pub(super) struct Protocol {
    cast: Cast,
    programs: [Program; ROLES.len()],
}

impl Protocol {
    /// The programs as the contract has them.
    pub(super) fn right(cast: Cast) -> Self {
        Protocol { cast, programs: ROLES.map(|role| program(&cast, role)) }
    }

    /// The programs with a deviation, which must be one.
    pub(super) fn edited(deviation: &Deviation) -> Self {
        let mut protocol = Protocol::right(deviation.cast);
        for edit in deviation.edits {
            let whose = protocol.programs.iter_mut().zip(ROLES).filter(|(_, role)| deviation.whose.is(*role));
            let changed_count = whose.map(|(program, _)| edit.apply(program)).filter(|changed| *changed).count();
            assert!(changed_count > 0, "{edit:?} changes nothing");
        }
        protocol
    }

    /// The cast.
    pub(super) fn cast(&self) -> &Cast {
        &self.cast
    }

    /// What an actor is about to do, if it is not done.
    pub(super) fn next_step(&self, state: &State, index: usize) -> Option<Step> {
        state.actors[index].next_step(&self.programs[index])
    }

    fn next_steps_of<'a>(&'a self, state: &'a State) -> impl Iterator<Item = (usize, Step)> + 'a {
        (0..ROLES.len()).filter_map(|index| Some((index, self.next_step(state, index)?)))
    }

    fn is_enabled(&self, state: &State, index: usize) -> bool {
        self.next_step(state, index).is_some_and(|step| state.actors[index].is_enabled(step, &state.world))
    }

    fn is_finished(&self, state: &State) -> bool {
        self.next_steps_of(state).next().is_none()
    }

    /// The pages of those sections that are between the return of `invalidate` and their end.
    fn pages_inside(&self, state: &State) -> Pages {
        let inside = |(index, step): (usize, Step)| match (ROLES[index], step) {
            (Role::Section(number), Step::ChangeSource(_) | Step::FreeSection) => self.cast.sections[number],
            _ => Pages::NONE,
        };
        self.next_steps_of(state).map(inside).fold(Pages::NONE, |all, pages| all | pages)
    }

    fn is_callback_running(&self, state: &State) -> bool {
        let runs = |(index, step): (usize, Step)| matches!(ROLES[index], Role::Section(_)) && step.is_in_callback();
        self.next_steps_of(state).any(runs)
    }

    fn has_remove_returned(&self, state: &State) -> bool {
        let returned = |index: usize| match ROLES[index] {
            Role::Owner(number) => self.cast.awaits_removal(number) && self.next_step(state, index).is_none(),
            _ => false,
        };
        (0..ROLES.len()).any(returned)
    }

    fn sleeper_exists(&self, state: &State, awaited: Step) -> bool {
        self.next_steps_of(state).any(|(index, step)| step == awaited && state.actors[index].asleep)
    }
}

fn program(cast: &Cast, role: Role) -> Program {
    match role {
        Role::Section(number) => cast.sections.get(number).map(|range| {
            if cast.removes_in_callback(number) {
                programs::removing_section(*range)
            } else {
                programs::section(*range)
            }
        }),
        Role::Filler(number) => cast.fillers.get(number).map(|range| programs::filler(*range)),
        Role::Owner(number) => cast.owners.get(number).map(|script| programs::owner(script)),
    }
    .unwrap_or_default()
}

fn wake(state: &mut State, woken: Wake) {
    for (actor, role) in state.actors.iter_mut().zip(ROLES) {
        let is_meant = match (woken, role) {
            (Wake::Fillers(slot), Role::Filler(_)) => actor.sleeps_on(slot),
            (Wake::Removers, Role::Owner(_) | Role::Section(_)) => true,
            _ => false,
        };
        actor.asleep &= !is_meant;
    }
}

impl Model for Protocol {
    type State = State;
    /// The index in [`ROLES`] of the actor that takes its next step.
    type Action = usize;

    fn init_states(&self) -> Vec<State> {
        vec![State { world: World::new(self.cast.tree), actors: [Actor::default(); ROLES.len()] }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<usize>) {
        actions.extend((0..ROLES.len()).filter(|index| self.is_enabled(state, *index)));
    }

    fn next_state(&self, last: &State, index: usize) -> Option<State> {
        let mut next = *last;
        let woken = next.actors[index].advance(ROLES[index], &self.programs[index], &mut next.world);
        wake(&mut next, woken);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(NO_STALE_ENTRY, |model: &Self, state: &State| {
                !state.world.has_entry() || !state.world.has_stale_entry(model.pages_inside(state))
            }),
            Property::always(NO_LATE_CALLBACK, |model: &Self, state: &State| {
                !(model.has_remove_returned(state) && model.is_callback_running(state))
            }),
            Property::always(NO_DEADLOCK, |model: &Self, state: &State| {
                (0..ROLES.len()).any(|index| model.is_enabled(state, index)) || model.is_finished(state)
            }),
            Property::sometimes("everybody finishes", |model: &Self, state: &State| model.is_finished(state)),
        ];
        all.extend(self.expected_sights());
        all
    }
}

impl Protocol {
    /// What must be seen at least once, or the model is empty.
    fn expected_sights(&self) -> Vec<Property<Self>> {
        let mut sights = Vec::new();
        if !self.cast.fillers.is_empty() {
            sights.push(Property::sometimes("a fill succeeds", |_, state: &State| state.world.has_entry()));
        }
        if self.cast.has_collisions() {
            sights.push(Property::sometimes("a retry happens", |_, state: &State| {
                ROLES.iter().zip(&state.actors).any(|(role, actor)| actor.must_retry(*role))
            }));
            sights.push(Property::sometimes("a filler waits for a section", |model: &Self, state: &State| {
                model.sleeper_exists(state, Step::AwaitSections)
            }));
        }
        if self.cast.has_remove() && !self.cast.sections.is_empty() {
            sights.push(Property::sometimes("a remover waits for a callback", |model: &Self, state: &State| {
                model.sleeper_exists(state, Step::AwaitCallbacks) && model.is_callback_running(state)
            }));
        }
        sights
    }
}
