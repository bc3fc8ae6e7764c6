//! An index and the reference model side by side: every operation is done on both, and both must say the same.

use std::collections::BTreeMap;

use notifier_index::{NotifierIndex, Ops, Registration, Snapshot};
use stress::model::{Answer, Change, Effect, Model, Operation, Query};
use stress::span::{NotifierId, Owner, Span};

use crate::canary::Canary;
use crate::ways::{Eyes, Way, ask, interval};

/// How the changes of a batch are brought to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vehicle {
    Batch,
    InsertMany,
}

/// The pair.
pub(crate) struct World<'i> {
    index: &'i NotifierIndex,
    pub(crate) owners: Vec<Ops<Canary>>,
    pub(crate) registrations: BTreeMap<NotifierId, Registration<Canary>>,
    pub(crate) model: Model,
    eyes: Eyes<'i>,
    kept: Vec<(Snapshot, Model)>,
}

impl<'i> World<'i> {
    pub(crate) fn new(index: &'i NotifierIndex, owner_count: usize) -> Self {
        World {
            index,
            owners: (0..owner_count).map(|_| index.register_passive_ops()).collect(),
            registrations: BTreeMap::new(),
            model: Model::starting_at(index.version()),
            eyes: Eyes::new(index),
            kept: Vec::new(),
        }
    }

    /// Does an operation on both sides and compares.
    pub(crate) fn apply(&mut self, operation: &Operation, vehicle: Vehicle) {
        let expected = self.model.apply(operation).expect("only operations that make sense are generated");
        match (operation, expected) {
            (Operation::Change(change), Effect::Version(version)) => {
                assert_eq!(self.change(change), version, "{operation:x?}");
            }
            (Operation::Batch(changes), Effect::Version(version)) => {
                assert_eq!(self.batch(changes, vehicle), version, "{operation:x?}");
            }
            (Operation::Query(query), Effect::Answer(answer)) => self.compare(query, &answer),
            (operation, effect) => panic!("{operation:?} cannot come to {effect:?}"),
        }
    }

    fn change(&mut self, change: &Change) -> u64 {
        match *change {
            Change::Insert { owner, id, span } => {
                let ops = &self.owners[owner as usize];
                let registration = self.index.insert(ops, interval(span), Canary::new(id)).expect("room");
                let version = registration.version();
                self.registrations.insert(id, registration);
                version
            }
            Change::Update { id, span } => {
                let registration = &self.registrations[&id];
                let version = registration.update(interval(span)).expect("room");
                assert_eq!(registration.interval(), interval(span));
                version
            }
            Change::Remove { id } => self.registrations.remove(&id).expect("registered").remove().expect("room"),
        }
    }

    fn batch(&mut self, changes: &[Change], vehicle: Vehicle) -> u64 {
        match vehicle {
            Vehicle::Batch => self.commit(changes),
            Vehicle::InsertMany => self.insert_many(changes),
        }
    }

    fn commit(&mut self, changes: &[Change]) -> u64 {
        let mut removed = BTreeMap::new();
        for change in changes {
            if let Change::Remove { id } = change {
                removed.insert(*id, self.registrations.remove(id).expect("registered"));
            }
        }
        let mut batch = self.index.batch();
        let mut keys = Vec::new();
        for change in changes {
            match *change {
                Change::Insert { owner, id, span } => {
                    let ops = &self.owners[owner as usize];
                    keys.push((id, batch.insert(ops, interval(span), Canary::new(id)).expect("room")));
                }
                Change::Update { id, span } => {
                    batch.update(&self.registrations[&id], interval(span)).expect("our own");
                }
                Change::Remove { id } => {
                    batch.remove(&removed[&id]).expect("our own");
                }
            }
        }
        assert_eq!(batch.len(), changes.len());
        let mut committed = batch.commit().expect("room");
        for (id, key) in keys {
            let registration = committed.take(key).expect("a key of this batch");
            assert_eq!(registration.version(), committed.version());
            self.registrations.insert(id, registration);
        }
        committed.version()
    }

    fn insert_many(&mut self, changes: &[Change]) -> u64 {
        let mut whose = None;
        let mut items = Vec::new();
        for change in changes {
            let Change::Insert { owner, id, span } = *change else { panic!("only insertions") };
            assert_eq!(*whose.get_or_insert(owner), owner, "of one owner");
            items.push((interval(span), Canary::new(id)));
        }
        let Some(owner) = whose else {
            return self.index.version();
        };
        let made = self.index.insert_many(&self.owners[owner as usize], items).expect("room");
        let version = made[0].version();
        for (change, registration) in changes.iter().zip(made) {
            assert_eq!((registration.version(), registration.payload().id()), (version, change.id()));
            self.registrations.insert(change.id(), registration);
        }
        version
    }

    fn compare(&mut self, query: &Query, expected: &Answer) {
        let (owners, version) = (&self.owners, self.model.version());
        self.eyes.look_each(|way, view| {
            assert_eq!(view.version(), version, "through {way:?}");
            assert_eq!(&ask(view, owners, query), expected, "{query:x?} through {way:?}");
        });
    }

    /// Every invariant of the index, and its whole content against the model's.
    pub(crate) fn check(&mut self, way: Way) {
        let (owners, model) = (&self.owners, &self.model);
        self.eyes.look(way, |view| {
            assert_eq!(view.check(), Ok(()));
            assert_whole_content(view, owners, model);
        });
        assert_eq!((self.index.version(), self.index.len()), (model.version(), model.notifiers().len()));
    }

    /// Keeps the present version, to see later that it did not change.
    pub(crate) fn keep(&mut self) {
        self.kept.push((self.index.snapshot(), self.model.clone()));
    }

    /// Looks at all that was kept, and at all handles.
    pub(crate) fn check_kept(&self) {
        for (snapshot, model) in &self.kept {
            assert_eq!(snapshot.view().check(), Ok(()));
            assert_whole_content(snapshot.view(), &self.owners, model);
        }
        for found in self.model.notifiers() {
            let registration = &self.registrations[&found.id];
            assert_eq!((registration.payload().id(), registration.interval()), (found.id, interval(found.span)));
        }
    }

    /// The owner of a registered notifier.
    pub(crate) fn present(&self, pick: usize) -> Option<NotifierId> {
        let count = self.registrations.len();
        self.registrations.keys().nth(pick.checked_rem(count)?).copied()
    }
}

fn assert_whole_content(view: notifier_index::View<'_>, owners: &[Ops<Canary>], model: &Model) {
    assert_eq!(view.version(), model.version());
    let everything = Query::Overlapping { span: Span::FULL };
    assert_eq!(ask(view, owners, &everything), model.answer(&everything));
    assert_eq!(view.iter().count(), view.len());
    for owner in 0..owners.len() as Owner {
        let query = Query::LenOf { owner };
        assert_eq!(ask(view, owners, &query), model.answer(&query));
    }
}
