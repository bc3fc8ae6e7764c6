//! One step: what is done, and what must come of it.

use std::sync::Arc;

use notifier_index::{Interval, Refused, RemoveError};

use super::machine::{DEEPEST, MOST, Machine, Standing};
use super::sections::Actor;

impl Machine {
    /// Does what the input says; false when it has run out.
    pub(super) fn step(self: &Arc<Self>) -> bool {
        let Some(kind) = self.state().take(|input| input.below(12)) else { return false };
        match kind {
            0..=2 => self.insert(),
            3 => self.update(),
            4 => self.remove_deferred(),
            5 => self.remove(),
            6 => self.batch(),
            7 | 8 => self.ticket(),
            9 => self.look(),
            _ => self.begin_section(),
        };
        true
    }

    pub(super) fn steps(self: &Arc<Self>, count: u8) {
        for _ in 0..count {
            self.step();
        }
    }

    fn begin_section(self: &Arc<Self>) -> Option<()> {
        let (range, more, deep) = {
            let mut state = self.state();
            (state.range()?, state.byte()?, state.tellings.len())
        };
        if deep < DEEPEST {
            self.section(range, more & 1 == 0, more >> 6);
        }
        Some(())
    }

    fn actor(self: &Arc<Self>) -> (u64, Actor) {
        let mut state = self.state();
        state.made += 1;
        let id = state.made;
        (id, Actor { id, machine: Arc::downgrade(self) })
    }

    fn insert(self: &Arc<Self>) -> Option<()> {
        let bounds = self.state().range()?;
        if self.state().standing.len() < MOST {
            let (id, actor) = self.actor();
            let registration = self.index.insert(&self.ops, bounds, actor).expect("room");
            self.state().standing.insert(id, Standing { registration, bounds });
        }
        Some(())
    }

    /// Takes one out of those that stand, for as long as the index is called.
    fn take_one(&self) -> Option<(u64, Standing)> {
        let mut state = self.state();
        let id = state.pick()?;
        state.standing.remove_entry(&id)
    }

    fn update(&self) -> Option<()> {
        let (id, mut one) = self.take_one()?;
        let bounds = self.state().range();
        if let Some(bounds) = bounds {
            one.registration.update(bounds).expect("room");
            // One that only grows leaves its tickets as they are.
            if !bounds.covers(one.bounds) {
                self.state().raise(id);
            }
            one.bounds = bounds;
        }
        self.state().standing.insert(id, one);
        Some(())
    }

    fn remove_deferred(&self) -> Option<()> {
        let (id, one) = self.take_one()?;
        let removal = one.registration.remove_deferred().expect("room");
        let waits_for_itself = self.state().is_running(id);
        assert_eq!(removal.wait().is_err(), waits_for_itself);
        Some(())
    }

    fn remove(&self) -> Option<()> {
        let (id, one) = self.take_one()?;
        let in_a_callback = !self.state().callbacks.is_empty();
        match one.registration.remove() {
            Ok(_) => assert!(!in_a_callback, "a removal that could wait for itself"),
            Err(Refused { reason: RemoveError::WouldDeadlock, value: registration, .. }) => {
                assert!(in_a_callback);
                self.state().standing.insert(id, Standing { registration, bounds: one.bounds });
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.index.barrier().is_err(), in_a_callback);
        Some(())
    }

    /// One comes, one moves, one goes.
    fn batch(self: &Arc<Self>) -> Option<()> {
        let (at, to) = {
            let mut state = self.state();
            (state.range()?, state.range()?)
        };
        let (moved, gone) = (self.take_one(), self.take_one());
        let (id, actor) = self.actor();
        let mut batch = self.index.batch();
        let key = batch.insert(&self.ops, at, actor).expect("room");
        if let Some((_, one)) = &gone {
            batch.remove(&one.registration).expect("ours");
        }
        if let Some((_, one)) = &moved {
            batch.update(&one.registration, to).expect("ours");
        }
        let registration = batch.commit().expect("room").take(key).expect("ours");
        let mut state = self.state();
        state.standing.insert(id, Standing { registration, bounds: at });
        if let Some((id, one)) = moved {
            if !to.covers(one.bounds) {
                state.raise(id);
            }
            state.standing.insert(id, Standing { bounds: to, ..one });
        }
        Some(())
    }

    /// Takes a ticket, does some steps, and checks it.
    fn ticket(self: &Arc<Self>) -> Option<()> {
        let (id, range, steps, held, may_begin, raised) = {
            let mut state = self.state();
            let (id, range, more) = (state.pick()?, state.range()?, state.byte()?);
            let one = &state.standing[&id];
            let overlaps = |active: &Option<Interval>| active.is_some_and(|active| active.overlaps(range));
            let in_a_section = state.tellings.iter().any(|telling| overlaps(&telling.range));
            let may_begin = one.bounds.covers(range) && !in_a_section;
            (id, range, more % 4, one.registration.hold(), may_begin, state.raised(id))
        };
        if self.state().tickets == DEEPEST {
            return None;
        }
        let ticket = held.read_begin(range);
        assert_eq!(ticket.is_ok(), may_begin, "{id} over {range}");
        let ticket = ticket.ok()?;
        self.state().tickets += 1;
        self.steps(steps);
        let (must, may) = {
            let mut state = self.state();
            state.tickets -= 1;
            let is_stale = state.raised(id) != raised || !state.standing.contains_key(&id);
            (is_stale, is_stale || !state.tellings.is_empty())
        };
        let is_stale = held.read_retry(ticket);
        assert!(is_stale || !must, "a stale ticket of {id} was taken for good");
        assert!(!is_stale || may, "a good ticket of {id} was taken for stale");
        Some(())
    }

    /// The whole content.
    fn look(&self) -> Option<()> {
        let snapshot = self.index.snapshot();
        let hits = snapshot.find_all(&self.ops, Interval::FULL);
        let mut found: Vec<(u64, Interval)> = hits.map(|hit| (hit.payload().id, hit.interval())).collect();
        found.sort_unstable();
        let state = self.state();
        assert!(found.into_iter().eq(state.standing.iter().map(|(id, one)| (*id, one.bounds))));
        assert_eq!(snapshot.view().check(), Ok(()));
        Some(())
    }
}
