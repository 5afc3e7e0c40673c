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
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a b + c, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `value` where `by` > 0, `value · slope` elsewhere (also where `by` is NaN).
    unsafe fn leaky(value: Self::V, by: Self::V, slope: Self::V) -> Self::V;
}

#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
pub(super) use x86::{Avx2, Avx512};

#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::{
        __m256, __m512, _CMP_GT_OQ, _mm256_add_ps, _mm256_blendv_ps, _mm256_cmp_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
        _mm256_mul_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps,
        _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_mul_ps, _mm512_set1_ps,
        _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
    };

    /// AVX2 and FMA.
    pub(in crate::cpu) struct Avx2;

    /// AVX-512F.
    pub(in crate::cpu) struct Avx512;

    macro_rules! simd {
        ($name:ty, $vector:ty, $lanes:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident,
     $mul:ident, $fma:ident, $leaky:expr) => {
            impl Simd for $name {
                type V = $vector;
                const LANES: usize = $lanes;

                #[inline(always)]
                unsafe fn zero() -> $vector {
                    // SAFETY: the trait's callers have the instructions.
                    unsafe { $zero() }
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
                unsafe fn add(a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $add(a, b) }
                }
                #[inline(always)]
                unsafe fn sub(a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $sub(a, b) }
                }
                #[inline(always)]
                unsafe fn mul(a: $vector, b: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $mul(a, b) }
                }
                #[inline(always)]
                unsafe fn fma(a: $vector, b: $vector, c: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $fma(a, b, c) }
                }
                #[inline(always)]
                unsafe fn leaky(value: $vector, by: $vector, slope: $vector) -> $vector {
                    // SAFETY: as above.
                    unsafe { $leaky(value, by, slope) }
                }
            }
        };
    }

    /// `value` or `value · slope`, chosen by a comparison whose result is false for NaN.
    #[inline(always)]
    unsafe fn leaky_avx2(value: __m256, by: __m256, slope: __m256) -> __m256 {
        // SAFETY: called through the trait only.
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(by, _mm256_setzero_ps());
            _mm256_blendv_ps(_mm256_mul_ps(value, slope), value, positive)
        }
    }

    #[inline(always)]
    unsafe fn leaky_avx512(value: __m512, by: __m512, slope: __m512) -> __m512 {
        // SAFETY: called through the trait only.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(by, _mm512_setzero_ps());
            _mm512_mask_blend_ps(positive, _mm512_mul_ps(value, slope), value)
        }
    }

    simd!(
        Avx2,
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        leaky_avx2
    );
    simd!(
        Avx512,
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        leaky_avx512
    );
}
