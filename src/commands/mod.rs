//! The commands of the program, a file each, and the options that they share.

#[cfg_attr(not(feature = "torch"), allow(dead_code))] // options are parsed that only training reads
mod args;
pub mod batch;
pub mod cli;
pub mod compare;
pub mod completions;
pub mod console;
pub mod convert;
pub mod dataset;
pub mod doctor;
pub mod evaluate;
#[cfg(any(feature = "serve", feature = "torch"))]
#[cfg_attr(not(feature = "torch"), allow(dead_code))] // the server asks only whether to stop
mod interrupt;
#[cfg(feature = "torch")]
mod origin;
pub mod predict;
#[cfg(feature = "torch")]
mod progress;
pub mod read;
#[cfg(feature = "serve")]
pub mod serve;
pub mod show;
pub mod summary;
pub mod train;
