//! Every test of the program and the library as a whole; one binary, so that it is linked once. What
//! concerns one stage alone is tested beside that stage.

mod cli;
mod common;
mod compare;
mod faults;
mod formats;
mod hostile;
mod images;
mod kernels;
mod layout;
mod libtorch;
mod load;
mod parity;
mod pipeline;
mod sheets;
mod show;
mod tensorboard;
