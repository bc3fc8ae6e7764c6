//! Sections without a slot are noted for each index by itself: what a thread has in one index is no hindrance in another.

use std::time::Duration;

use notifier_index::{BeginError, Interval, Invalidation, NotifierIndex};

use crate::support::{Gate, UNMAP, between, deadline};

/// More sections at once than the table has slots for, and so many more that a list of them would be full too.
const MANY: u64 = if cfg!(tiny_nodes) { 12 } else { 200 };

fn overflowing(index: &NotifierIndex) -> Vec<Invalidation<'_>> {
    (0..MANY).map(|at| index.invalidate(Interval::point(at), UNMAP)).collect()
}

/// Opens the gate also when the test fails.
struct Opening<'g>(&'g Gate);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Runs `work` while another thread holds overflowing sections of `index`.
fn beside_overflowing_sections(index: &NotifierIndex, work: impl FnOnce()) {
    let (begun, done) = (Gate::default(), Gate::default());
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let sections = overflowing(index);
            begun.open();
            done.pass();
            drop(sections);
        });
        let opening = Opening(&done);
        begun.pass();
        work();
        drop(opening);
        holder.join().unwrap();
    });
}

#[test]
fn a_thread_waits_for_the_sections_of_others_whatever_it_has_elsewhere() {
    let _deadline = deadline();
    let (mine, theirs) = (NotifierIndex::new(), NotifierIndex::new());
    let (my_ops, their_ops) = (mine.register_passive_ops(), theirs.register_passive_ops());
    let far = between(1 << 20, 1 << 21);
    let (here, there) = (mine.insert(&my_ops, far, ()).unwrap(), theirs.insert(&their_ops, far, ()).unwrap());
    let sections = overflowing(&mine);
    beside_overflowing_sections(&theirs, || {
        let waited = there.read_begin_timeout(far, Duration::from_millis(5));
        assert_eq!(waited.unwrap_err(), BeginError::TimedOut, "it is another thread that ends them");
    });
    assert!(there.read_begin(far).is_ok());
    assert_eq!(here.read_begin(far).unwrap_err(), BeginError::WouldDeadlock);
    drop(sections);
    assert!(here.read_begin(far).is_ok());
}

/// The first of two indexes is left while the second is still held, and the other way round.
#[test]
fn the_end_in_one_index_leaves_the_other_noted() {
    let _deadline = deadline();
    let indexes = [NotifierIndex::new(), NotifierIndex::new()];
    let ops = indexes.each_ref().map(NotifierIndex::register_passive_ops);
    let far = between(1 << 20, 1 << 21);
    let inserted = [0, 1].map(|at| indexes[at].insert(&ops[at], far, ()).unwrap());
    for ends_first in [0, 1] {
        let mut sections = indexes.each_ref().map(overflowing);
        sections[ends_first].clear();
        assert!(inserted[ends_first].read_begin(far).is_ok());
        assert_eq!(inserted[1 - ends_first].read_begin(far).unwrap_err(), BeginError::WouldDeadlock);
        beside_overflowing_sections(&indexes[ends_first], || {
            let waited = inserted[ends_first].read_begin_timeout(far, Duration::from_millis(5));
            assert_eq!(waited.unwrap_err(), BeginError::TimedOut);
        });
    }
}
