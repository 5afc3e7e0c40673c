//! State Winograd's algorithms F(2, 2) and F(4, 2) in one dimension; [`super::winograd`] runs them along both axes.
//!
//! M outputs y_i = w₀ d_i + w₁ d_{i+1} of N = M + 1 numbers d cost N products m = (G w) · (Bᵀ d) instead of 2 M, and y = Aᵀ m
//! (Winograd 1980; Lavin and Gray 2016, arXiv 1509.09308). The points are those of Toom and Cook: 0, 1, ∞ for M = 2, where all
//! factors are 0 and ±1 and rounding stays that of a plain sum; 0, 1, −1, 2, ∞ for M = 4, whose sums of 128 channels are 3 times
//! as far from f64 as plain ones (1.4·10⁻⁶ of their standard deviation instead of 0.4·10⁻⁶, measured).
//!
//! ```text
//! F(2, 2)  m₀ = w₀ (d₀ − d₁)    m₁ = (w₀ + w₁) d₁    m₂ = w₁ (d₂ − d₁)           y = (m₀ + m₁, m₁ + m₂)
//! F(4, 2)  with t = d₃ − d₁, s = m₁ + m₂ and δ = m₁ − m₂:
//!          m₀ = w₀/2 (2 (d₀ − d₂) + t)           m₁ = (w₀ + w₁)/2 (d₁ + d₂ − t)
//!          m₂ = (w₀ − w₁)/6 (3 (d₂ − d₁) − t)    m₃ = (w₀ + 2 w₁)/6 t    m₄ = w₁ (d₄ − d₂ − 2 t)
//!          y = (m₀ + s + m₃, δ + 2 m₃, s + 4 m₃, δ + 8 m₃ + m₄)
//! ```
//!
//! The gradient runs the same algorithm transposed: g ↦ A g, products with G w, m ↦ B m. Tiles overlap in one number, so d₀ of a
//! tile also takes d_M of the tile before, which is the last product of that tile in both algorithms.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

use super::simd::Simd;

/// F(M, 2) with its N = M + 1 products.
pub(super) trait Scheme<const N: usize, const M: usize> {
    /// G.
    const WEIGHTS: [[f32; 2]; N];

    /// Bᵀ d.
    unsafe fn input<S: Simd>(d: [S::V; N]) -> [S::V; N];
    /// Aᵀ m.
    unsafe fn output<S: Simd>(m: [S::V; N]) -> [S::V; M];
    /// A g.
    unsafe fn output_gradient<S: Simd>(g: [S::V; M]) -> [S::V; N];
    /// The first M of B m; `before` is the last product of the tile before.
    unsafe fn input_gradient<S: Simd>(m: [S::V; N], before: S::V) -> [S::V; M];
}

/// F(2, 2).
pub(super) struct F2;

/// F(4, 2).
pub(super) struct F4;

// SAFETY (all): no memory is touched; the caller has the instructions.
impl Scheme<3, 2> for F2 {
    const WEIGHTS: [[f32; 2]; 3] = [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];

    #[inline(always)]
    unsafe fn input<S: Simd>(d: [S::V; 3]) -> [S::V; 3] {
        unsafe { [S::sub(d[0], d[1]), d[1], S::sub(d[2], d[1])] }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: [S::V; 3]) -> [S::V; 2] {
        unsafe { [S::add(m[0], m[1]), S::add(m[1], m[2])] }
    }

    #[inline(always)]
    unsafe fn output_gradient<S: Simd>(g: [S::V; 2]) -> [S::V; 3] {
        unsafe { [g[0], S::add(g[0], g[1]), g[1]] }
    }

    #[inline(always)]
    unsafe fn input_gradient<S: Simd>(m: [S::V; 3], before: S::V) -> [S::V; 2] {
        unsafe { [S::add(m[0], before), S::sub(m[1], S::add(m[0], m[2]))] }
    }
}

impl Scheme<5, 4> for F4 {
    const WEIGHTS: [[f32; 2]; 5] =
        [[0.5, 0.0], [0.5, 0.5], [1.0 / 6.0, -1.0 / 6.0], [1.0 / 6.0, 1.0 / 3.0], [0.0, 1.0]];

    #[inline(always)]
    unsafe fn input<S: Simd>(d: [S::V; 5]) -> [S::V; 5] {
        unsafe {
            let t = S::sub(d[3], d[1]);
            [
                S::fma(S::splat(2.0), S::sub(d[0], d[2]), t),
                S::sub(S::add(d[1], d[2]), t),
                S::sub(S::mul(S::splat(3.0), S::sub(d[2], d[1])), t),
                t,
                S::fma(S::splat(-2.0), t, S::sub(d[4], d[2])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: [S::V; 5]) -> [S::V; 4] {
        unsafe {
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            [
                S::add(S::add(m[0], sum), m[3]),
                S::fma(S::splat(2.0), m[3], difference),
                S::fma(S::splat(4.0), m[3], sum),
                S::add(S::fma(S::splat(8.0), m[3], difference), m[4]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output_gradient<S: Simd>(g: [S::V; 4]) -> [S::V; 5] {
        unsafe {
            let (even, odd) = (S::add(g[0], g[2]), S::add(g[1], g[3]));
            let at_two = S::fma(S::splat(2.0), S::fma(S::splat(4.0), g[3], g[1]), S::fma(S::splat(4.0), g[2], g[0]));
            [g[0], S::add(even, odd), S::sub(even, odd), at_two, g[3]]
        }
    }

    #[inline(always)]
    unsafe fn input_gradient<S: Simd>(m: [S::V; 5], before: S::V) -> [S::V; 4] {
        unsafe {
            let t = S::fma(S::splat(-2.0), m[4], S::sub(S::add(m[0], m[3]), S::add(m[1], m[2])));
            [
                S::fma(S::splat(2.0), m[0], before),
                S::sub(S::fma(S::splat(-3.0), m[2], m[1]), t),
                S::sub(S::fma(S::splat(-2.0), m[0], S::fma(S::splat(3.0), m[2], m[1])), m[4]),
                t,
            ]
        }
    }
}
