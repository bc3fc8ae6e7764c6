//! What is told to whom: the notifier, and the record of one section.

use std::sync::{Arc, Weak};

use notifier_index::{Event, Interval, Invalidating, Notifier, Reason, WouldBlock};

use super::machine::Machine;

/// A notifier whose callback does what the input says.
pub(super) struct Actor {
    pub(super) id: u64,
    pub(super) machine: Weak<Machine>,
}

/// What one section must tell, and what it told.
#[derive(Default)]
pub(super) struct Telling {
    pub(super) range: Option<Interval>,
    /// Whom it overlaps when it begins, and where those stand.
    expected: Vec<(u64, Interval)>,
    told: Vec<u64>,
    went_well: Vec<u64>,
    finished: Vec<u64>,
    refused: bool,
}

impl Telling {
    pub(super) fn is_between_passes(&self, id: u64) -> bool {
        self.went_well.contains(&id) && !self.finished.contains(&id)
    }
}

impl Notifier for Actor {
    fn invalidate(&self, told: &Invalidating<'_>) -> Result<(), WouldBlock> {
        let Some(machine) = self.machine.upgrade() else { return Ok(()) };
        machine.note_call(self.id, told);
        let steps = machine.state().take(|input| input.below(4)).unwrap_or(0);
        machine.steps(steps);
        let refuses = machine.state().byte().is_some_and(|byte| byte % 8 == 7);
        let mut state = machine.state();
        assert_eq!(state.callbacks.pop(), Some(self.id));
        let telling = state.tellings.last_mut().expect("inside a section");
        match refuses {
            true => telling.refused = true,
            false => telling.went_well.push(self.id),
        }
        if refuses { Err(WouldBlock) } else { Ok(()) }
    }

    fn finish(&self, told: &Invalidating<'_>) {
        let Some(machine) = self.machine.upgrade() else { return };
        {
            let mut state = machine.state();
            let telling = state.tellings.last_mut().expect("inside a section");
            assert_eq!(telling.range, Some(told.interval()));
            telling.finished.push(self.id);
            state.callbacks.push(self.id);
        }
        machine.step();
        assert_eq!(machine.state().callbacks.pop(), Some(self.id));
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let Some(machine) = self.machine.upgrade() else { return };
        let mut state = machine.state();
        assert!(!state.standing.contains_key(&self.id), "{} was dropped and stands", self.id);
        assert!(!state.callbacks.contains(&self.id), "{} was dropped in its callback", self.id);
        assert!(state.dropped.insert(self.id), "{} was dropped twice", self.id);
    }
}

impl Machine {
    fn note_call(&self, id: u64, told: &Invalidating<'_>) {
        let mut state = self.state();
        assert!(state.standing.contains_key(&id), "{id} was told after its removal");
        state.raise(id);
        state.callbacks.push(id);
        let telling = state.tellings.last_mut().expect("inside a section");
        assert!(!telling.refused || told.may_block(), "told after a refusal");
        assert_eq!(telling.range, Some(told.interval()));
        assert!(telling.expected.contains(&(id, told.bounds())), "{id} at {} is not to be told", told.bounds());
        telling.told.push(id);
    }

    /// A section, some steps inside it, and its end.
    pub(super) fn section(self: &Arc<Self>, range: Interval, may_block: bool, steps: u8) {
        self.begin_telling(range);
        let event = Event::new(Reason::Unmap);
        let section = match may_block {
            true => Some(self.index.invalidate(range, event)),
            false => self.index.try_invalidate(range, event).ok(),
        };
        assert_eq!(section.is_some(), self.check_telling(may_block));
        if section.is_some() {
            self.assert_active_count();
            self.steps(steps);
            drop(section);
        }
        self.state().tellings.pop();
        self.assert_active_count();
    }

    fn assert_active_count(&self) {
        assert_eq!(self.index.stats().sections_active as usize, self.state().tellings.len());
    }

    fn begin_telling(&self, range: Interval) {
        let mut state = self.state();
        let overlapping = state.standing.iter().filter(|(_, one)| one.bounds.overlaps(range));
        let mut expected: Vec<(u64, Interval)> = overlapping.map(|(id, one)| (*id, one.bounds)).collect();
        expected.sort_by_key(|(id, bounds)| (bounds.start(), *id));
        state.tellings.push(Telling { range: Some(range), expected, ..Telling::default() });
    }

    /// Whether the section stands; what it told must be right.
    fn check_telling(&self, may_block: bool) -> bool {
        let state = self.state();
        let telling = state.tellings.last().expect("just begun");
        let mut told = telling.told.iter().copied().peekable();
        let stopped = telling.refused && !may_block;
        for (id, _) in &telling.expected {
            if told.next_if_eq(id).is_none() {
                let is_late = stopped && told.peek().is_none();
                assert!(is_late || !state.standing.contains_key(id), "{id} was not told");
            }
        }
        assert_eq!(told.next(), None, "told twice, or out of order");
        assert_eq!(telling.finished, telling.went_well);
        !stopped
    }
}
