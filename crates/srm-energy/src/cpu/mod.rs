//! Compute f and f' of the ConvNet on the CPU by kernels of our own: what training and sampling spend their time on.
//!
//! libtorch's small convolutions reach a quarter to a half of the processor's speed. Here one thread works through a few
//! images at a time, layer by layer, in buffers that stay in its cache: 4×4 stride-2 convolutions by Winograd's
//! F(2×2, 2×2) ([`winograd`]), the first and last layer as plain products ([`edge`]), all on one inner loop ([`product`]).
//! Activations lie channels-last with a border of zeros, and each gradient overwrites the activation whose sign it needs.
//! An image's bits do not depend on which other images are computed with it.
//!
//! Nets that do not fit ([`CpuNet::new`] says which) take the plain path through libtorch, and the tests hold the two together.

mod edge;
mod gradient;
mod kernels;
mod net;
mod packed;
mod product;
mod simd;
mod winograd;

pub(crate) use kernels::Kernels;
pub(crate) use net::CpuNet;
pub(crate) use packed::Packed;

#[cfg(test)]
mod tests;
