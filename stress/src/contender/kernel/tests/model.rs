//! Random changes and sections against the reference model: a find never shows whether anything is deferred, and each
//! section calls exactly those that stood in the tree when its phase began.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Answer, Change, Model, Query};
use crate::span::{Found, NotifierId};

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    Start(Span),
    /// Ends one of the active sections.
    End(usize),
}

/// A payload that has a name and writes it down when called.
struct Named(NotifierId, Arc<Mutex<Vec<NotifierId>>>);

impl KernelNotifier for Named {
    fn invalidate(&self, _range: &KernelRange, sequence: KernelSequence<'_>) -> bool {
        self.1.lock().push(self.0);
        sequence.set();
        true
    }
}

/// The set under test beside what it must agree with.
struct Beside<'n> {
    notifiers: &'n KernelNotifiers<Named>,
    model: Model,
    /// Those whom a section calls: the tree as it is, or as it was frozen; in order of insertion.
    standing: Vec<Found>,
    called: Arc<Mutex<Vec<NotifierId>>>,
    registrations: BTreeMap<NotifierId, KernelRegistration<Named>>,
    sections: Vec<KernelSection<'n, Named>>,
}

impl<'n> Beside<'n> {
    fn new(notifiers: &'n KernelNotifiers<Named>) -> Self {
        let (standing, registrations, sections) = (Vec::new(), BTreeMap::new(), Vec::new());
        Beside { notifiers, model: Model::new(), standing, called: Arc::default(), registrations, sections }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Change(change) if self.model.change(change).is_ok() => self.change(change),
            Step::Change(_) => {}
            Step::Start(span) => self.start(span),
            Step::End(_) if self.sections.is_empty() => {}
            Step::End(which) => drop(self.sections.swap_remove(which % self.sections.len())),
        }
        let stats = self.notifiers.stats();
        if stats.sequence & 1 == 0 {
            self.standing = self.model.notifiers().to_vec();
            assert_eq!(stats.deferred_count, 0);
        }
        assert_eq!(stats.active_invalidate_ranges, self.sections.len() as u64);
        assert_eq!(stats.notifier_count, self.model.notifiers().len());
    }

    fn change(&mut self, change: Change) {
        // A change that itself makes the sequence odd is still done in the tree.
        let was_frozen = self.notifiers.stats().sequence & 1 == 1;
        match change {
            Change::Insert { owner, id, span } => {
                let payload = Named(id, Arc::clone(&self.called));
                self.registrations.insert(id, self.notifiers.insert(owner, span, payload));
            }
            Change::Update { id, span } => self.notifiers.update(self.registrations.get_mut(&id).unwrap(), span),
            Change::Remove { id } => self.notifiers.remove_deferred(self.registrations.remove(&id).unwrap()),
        }
        if !was_frozen {
            self.standing = self.model.notifiers().to_vec();
        }
    }

    fn start(&mut self, span: Span) {
        let mut expected: Vec<_> = self.standing.iter().filter(|found| found.span.overlaps(span)).collect();
        expected.sort_by_key(|found| found.span.start());
        self.sections.push(start(self.notifiers, span));
        assert_eq!(*self.called.lock(), expected.iter().map(|found| found.id).collect::<Vec<_>>());
        self.called.lock().clear();
    }

    fn compare(&self, owner: Owner, span: Span) {
        let look = |payload: &Named, span| Found { owner, id: payload.0, span };
        let answer = Answer::One(self.notifiers.find_with(owner, span, look));
        assert_eq!(answer, self.model.answer(&Query::Find { owner, span }), "find {owner} {span:?}");
        let hit = self.notifiers.find(owner, span).map(|hit| look(hit.payload(), hit.span()));
        assert_eq!(Answer::One(hit), answer);
    }
}

fn span() -> impl Strategy<Value = Span> {
    let address = || prop_oneof![4 => 0..64_u64, 1 => (u64::MAX - 16)..=u64::MAX];
    (address(), address()).prop_map(|(one, other)| Span::between(one, other))
}

fn steps() -> impl Strategy<Value = Vec<(Step, Owner, Span)>> {
    let step = prop_oneof![
        3 => (0..2_u32, 0..16_u64, span())
            .prop_map(|(owner, id, span)| Step::Change(Change::Insert { owner, id, span })),
        3 => (0..16_u64, span()).prop_map(|(id, span)| Step::Change(Change::Update { id, span })),
        2 => (0..16_u64).prop_map(|id| Step::Change(Change::Remove { id })),
        2 => span().prop_map(Step::Start),
        2 => (0..8_usize).prop_map(Step::End),
    ];
    prop::collection::vec((step, 0..2_u32, span()), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn changes_and_sections_agree_with_the_model(steps in steps()) {
        let notifiers = KernelNotifiers::new();
        let mut beside = Beside::new(&notifiers);
        for (step, owner, span) in &steps {
            beside.step(step);
            beside.compare(*owner, *span);
        }
        beside.sections.clear();
        beside.compare(0, Span::FULL);
        prop_assert_eq!(notifiers.stats().deferred_count, 0);
    }
}
