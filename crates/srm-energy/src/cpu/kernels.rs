//! Choose the kernels of this processor, and check every slice before a pointer is used.

#![allow(unsafe_code)] // SIMD kernels; `Kernels` checks every slice before a pointer is used

use super::choice::forced;
use super::curve::{self, Curve, Image, Inner};
use super::edge::{self, First};
use super::geometry::{Geometry, Sides, padded, plane};
use super::product::{self, Product};
use super::simd::PANEL;
#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
use super::simd::{Avx2, Avx512};
use super::winograd;

/// Set of functions compiled for one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    /// `avx2` or `avx512`.
    pub name: &'static str,
    /// Numbers per vector: widths of layers are multiples of it.
    pub lanes: usize,
    product: unsafe fn(&Product, *const f32, *const f32, *mut f32),
    weights: unsafe fn(&Geometry, usize, usize, *const f32, *mut f32),
    input: unsafe fn(&Geometry, usize, *const f32, *mut f32),
    output: unsafe fn(&Geometry, usize, *const f32, *const f32, f32, *mut f32),
    output_gradient: unsafe fn(&Geometry, usize, *const f32, *mut f32),
    input_gradient: unsafe fn(&Geometry, usize, *const f32, *const f32, f32, *mut f32),
    first: unsafe fn(&First, *const f32, *const f32, *const f32, f32, *mut f32, *mut f32),
    first_gradient: unsafe fn(&First, *const f32, *const f32, *mut f32, *mut f32),
    last: unsafe fn(Sides, usize, *const f32, *const f32) -> f32,
    last_gradient: unsafe fn(Sides, usize, f32, *const f32, f32, *mut f32),
    curve: unsafe fn(Curve, &Inner, Image),
    tangent: unsafe fn(&Inner, *const f32, *mut f32, *mut f32),
    times: unsafe fn(&Inner, *const f32, *mut f32),
    bend: unsafe fn(&Inner, *const f32, *const f32, *mut f32, *mut f32),
}

#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
macro_rules! kernels {
    ($module:ident, $simd:ty, $features:literal, $name:literal) => {
        mod $module {
            use super::*;

            // SAFETY (all): run only where `Kernels::available` has found the instructions, on pointers that the methods of
            // `Kernels` have taken from slices of the right length.
            #[target_feature(enable = $features)]
            unsafe fn product(p: &Product, a: *const f32, b: *const f32, c: *mut f32) {
                unsafe { product::product::<$simd>(p, a, b, c) }
            }
            #[target_feature(enable = $features)]
            unsafe fn weights(g: &Geometry, down: usize, rows: usize, taps: *const f32, u: *mut f32) {
                unsafe { winograd::weights::<$simd>(g, down, rows, taps, u) }
            }
            #[target_feature(enable = $features)]
            unsafe fn input(g: &Geometry, images: usize, x: *const f32, v: *mut f32) {
                unsafe { winograd::input::<$simd>(g, images, x, v) }
            }
            #[target_feature(enable = $features)]
            unsafe fn output(g: &Geometry, n: usize, m: *const f32, bias: *const f32, slope: f32, h: *mut f32) {
                unsafe { winograd::output::<$simd>(g, n, m, bias, slope, h) }
            }
            #[target_feature(enable = $features)]
            unsafe fn output_gradient(g: &Geometry, images: usize, g_out: *const f32, v: *mut f32) {
                unsafe { winograd::output_gradient::<$simd>(g, images, g_out, v) }
            }
            #[target_feature(enable = $features)]
            unsafe fn input_gradient(g: &Geometry, n: usize, m: *const f32, zero: *const f32, slope: f32, h: *mut f32) {
                unsafe { winograd::input_gradient::<$simd>(g, n, m, zero, slope, h) }
            }
            #[target_feature(enable = $features)]
            unsafe fn first(
                g: &First,
                x: *const f32,
                w: *const f32,
                bias: *const f32,
                slope: f32,
                scratch: *mut f32,
                h: *mut f32,
            ) {
                unsafe { edge::first::<$simd>(g, x, w, bias, slope, scratch, h) }
            }
            #[target_feature(enable = $features)]
            unsafe fn first_gradient(f: &First, g: *const f32, w: *const f32, scratch: *mut f32, dx: *mut f32) {
                unsafe { edge::first_gradient::<$simd>(f, g, w, scratch, dx) }
            }
            #[target_feature(enable = $features)]
            unsafe fn last(size: Sides, channels: usize, h: *const f32, w: *const f32) -> f32 {
                unsafe { edge::last::<$simd>(size, channels, h, w) }
            }
            #[target_feature(enable = $features)]
            unsafe fn last_gradient(size: Sides, channels: usize, by: f32, w: *const f32, slope: f32, h: *mut f32) {
                unsafe { edge::last_gradient::<$simd>(size, channels, by, w, slope, h) }
            }
            #[target_feature(enable = $features)]
            unsafe fn curve(curve: Curve, at: &Inner, image: Image) {
                unsafe { curve::curve::<$simd>(curve, at, image) }
            }
            #[target_feature(enable = $features)]
            unsafe fn tangent(at: &Inner, first: *const f32, second: *mut f32, a: *mut f32) {
                unsafe { curve::tangent::<$simd>(at, first, second, a) }
            }
            #[target_feature(enable = $features)]
            unsafe fn times(at: &Inner, first: *const f32, g: *mut f32) {
                unsafe { curve::times::<$simd>(at, first, g) }
            }
            #[target_feature(enable = $features)]
            unsafe fn bend(at: &Inner, first: *const f32, bent: *const f32, g: *mut f32, g_dot: *mut f32) {
                unsafe { curve::bend::<$simd>(at, first, bent, g, g_dot) }
            }

            pub(super) const KERNELS: Kernels = Kernels {
                name: $name,
                lanes: <$simd as super::super::simd::Simd>::LANES,
                product,
                weights,
                input,
                output,
                output_gradient,
                input_gradient,
                first,
                first_gradient,
                last,
                last_gradient,
                curve,
                tangent,
                times,
                bend,
            };
        }
    };
}

#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
kernels!(avx2, Avx2, "avx2,fma", "avx2");
#[cfg(all(target_arch = "x86_64", not(srm_portable)))]
kernels!(avx512, Avx512, "avx512f", "avx512");

impl Kernels {
    /// The sets that this processor can run, the widest first; none but on x86-64.
    #[cfg(any(not(target_arch = "x86_64"), srm_portable))]
    pub(crate) fn available() -> Vec<Kernels> {
        Vec::new()
    }

    /// The sets that this processor can run, the widest first; none but on x86-64.
    #[cfg(all(target_arch = "x86_64", not(srm_portable)))]
    pub(crate) fn available() -> Vec<Kernels> {
        let mut sets = Vec::new();
        if is_x86_feature_detected!("avx512f") {
            sets.push(avx512::KERNELS);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            sets.push(avx2::KERNELS);
        }
        sets
    }

    /// The set for a net of so many features: the one that was asked for, else the widest whose vectors the layers fill, else the
    /// narrowest.
    pub(crate) fn best_for(features: usize) -> Option<Kernels> {
        if let Some(forced) = forced() {
            return *forced;
        }
        let sets = Self::available();
        sets.iter().find(|set| features.is_multiple_of(set.lanes)).or(sets.last()).copied()
    }

    pub(super) fn product(&self, p: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
        assert!(p.fits(a.len(), b.len(), c.len()), "a product reaches past its slices");
        // SAFETY: `available` found the instructions; the product stays within the slices.
        unsafe { (self.product)(p, a.as_ptr(), b.as_ptr(), c.as_mut_ptr()) }
    }

    /// Row `down` of U for `rows` rows of a panel.
    pub(super) fn weights(&self, g: &Geometry, down: usize, rows: usize, taps: &[f32], u: &mut [f32]) {
        let n = g.scheme().len();
        assert!(down < n && taps.len() >= 4 * rows * PANEL && u.len() >= n * rows * PANEL);
        // SAFETY: as above.
        unsafe { (self.weights)(g, down, rows, taps.as_ptr(), u.as_mut_ptr()) }
    }

    pub(super) fn input(&self, g: &Geometry, images: usize, x: &[f32], v: &mut [f32]) {
        assert!(x.len() >= images * g.input_len() && v.len() >= g.points() * plane(g, images, g.depth()));
        // SAFETY: as above; the lengths are those that the kernel walks over.
        unsafe { (self.input)(g, images, x.as_ptr(), v.as_mut_ptr()) }
    }

    pub(super) fn output(&self, g: &Geometry, images: usize, m: &[f32], bias: &[f32], slope: f32, h: &mut [f32]) {
        assert!(m.len() >= g.points() * plane(g, images, g.outputs) && h.len() >= images * g.output_len());
        assert!(bias.len() >= g.outputs);
        // SAFETY: as above.
        unsafe { (self.output)(g, images, m.as_ptr(), bias.as_ptr(), slope, h.as_mut_ptr()) }
    }

    pub(super) fn output_gradient(&self, g: &Geometry, images: usize, g_out: &[f32], v: &mut [f32]) {
        assert!(g_out.len() >= images * g.output_len() && v.len() >= g.points() * plane(g, images, g.outputs));
        // SAFETY: as above.
        unsafe { (self.output_gradient)(g, images, g_out.as_ptr(), v.as_mut_ptr()) }
    }

    pub(super) fn input_gradient(
        &self,
        g: &Geometry,
        images: usize,
        m: &[f32],
        zero: &[f32],
        slope: f32,
        h: &mut [f32],
    ) {
        assert!(m.len() >= g.points() * plane(g, images, g.depth()) && h.len() >= images * g.input_len());
        assert!(zero.len() >= g.depth());
        // SAFETY: as above.
        unsafe { (self.input_gradient)(g, images, m.as_ptr(), zero.as_ptr(), slope, h.as_mut_ptr()) }
    }

    pub(super) fn first(
        &self,
        f: &First,
        x: &[f32],
        (w, bias): (&[f32], &[f32]),
        slope: f32,
        scratch: &mut [f32],
        h: &mut [f32],
    ) {
        let padded = f.features.next_multiple_of(PANEL);
        assert!(x.len() >= f.input_len() && h.len() >= f.output_len() && scratch.len() >= f.size[1] * padded);
        assert!(w.len() >= f.taps() * padded && bias.len() >= padded);
        // SAFETY: as above.
        unsafe {
            (self.first)(f, x.as_ptr(), w.as_ptr(), bias.as_ptr(), slope, scratch.as_mut_ptr(), h.as_mut_ptr());
        }
    }

    pub(super) fn first_gradient(&self, f: &First, g: &[f32], w: &[f32], scratch: &mut [f32], dx: &mut [f32]) {
        let padded = f.taps().next_multiple_of(PANEL);
        assert!(g.len() >= f.output_len() && dx.len() >= f.input_len() && scratch.len() >= f.size[1] * padded);
        assert!(w.len() >= f.features * padded);
        // SAFETY: as above.
        unsafe { (self.first_gradient)(f, g.as_ptr(), w.as_ptr(), scratch.as_mut_ptr(), dx.as_mut_ptr()) }
    }

    pub(super) fn last(&self, size: Sides, channels: usize, h: &[f32], w: &[f32]) -> f32 {
        assert!(h.len() >= padded(size) * channels && w.len() >= size[0] * size[1] * channels);
        assert!((size[1] * channels).is_multiple_of(self.lanes));
        // SAFETY: as above.
        unsafe { (self.last)(size, channels, h.as_ptr(), w.as_ptr()) }
    }

    pub(super) fn last_gradient(&self, size: Sides, channels: usize, by: f32, w: &[f32], slope: f32, h: &mut [f32]) {
        assert!(h.len() >= padded(size) * channels && w.len() >= size[0] * size[1] * channels);
        // SAFETY: as above.
        unsafe { (self.last_gradient)(size, channels, by, w.as_ptr(), slope, h.as_mut_ptr()) }
    }

    /// φ(a + bias) in place of a, φ' into `first` and φ'' into `second` where it is asked for; one image each.
    pub(super) fn curve(
        &self,
        curve: Curve,
        at: &Inner,
        bias: &[f32],
        a: &mut [f32],
        first: &mut [f32],
        second: Option<&mut [f32]>,
    ) {
        assert!(a.len() >= at.len() && first.len() >= at.len() && bias.len() >= at.channels);
        assert!(second.as_ref().is_none_or(|second| second.len() >= at.len()));
        let second = second.map_or(std::ptr::null_mut(), <[f32]>::as_mut_ptr);
        let image = Image { bias: bias.as_ptr(), a: a.as_mut_ptr(), first: first.as_mut_ptr(), second };
        // SAFETY: as above.
        unsafe { (self.curve)(curve, at, image) }
    }

    pub(super) fn tangent(&self, at: &Inner, first: &[f32], second: &mut [f32], a: &mut [f32]) {
        assert!(first.len() >= at.len() && second.len() >= at.len() && a.len() >= at.len());
        // SAFETY: as above.
        unsafe { (self.tangent)(at, first.as_ptr(), second.as_mut_ptr(), a.as_mut_ptr()) }
    }

    pub(super) fn times(&self, at: &Inner, first: &[f32], g: &mut [f32]) {
        assert!(first.len() >= at.len() && g.len() >= at.len());
        // SAFETY: as above.
        unsafe { (self.times)(at, first.as_ptr(), g.as_mut_ptr()) }
    }

    pub(super) fn bend(&self, at: &Inner, first: &[f32], bent: &[f32], g: &mut [f32], g_dot: &mut [f32]) {
        assert!(first.len() >= at.len() && bent.len() >= at.len() && g.len() >= at.len() && g_dot.len() >= at.len());
        // SAFETY: as above.
        unsafe { (self.bend)(at, first.as_ptr(), bent.as_ptr(), g.as_mut_ptr(), g_dot.as_mut_ptr()) }
    }
}
