//! Which kernels this processor is given: those that the standard library says it has.

use super::super::simd::x86::{Avx2, Avx512};

#[test]
fn a_kernel_is_had_where_the_processor_has_it() {
    let with_bits = |vectors: bool| vectors && is_x86_feature_detected!("bmi1");
    assert_eq!(Avx2::detect().is_some(), with_bits(is_x86_feature_detected!("avx2")));
    assert_eq!(Avx512::detect().is_some(), with_bits(is_x86_feature_detected!("avx512f")));
}
