//! Compute f and f' of the ConvNet on the CPU by kernels of our own: what training and sampling spend their time on.
//!
//! libtorch's small convolutions reach a quarter to a half of the processor's speed. Here one thread works through a few
//! images at a time, layer by layer, in buffers that stay in its cache: 4×4 stride-2 convolutions by Winograd's
//! F(4×4, 2×2), those of the largest weights by F(2×2, 2×2) ([`winograd`], [`scheme`]), the first and last layer as plain products
//! ([`edge`]), all on one inner loop ([`product`]).
//! Activations lie channels-last with a border of zeros, and each gradient overwrites the activation whose sign it needs.
//! Smooth activations ([`curve`]) keep their derivative beside it, and for products with the Hessian the second one, too.
//! An image's bits do not depend on which other images are computed with it.
//!
//! Nets that do not fit ([`CpuNet::new`] says which) take the plain path through libtorch, and the tests hold the two together.
//!
//! # Speed
//!
//! `cargo xtask bench` on two AVX2 cores of an AMD EPYC (a shared virtual machine, half as fast that day as on others), libtorch
//! 2.11.0, commit cbb6f3f; milliseconds per step, update (K 20), reconstruction (8 images, 10 iterations, K 20) and 256 samples
//! (K 10); medians of pairs run in turn:
//!
//! | row | published loop | srm | ratio | GFLOP/s | share of matrix product | of the limit | peak memory, published and srm |
//! |---|---|---|---|---|---|---|---|
//! | 32px-n16 | 52.92 ms | 12.37 ms | 4.21 | 139.4 | 1.11 | 0.47 | 173 and 142 MB |
//! | 32px-n32 | 90.73 ms | 39.57 ms | 2.27 (again: 2.69) | 168.5 | 1.36 | 0.63 | 236 and 158 MB |
//! | 32px-n64 | 365.30 ms | 140.43 ms | 2.53 | 186.7 | 1.17 | 0.56 | 298 and 240 MB |
//! | 64px-n32 | 247.00 ms | 89.57 ms | 2.73 (again: 2.95) | 172.9 | 1.15 | 0.54 | 294 and 222 MB |
//! | 64px-n64 | 332.30 ms | 141.35 ms | 2.46 (again: 2.54) | 215.9 | 1.66 | 0.77 | 326 and 372 MB |
//! | 16px-n32 | 21.99 ms | 6.88 ms | 3.15 | 164.4 | 1.88 | 0.61 | 153 and 137 MB |
//! | 32px-n32-silu | 102.27 ms | 43.57 ms | 2.33 | 153.1 | 1.69 | 0.59 | 216 and 162 MB |
//! | update-n32 | 1828.80 ms | 777.23 ms | 2.21 (again: 2.25) | 197.4 | 1.26 | 0.70 | 250 and 231 MB |
//! | reconstruct | 7065.15 ms | 1122.17 ms | 6.58 | 148.6 | 1.07 | 0.58 | 265 and 154 MB |
//! | reconstruct-silu | 9561.36 ms | 3398.40 ms | 2.61 | 49.1 | 0.46 | 0.15 | 468 and 165 MB |
//! | sample-256 | 5166.31 ms | 1475.63 ms | 3.34 | 180.8 | 1.57 | 0.67 | 449 and 167 MB |
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
//! - F(4×4, 2×2) for the layers whose weights it makes larger than 16 MB: 9 % faster at n 64, for 67 MB more. Where
//!   an image is one tile, from 4 MB on: as fast as F(2×2, 2×2), and updates are slower.
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
mod scheme;
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
