//! Hold nothing, and make builds agree: a library that two programs use with different features is compiled twice.
//!
//! Cargo takes for each build the features that its packages ask for. `cargo xtask` builds itself, then itself with the
//! feature `data`, then srm; whatever lies below all three and is asked for with more features by the last would be
//! compiled up to three times in the first minutes. This crate asks for them everywhere. To see who differs:
//! `cargo tree --prefix none -f '{p} [{f}]' -p xtask` beside the same of `-p srm-cli`.
