//! The one comparison of the tree: a key against all slots of a node at once.
//!
//! Every search step asks which of a node's keys reach a bound, and gets the answer as a mask with one bit a
//! slot. There is one such *kernel* for each instruction set. A search is written once, generic over
//! [`Kernel`], as a [`Query`]; [`dispatch`] chooses the kernel, once for a whole descent, and runs the query
//! inside a function that is compiled for its instructions, so that the comparison is inlined into the loop:
//!
//! ```text
//! dispatch(query) ──> is there AVX-512? ─yes─> in_avx512(query) = query.run(Avx512)  <- all of the descent
//!                     is there AVX2?    ─yes─> in_avx2(query)   = query.run(Avx2)       is compiled for it
//!                                       ─no──>                    query.run(Portable)
//! ```
//!
//! A kernel for special instructions can only be had from its `detect`, hence calling it is safe:
//!
//! - **[K1]** A value of a kernel type exists only where the processor has the instructions of that kernel.
//! - **[K2]** A prefetch is a hint: it reads nothing and faults on no address.
//! - **[K3]** A vector is loaded only from an array of exactly its size, without asking for its alignment.

use super::node::CAPACITY;

/// One bit for each slot of a node, slot 0 lowest.
pub(super) type Mask = u32;

/// Compares all keys of a node with a bound. Keys are signed: AVX2 has no unsigned comparison.
pub(super) trait Kernel: Copy {
    /// The slots whose key is `bound` or more.
    fn at_least(self, keys: &[i64; CAPACITY], bound: i64) -> Mask;

    /// The slots whose key is more than `bound`.
    fn greater(self, keys: &[i64; CAPACITY], bound: i64) -> Mask;
}

/// A search that can run on any kernel, from a place in the tree. `run` should be `#[inline(always)]`.
///
/// Query and place are two arguments, so that each fits into registers: passed through memory, what was just
/// stored in parts would be loaded as one vector, for which the processor has to wait.
pub(super) trait Query<P> {
    type Answer;

    fn run<K: Kernel>(self, place: P, kernel: K) -> Self::Answer;
}

/// Runs `query` on the best kernel of this processor.
#[inline]
pub(super) fn dispatch<P, Q: Query<P>>(query: Q, place: P) -> Q::Answer {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(kernel) = x86::Avx512::detect() {
            return x86::run_in_avx512(query, place, kernel);
        }
        if let Some(kernel) = x86::Avx2::detect() {
            return x86::run_in_avx2(query, place, kernel);
        }
    }
    run_portable(query, place)
}

/// Out of line, as the others are, so that a caller of `dispatch` stays small.
#[inline(never)]
fn run_portable<P, Q: Query<P>>(query: Q, place: P) -> Q::Answer {
    query.run(place, Portable)
}

/// The kernel for every processor, without branches.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn at_least(self, keys: &[i64; CAPACITY], bound: i64) -> Mask {
        keys.iter().enumerate().fold(0, |mask, (slot, &key)| mask | (Mask::from(key >= bound) << slot))
    }

    #[inline(always)]
    fn greater(self, keys: &[i64; CAPACITY], bound: i64) -> Mask {
        keys.iter().enumerate().fold(0, |mask, (slot, &key)| mask | (Mask::from(key > bound) << slot))
    }
}

/// Asks the processor to fetch the cache line at `address` soon. Any address will do.
#[inline(always)]
pub(super) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: [K2] A prefetch reads nothing and faults on no address; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{CAPACITY, Kernel, Mask, Query};
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_castsi256_pd, _mm256_cmpgt_epi64, _mm256_loadu_si256, _mm256_movemask_pd,
        _mm256_set1_epi64x, _mm512_mask_cmpge_epi64_mask, _mm512_mask_cmpgt_epi64_mask, _mm512_maskz_loadu_epi64,
        _mm512_set1_epi64,
    };

    /// The keys in a vector of AVX2.
    const LANES: usize = 4;
    /// The keys in a vector of AVX-512, at most as many as a node has.
    const WIDE_LANES: usize = if CAPACITY < 8 { CAPACITY } else { 8 };
    const WIDE_MASK: u8 = ((1u32 << WIDE_LANES) - 1) as u8;
    const EVERY_SLOT: Mask = (1 << CAPACITY) - 1;

    /// The kernel for AVX2: four keys at a time.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        /// The kernel, if this processor has AVX2 and BMI1. The answer is cached by the standard library.
        #[inline(always)]
        pub(in super::super) fn detect() -> Option<Avx2> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1")).then_some(Avx2(()))
        }
    }

    impl Kernel for Avx2 {
        #[inline(always)]
        fn at_least(self, keys: &[i64; CAPACITY], bound: i64) -> Mask {
            // SAFETY: [K1] `self` exists, so the processor has AVX2.
            EVERY_SLOT & !unsafe { less(keys, bound) }
        }

        #[inline(always)]
        fn greater(self, keys: &[i64; CAPACITY], bound: i64) -> Mask {
            // SAFETY: [K1] `self` exists, so the processor has AVX2.
            unsafe { greater(keys, bound) }
        }
    }

    /// Runs `query` in code compiled for AVX2.
    #[inline(always)]
    pub(super) fn run_in_avx2<P, Q: Query<P>>(query: Q, place: P, kernel: Avx2) -> Q::Answer {
        // SAFETY: [K1] `kernel` exists, so the processor has AVX2.
        unsafe { in_avx2(query, place, kernel) }
    }

    #[target_feature(enable = "avx2,bmi1")]
    fn in_avx2<P, Q: Query<P>>(query: Q, place: P, kernel: Avx2) -> Q::Answer {
        query.run(place, kernel)
    }

    /// The kernel for AVX-512: eight keys at a time, and the comparison gives the mask.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(());

    impl Avx512 {
        /// The kernel, if this processor has AVX-512 and BMI1. The answer is cached by the standard library.
        #[inline(always)]
        pub(in super::super) fn detect() -> Option<Avx512> {
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("bmi1")).then_some(Avx512(()))
        }
    }

    impl Kernel for Avx512 {
        #[inline(always)]
        fn at_least(self, keys: &[i64; CAPACITY], bound: i64) -> Mask {
            // SAFETY: [K1] `self` exists, so the processor has AVX-512.
            unsafe { wide_at_least(keys, bound) }
        }

        #[inline(always)]
        fn greater(self, keys: &[i64; CAPACITY], bound: i64) -> Mask {
            // SAFETY: [K1] `self` exists, so the processor has AVX-512.
            unsafe { wide_greater(keys, bound) }
        }
    }

    /// Runs `query` in code compiled for AVX-512.
    #[inline(always)]
    pub(super) fn run_in_avx512<P, Q: Query<P>>(query: Q, place: P, kernel: Avx512) -> Q::Answer {
        // SAFETY: [K1] `kernel` exists, so the processor has AVX-512.
        unsafe { in_avx512(query, place, kernel) }
    }

    #[target_feature(enable = "avx512f,bmi1")]
    fn in_avx512<P, Q: Query<P>>(query: Q, place: P, kernel: Avx512) -> Q::Answer {
        query.run(place, kernel)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_at_least(keys: &[i64; CAPACITY], bound: i64) -> Mask {
        let bound = _mm512_set1_epi64(bound);
        let mut mask = 0;
        for (group, eight) in keys.as_chunks::<WIDE_LANES>().0.iter().enumerate() {
            let reached = _mm512_mask_cmpge_epi64_mask(WIDE_MASK, load_wide(eight), bound);
            mask |= Mask::from(reached) << (group * WIDE_LANES);
        }
        mask
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn wide_greater(keys: &[i64; CAPACITY], bound: i64) -> Mask {
        let bound = _mm512_set1_epi64(bound);
        let mut mask = 0;
        for (group, eight) in keys.as_chunks::<WIDE_LANES>().0.iter().enumerate() {
            let exceeded = _mm512_mask_cmpgt_epi64_mask(WIDE_MASK, load_wide(eight), bound);
            mask |= Mask::from(exceeded) << (group * WIDE_LANES);
        }
        mask
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_wide(eight: &[i64; WIDE_LANES]) -> __m512i {
        // SAFETY: [K3] The mask lets through as many keys as the array has, and the load needs no alignment.
        unsafe { _mm512_maskz_loadu_epi64(WIDE_MASK, eight.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn less(keys: &[i64; CAPACITY], bound: i64) -> Mask {
        let bound = _mm256_set1_epi64x(bound);
        let mut mask = 0;
        for (group, four) in keys.as_chunks::<LANES>().0.iter().enumerate() {
            mask |= bits(_mm256_cmpgt_epi64(bound, load(four))) << (group * LANES);
        }
        mask
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn greater(keys: &[i64; CAPACITY], bound: i64) -> Mask {
        let bound = _mm256_set1_epi64x(bound);
        let mut mask = 0;
        for (group, four) in keys.as_chunks::<LANES>().0.iter().enumerate() {
            mask |= bits(_mm256_cmpgt_epi64(load(four), bound)) << (group * LANES);
        }
        mask
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(four: &[i64; LANES]) -> __m256i {
        // SAFETY: [K3] The array holds exactly the 32 bytes that are read, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(four.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bits(lanes: __m256i) -> Mask {
        _mm256_movemask_pd(_mm256_castsi256_pd(lanes)) as Mask
    }
}
