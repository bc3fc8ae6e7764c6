//! Guard, reader and snapshot agree with one another and with the reference model, after every operation.

use std::collections::BTreeSet;

use notifier_index::NotifierIndex;
use proptest::collection::vec;
use proptest::prelude::*;
use stress::model::{Change, Operation, Query};
use stress::span::{NotifierId, Owner, Span};

use crate::turn::together;
use crate::ways::Way;
use crate::world::{Vehicle, World};

/// One step before it is known who is registered: `pick` names the registered ones by position.
#[derive(Clone, Debug)]
enum Step {
    Insert(Owner, Span),
    Update(usize, Span),
    Remove(usize),
    Batch(Vec<Step>),
    InsertMany(Owner, Vec<Span>),
    Query(Query),
    Keep,
    Maintain,
}

/// Addresses that meet often, at both ends of the address space, and a few from anywhere.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..48_u64,
        3 => (0..24_u64).prop_map(|below| u64::MAX - below),
        1 => any::<u64>(),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![
        8 => (address(), address()).prop_map(|(one, other)| Span::between(one, other)),
        6 => (0..48_u64, 0..4_u64).prop_map(|(start, more)| Span::between(start, start + more)),
        2 => address().prop_map(Span::point),
        1 => Just(Span::FULL),
        1 => Just(Span::point(0)),
        1 => Just(Span::point(u64::MAX)),
    ]
}

fn query(owner_count: Owner) -> impl Strategy<Value = Query> {
    let owner = 0..owner_count;
    prop_oneof![
        4 => (owner.clone(), span()).prop_map(|(owner, span)| Query::Find { owner, span }),
        2 => (owner.clone(), span()).prop_map(|(owner, span)| Query::FindAll { owner, span }),
        2 => (owner.clone(), span()).prop_map(|(owner, span)| Query::Containing { owner, span }),
        1 => span().prop_map(|span| Query::Overlapping { span }),
        2 => (owner.clone(), address()).prop_map(|(owner, address)| Query::FirstAfter { owner, address }),
        2 => (owner.clone(), address()).prop_map(|(owner, address)| Query::LastBefore { owner, address }),
        2 => (owner.clone(), address()).prop_map(|(owner, address)| Query::GapAt { owner, address }),
        1 => (owner.clone(), vec(span(), 0..40)).prop_map(|(owner, spans)| Query::FindMany { owner, spans }),
        1 => Just(Query::Len),
        1 => owner.prop_map(|owner| Query::LenOf { owner }),
    ]
}

fn change(owner_count: Owner) -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..owner_count, span()).prop_map(|(owner, span)| Step::Insert(owner, span)),
        4 => (any::<usize>(), span()).prop_map(|(pick, span)| Step::Update(pick, span)),
        3 => any::<usize>().prop_map(Step::Remove),
    ]
}

fn step(owner_count: Owner) -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => change(owner_count),
        4 => vec(change(owner_count), 1..12).prop_map(Step::Batch),
        1 => (0..owner_count, vec(span(), 1..60)).prop_map(|(owner, spans)| Step::InsertMany(owner, spans)),
        10 => query(owner_count).prop_map(Step::Query),
        1 => Just(Step::Keep),
        1 => Just(Step::Maintain),
    ]
}

/// Gives steps a meaning in a world: names for those who come, real ones for those who are there.
struct Resolver {
    next_id: NotifierId,
}

impl Resolver {
    fn fresh(&mut self) -> NotifierId {
        self.next_id += 1;
        self.next_id
    }

    fn change(&mut self, step: &Step, world: &World<'_>) -> Option<Change> {
        Some(match *step {
            Step::Insert(owner, span) => Change::Insert { owner, id: self.fresh(), span },
            Step::Update(pick, span) => Change::Update { id: world.present(pick)?, span },
            Step::Remove(pick) => Change::Remove { id: world.present(pick)? },
            _ => return None,
        })
    }

    /// A batch borrows what it updates and consumes what it removes, so nobody is in both.
    fn batch(&mut self, steps: &[Step], world: &World<'_>) -> Vec<Change> {
        let (mut updated, mut removed) = (BTreeSet::new(), BTreeSet::new());
        let changes = steps.iter().filter_map(|step| self.change(step, world));
        let possible = |change: &Change| match *change {
            Change::Insert { .. } => true,
            Change::Update { id, .. } => {
                updated.insert(id);
                !removed.contains(&id)
            }
            Change::Remove { id } => !updated.contains(&id) && removed.insert(id),
        };
        changes.filter(possible).collect()
    }

    fn operation(&mut self, step: &Step, world: &World<'_>) -> Option<(Operation, Vehicle)> {
        let operation = match step {
            Step::Batch(steps) => match self.batch(steps, world) {
                changes if changes.is_empty() => return None,
                changes => Operation::Batch(changes),
            },
            Step::InsertMany(owner, spans) => {
                let insert = |span: &Span| Change::Insert { owner: *owner, id: self.fresh(), span: *span };
                return Some((Operation::Batch(spans.iter().map(insert).collect()), Vehicle::InsertMany));
            }
            Step::Query(query) => Operation::Query(query.clone()),
            change => Operation::Change(self.change(change, world)?),
        };
        Some((operation, Vehicle::Batch))
    }
}

fn run(steps: &[Step], owner_count: Owner) {
    let _turn = together();
    let index = NotifierIndex::new();
    let mut world = World::new(&index, owner_count as usize);
    let mut resolver = Resolver { next_id: 0 };
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Keep => world.keep(),
            Step::Maintain => index.maintain(),
            step => {
                if let Some((operation, vehicle)) = resolver.operation(step, &world) {
                    world.apply(&operation, vehicle);
                }
            }
        }
        world.check(Way::ALL[number % Way::ALL.len()]);
    }
    world.check_kept();
}

/// So many cases, unless the environment says otherwise.
fn cases(default: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: wanted.unwrap_or(default), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn one_owner_matches_the_model(steps in vec(step(1), 0..200)) {
        run(&steps, 1);
    }

    #[test]
    fn several_owners_match_the_model(steps in vec(step(7), 0..200)) {
        run(&steps, 7);
    }
}
