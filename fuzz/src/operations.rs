//! Any sequence of changes, batches and queries, on one thread: each has the effect that the model says, and after each
//! the index is whole; versions that were kept do not change.

use notifier_index::NotifierIndex;

use crate::input::{Input, Spread};
use crate::model::{Change, Operation};
use crate::ways::Way;
use crate::world::{Vehicle, World};

const OWNERS: u8 = 3;
const KEPT_AT_MOST: u8 = 4;

/// One run.
pub fn run(data: &[u8]) {
    crate::break_what_is_to_be_broken();
    let index = NotifierIndex::new();
    let mut world = World::new(&index, usize::from(OWNERS));
    let mut input = Input(data);
    let (mut next_id, mut kept) = (0, 0);
    while let Some(kind) = input.below(16) {
        let operation = match kind {
            0..=9 => change(&mut input, &world, &mut next_id).map(Operation::Change),
            10 | 11 => batch(&mut input, &world, &mut next_id),
            12 | 13 => input.query(OWNERS, Spread::Narrow).map(Operation::Query),
            14 if kept < KEPT_AT_MOST => {
                kept += 1;
                world.keep();
                continue;
            }
            _ => {
                index.maintain();
                continue;
            }
        };
        let Some(operation) = operation else { continue };
        world.apply(&operation, Vehicle::Batch);
        world.check(Way::ALL[usize::from(kind) % Way::ALL.len()]);
    }
    world.check_kept();
}

fn change(input: &mut Input<'_>, world: &World<'_>, next_id: &mut u64) -> Option<Change> {
    let (kind, pick) = (input.below(5)?, usize::from(input.byte()?));
    match (kind, world.present(pick)) {
        (0..=1, Some(id)) => Some(Change::Update { id, span: input.span(Spread::Narrow)? }),
        (2, Some(id)) => Some(Change::Remove { id }),
        _ => {
            *next_id += 1;
            let owner = pick as u32 % u32::from(OWNERS);
            Some(Change::Insert { owner, id: *next_id, span: input.span(Spread::Narrow)? })
        }
    }
}

/// Up to seven changes, of each notifier one: what a batch may hold of one handle is for other tests.
fn batch(input: &mut Input<'_>, world: &World<'_>, next_id: &mut u64) -> Option<Operation> {
    let count = input.below(8)?;
    let mut changes: Vec<Change> = Vec::new();
    for _ in 0..count {
        let change = change(input, world, next_id)?;
        if changes.iter().all(|earlier| earlier.id() != change.id()) {
            changes.push(change);
        }
    }
    Some(Operation::Batch(changes))
}
