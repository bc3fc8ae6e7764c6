//! Free stretches, against a search of every address.

use notifier_index::{Interval, NotifierIndex};
use proptest::prelude::*;

use crate::canary::Canary;
use crate::turn::together;

/// Addresses of the small world, which stands at both ends of the address space.
const WIDTH: u64 = 24;

fn brute_force(taken: &[Interval], len: u64, align: u64, within: Interval) -> Option<Interval> {
    let starts = within.start()..=within.last();
    let stretches =
        starts.filter(|start| start % align == 0).filter_map(|start| Interval::from_start_len(start, len).ok());
    let mut free =
        stretches.filter(|stretch| within.covers(*stretch) && taken.iter().all(|one| !one.overlaps(*stretch)));
    free.next()
}

proptest! {
    #[test]
    fn a_gap_is_the_lowest_that_is_free(
        ends in prop::collection::vec((0..WIDTH, 0..WIDTH), 0..6),
        bounds in (0..WIDTH, 0..WIDTH),
        len in 1..=WIDTH,
        align in 1..=8_u64,
        is_high in any::<bool>(),
    ) {
        let _turn = together();
        let base = if is_high { u64::MAX - (WIDTH - 1) } else { 0 };
        let interval = |(a, b): (u64, u64)| Interval::new(base + a.min(b), base + a.max(b)).unwrap();
        let index = NotifierIndex::new();
        let ops = index.register_passive_ops();
        let taken: Vec<Interval> = ends.into_iter().map(interval).collect();
        let _all: Vec<_> = taken.iter().map(|at| index.insert(&ops, *at, Canary::new(1)).unwrap()).collect();
        let within = interval(bounds);
        let found = index.pin().view().find_gap(&ops, len, align, within);
        prop_assert_eq!(found, brute_force(&taken, len, align, within));
    }
}

#[test]
fn gaps_reach_both_ends_of_the_address_space() {
    let _turn = together();
    let index = NotifierIndex::new();
    let ops = index.register_passive_ops::<u64>();
    let gap = |len, align, within: Interval| index.pin().view().find_gap(&ops, len, align, within);
    assert_eq!(gap(u64::MAX, 1, Interval::FULL), Interval::new(0, u64::MAX - 1).ok());
    assert_eq!(gap(1, u64::MAX, Interval::from(1..)), Some(Interval::point(u64::MAX)));
    assert_eq!((gap(0, 1, Interval::FULL), gap(2, 1, Interval::point(7))), (None, None));
    assert_eq!(gap(5, 0, Interval::FULL), Interval::new(0, 4).ok());
    let _all = index.insert(&ops, Interval::FULL, 1).unwrap();
    assert_eq!(index.pin().view().find_gap(&ops, 1, 1, Interval::FULL), None);
}
