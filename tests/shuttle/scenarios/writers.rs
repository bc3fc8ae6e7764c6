//! Three writers on few keys: what they did, in the order of its versions, is what the reference model does.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use notifier_index::{Interval, NotifierIndex, Ops, Registration};

use crate::model::{Answer, Change, Effect, Model, Operation, Query};
use crate::near;
use crate::runner::Scenario;
use crate::span::{Found, Span};
use crate::support::{draw, draw_range, step};

pub(crate) const SCENARIO: Scenario = Scenario {
    name: "writers_lose_nothing",
    twins: &["lost_update", "early_free"],
    near_misses: &["lost races", "queries overtaken", "batches"],
    run,
};

const ADDRESSES: u64 = 8;
const SHARED: u64 = 2;
const WRITERS: u64 = 3;

struct World {
    index: NotifierIndex,
    ops: Ops<u64>,
    changes: Mutex<Vec<(u64, Operation)>>,
    queries: Mutex<Vec<(u64, Query, Answer)>>,
    /// The greatest version that a change has returned: whoever asks after that sees no older one.
    floor: AtomicU64,
}

fn span(interval: Interval) -> Span {
    Span::between(interval.start(), interval.last())
}

fn insertion(id: u64, interval: Interval) -> Change {
    Change::Insert { owner: 0, id, span: span(interval) }
}

impl World {
    fn done(&self, version: u64, operation: Operation) {
        self.changes.lock().unwrap().push((version, operation));
        self.floor.fetch_max(version, SeqCst);
    }

    fn changed(&self, version: u64, change: Change) {
        self.done(version, Operation::Change(change));
    }

    fn insert(&self, id: u64) -> Registration<u64> {
        let bounds = draw_range(ADDRESSES);
        let registration = self.index.insert(&self.ops, bounds, id).unwrap();
        self.changed(registration.version(), insertion(id, bounds));
        registration
    }

    fn update(&self, registration: &Registration<u64>) {
        let bounds = draw_range(ADDRESSES);
        let version = registration.update(bounds).unwrap();
        self.changed(version, Change::Update { id: *registration.payload(), span: span(bounds) });
    }

    /// Moves a shared one and inserts one, at once.
    fn commit(&self, registration: &Registration<u64>, id: u64) -> Registration<u64> {
        let (moved, new) = (draw_range(ADDRESSES), draw_range(ADDRESSES));
        let mut batch = self.index.batch();
        batch.update(registration, moved).unwrap();
        let key = batch.insert(&self.ops, new, id).unwrap();
        let mut committed = batch.commit().unwrap();
        let update = Change::Update { id: *registration.payload(), span: span(moved) };
        self.done(committed.version(), Operation::Batch(vec![update, insertion(id, new)]));
        near::miss("batches");
        committed.take(key).unwrap()
    }

    fn ask(&self) {
        let asked = draw_range(ADDRESSES);
        let query = Query::FindAll { owner: 0, span: span(asked) };
        let floor = self.floor.load(SeqCst);
        let guard = self.index.pin();
        let view = guard.view();
        assert!(view.version() >= floor, "version {} after {floor}", view.version());
        let hits = view.find_all(&self.ops, asked).inspect(|_| step());
        let found = hits.map(|hit| Found { owner: 0, id: *hit.payload(), span: span(hit.interval()) });
        let answer = Answer::Many(found.collect());
        near::miss_times("queries overtaken", u64::from(self.index.version() > view.version()));
        self.queries.lock().unwrap().push((view.version(), query, answer));
    }

    /// The operations of one writer, whose own notifiers have numbers from `id` on.
    fn write(&self, shared: &[Registration<u64>], id: u64) {
        let one = || &shared[draw(SHARED) as usize];
        self.ask();
        let own = match draw(2) {
            0 => self.insert(id),
            _ => self.commit(one(), id),
        };
        self.ask();
        self.update(one());
        self.ask();
        let removed = own.remove_deferred().unwrap().version();
        self.changed(removed, Change::Remove { id });
    }

    /// Does all of it again, on the model.
    fn replay(self, begun_at: u64) {
        let mut model = Model::starting_at(begun_at);
        let (mut changes, mut queries) = (self.changes.into_inner().unwrap(), self.queries.into_inner().unwrap());
        changes.sort_by_key(|(version, _)| *version);
        queries.sort_by_key(|(version, ..)| *version);
        let mut queries = queries.into_iter().peekable();
        for (version, operation) in changes {
            let effect = model.apply(&operation).expect("possible in this order");
            assert_eq!(effect, Effect::Version(version), "{operation:?}");
            while let Some((_, query, answer)) = queries.next_if(|(seen_at, ..)| *seen_at == version) {
                assert_eq!(answer, model.answer(&query), "{query:?} at version {version}");
            }
        }
        assert_eq!(queries.next(), None, "at a version that nobody made");
        let snapshot = self.index.snapshot();
        assert_eq!((snapshot.view().version(), snapshot.view().check()), (model.version(), Ok(())));
        let hits = snapshot.find_all(&self.ops, Interval::FULL);
        let found = hits.map(|hit| Found { owner: 0, id: *hit.payload(), span: span(hit.interval()) });
        assert_eq!(Answer::Many(found.collect()), model.answer(&Query::FindAll { owner: 0, span: Span::FULL }));
    }
}

fn run() {
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops();
    let world = World { index, ops, changes: Mutex::default(), queries: Mutex::default(), floor: AtomicU64::new(0) };
    let begun_at = world.index.version();
    let shared: Vec<_> = (0..SHARED).map(|id| world.insert(id)).collect();
    shuttle::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (world, shared) = (&world, &shared);
            scope.spawn(move || world.write(shared, 10 + writer));
        }
    });
    near::miss_times("lost races", world.index.stats().lost_races);
    world.replay(begun_at);
}
