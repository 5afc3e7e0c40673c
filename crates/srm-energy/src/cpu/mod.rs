//! Compute f and f' of the ConvNet on the CPU by kernels of our own: what training and sampling spend their time on.
//!
//! libtorch's small convolutions reach a quarter to a half of the processor's speed. Here one thread works through a few
//! images at a time, layer by layer, in buffers that stay in its cache: 4×4 stride-2 convolutions by Winograd's
//! F(4×4, 2×2), those of large weights by F(2×2, 2×2) where an image is one tile ([`geometry`], [`winograd`], [`scheme`]), the first
//! and last layer as plain products ([`edge`]), all on one inner loop ([`product`]).
//! Activations lie channels-last with a border of zeros, and each gradient overwrites the activation whose sign it needs.
//! Smooth activations ([`curve`]) keep their derivative beside it, and for products with the Hessian the second one, too.
//! An image's bits do not depend on which other images are computed with it.
//!
//! Nets that do not fit ([`CpuNet::new`] says which) take the plain path through libtorch, and the tests hold the two together.
//!
//! # Speed
//!
//! `cargo xtask bench` on two AVX2 cores of an AMD EPYC (a shared virtual machine, on which the published loop's own times differ by
//! half between runs), libtorch 2.11.0, commit f928268, other runs at aa98d5a and before; milliseconds per step, update (K 20),
//! reconstruction (8 images, 10 iterations, K 20) and 256 samples (K 10); medians of pairs run in turn:
//!
//! | row | published loop | srm | ratio | other runs | GFLOP/s | share of matrix product | of the limit | peak memory, both |
//! |---|---|---|---|---|---|---|---|---|
//! | 32px-n16 | 45.65 ms | 11.11 ms | 3.96 | 3.26, 3.66, 4.21 | 155.3 | 1.41 | 0.53 | 174, 142 MB |
//! | 32px-n32 | 107.63 ms | 34.56 ms | 3.10 | 3.16, 2.20, 2.27, 2.69 | 193.0 | 1.50 | 0.72 | 215, 158 MB |
//! | 32px-n64 | 324.79 ms | 114.63 ms | 2.72 | 2.61, 2.92, 2.53 | 228.8 | 1.86 | 0.77 | 320, 231 MB |
//! | 64px-n32 | 229.27 ms | 73.27 ms | 2.98 | 2.79, 2.78, 2.73, 2.95 | 211.4 | 1.68 | 0.96 | 320, 220 MB |
//! | 64px-n64 | 372.22 ms | 147.92 ms | 2.58 | 2.51, 2.38, 2.46, 2.54 | 206.3 | 1.31 | 0.85 | 334, 353 MB |
//! | 16px-n32 | 20.17 ms | 5.58 ms | 3.59 | 3.37, 3.50, 3.15 | 202.7 | 1.60 | 0.70 | 153, 137 MB |
//! | 32px-n32-silu | 96.59 ms | 38.18 ms | 2.55 | 2.43, 2.38, 2.33 | 174.7 | 2.20 | 1.05 | 208, 163 MB |
//! | update-n32 | 1873.65 ms | 719.06 ms | 2.59 | 2.14, 2.19, 2.21, 2.25, 2.33 | 213.3 | 2.55 | 1.30 | 247, 222 MB |
//! | reconstruct | 7582.00 ms | 995.70 ms | 8.25 | 7.16, 6.54, 6.58 | 167.5 | 1.27 | 0.59 | 267, 153 MB |
//! | reconstruct-silu | 8180.11 ms | 2768.96 ms | 3.18 | 3.23, 2.86, 2.61 | 60.2 | 0.48 | 0.25 | 469, 165 MB |
//! | sample-256 | 3469.13 ms | 1258.07 ms | 2.83 | 2.81, 3.59, 3.34 | 212.1 | 1.66 | 0.89 | 425, 167 MB |
//!
//! GFLOP/s count the products and sums of the plain convolutions (of a reconstruction those of its chains alone); Winograd makes nine
//! or fewer of sixteen, which is why the share of the matrix product's own rate exceeds 1. The limit is sixteen ninths of the
//! multipliers' rate as `bench` measures it beside each row. Of a step at n 32 the products take 64 %, the gradient's way back into
//! pixels ([`winograd`]) 10 %, the other transforms 10 %, the first layer and its transpose 7 %, the rest is libtorch's few
//! additions, copies and noise.
//!
//! What paid, f and f' on one thread: fetching the next panel of weights while one is used (the product waited for them: 8 % of a
//! step at n 32, 18 % at n 64), F(4×4, 2×2) (15 % at n 16, 9 % at n 32, 6 % at n 64), rows an odd number of cache lines apart. Weights
//! laid out a panel at a time, not a number at a time: 60 → 14 ms at n 32; their gradient 75 → 45 ms.
//!
//! What did not pay, or was not done:
//!
//! - F(4×4, 2×2) with its weights kept where they are larger than 16 MB: 9 % faster at n 64, for 67 MB more. They are made from the
//!   taps in each product instead ([`products`]): at 64 px n 64 as fast as F(2×2, 2×2) with kept weights, for 19 MB less.
//! - The same where an image is one tile, from 4 MB on: as fast as F(2×2, 2×2) for 32 images, a fourth slower for one; with
//!   F(2×2, 2×2) from taps 40 MB less at 64 px n 64, and 7 % slower on two threads. So F(2×2, 2×2) has those weights kept, for both directions.
//! - Huge pages for the weights: no change. Blocks of 24 or 96 tiles in place of 48: no change.
//! - A prefetch thread for batches: making one is 0.2 ms of an update of 170 ms (n 24, K 30, m 16).
//! - Optimising the random generator harder (opt-level 3 for its crates): no change; its time goes into copying words.
//! - AVX-512 (one vector a panel, fourteen rows) is written and tested where the processor has it; it was not timed.

mod choice;
mod curve;
mod edge;
mod geometry;
mod gradient;
mod kernels;
mod memory;
mod net;
mod packed;
mod product;
mod products;
mod scheme;
mod shape;
mod simd;
mod winograd;

pub use choice::{cpu_multiplier_rate, force_cpu_kernels};
pub(crate) use kernels::Kernels;
pub(crate) use net::CpuNet;
pub(crate) use packed::Packed;

#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod tests;
