//! Synthetic sets of intervals, and what is asked of them.
//!
//! The address space is cut into windows of equal size, one for each notifier; the notifier's name is its window's
//! number. All draws are deterministic in the generator that is passed in, queries are drawn independently of the
//! content and of the order of insertion (which is shuffled).
//!
//! ```text
//!   disjoint      | ####       |    #######  | ########    |   5 to 9 of 10 pages, the last page always free:
//!                   window 0      window 1      window 2       a random address misses 3 times in 10
//!   overlap       | ####       | #########################     1, 2, 4, .. 64 pages, one begins each 4 pages: about
//!                   window 0      window 1 ...                 four and a half deep
//!   adversarial   | ############### owner 0: each hundredth, from the first 1 % to the last 1 % ############# |
//!                 | ####       |    #######  | ########    |   owner 1: the others, as in `disjoint`
//! ```

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::cli::Shape;
use crate::span::{Found, NotifierId, Owner, Span};

/// The generator of all draws.
pub type Draws = Xoshiro256PlusPlus;

const PAGE: u64 = 4096;
/// Where the first window begins: not at zero, so that there is something below.
const BASE: u64 = 1 << 32;
/// Pages of a window of the shapes `disjoint` and `adversarial`; the last one stays free.
const WINDOW_PAGES: u64 = 10;
/// Pages of a window of the shape `overlap`, in which its notifier begins.
const OVERLAP_WINDOW_PAGES: u64 = 4;
/// `overlap` has sizes of one page shifted left by less than this.
const OVERLAP_SIZE_COUNT: u32 = 7;
/// In `adversarial` one in so many spans nearly everything.
const LONG_ONE_IN: u64 = 100;
/// A query is one address, or goes to the end of the address's cache line.
const LINE: u64 = 64;

/// The owner of the long ones of `adversarial`, and of everything in the other shapes.
pub const FIRST_OWNER: Owner = 0;
/// The owner of the short ones of `adversarial`.
pub const SECOND_OWNER: Owner = 1;

/// A shape and a size.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    shape: Shape,
    notifier_count: u64,
}

/// The generator of one thread in one round, independent of all others.
pub fn draws(seed: u64, stream: u64) -> Draws {
    let mut draws = Draws::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    draws.jump();
    draws
}

/// A number below the bound, equally likely but for a part in 2^64 of it: a multiplication, no division.
#[inline]
fn below(draws: &mut Draws, bound: u64) -> u64 {
    ((u128::from(draws.next_u64()) * u128::from(bound)) >> 64) as u64
}

impl Workload {
    /// A workload of this shape with so many notifiers.
    pub fn new(shape: Shape, notifier_count: usize) -> Self {
        Workload { shape, notifier_count: notifier_count as u64 }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The owners that have notifiers.
    pub fn owners(&self) -> &'static [Owner] {
        match self.shape {
            Shape::Disjoint | Shape::Overlap => &[FIRST_OWNER],
            Shape::Adversarial => &[FIRST_OWNER, SECOND_OWNER],
        }
    }

    /// Whom a notifier belongs to.
    pub fn owner_of(&self, id: NotifierId) -> Owner {
        if self.shape == Shape::Adversarial && !is_long(id) { SECOND_OWNER } else { FIRST_OWNER }
    }

    /// The content to begin with, in a random order of insertion.
    pub fn content(&self, seed: u64) -> Vec<Found> {
        let mut draws = draws(seed, u64::MAX);
        let mut ids: Vec<NotifierId> = (0..self.notifier_count).collect();
        ids.shuffle(&mut draws);
        let notifier = |id| Found { owner: self.owner_of(id), id, span: self.bounds(id, &mut draws) };
        ids.into_iter().map(notifier).collect()
    }

    /// Draws bounds for a notifier: at first and at each update. Those of two notifiers of `disjoint` never overlap.
    pub fn bounds(&self, id: NotifierId, draws: &mut Draws) -> Span {
        match self.shape {
            Shape::Disjoint => self.within_window(id, draws),
            Shape::Overlap => self.over_windows(id, draws),
            Shape::Adversarial if is_long(id) => self.over_nearly_everything(draws),
            Shape::Adversarial => self.within_window(id, draws),
        }
    }

    /// Draws a question: whose, and where.
    #[inline]
    pub fn query(&self, draws: &mut Draws) -> (Owner, Span) {
        let address = BASE + below(draws, self.byte_count());
        let choice = draws.next_u32();
        let last = if choice & 1 == 0 { address } else { address | (LINE - 1) };
        let owner = if choice & 2 == 2 && self.shape == Shape::Adversarial { SECOND_OWNER } else { FIRST_OWNER };
        (owner, Span::between(address, last))
    }

    fn window_bytes(&self) -> u64 {
        let pages = if self.shape == Shape::Overlap { OVERLAP_WINDOW_PAGES } else { WINDOW_PAGES };
        pages * PAGE
    }

    fn byte_count(&self) -> u64 {
        self.notifier_count * self.window_bytes()
    }

    fn within_window(&self, id: NotifierId, draws: &mut Draws) -> Span {
        let page_count = draws.random_range(WINDOW_PAGES / 2..WINDOW_PAGES);
        let first_page = draws.random_range(0..WINDOW_PAGES - page_count);
        let start = BASE + id * self.window_bytes() + first_page * PAGE;
        Span::between(start, start + page_count * PAGE - 1)
    }

    fn over_windows(&self, id: NotifierId, draws: &mut Draws) -> Span {
        let page_count = 1_u64 << draws.random_range(0..OVERLAP_SIZE_COUNT);
        let first_page = draws.random_range(0..OVERLAP_WINDOW_PAGES);
        let start = BASE + id * self.window_bytes() + first_page * PAGE;
        Span::between(start, start + page_count * PAGE - 1)
    }

    fn over_nearly_everything(&self, draws: &mut Draws) -> Span {
        let margin = (self.byte_count() / 100).max(PAGE);
        let start = BASE + below(draws, margin);
        let last = BASE + self.byte_count() - 1 - below(draws, margin);
        Span::between(start & !(PAGE - 1), last | (PAGE - 1))
    }
}

fn is_long(id: NotifierId) -> bool {
    id.is_multiple_of(LONG_ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fast_model::FastModel;
    use crate::model::{Answer, Change, Query};

    const SHAPES: [Shape; 3] = [Shape::Disjoint, Shape::Overlap, Shape::Adversarial];

    fn model(workload: &Workload, seed: u64) -> FastModel {
        let mut model = FastModel::new();
        for Found { owner, id, span } in workload.content(seed) {
            model.change(Change::Insert { owner, id, span }).unwrap();
        }
        model
    }

    fn mean_depth(workload: &Workload, owner: Owner) -> (f64, f64) {
        let (model, mut draws) = (model(workload, 1), draws(2, 0));
        let depths: Vec<usize> = (0..20_000)
            .map(|_| Query::FindAll { owner, span: Span::point(workload.query(&mut draws).1.start()) })
            .map(|query| match model.answer(&query) {
                Answer::Many(found) => found.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        let miss_count = depths.iter().filter(|depth| **depth == 0).count();
        let count = depths.len() as f64;
        (depths.iter().sum::<usize>() as f64 / count, miss_count as f64 / count)
    }

    #[test]
    fn equal_seeds_give_equal_sets_and_others_do_not() {
        for shape in SHAPES {
            let workload = Workload::new(shape, 200);
            assert_eq!(workload.content(7), workload.content(7));
            assert_ne!(workload.content(7), workload.content(8));
        }
    }

    #[test]
    fn disjoint_stays_disjoint_through_updates() {
        let workload = Workload::new(Shape::Disjoint, 50);
        let mut draws = draws(3, 0);
        let mut content = workload.content(3);
        for _ in 0..100 {
            content.iter_mut().for_each(|found| found.span = workload.bounds(found.id, &mut draws));
            let mut spans: Vec<Span> = content.iter().map(|found| found.span).collect();
            spans.sort();
            assert!(spans.windows(2).all(|pair| pair[0].last() < pair[1].start()));
            assert!(spans.iter().all(|span| span.start() % PAGE == 0 && (span.last() + 1).is_multiple_of(PAGE)));
        }
    }

    #[test]
    fn three_queries_in_ten_miss_a_disjoint_set() {
        let (_, misses) = mean_depth(&Workload::new(Shape::Disjoint, 1000), FIRST_OWNER);
        assert!((0.28..0.32).contains(&misses), "{misses}");
    }

    #[test]
    fn overlap_is_about_four_deep() {
        let (depth, _) = mean_depth(&Workload::new(Shape::Overlap, 1000), FIRST_OWNER);
        assert!((3.5..5.0).contains(&depth), "{depth}");
    }

    #[test]
    fn adversarial_has_one_in_a_hundred_over_nearly_everything() {
        let workload = Workload::new(Shape::Adversarial, 1000);
        let (depth, misses) = mean_depth(&workload, FIRST_OWNER);
        assert!((9.5..=10.0).contains(&depth) && misses < 0.01, "{depth} {misses}");
        let (depth, misses) = mean_depth(&workload, SECOND_OWNER);
        assert!(depth <= 1.0 && (0.28..0.34).contains(&misses), "{depth} {misses}");
    }

    #[test]
    fn the_smallest_sets_can_be_drawn_from() {
        for shape in SHAPES {
            let workload = Workload::new(shape, 1);
            assert_eq!(workload.content(1).len(), 1);
            workload.query(&mut draws(1, 1));
        }
    }
}
