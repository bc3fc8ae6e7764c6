//! The actors: where each stands in its program, its local variables, and what a step does.
//!
//! Local variables are forgotten in the step that needs them last, so that states that cannot be told apart by what
//! follows are one state.

use super::programs::Step;
use super::world::{PAGE_COUNT, Pages, World};

/// What an actor is; its number says which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A mutator with its section, which has the slot of that number.
    Section(usize),
    /// One who fills the mirror.
    Filler(usize),
    /// One who changes the notifier.
    Owner(usize),
}

/// Where an actor stands and what it remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Actor {
    /// The index of its next step.
    pub(super) place: u8,
    /// Whether it sleeps until a wake step.
    pub(super) asleep: bool,
    /// Of a section: which of its pages the notifier covered in the snapshot.
    found: Pages,
    /// Of a section: it saw the notifier dead. Of a filler: it was told to retry.
    refused: bool,
    /// Of a filler: the generation it began with.
    ticket: u8,
    /// Of a filler: the bounds that it saw or recalled, until it scans.
    seen: Pages,
    /// Of a filler: it has recalled them.
    recalled: bool,
    /// Of a filler: the slots it has to wait for, as bits.
    awaited: u8,
    /// Of a filler: the versions it read.
    copies: [u8; PAGE_COUNT],
}

/// Whom a step wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Nobody.
    Nobody,
    /// Fillers that sleep on that slot.
    Fillers(usize),
    /// Owners that sleep on the notifier.
    Removers,
}

/// Where an actor goes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    /// To the next step that applies.
    On,
    /// Nowhere: it sleeps, and does the step again when woken.
    ToSleep,
    /// Back to its first step.
    Back,
    /// To its end.
    Home,
}

impl Actor {
    /// The step that comes next, if any is left.
    pub(super) fn next_step(&self, program: &[Step]) -> Option<Step> {
        program.get(usize::from(self.place)).copied()
    }

    /// Whether the next step can be taken now.
    pub(super) fn is_enabled(&self, step: Step, world: &World) -> bool {
        match step {
            Step::Lock => !world.locked,
            Step::ReceiveRemoval => world.notifier.dead,
            _ => !self.asleep,
        }
    }

    /// Whether it sleeps on that slot: a filler waits for one section after another, lowest slot first.
    pub(super) fn sleeps_on(&self, slot: usize) -> bool {
        self.asleep && self.awaited.trailing_zeros() as usize == slot
    }

    /// Whether a filler has just been told to retry.
    pub(super) fn must_retry(&self, role: Role) -> bool {
        matches!(role, Role::Filler(_)) && self.refused
    }

    /// Takes the next step of its program; says whom that wakes.
    pub(super) fn advance(&mut self, role: Role, program: &[Step], world: &mut World) -> Wake {
        let Some(step) = self.next_step(program) else { return Wake::Nobody };
        let goes = match role {
            Role::Section(slot) => self.section_step(step, slot, world),
            Role::Filler(_) => self.filler_step(step, world),
            Role::Owner(_) => shared_step(step, world),
        };
        self.go(goes, role, program);
        match (step, role) {
            (Step::WakeFillers, Role::Section(slot)) => Wake::Fillers(slot),
            (Step::WakeRemover | Step::WakeFromDead, _) => Wake::Removers,
            _ => Wake::Nobody,
        }
    }

    fn go(&mut self, goes: Goes, role: Role, program: &[Step]) {
        match goes {
            Goes::On => self.place += 1,
            Goes::ToSleep => self.asleep = true,
            Goes::Back => *self = Actor::default(),
            Goes::Home => *self = Actor { place: program.len() as u8, ..Actor::default() },
        }
        while self.next_step(program).is_some_and(|step| !self.applies(step, role)) {
            self.place += 1;
        }
        if self.next_step(program).is_none() {
            *self = Actor { place: self.place, ..Actor::default() };
        }
    }

    /// Whether a step is to be done at all, after what has been seen before it.
    pub(super) fn applies(&self, step: Step, role: Role) -> bool {
        use Step::*;
        match (role, step) {
            (Role::Section(_), Enter | CheckDead) => !self.found.is_empty(),
            (Role::Section(_), LeaveDead | WakeFromDead) => !self.found.is_empty() && self.refused,
            (Role::Section(_), Raise | Leave | WakeRemover) => !self.found.is_empty() && !self.refused,
            (Role::Section(_), step) if step.is_in_callback() => !self.found.is_empty() && !self.refused,
            (Role::Filler(_), CheckCoverage(_) | Note) if self.recalled => false,
            (Role::Filler(_), AwaitSections) => self.awaited != 0,
            (Role::Filler(_), CompareDead | Fill(_)) => !self.refused,
            _ => true,
        }
    }

    fn section_step(&mut self, step: Step, slot: usize, world: &mut World) -> Goes {
        match step {
            Step::PublishSection(range) => world.table[slot] = range,
            Step::LoadTree(range) => self.found = world.tree & range,
            Step::Enter => world.notifier.running_count += 1,
            Step::CheckDead => self.refused = world.notifier.dead,
            Step::Callback(range) => world.tear_down(range & self.found),
            Step::LeaveDead | Step::Leave => world.notifier.running_count -= 1,
            Step::ChangeSource(page) => self.change(page, world),
            Step::FreeSection => world.table[slot] = Pages::NONE,
            other => return shared_step(other, world),
        }
        Goes::On
    }

    /// Nothing that was found matters any more once `invalidate` has returned.
    fn change(&mut self, page: usize, world: &mut World) {
        world.source[page] += 1;
        (self.found, self.refused) = (Pages::NONE, false);
    }

    fn filler_step(&mut self, step: Step, world: &mut World) -> Goes {
        match step {
            Step::ReadGeneration => self.ticket = world.notifier.generation,
            Step::Recall(range) => self.recalled = world.known.0 == self.ticket && world.known.1.covers(range),
            Step::RecallAny(range) => self.recalled = world.known.1.covers(range),
            Step::CheckCoverage(range) if !world.tree.covers(range) => return Goes::Home,
            Step::CheckCoverage(_) => self.seen = world.tree,
            Step::Note => world.known = (self.ticket, self.seen),
            Step::Scan(slot, range) => self.scan(slot, range, world),
            Step::AwaitSections => return self.await_sections(world),
            Step::ReadSource(page) => self.copies[page] = world.source[page],
            Step::CompareGeneration => {
                let ticket = std::mem::take(&mut self.ticket);
                self.refuse_if(world.notifier.generation != ticket);
            }
            Step::CompareDead => self.refuse_if(world.notifier.dead),
            Step::Fill(page) => world.mirror[page] = Some(std::mem::take(&mut self.copies[page])),
            Step::Unlock => return self.unlock(world),
            other => return shared_step(other, world),
        }
        Goes::On
    }

    /// What was seen of the bounds does not matter any more.
    fn scan(&mut self, slot: usize, range: Pages, world: &World) {
        (self.seen, self.recalled) = (Pages::NONE, false);
        self.awaited |= u8::from(world.table[slot].overlaps(range)) << slot;
    }

    fn await_sections(&mut self, world: &World) -> Goes {
        for (slot, section) in world.table.iter().enumerate() {
            self.awaited &= !(u8::from(section.is_empty()) << slot);
        }
        if self.awaited == 0 { Goes::On } else { Goes::ToSleep }
    }

    fn refuse_if(&mut self, collided: bool) {
        if collided {
            *self = Actor { refused: true, place: self.place, ..Actor::default() };
        }
    }

    fn unlock(&self, world: &mut World) -> Goes {
        world.locked = false;
        if self.refused { Goes::Back } else { Goes::On }
    }
}

/// What is the same whoever does it: the lock, and changes of the notifier, which callbacks may make too. Wake steps and
/// checks that passed change nothing here.
fn shared_step(step: Step, world: &mut World) -> Goes {
    match step {
        Step::Lock => world.locked = true,
        Step::Unlock => world.locked = false,
        Step::Raise => world.notifier.generation += 1,
        Step::TearDown(pages) => world.tear_down(pages),
        Step::PublishTree(bounds) => world.tree = bounds,
        Step::Kill => world.notifier.dead = true,
        Step::AwaitCallbacks if world.notifier.running_count > 0 => return Goes::ToSleep,
        _ => {}
    }
    Goes::On
}
