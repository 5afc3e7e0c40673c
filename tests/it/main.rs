//! Check the whole system from outside, one module a theme.

mod bad_input;
mod browser;
mod chains;
mod chromium;
mod common;
mod contract;
mod doctor;
mod evaluate;
mod explore;
mod export;
mod export_in_python;
mod faults;
mod gpu;
mod hub;
mod ladder;
mod latent;
mod limits;
mod moments;
mod pictures;
#[cfg(feature = "mpi")]
mod ranks;
mod report;
mod sample;
mod surroundings;
mod survive;
mod tensorboard;
mod texture;
mod train;
mod weights;
