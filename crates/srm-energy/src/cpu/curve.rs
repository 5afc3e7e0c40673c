//! Apply SiLU, GELU and softplus with their derivatives, number by number: the convolutions between them stay linear.
//!
//! All three come from one vector exponential, whose error is below 2 units in the last place; the tests hold φ, φ' and φ''
//! to 4·10⁻⁷ · max(1, |a|) of their values in f64. GELU's normal distribution function is 1 − (t polynomial) · exp(−a²/2) by
//! Abramowitz and Stegun 7.1.26 (error 7.5·10⁻⁸), softplus's logarithm the series of artanh.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

use super::geometry::{Sides, padded};
use super::kernels::Kernels;
use super::simd::Simd;

/// A smooth activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Curve {
    Silu,
    Gelu,
    Softplus,
}

/// The pixels of one image `[height + 2, width + 2, channels]` that are no padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner {
    pub size: Sides,
    pub channels: usize,
}

impl Inner {
    /// Numbers per padded image.
    pub(super) fn len(&self) -> usize {
        padded(self.size) * self.channels
    }
}

/// Run the body for each vector `at` of the inner pixels; `c` is its first channel.
macro_rules! for_each_vector {
    ($simd:ty, $inner:expr, |$at:ident, $c:ident| $body:block) => {
        let [height, width] = $inner.size;
        for y in 0..height {
            for x in 0..width {
                let pixel = ((y + 1) * (width + 2) + x + 1) * $inner.channels;
                for $c in (0..$inner.channels).step_by(<$simd>::LANES) {
                    let $at = pixel + $c;
                    $body
                }
            }
        }
    };
}

/// One image before an activation, and where its derivatives go.
#[derive(Clone, Copy)]
pub(super) struct Image {
    /// A number per channel.
    pub bias: *const f32,
    pub a: *mut f32,
    pub first: *mut f32,
    /// Null where nobody asks for φ''.
    pub second: *mut f32,
}

/// What follows a convolution with a smooth activation, for row `i` of h: of the first `images` rows a becomes φ, the rows
/// behind them are their tangents.
#[allow(clippy::too_many_arguments)]
pub(super) fn activate(
    kernels: &Kernels,
    curve: Curve,
    inner: &Inner,
    bias: &[f32],
    (i, images): (usize, usize),
    a: &mut [f32],
    first: &mut [f32],
    second: Option<&mut [f32]>,
) {
    let at = i % images * inner.len();
    let (first, second) = (&mut first[at..], second.map(|second| &mut second[at..]));
    match second {
        Some(second) if i >= images => kernels.tangent(inner, first, second, a),
        second => kernels.curve(curve, inner, bias, a, first, second),
    }
}

/// φ(a + bias) in place of a, φ'(a + bias) into `first`, φ'' into `second`.
#[inline(always)]
pub(super) unsafe fn curve<S: Simd>(curve: Curve, inner: &Inner, image: Image) {
    // SAFETY: the caller's.
    unsafe {
        match (curve, image.second.is_null()) {
            (Curve::Silu, true) => apply::<S, Silu, false>(inner, image),
            (Curve::Silu, false) => apply::<S, Silu, true>(inner, image),
            (Curve::Gelu, true) => apply::<S, Gelu, false>(inner, image),
            (Curve::Gelu, false) => apply::<S, Gelu, true>(inner, image),
            (Curve::Softplus, true) => apply::<S, Softplus, false>(inner, image),
            (Curve::Softplus, false) => apply::<S, Softplus, true>(inner, image),
        }
    }
}

#[inline(always)]
unsafe fn apply<S: Simd, P: Phi, const SECOND: bool>(inner: &Inner, Image { bias, a, first, second }: Image) {
    // SAFETY: the caller's slices hold a whole padded image and a bias per channel.
    unsafe {
        for_each_vector!(S, inner, |at, c| {
            let [phi, slope, bend] = P::at::<S>(S::add(S::load(a.add(at)), S::load(bias.add(c))));
            S::store(a.add(at), phi);
            S::store(first.add(at), slope);
            if SECOND {
                S::store(second.add(at), bend);
            }
        });
    }
}

/// The tangent ȧ becomes ḣ = φ' ȧ, and φ'' becomes φ'' ȧ.
#[inline(always)]
pub(super) unsafe fn tangent<S: Simd>(inner: &Inner, first: *const f32, second: *mut f32, a: *mut f32) {
    // SAFETY: the caller's slices hold a whole padded image.
    unsafe {
        for_each_vector!(S, inner, |at, _c| {
            let tangent = S::load(a.add(at));
            S::store(second.add(at), S::mul(S::load(second.add(at)), tangent));
            S::store(a.add(at), S::mul(S::load(first.add(at)), tangent));
        });
    }
}

/// g becomes g φ'.
#[inline(always)]
pub(super) unsafe fn times<S: Simd>(inner: &Inner, first: *const f32, g: *mut f32) {
    // SAFETY: the caller's slices hold a whole padded image.
    unsafe {
        for_each_vector!(S, inner, |at, _c| {
            S::store(g.add(at), S::mul(S::load(g.add(at)), S::load(first.add(at))));
        });
    }
}

/// ġ becomes ġ φ' + g φ'' ȧ and g becomes g φ'; `bent` holds φ'' ȧ.
#[inline(always)]
pub(super) unsafe fn bend<S: Simd>(inner: &Inner, first: *const f32, bent: *const f32, g: *mut f32, g_dot: *mut f32) {
    // SAFETY: the caller's slices hold a whole padded image.
    unsafe {
        for_each_vector!(S, inner, |at, _c| {
            let (slope, gradient) = (S::load(first.add(at)), S::load(g.add(at)));
            let own = S::mul(S::load(g_dot.add(at)), slope);
            S::store(g_dot.add(at), S::fma(gradient, S::load(bent.add(at)), own));
            S::store(g.add(at), S::mul(gradient, slope));
        });
    }
}

/// A smooth function of one number, vector by vector.
trait Phi {
    /// φ, φ' and φ''.
    unsafe fn at<S: Simd>(a: S::V) -> [S::V; 3];
}

/// a σ(a)
struct Silu;

/// a Φ(a), Φ the normal distribution function
struct Gelu;

/// log(1 + exp(a))
struct Softplus;

impl Phi for Silu {
    #[inline(always)]
    unsafe fn at<S: Simd>(a: S::V) -> [S::V; 3] {
        // SAFETY: called by kernels only, which run where the instructions are.
        unsafe {
            let one = S::splat(1.0);
            let s = S::div(one, S::add(one, exp::<S>(S::sub(S::zero(), a))));
            let rest = S::sub(one, s);
            let slope = S::mul(s, S::fma(a, rest, one));
            let bend = S::mul(S::mul(s, rest), S::fma(a, S::sub(rest, s), S::splat(2.0)));
            [S::mul(a, s), slope, bend]
        }
    }
}

impl Phi for Gelu {
    #[inline(always)]
    unsafe fn at<S: Simd>(a: S::V) -> [S::V; 3] {
        // Abramowitz and Stegun 7.1.26 in x = |a| / √2, halved, from the highest power of t.
        const TAIL: [f32; 5] = [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8];
        // SAFETY: as above.
        unsafe {
            let (zero, one) = (S::zero(), S::splat(1.0));
            let size = S::max(S::sub(zero, a), a);
            // beyond 13 the density is nothing in f32, and its numbers are too small to be fast
            let near = S::max(S::splat(-13.0), S::min(S::splat(13.0), a));
            let square = S::mul(near, near);
            let density = exp::<S>(S::mul(square, S::splat(-0.5)));
            // p / √2
            let t = S::div(one, S::fma(size, S::splat(0.231_641_9), one));
            let mut tail = S::splat(TAIL[0]);
            for factor in &TAIL[1..] {
                tail = S::fma(tail, t, S::splat(*factor));
            }
            let tail = S::mul(S::mul(tail, t), density); // 1 − Φ(|a|)
            let below = S::choose(a, S::sub(one, tail), tail);
            let density = S::mul(density, S::splat(0.398_942_3));
            let bend = S::mul(density, S::sub(S::splat(2.0), square));
            [S::mul(a, below), S::fma(near, density, below), bend]
        }
    }
}

impl Phi for Softplus {
    #[inline(always)]
    unsafe fn at<S: Simd>(a: S::V) -> [S::V; 3] {
        // SAFETY: as above.
        unsafe {
            let (zero, one) = (S::zero(), S::splat(1.0));
            // log(1 + e) = 2 artanh(q) with q = e / (2 + e) up to 1/3
            let e = exp::<S>(S::sub(zero, S::max(S::sub(zero, a), a)));
            let q = S::div(e, S::add(e, S::splat(2.0)));
            let square = S::mul(q, q);
            let mut series = S::splat(1.0 / 15.0);
            for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
                series = S::fma(series, square, S::splat(1.0 / odd));
            }
            let positive = S::max(zero, a);
            let phi = S::fma(S::add(q, q), series, positive);
            let s = S::div(S::choose(a, one, e), S::add(one, e));
            [phi, s, S::mul(s, S::sub(one, s))]
        }
    }
}

/// exp(x) for x in [−87, 88], and its value at the nearer end outside; NaN stays NaN.
#[inline(always)]
unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    /// Adding it rounds to a whole number, which stands in the lowest bits then.
    const ROUNDER: f32 = 12_582_912.0; // 1.5 · 2²³
    /// log 2 in two parts, the first short enough that its product with a whole number is exact.
    const LOG2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    /// exp(r) = 1 + r + r² (these, from the highest power) for |r| ≤ log 2 / 2.
    const POWERS: [f32; 6] = [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    // SAFETY: as above.
    unsafe {
        let x = S::min(S::splat(88.0), S::max(S::splat(-87.0), x));
        let shifted = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(ROUNDER));
        let whole = S::sub(shifted, S::splat(ROUNDER));
        let r = S::fma(whole, S::splat(-LOG2[1]), S::fma(whole, S::splat(-LOG2[0]), x));
        let mut powers = S::splat(POWERS[0]);
        for factor in &POWERS[1..] {
            powers = S::fma(powers, r, S::splat(*factor));
        }
        let near_one = S::add(S::fma(powers, S::mul(r, r), r), S::splat(1.0));
        S::mul(near_one, S::power_of_two(shifted))
    }
}

#[cfg(test)]
mod tests {
    use super::{Curve, Inner, Kernels};
    use crate::activation::{apply, times_first, times_second};
    use srm_config::Activation;
    use tch::{Kind, Tensor};

    /// Numbers to try: one padded pixel each.
    const COUNT: usize = 32 * 1024;

    fn from_formulas(curve: Curve, a: &[f32]) -> [Vec<f64>; 3] {
        let activation = match curve {
            Curve::Silu => Activation::Silu,
            Curve::Gelu => Activation::Gelu,
            Curve::Softplus => Activation::Softplus,
        };
        let a = Tensor::from_slice(a).to_kind(Kind::Double);
        let one = a.ones_like();
        let second = times_second(activation, &one, &a).unwrap().unwrap();
        [apply(activation, &a).unwrap(), times_first(activation, &one, &a).unwrap(), second]
            .map(|values| Vec::try_from(values).unwrap())
    }

    /// φ, φ' and φ'' of all numbers, from one padded pixel with a channel each.
    fn from_kernels(kernels: &Kernels, curve: Curve, a: &[f32]) -> [Vec<f32>; 3] {
        let inner = Inner { size: [1, 1], channels: a.len() };
        let mut values: [Vec<f32>; 3] = std::array::from_fn(|_| vec![0.0; inner.len()]);
        values[0][4 * a.len()..5 * a.len()].copy_from_slice(a);
        let [phi, first, second] = &mut values;
        kernels.curve(curve, &inner, &vec![0.0; a.len()], phi, first, Some(second));
        assert!(values.iter().all(|all| all[..4 * a.len()].iter().all(|&border| border == 0.0)));
        values.map(|all| all[4 * a.len()..5 * a.len()].to_vec())
    }

    /// The bound that the module states: a unit in the last place of 1 is 1.2e-7.
    #[test]
    fn values_and_derivatives_are_those_of_f64() {
        let spread = |i: usize| (i as f32 / COUNT as f32 * 2.0 - 1.0).powi(3) * 60.0;
        let a: Vec<f32> = (0..COUNT).map(spread).collect();
        for kernels in Kernels::available() {
            for curve in [Curve::Silu, Curve::Gelu, Curve::Softplus] {
                let (ours, exact) = (from_kernels(&kernels, curve, &a), from_formulas(curve, &a));
                for (order, (ours, exact)) in ours.iter().zip(&exact).enumerate() {
                    let error = |i: usize| (f64::from(ours[i]) - exact[i]).abs() / f64::from(a[i].abs().max(1.0));
                    let worst = (0..COUNT).max_by(|&i, &j| error(i).total_cmp(&error(j))).unwrap();
                    assert!(
                        error(worst) <= 4e-7,
                        "{} {curve:?} {order}: {:.1e} at {}",
                        kernels.name,
                        error(worst),
                        a[worst]
                    );
                }
            }
        }
    }

    #[test]
    fn ends_and_no_numbers_stay_what_they_are() {
        let a: Vec<f32> = [f32::NAN, 1e30, -1e30, 88.0, -88.0, 200.0, -200.0, 0.0].repeat(2);
        for kernels in Kernels::available() {
            for curve in [Curve::Silu, Curve::Gelu, Curve::Softplus] {
                let [phi, first, second] = from_kernels(&kernels, curve, &a);
                assert!(phi[0].is_nan() && first[0].is_nan(), "{curve:?}");
                for (i, (end, slope)) in [(1, (1e30, 1.0)), (3, (88.0, 1.0)), (5, (200.0, 1.0))] {
                    assert_eq!((phi[i], first[i]), (end, slope), "{curve:?} {}", a[i]);
                    assert!(second[i].abs() < 1e-6, "{curve:?} {}: {}", a[i], second[i]);
                }
                for i in [2, 4, 6] {
                    assert!(
                        phi[i].abs() < 1e-6 && first[i].abs() < 1e-6,
                        "{curve:?} {}: {} {}",
                        a[i],
                        phi[i],
                        first[i]
                    );
                }
            }
        }
    }
}
