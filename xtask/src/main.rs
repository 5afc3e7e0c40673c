//! Dispatch `cargo xtask …`: each subcommand has a file of its own.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod checksum;
mod download;
mod workspace;

fn main() {}
