//! The reference model: a `Vec` and a counter, meant to be obviously right, never to be fast.
//!
//! There is one model and one [`Operation`]; property tests, fuzzing, replayed histories and torture all use these two,
//! so that there is one place that says what an operation means:
//!
//! - The `Vec` holds the notifiers in order of insertion. An update changes the bounds and keeps the place, so ties of
//!   start are broken by insertion, also after updates.
//! - The counter is the version. Every change that takes effect raises it by one; a batch raises it once.
//! - A change that makes no sense (an id twice, an id that is not there) is [`Refused`] and changes nothing.
//! - Every query is one scan over the `Vec`.

use crate::span::{Found, NotifierId, Owner, Span};

/// One change of the set of notifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Registers a new notifier under a name that was never used.
    Insert {
        /// Its owner.
        owner: Owner,
        /// Its name.
        id: NotifierId,
        /// Its bounds.
        span: Span,
    },
    /// Gives a registered notifier new bounds; its place among equal starts stays that of its insertion.
    Update {
        /// Its name.
        id: NotifierId,
        /// Its new bounds.
        span: Span,
    },
    /// Takes a notifier away.
    Remove {
        /// Its name.
        id: NotifierId,
    },
}

impl Change {
    /// The notifier that is changed.
    pub fn id(&self) -> NotifierId {
        match *self {
            Change::Insert { id, .. } | Change::Update { id, .. } | Change::Remove { id } => id,
        }
    }
}

/// One question to the set of notifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The overlapping notifier of the owner with the lowest start, ties by insertion: [`Answer::One`].
    Find {
        /// Whose notifiers.
        owner: Owner,
        /// Where.
        span: Span,
    },
    /// All overlapping notifiers of the owner, ascending by start, ties by insertion: [`Answer::Many`].
    FindAll {
        /// Whose notifiers.
        owner: Owner,
        /// Where.
        span: Span,
    },
    /// All notifiers of the owner that cover all of the span, in the same order: [`Answer::Many`].
    Containing {
        /// Whose notifiers.
        owner: Owner,
        /// What must be covered.
        span: Span,
    },
    /// All overlapping notifiers of all owners, by owner and then in the same order: [`Answer::Many`].
    Overlapping {
        /// Where.
        span: Span,
    },
    /// The notifier with the least start above the address, ties: the one inserted first: [`Answer::One`].
    FirstAfter {
        /// Whose notifiers.
        owner: Owner,
        /// The start is above this.
        address: u64,
    },
    /// The notifier with the greatest start below the address, ties: the one inserted last: [`Answer::One`].
    LastBefore {
        /// Whose notifiers.
        owner: Owner,
        /// The start is below this.
        address: u64,
    },
    /// The widest span around the address that no notifier of the owner touches: [`Answer::Gap`].
    GapAt {
        /// Whose notifiers.
        owner: Owner,
        /// The address that must be free.
        address: u64,
    },
    /// A [`Query::Find`] for each span, all in one version: [`Answer::Each`].
    FindMany {
        /// Whose notifiers.
        owner: Owner,
        /// Where.
        spans: Vec<Span>,
    },
    /// How many notifiers there are: [`Answer::Count`].
    Len,
    /// How many notifiers the owner has: [`Answer::Count`].
    LenOf {
        /// Whose notifiers.
        owner: Owner,
    },
}

/// One step of a history: what property tests generate and what replay replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// One change, which makes one version.
    Change(Change),
    /// Several changes, in this order, which make one version or, if one of them is refused, none.
    Batch(Vec<Change>),
    /// A question, which makes no version.
    Query(Query),
}

/// What an operation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The version that the change or the batch made.
    Version(u64),
    /// What the query found.
    Answer(Answer),
}

/// What a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One notifier, or none.
    One(Option<Found>),
    /// Notifiers in the order that the query promises.
    Many(Vec<Found>),
    /// One notifier or none for each span that was asked for.
    Each(Vec<Option<Found>>),
    /// An untouched span; `None` if the address is covered.
    Gap(Option<Span>),
    /// A number of notifiers.
    Count(usize),
}

/// Why a change was refused; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The id is registered already.
    Duplicate(NotifierId),
    /// The id is not registered.
    Unknown(NotifierId),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Duplicate(id) => write!(formatter, "notifier {id} is registered already"),
            Refused::Unknown(id) => write!(formatter, "notifier {id} is not registered"),
        }
    }
}

impl std::error::Error for Refused {}

/// The reference model.
///
/// ```
/// use stress::model::{Answer, Change, Model, Query};
/// use stress::span::Span;
///
/// let mut model = Model::new();
/// let span = Span::between(0x1000, 0x1fff);
/// assert_eq!(model.change(Change::Insert { owner: 0, id: 7, span }), Ok(1));
/// let Answer::One(Some(found)) = model.answer(&Query::Find { owner: 0, span: Span::point(0x1234) }) else { panic!() };
/// assert_eq!(found.id, 7);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    notifiers: Vec<Found>,
    version: u64,
}

impl Model {
    /// A model without notifiers, at version 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// A model that starts at another version, to follow an index that has a past.
    pub fn starting_at(version: u64) -> Self {
        Model { notifiers: Vec::new(), version }
    }

    /// The version that the last change made.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All notifiers, in order of insertion.
    pub fn notifiers(&self) -> &[Found] {
        &self.notifiers
    }

    /// Does one operation.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed.
    pub fn apply(&mut self, operation: &Operation) -> Result<Effect, Refused> {
        match operation {
            Operation::Change(change) => self.change(*change).map(Effect::Version),
            Operation::Batch(changes) => self.batch(changes).map(Effect::Version),
            Operation::Query(query) => Ok(Effect::Answer(self.answer(query))),
        }
    }

    /// Does one change and returns the version that it made.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed.
    pub fn change(&mut self, change: Change) -> Result<u64, Refused> {
        self.edit(change)?;
        self.version += 1;
        Ok(self.version)
    }

    /// Does all changes as one version and returns it; a batch of nothing makes no version and returns the last one.
    ///
    /// # Errors
    /// [`Refused`] for the first change that cannot be done, with nothing changed.
    pub fn batch(&mut self, changes: &[Change]) -> Result<u64, Refused> {
        let before = self.notifiers.clone();
        for change in changes {
            if let Err(refused) = self.edit(*change) {
                self.notifiers = before;
                return Err(refused);
            }
        }
        self.version += u64::from(!changes.is_empty());
        Ok(self.version)
    }

    fn edit(&mut self, change: Change) -> Result<(), Refused> {
        let place = self.notifiers.iter().position(|notifier| notifier.id == change.id());
        match (change, place) {
            (Change::Insert { id, .. }, Some(_)) => return Err(Refused::Duplicate(id)),
            (Change::Insert { owner, id, span }, None) => self.notifiers.push(Found { owner, id, span }),
            (Change::Update { span, .. }, Some(place)) => self.notifiers[place].span = span,
            (Change::Remove { .. }, Some(place)) => drop(self.notifiers.remove(place)),
            (Change::Update { id, .. } | Change::Remove { id }, None) => return Err(Refused::Unknown(id)),
        }
        Ok(())
    }

    /// Answers a query by looking at every notifier.
    pub fn answer(&self, query: &Query) -> Answer {
        match *query {
            Query::Find { owner, span } => Answer::One(self.find(owner, span)),
            Query::FindAll { owner, span } => Answer::Many(self.sorted(owner, |found| found.span.overlaps(span))),
            Query::Containing { owner, span } => Answer::Many(self.sorted(owner, |found| found.span.covers(span))),
            Query::Overlapping { span } => Answer::Many(self.overlapping(span)),
            Query::FirstAfter { owner, address } => {
                Answer::One(self.sorted(owner, |found| found.span.start() > address).first().copied())
            }
            Query::LastBefore { owner, address } => {
                Answer::One(self.sorted(owner, |found| found.span.start() < address).last().copied())
            }
            Query::GapAt { owner, address } => Answer::Gap(self.gap_at(owner, address)),
            Query::FindMany { owner, ref spans } => {
                Answer::Each(spans.iter().map(|span| self.find(owner, *span)).collect())
            }
            Query::Len => Answer::Count(self.notifiers.len()),
            Query::LenOf { owner } => Answer::Count(self.sorted(owner, |_| true).len()),
        }
    }

    fn find(&self, owner: Owner, span: Span) -> Option<Found> {
        self.sorted(owner, |found| found.span.overlaps(span)).first().copied()
    }

    /// The owner's notifiers that satisfy the condition, ascending by start, ties by insertion (the sort is stable).
    fn sorted(&self, owner: Owner, condition: impl Fn(&Found) -> bool) -> Vec<Found> {
        let chosen = self.notifiers.iter().filter(|found| found.owner == owner && condition(found));
        let mut chosen: Vec<Found> = chosen.copied().collect();
        chosen.sort_by_key(|found| found.span.start());
        chosen
    }

    fn overlapping(&self, span: Span) -> Vec<Found> {
        let chosen = self.notifiers.iter().filter(|found| found.span.overlaps(span));
        let mut chosen: Vec<Found> = chosen.copied().collect();
        chosen.sort_by_key(|found| (found.owner, found.span.start()));
        chosen
    }

    fn gap_at(&self, owner: Owner, address: u64) -> Option<Span> {
        let (mut start, mut last) = (0, u64::MAX);
        for found in self.notifiers.iter().filter(|found| found.owner == owner) {
            if found.span.contains(address) {
                return None;
            }
            if found.span.last() < address {
                start = start.max(found.span.last() + 1);
            } else {
                last = last.min(found.span.start() - 1);
            }
        }
        Span::new(start, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(id: NotifierId, start: u64, last: u64) -> Change {
        Change::Insert { owner: 0, id, span: Span::between(start, last) }
    }

    fn model(changes: &[Change]) -> Model {
        let mut model = Model::new();
        changes.iter().for_each(|change| assert!(model.change(*change).is_ok()));
        model
    }

    fn ids(answer: Answer) -> Vec<NotifierId> {
        match answer {
            Answer::One(found) => found.iter().map(|found| found.id).collect(),
            Answer::Many(found) => found.iter().map(|found| found.id).collect(),
            other => panic!("{other:?} has no ids"),
        }
    }

    #[test]
    fn ties_of_start_go_by_insertion_also_after_an_update() {
        let mut model = model(&[insert(3, 10, 20), insert(1, 10, 12), insert(2, 5, 50)]);
        model.change(Change::Update { id: 3, span: Span::between(0, 1) }).unwrap();
        model.change(Change::Update { id: 3, span: Span::between(10, 11) }).unwrap();
        assert_eq!(ids(model.answer(&Query::FindAll { owner: 0, span: Span::point(10) })), [2, 3, 1]);
        assert_eq!(ids(model.answer(&Query::Find { owner: 0, span: Span::point(10) })), [2]);
        assert_eq!(ids(model.answer(&Query::FirstAfter { owner: 0, address: 9 })), [3]);
        assert_eq!(ids(model.answer(&Query::LastBefore { owner: 0, address: 11 })), [1]);
        assert_eq!(ids(model.answer(&Query::Containing { owner: 0, span: Span::between(11, 12) })), [2, 1]);
    }

    #[test]
    fn a_refused_batch_changes_nothing_and_a_batch_is_one_version() {
        let mut model = model(&[insert(1, 0, 9)]);
        let refused = model.batch(&[Change::Remove { id: 1 }, Change::Remove { id: 8 }]);
        assert_eq!((refused, model.version(), model.notifiers().len()), (Err(Refused::Unknown(8)), 1, 1));
        assert_eq!(model.batch(&[Change::Remove { id: 1 }, insert(2, 0, 4), insert(3, 5, 9)]), Ok(2));
        assert_eq!(model.batch(&[]), Ok(2));
        assert_eq!(model.change(insert(2, 0, 1)), Err(Refused::Duplicate(2)));
    }

    #[test]
    fn gaps_reach_to_the_neighbours_and_to_the_ends() {
        let model = model(&[insert(1, 10, 20), insert(2, 30, u64::MAX)]);
        let gap = |address| model.answer(&Query::GapAt { owner: 0, address });
        assert_eq!(gap(5), Answer::Gap(Span::new(0, 9)));
        assert_eq!(gap(25), Answer::Gap(Span::new(21, 29)));
        assert_eq!((gap(10), gap(u64::MAX)), (Answer::Gap(None), Answer::Gap(None)));
        assert_eq!(model.answer(&Query::GapAt { owner: 1, address: 10 }), Answer::Gap(Some(Span::FULL)));
    }

    #[test]
    fn owners_are_separate() {
        let mut model = model(&[insert(1, 10, 20)]);
        model.change(Change::Insert { owner: 1, id: 2, span: Span::FULL }).unwrap();
        assert_eq!(ids(model.answer(&Query::Find { owner: 1, span: Span::point(15) })), [2]);
        assert_eq!(ids(model.answer(&Query::Overlapping { span: Span::point(15) })), [1, 2]);
        assert_eq!(model.answer(&Query::LenOf { owner: 1 }), Answer::Count(1));
        assert_eq!(model.apply(&Operation::Query(Query::Len)), Ok(Effect::Answer(Answer::Count(2))));
    }
}
