//! Hold one layer on each tile against a convolution in f64.

use super::geometry::{Geometry, Tile, plane};
use super::gradient::LayerGradient;
use super::kernels::Kernels;
use super::memory::Lines;
use super::packed::PackedLayer;
use super::products::products;
use crate::check::direction;
use tch::{Device, Kind, Tensor};

/// Images per batch.
const IMAGES: usize = 3;
/// The largest difference, as a part of the largest element.
const BOUND: f64 = 1e-5;

/// `[b, c, h, w]` as the kernels have it: channels last, with a border of zeros.
fn padded(x: &Tensor) -> Lines {
    let x = x.constant_pad_nd([1, 1, 1, 1]).permute([0, 2, 3, 1]).to_kind(Kind::Float).contiguous();
    let mut lines = Lines::zeros(x.numel());
    x.copy_data(&mut lines, x.numel());
    lines
}

fn check(case: &str, ours: &Tensor, expected: &Tensor) {
    let difference = (ours - expected).abs().max().double_value(&[]);
    let largest = expected.abs().max().double_value(&[]);
    assert!(difference <= BOUND * largest, "{case}: {difference:.1e} of {largest:.1e}");
}

fn numbers(t: &Tensor) -> Vec<f32> {
    Vec::try_from(t.to_kind(Kind::Float).flatten(0, -1)).unwrap()
}

/// Outputs, the gradient at the inputs, and that in weights and biases.
fn layer(kernels: &Kernels, g: &Geometry) {
    let case = format!("{}, {g:?}", kernels.name);
    let mut draws = 0;
    let mut normal = |shape: [i64; 4]| {
        draws += 1;
        direction(&Tensor::zeros(shape, (Kind::Float, Device::Cpu)), draws).unwrap().to_kind(Kind::Double)
    };
    let ([height, width], inputs, outputs) = (g.size.map(|side| side as i64), g.channels as i64, g.outputs as i64);
    let x = normal([IMAGES as i64, inputs, height, width]).set_requires_grad(true);
    let w = normal([outputs, inputs, 4, 4]).set_requires_grad(true);
    let bias = normal([outputs, 1, 1, 1]).flatten(0, -1).detach().set_requires_grad(true);
    let y = x.conv2d(&w, Some(&bias), [2, 2], [1, 1], [1, 1], 1);
    let g_out = normal([IMAGES as i64, outputs, height / 2, width / 2]);
    (&y * &g_out).sum(Kind::Double).backward();

    let mut packed = PackedLayer::default();
    packed.set(g, &numbers(&w.detach()), &numbers(&bias.detach()));
    let room = g.points() * plane(g, IMAGES, g.depth().max(g.outputs));
    let (mut v, mut m, mut made) = (Lines::zeros(room), Lines::zeros(room), Lines::default());
    let zero = Lines::zeros(g.depth());
    let (x_lines, gradient) = (padded(&x.detach()), padded(&g_out));
    let mut h = Lines::zeros(IMAGES * g.output_len());
    kernels.input(g, IMAGES, &x_lines, &mut v);
    products(kernels, g, IMAGES, (g.depth(), g.outputs), &v, (&packed.forward, &mut made), &mut m);
    kernels.output(g, IMAGES, &m, &packed.bias, 1.0, &mut h);
    let inner = |lines: &[f32], (height, width): (i64, i64), channels: i64| {
        let len = (IMAGES as i64 * (height + 2) * (width + 2) * channels) as usize;
        let all = Tensor::from_slice(&lines[..len]).reshape([IMAGES as i64, height + 2, width + 2, channels]);
        all.narrow(1, 1, height).narrow(2, 1, width).permute([0, 3, 1, 2]).to_kind(Kind::Double)
    };
    check(&format!("outputs, {case}"), &inner(&h, (height / 2, width / 2), outputs), &y.detach());

    let mut sums = LayerGradient::default();
    sums.begin(g);
    kernels.output_gradient(g, IMAGES, &gradient, &mut v);
    kernels.input(g, IMAGES, &x_lines, &mut m);
    sums.add(kernels, g, IMAGES, &m, &v);
    let (mut ours_w, mut ours_bias) = (vec![0.0; w.numel()], vec![0.0; g.outputs]);
    sums.finish(g, (&mut ours_w, &mut ours_bias));
    let double = |values: &[f32]| Tensor::from_slice(values).to_kind(Kind::Double);
    check(&format!("weights, {case}"), &double(&ours_w).reshape(w.size()), &w.grad());
    check(&format!("bias, {case}"), &double(&ours_bias), &bias.grad());

    products(kernels, g, IMAGES, (g.outputs, g.depth()), &v, (&packed.backward, &mut made), &mut m);
    let mut below = Lines::zeros(IMAGES * g.input_len());
    kernels.input_gradient(g, IMAGES, &m, &zero, 1.0, &mut below);
    check(&format!("inputs, {case}"), &inner(&below, (height, width), inputs), &x.grad());
    let border: f32 = below[..(g.size[1] + 2) * g.channels].iter().map(|value| value.abs()).sum();
    assert_eq!(border.to_bits(), 0, "{case}: the padding stays zero");
}

#[test]
fn both_tiles_kept_or_made_are_the_convolution_and_its_derivatives() {
    for kernels in Kernels::available() {
        for tile in [Tile::Two, Tile::Four] {
            for size in [[8, 8], [16, 16], [32, 32], [8, 24], [40, 16]] {
                // a depth of 160 with AVX2: more than one part of that of products on taps
                let g = Geometry { size, channels: 5 * kernels.lanes, outputs: 3 * 16, tile, kept: true, torus: false };
                layer(&kernels, &g);
                layer(&kernels, &Geometry { kept: false, ..g });
            }
        }
    }
}

#[test]
fn tiles_are_chosen_by_the_weight_that_they_make() {
    let tiles = |size: usize, features: usize| {
        let (mut size, mut channels, mut tiles) = (size, features, Vec::new());
        while size > 4 {
            let outputs = (2 * channels).min(8 * features);
            let g = Geometry::new([size; 2], channels, outputs);
            tiles.push((g.tile, g.kept));
            (size, channels) = (size / 2, outputs);
        }
        tiles
    };
    use Tile::{Four, Two};
    assert_eq!(tiles(32, 16), [(Four, true); 3]);
    assert_eq!(tiles(32, 32), [(Four, true), (Four, true), (Two, true)]);
    assert_eq!(tiles(64, 64), [(Four, true), (Four, true), (Four, false), (Two, true)]);
    // sides that are no multiples of the larger tile
    let g = Geometry::new([12, 16], 16, 32);
    assert_eq!((g.tile, g.sides()), (Two, [3, 4]));
}

#[test]
#[should_panic(expected = "assertion failed")]
fn a_slice_one_number_short_is_refused() {
    let Some(kernels) = Kernels::available().into_iter().next() else { panic!("assertion failed: nothing to refuse") };
    let g = Geometry { size: [8, 8], channels: 16, outputs: 32, tile: Tile::Four, kept: true, torus: false };
    let room = g.points() * plane(&g, 1, g.depth());
    kernels.input(&g, 1, &vec![0.0; g.input_len()], &mut vec![0.0; room - 1]);
}
