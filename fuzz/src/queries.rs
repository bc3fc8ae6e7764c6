//! Trees that are built at once and changed at once, with addresses up to both ends, and every kind of query put to them.

use notifier_index::NotifierIndex;

use crate::input::{Input, Spread};
use crate::model::{Change, Operation};
use crate::ways::Way;
use crate::world::{Vehicle, World};

const OWNERS: u8 = 6;

/// One run.
pub fn run(data: &[u8]) {
    crate::break_what_is_to_be_broken();
    let index = NotifierIndex::new();
    let mut world = World::new(&index, usize::from(OWNERS));
    let mut input = Input(data);
    let mut next_id = 0;
    while let Some(kind) = input.below(8) {
        let step = match kind {
            0 | 1 => insert_many(&mut input, &mut world, &mut next_id),
            2 => remove_many(&mut input, &mut world),
            _ => query(&mut input, &mut world),
        };
        if step.is_none() {
            break;
        }
    }
    world.check(Way::Snapshot);
}

/// Up to 96 of one owner; the spans are made from few bytes, by strides.
fn insert_many(input: &mut Input<'_>, world: &mut World<'_>, next_id: &mut u64) -> Option<()> {
    let (owner, count) = (input.owner(OWNERS)?, input.below(96)?);
    let (first, stride) = (input.span(Spread::Wide)?, u64::from(input.byte()?));
    let make = |at: u64| {
        *next_id += 1;
        let shift = at.wrapping_mul(stride);
        let span = crate::span::Span::between(first.start().wrapping_add(shift), first.last().wrapping_add(shift));
        Change::Insert { owner, id: *next_id, span }
    };
    let changes: Vec<Change> = (0..u64::from(count)).map(make).collect();
    world.apply(&Operation::Batch(changes), Vehicle::InsertMany);
    world.check(Way::Guard);
    Some(())
}

fn remove_many(input: &mut Input<'_>, world: &mut World<'_>) -> Option<()> {
    let (from, step) = (usize::from(input.byte()?), usize::from(input.below(7)?) + 1);
    let mut ids: Vec<u64> =
        (from..world.registrations.len()).step_by(step).filter_map(|at| world.present(at)).collect();
    ids.dedup();
    let changes = ids.into_iter().map(|id| Change::Remove { id }).collect();
    world.apply(&Operation::Batch(changes), Vehicle::Batch);
    world.check(Way::Reader);
    Some(())
}

fn query(input: &mut Input<'_>, world: &mut World<'_>) -> Option<()> {
    let query = input.query(OWNERS, Spread::Wide)?;
    world.apply(&Operation::Query(query), Vehicle::Batch);
    Some(())
}
