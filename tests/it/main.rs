//! Check the whole system from outside, one module a theme.

mod bad_input;
mod common;
mod doctor;
mod evaluate;
mod faults;
mod latent;
mod sample;
mod survive;
mod tensorboard;
mod train;
