//! Try every door by which input comes into srm with damaged and hostile inputs.
//!
//! A [`Door`] knows how valid inputs of its format are made, how to change them so that checksums and lengths stay right,
//! and which function of the program reads them. [`mutate()`] makes an input out of another one; [`Bounds`] says what an
//! input may cost. The tests try a few hundred inputs a door; `cargo xtask fuzz` builds the program of this crate with
//! libFuzzer, which keeps what reaches new code, and tries 10,000 and more.

#![deny(missing_docs)]

mod bounds;
mod dice;
mod doors;
mod formats;
mod mutate;
mod tree;

pub use bounds::{Bounds, Cost, LARGEST, SLOWEST};
pub use dice::Dice;
pub use doors::{DOORS, Door, door};
pub use mutate::mutate;

#[cfg(test)]
mod tests;
