//! Draw every random number from a key, never from history.
//!
//! A [`Key`] names one draw: (seed, purpose, attempt, update, id, step). Its fields fill the 256-bit key and the
//! 64-bit stream of a ChaCha8 generator, so a draw does not depend on what was drawn before, on the thread, or on
//! how chains are cut into blocks. A resumed run needs no generator state, and image 17 is the same picture in
//! any batch.
//!
//! ```
//! use srm_random::{Key, Purpose, normal};
//!
//! let mut noise = [0.0; 4];
//! // the noise of step 3 of chain 17, whatever was drawn before
//! normal(&Key { id: 17, step: 3, ..Key::new(1, Purpose::ChainStep) }, &mut noise);
//! assert!(noise.iter().all(|u| u.abs() < 5.8));
//! ```

#![deny(missing_docs)]

mod wide;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// What a draw is for; two purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Start noise z of a chain (x at step 0).
    ChainStart = 1,
    /// Gaussian noise of one Langevin step.
    ChainStep = 2,
    /// Order of the images within an epoch.
    DataOrder = 3,
    /// Horizontal flips.
    Flip = 4,
    /// Gaussian noise put on observed images.
    DataNoise = 5,
    /// Initial weights of the net.
    Weights = 6,
    /// Built-in synthetic images.
    Synthetic = 7,
    /// Which images of a bank of persistent chains an update takes.
    BankSlots = 8,
    /// Which of those chains start anew.
    BankRestarts = 9,
    /// First vector of a power iteration.
    PowerIteration = 10,
    /// Whether a Metropolis chain takes its proposal.
    ChainAccept = 11,
    /// Where a square is cut out of an observed picture.
    Crop = 12,
}

/// The name of one draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The user's seed.
    pub seed: u64,
    /// What the draw is for.
    pub purpose: Purpose,
    /// Grows with each rollback after a divergence, so that the retry sees new noise.
    pub attempt: u32,
    /// Training update; 0 outside training.
    pub update: u64,
    /// Noise id: the chain's index by default; one id may serve many chains.
    pub id: u64,
    /// Langevin step; 0 where there is none.
    pub step: u64,
}

impl Key {
    /// The key of `seed` and `purpose` with every other field 0.
    pub fn new(seed: u64, purpose: Purpose) -> Self {
        Self { seed, purpose, attempt: 0, update: 0, id: 0, step: 0 }
    }

    fn generator(&self) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        key[0..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..12].copy_from_slice(&(self.purpose as u32).to_le_bytes());
        key[12..16].copy_from_slice(&self.attempt.to_le_bytes());
        key[16..24].copy_from_slice(&self.update.to_le_bytes());
        key[24..32].copy_from_slice(&self.id.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(self.step);
        generator
    }
}

/// A well-mixed 64-bit number of the key: the seed of a device's own generator.
pub fn hash(key: &Key) -> u64 {
    key.generator().next_u64()
}

/// 2⁻²⁴: the spacing of the uniform numbers below.
const ULP: f32 = 1.0 / (1 << 24) as f32;
/// Numbers drawn at a time; small enough for the first-level cache.
const CHUNK: usize = 1024;

/// Fill `out` with uniform numbers in `[low, high)`.
pub fn uniform(key: &Key, low: f32, high: f32, out: &mut [f32]) {
    let mut generator = key.generator();
    let mut bytes = [0u8; 4 * CHUNK];
    for chunk in out.chunks_mut(CHUNK) {
        let bytes = &mut bytes[..4 * chunk.len()];
        generator.fill_bytes(bytes);
        for (value, word) in chunk.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = low + (high - low) * ((u32::from_le_bytes(*word) >> 8) as f32 * ULP);
        }
    }
}

/// Fill `out` with independent N(0, 1) numbers.
///
/// Box and Muller's transform (1958) on 24-bit uniform numbers, eight pairs at a time: |value| is at most 5.77, and the
/// mass beyond that is 8e-9. Logarithm, sine and cosine are short polynomials without branches, so that the compiler
/// makes vector code of them: noise must cost little beside a Langevin step.
pub fn normal(key: &Key, out: &mut [f32]) {
    let mut generator = key.generator();
    let mut bytes = [0u8; 4 * CHUNK];
    for chunk in out.chunks_mut(CHUNK) {
        let bytes = &mut bytes[..4 * chunk.len().next_multiple_of(16)];
        generator.fill_bytes(bytes);
        wide::normals(bytes.as_chunks::<64>().0, chunk);
    }
}

/// Sixteen normals of sixteen random words; plain arithmetic, rounded alike by every instruction set.
#[inline(always)]
fn sixteen_normals(bytes: &[u8; 64]) -> [f32; 16] {
    let words: [u32; 16] = std::array::from_fn(|i| u32::from_le_bytes(bytes.as_chunks::<4>().0[i]));
    let mut normals = [0.0; 16];
    for i in 0..8 {
        let (for_radius, for_angle) = (words[i], words[8 + i]);
        // (0, 1]: the logarithm stays finite.
        let radius = (-2.0 * ln((top_bits(for_radius) + 1.0) * ULP)).sqrt();
        // A quarter turn about 0 from the top 24 bits; two of the other bits turn it by a multiple of 90 degrees.
        let (sine, cosine) = sine_cosine((top_bits(for_angle) * ULP - 0.5) * std::f32::consts::FRAC_PI_2);
        let (sine, cosine) = if for_angle & 1 == 0 { (sine, cosine) } else { (cosine, -sine) };
        let radius = if for_angle & 2 == 0 { radius } else { -radius };
        (normals[i], normals[8 + i]) = (radius * cosine, radius * sine);
    }
    normals
}

/// The top 24 bits of a word, exact in f32; by way of i32, which every SIMD unit converts.
#[inline(always)]
fn top_bits(word: u32) -> f32 {
    (word >> 8) as i32 as f32
}

/// ln x for normal x > 0, relative error below 3e-7: x = 2ᵉ(1 + t)/(1 − t) with the series 2(t + t³/3 + t⁵/5 + …), where
/// √½ ≤ x/2ᵉ < √2, so that |t| < 0.1716 and the first term left out is below 1e-9.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // Adding the distance from √½ to 1 in bits makes the exponent change at √½ instead of 1.
    let bits = x.to_bits() + (0x3f80_0000 - 0x3f35_04f3);
    let exponent = (bits >> 23) as i32 - 127;
    let m = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3);
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let series = 1.0 + t2 * (1.0 / 3.0 + t2 * (1.0 / 5.0 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0))));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * t * series
}

/// sin and cos of |x| ≤ π/4 by Taylor's series, error below 2e-7.
#[inline(always)]
fn sine_cosine(x: f32) -> (f32, f32) {
    let x2 = x * x;
    let sine = x
        * (1.0 - x2 * (1.0 / 6.0) * (1.0 - x2 * (1.0 / 20.0) * (1.0 - x2 * (1.0 / 42.0) * (1.0 - x2 * (1.0 / 72.0)))));
    let cosine = 1.0
        - x2 * 0.5
            * (1.0
                - x2 * (1.0 / 12.0)
                    * (1.0 - x2 * (1.0 / 30.0) * (1.0 - x2 * (1.0 / 56.0) * (1.0 - x2 * (1.0 / 90.0)))));
    (sine, cosine)
}

/// A uniformly random order of `0..len` (Fisher and Yates).
pub fn permutation(key: &Key, len: usize) -> Vec<usize> {
    let mut generator = key.generator();
    let mut order: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        // 64 random bits times a range below 2³²: the bias is below 2⁻³².
        let pick = (u128::from(generator.next_u64()) * (last as u128 + 1)) >> 64;
        order.swap(last, pick as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u64, step: u64) -> Key {
        Key { id, step, ..Key::new(7, Purpose::ChainStep) }
    }

    #[test]
    fn a_draw_depends_on_every_field_of_its_key_and_on_nothing_else() {
        let base = Key { seed: 1, purpose: Purpose::ChainStep, attempt: 2, update: 3, id: 4, step: 5 };
        let others = [
            Key { seed: 2, ..base },
            Key { purpose: Purpose::ChainStart, ..base },
            Key { attempt: 3, ..base },
            Key { update: 4, ..base },
            Key { id: 5, ..base },
            Key { step: 6, ..base },
        ];
        let draw = |key: &Key| {
            let mut out = [0.0; 40];
            normal(key, &mut out);
            out
        };
        assert_eq!(draw(&base), draw(&base));
        for other in &others {
            assert_ne!(draw(&base), draw(other), "{other:?}");
            assert_ne!(hash(&base), hash(other), "{other:?}");
        }
    }

    #[test]
    fn a_shorter_draw_is_a_prefix_of_a_longer_one() {
        let (mut short, mut long) = (vec![0.0; 1500], vec![0.0; 3000]);
        uniform(&key(1, 1), -1.0, 1.0, &mut short);
        uniform(&key(1, 1), -1.0, 1.0, &mut long);
        assert_eq!(short, long[..1500]);
        let (mut short, mut long) = (vec![0.0; 37], vec![0.0; 300]);
        normal(&key(1, 1), &mut short);
        normal(&key(1, 1), &mut long);
        assert_eq!(short, long[..37]);
    }

    /// Kolmogorov and Smirnov's distance of 10⁶ draws: above 1.95/√n once in 1,000 right generators; the seed is fixed.
    fn kolmogorov_smirnov(mut draws: Vec<f32>, cumulative: impl Fn(f64) -> f64) -> f64 {
        draws.sort_by(f32::total_cmp);
        let n = draws.len() as f64;
        let distance = draws.iter().enumerate().map(|(i, &x)| {
            let c = cumulative(f64::from(x));
            (c - i as f64 / n).abs().max((c - (i + 1) as f64 / n).abs())
        });
        distance.fold(0.0, f64::max) * n.sqrt()
    }

    /// Φ(x) by Abramowitz and Stegun 26.2.17, error below 7.5e-8.
    fn normal_cumulative(x: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
        let poly =
            t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
        let tail = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly;
        if x >= 0.0 { 1.0 - tail } else { tail }
    }

    #[test]
    fn short_series_agree_with_the_library() {
        for k in (1..=1 << 24).step_by(37) {
            let x = k as f32 * ULP;
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 3e-7 * exact.abs() + 1e-7, "ln {x}");
            let angle = (x - 0.5) * std::f32::consts::FRAC_PI_2;
            let (sine, cosine) = sine_cosine(angle);
            assert!((f64::from(sine) - f64::from(angle).sin()).abs() < 2e-7, "sin {angle}");
            assert!((f64::from(cosine) - f64::from(angle).cos()).abs() < 2e-7, "cos {angle}");
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn normals_are_normal_and_uniforms_uniform() {
        let mut draws = vec![0.0; 1_000_000];
        normal(&key(3, 9), &mut draws);
        assert!(kolmogorov_smirnov(draws.clone(), normal_cumulative) < 1.95);
        let moment = |p: i32| draws.iter().map(|&x| f64::from(x).powi(p)).sum::<f64>() / 1e6;
        // four standard errors: √(1/n), √(2/n), √(15/n), √(96/n)
        assert!(moment(1).abs() < 0.004 && (moment(2) - 1.0).abs() < 0.0057);
        assert!(moment(3).abs() < 0.0155 && (moment(4) - 3.0).abs() < 0.04);
        uniform(&key(3, 9), -1.0, 1.0, &mut draws);
        assert!(draws.iter().all(|x| (-1.0..1.0).contains(x)));
        assert!(kolmogorov_smirnov(draws, |x| (x + 1.0) / 2.0) < 1.95);
    }

    #[test]
    fn streams_of_neighbouring_keys_are_uncorrelated() {
        let (mut a, mut b) = (vec![0.0; 100_000], vec![0.0; 100_000]);
        for (one, other) in [(key(0, 1), key(1, 1)), (key(0, 1), key(0, 2))] {
            normal(&one, &mut a);
            normal(&other, &mut b);
            let correlation = a.iter().zip(&b).map(|(x, y)| f64::from(x * y)).sum::<f64>() / 1e5;
            assert!(correlation.abs() < 4.0 / 1e5f64.sqrt(), "{correlation}");
        }
    }

    #[test]
    fn permutation_holds_each_index_once() {
        let mut order = permutation(&Key::new(1, Purpose::DataOrder), 1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
        assert!(permutation(&Key::new(1, Purpose::DataOrder), 0).is_empty());
    }
}
