//! Wrap the few vector operations that the kernels need: on x86-64 AVX2 with 8 lanes and AVX-512 with 16.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

/// Columns of a panel of packed weights, and of one micro-tile.
pub(super) const PANEL: usize = 16;

/// One width of vectors. A method may run only where the processor has the width's instructions, and a pointer must be good
/// for [`Simd::LANES`] numbers.
pub(super) trait Simd {
    /// [`Simd::LANES`] numbers.
    type V: Copy;
    /// Numbers per vector, a divisor of [`PANEL`].
    const LANES: usize;

    unsafe fn zero() -> Self::V;
    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, value: Self::V);
    /// Bring a cache line nearer; `at` may lie anywhere.
    unsafe fn prefetch(at: *const f32);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller, and b where one is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// The larger, and b where one is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `positive` where `by` > 0, `other` elsewhere (also where `by` is NaN).
    unsafe fn choose(by: Self::V, positive: Self::V, other: Self::V) -> Self::V;
    /// 2ᵏ for the whole number k in [−126, 127] that the lowest bits of `shifted` = 1.5 · 2²³ + k hold.
    unsafe fn power_of_two(shifted: Self::V) -> Self::V;

    /// `value` where `by` > 0, `value · slope` elsewhere (also where `by` is NaN).
    #[inline(always)]
    unsafe fn leaky(value: Self::V, by: Self::V, slope: Self::V) -> Self::V {
        // SAFETY: the caller's.
        unsafe { Self::choose(by, value, Self::mul(value, slope)) }
    }
}

#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
pub(super) use x86::{Avx2, Avx512};

#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// AVX2 and FMA.
    pub(in crate::cpu) struct Avx2;

    /// AVX-512F.
    pub(in crate::cpu) struct Avx512;

    /// Operations that are one instruction each, and two that are not.
    macro_rules! simd {
        (
            $name:ty, $vector:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $zero:ident,
            $choose:ident, $power_of_two:ident,
            $($operation:ident: $instruction:ident),*
        ) => {
            impl Simd for $name {
                type V = $vector;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn zero() -> $vector {
                    // SAFETY: the trait's callers have the instructions.
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn prefetch(at: *const f32) {
                    // SAFETY: a hint; it reads nothing.
                    unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
                }
                #[inline(always)]
                unsafe fn splat(value: f32) -> $vector {
                    // SAFETY: as above.
                    unsafe { $splat(value) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> $vector {
                    // SAFETY: as above; the caller's pointer is good for a vector.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(to: *mut f32, value: $vector) {
                    // SAFETY: as above; the caller's pointer is good for a vector.
                    unsafe { $store(to, value) }
                }
                #[inline(always)]
                unsafe fn fma(a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $fma(a, b, c) }
                }
                $(
                    #[inline(always)]
                    unsafe fn $operation(a: $vector, b: $vector) -> $vector {
                        // SAFETY: as above.
                        unsafe { $instruction(a, b) }
                    }
                )*
                #[inline(always)]
                unsafe fn choose(by: $vector, positive: $vector, other: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $choose(by, positive, other) }
                }
                #[inline(always)]
                unsafe fn power_of_two(shifted: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $power_of_two(shifted) }
                }
            }
        };
    }

    /// By a comparison whose result is false for NaN.
    #[inline(always)]
    unsafe fn choose_avx2(by: __m256, positive: __m256, other: __m256) -> __m256 {
        // SAFETY: called through the trait only.
        unsafe { _mm256_blendv_ps(other, positive, _mm256_cmp_ps::<_CMP_GT_OQ>(by, _mm256_setzero_ps())) }
    }

    #[inline(always)]
    unsafe fn choose_avx512(by: __m512, positive: __m512, other: __m512) -> __m512 {
        // SAFETY: called through the trait only.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(by, _mm512_setzero_ps()), other, positive) }
    }

    /// The exponent's place is 23 bits up, and its zero is 127; what stands above k is shifted out.
    #[inline(always)]
    unsafe fn power_of_two_avx2(shifted: __m256) -> __m256 {
        // SAFETY: called through the trait only.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    unsafe fn power_of_two_avx512(shifted: __m512) -> __m512 {
        // SAFETY: called through the trait only.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    simd!(
        Avx2, __m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_setzero_ps,
        choose_avx2, power_of_two_avx2,
        add: _mm256_add_ps, sub: _mm256_sub_ps, mul: _mm256_mul_ps, div: _mm256_div_ps, min: _mm256_min_ps,
        max: _mm256_max_ps
    );
    simd!(
        Avx512, __m512, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps, _mm512_setzero_ps,
        choose_avx512, power_of_two_avx512,
        add: _mm512_add_ps, sub: _mm512_sub_ps, mul: _mm512_mul_ps, div: _mm512_div_ps, min: _mm512_min_ps,
        max: _mm512_max_ps
    );
}
