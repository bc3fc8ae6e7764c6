//! All kernels give the same answers, and those of the definition.

use super::super::node::CAPACITY;
use super::super::search::{Bounds, FirstReaching};
use super::super::simd::{Kernel, Mask, Portable, Query};
use super::model::item;
use super::world::World;
use crate::interval::Interval;
use proptest::prelude::*;

/// The answers of one kernel: at least, greater.
struct Compare<'k> {
    keys: &'k [i64; CAPACITY],
    bound: i64,
}

impl Query<()> for Compare<'_> {
    type Answer = (Mask, Mask);

    #[inline(always)]
    fn run<K: Kernel>(self, (): (), kernel: K) -> (Mask, Mask) {
        (kernel.at_least(self.keys, self.bound), kernel.greater(self.keys, self.bound))
    }
}

/// Runs a query on each kernel of this processor.
fn on_every_kernel<P: Copy, Q: Query<P>>(query: impl Fn() -> Q, place: P) -> Vec<Q::Answer> {
    let mut answers = vec![query().run(place, Portable)];
    #[cfg(target_arch = "x86_64")]
    {
        use super::super::simd::x86::{Avx2, Avx512};
        answers.extend(Avx2::detect().map(|kernel| query().run(place, kernel)));
        answers.extend(Avx512::detect().map(|kernel| query().run(place, kernel)));
    }
    answers
}

fn key() -> impl Strategy<Value = i64> {
    prop_oneof![-4..4i64, Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

proptest! {
    #[test]
    fn every_kernel_compares_as_defined(keys in prop::collection::vec(key(), CAPACITY), bound in key()) {
        let keys: [i64; CAPACITY] = keys.try_into().expect("as many as a node has");
        let bits = |holds: &dyn Fn(i64) -> bool| {
            (0..CAPACITY).filter(|&slot| holds(keys[slot])).fold(0, |mask: Mask, slot| mask | 1 << slot)
        };
        let expected = (bits(&|key| key >= bound), bits(&|key| key > bound));
        for answer in on_every_kernel(|| Compare { keys: &keys, bound }, ()) {
            prop_assert_eq!(answer, expected);
        }
    }

    #[test]
    fn every_kernel_finds_the_same(
        starts in prop::collection::vec(0..500u64, 1..200),
        queries in prop::collection::vec((0..520u64, 0..9u64), 20),
    ) {
        let world = World::of(starts.iter().map(|&start| Interval::from_ordered(start, start + start % 7)));
        for (start, more) in queries {
            let query = Interval::from_ordered(start, start + more);
            let bounds = Bounds::of(query);
            let Some(root) = world.tree_ref().root_if_reached(bounds) else { continue };
            for answer in on_every_kernel(|| FirstReaching(bounds.start), root) {
                let found = answer.and_then(|spot| spot.slot_if_begun(bounds.last));
                prop_assert_eq!(found.map(item), world.model.first_overlap(query));
            }
        }
    }
}
