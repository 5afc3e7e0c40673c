//! Multiply tiles by weights, point by point.

use super::geometry::{Geometry, plane, stride};
use super::kernels::Kernels;
use super::memory::Lines;
use super::product::Product;
use super::simd::PANEL;

/// Depth of a product before its sums go back to memory: a panel of weights of this depth takes half of a 32 kB cache.
const DEPTH: usize = 256;
/// The same where a row of points is made at a time: five panels of 8 kB. 64 to 256 are as fast.
const DEPTH_OF_TAPS: usize = 128;

/// m\[e\] = v\[e\] u\[e\] for all points: v `[points, rows, depth]`, m `[points, rows, columns]`, their rows [`stride`] and their
/// points [`plane`] apart, and u as [`super::packed::PackedLayer`] has it, with room for what is made of taps.
pub(super) fn products(
    kernels: &Kernels,
    g: &Geometry,
    images: usize,
    (depth, columns): (usize, usize),
    v: &[f32],
    (u, made): (&[f32], &mut Lines),
    m: &mut [f32],
) {
    let rows = images * g.tiles();
    let dense = |start: usize, most: usize| {
        let deep = most.min(depth - start);
        Product { accumulate: start > 0, ..Product::dense(rows, deep, stride(depth), stride(columns)) }
    };
    let (v_apart, m_apart) = (plane(g, images, depth), plane(g, images, columns));
    if g.kept {
        let planes = v.chunks(v_apart).zip(u.chunks_exact(g.weights_apart()));
        for ((v, u), m) in planes.zip(m.chunks_mut(m_apart)) {
            for (panel, u) in u.chunks_exact(depth * PANEL).enumerate() {
                for start in (0..depth).step_by(DEPTH) {
                    let p = Product { goes_on: true, ..dense(start, DEPTH) };
                    kernels.product(&p, &v[start..], &u[start * PANEL..], &mut m[panel * PANEL..]);
                }
            }
        }
        return;
    }
    let n = g.scheme().len();
    made.resize(n * DEPTH_OF_TAPS * PANEL);
    for start in (0..depth).step_by(DEPTH_OF_TAPS) {
        let p = dense(start, DEPTH_OF_TAPS);
        for (panel, taps) in u.chunks_exact(4 * depth * PANEL).enumerate() {
            for down in 0..n {
                kernels.weights(g, down, p.depth, &taps[4 * start * PANEL..], made);
                for (across, u) in made[..n * p.depth * PANEL].chunks_exact(p.depth * PANEL).enumerate() {
                    let e = n * down + across;
                    kernels.product(&p, &v[e * v_apart + start..], u, &mut m[e * m_apart + panel * PANEL..]);
                }
            }
        }
    }
}
