//! Training and evaluation.

#[cfg(feature = "torch")]
pub mod batches;
#[cfg(feature = "torch")]
pub mod calibration;
pub mod config;
#[cfg(feature = "torch")]
pub mod evaluation;
#[cfg(feature = "torch")]
pub mod fit;
#[cfg(feature = "torch")]
mod none;
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod progress;
pub mod schedule;
#[cfg(feature = "torch")]
mod torch;

pub use config::{Config, Precision};
#[cfg(feature = "torch")]
pub use fit::fit;
#[cfg(feature = "torch")]
pub use progress::{Epoch, Event, History, Progress};
pub use schedule::Schedule;
