//! Compute f and f' of the ConvNet on the CPU by kernels of our own: what training and sampling spend their time on.
//!
//! libtorch's small convolutions reach a quarter to a half of the processor's speed. Here one thread works through a few
//! images at a time, layer by layer, in buffers that stay in its cache: 4×4 stride-2 convolutions by Winograd's
//! F(4×4, 2×2), the largest by F(2×2, 2×2) ([`winograd`], [`scheme`]), the first and last layer as plain products ([`edge`]), all on one inner loop ([`product`]).
//! Activations lie channels-last with a border of zeros, and each gradient overwrites the activation whose sign it needs.
//! Smooth activations ([`curve`]) keep their derivative beside it, and for products with the Hessian the second one, too.
//! An image's bits do not depend on which other images are computed with it.
//!
//! Nets that do not fit ([`CpuNet::new`] says which) take the plain path through libtorch, and the tests hold the two together.
//!
//! # Speed
//!
//! `cargo xtask bench` on two AVX2 cores of an AMD EPYC (a shared virtual machine), libtorch 2.11.0; milliseconds per step, update
//! (K 20), reconstruction (8 images, 10 iterations, K 20) and 256 samples (K 10); medians of pairs run in turn:
//!
//! | row | published loop | srm | ratio | GFLOP/s | share of matrix product | peak memory, published and srm |
//! |---|---|---|---|---|---|---|
//! | 32px-n16 | 25.76 ms | 8.69 ms | 2.90 | 198.4 | 1.08 | 175 and 135 MB |
//! | 32px-n32 | 77.47 ms | 30.10 ms | 2.29 | 221.6 | 1.23 | 217 and 151 MB |
//! | 32px-n64 | 229.15 ms | 101.75 ms | 2.16 | 257.7 | 1.41 | 295 and 220 MB |
//! | 64px-n32 | 172.99 ms | 72.46 ms | 2.45 | 213.7 | 1.43 | 306 and 199 MB |
//! | 64px-n64 | 237.91 ms | 123.67 ms | 1.90 | 246.8 | 1.36 | 333 and 366 MB |
//! | update-n32 | 1994.82 ms | 1097.58 ms | 1.82 | 139.8 | 1.12 | 248 and 224 MB |
//! | reconstruct | 7504.83 ms | 1293.00 ms | 5.64 | 129.0 | 0.98 | 264 and 149 MB |
//! | sample-256 | 4056.00 ms | 1545.32 ms | 2.49 | 172.6 | 1.91 | 440 and 159 MB |
//!
//! GFLOP/s count the products and sums of the plain convolutions; Winograd makes nine of sixteen, which is why the share of the
//! matrix product's own rate exceeds 1. How far from the limit: one thread's multipliers peak at 102 GFLOP/s here, both threads
//! together at 166; the inner loop reaches 94 on one thread at n = 32. Of a step at n = 16 it takes 54 %, the first layer and its
//! transpose 11 %, the transforms 14 %, noise 4 %, libtorch's few additions and copies the rest; at n = 32 the inner loop
//! takes 69 %.
//!
//! What did not pay, or was not done:
//!
//! - A prefetch thread for batches: making one is 0.2 ms of an update of 170 ms (n 24, K 30, m 16).
//! - Optimising the random generator harder (opt-level 3 for its crates): no change; its time goes into copying words.
//! - F(4×4, 2×2) would save another 30 % of the products, at four times the transforms' work and 25/9 of the weights' memory: not
//!   tried.
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
mod tests;
