//! The verbs of the program, a file each, and the options that they share.

mod args;
pub mod cli;
pub mod compare;
pub mod console;
pub mod convert;
pub mod doctor;
pub mod evaluate;
mod interrupt;
pub mod predict;
mod progress;
pub mod read;
pub mod show;
pub mod summary;
pub mod train;
