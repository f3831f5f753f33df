//! Every test of the program and the library as a whole; one binary, so that it is linked once.
//! What concerns one stage alone is tested beside that stage.

mod batch;
mod cli;
#[cfg(feature = "torch")]
mod comforts;
mod common;
#[cfg(feature = "torch")]
mod compare;
mod dataset;
#[cfg(feature = "torch")]
mod faults;
#[cfg(feature = "torch")]
mod folders;
mod formats;
mod hostile;
mod images;
#[cfg(feature = "torch")]
mod kernels;
mod layout;
#[cfg(feature = "torch")]
mod libtorch;
#[cfg(feature = "torch")]
mod load;
#[cfg(feature = "torch")]
mod parity;
#[cfg(feature = "torch")]
mod pipeline;
#[cfg(feature = "torch")]
mod plain;
#[cfg(feature = "serve")]
mod serve;
mod sheets;
#[cfg(feature = "torch")]
mod show;
#[cfg(feature = "torch")]
mod tensorboard;
#[cfg(not(feature = "torch"))]
mod without_libtorch;
