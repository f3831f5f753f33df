//! Training and evaluation.

#[cfg(feature = "torch")]
pub mod batches;
#[cfg(feature = "torch")]
pub mod calibration;
#[cfg(feature = "torch")]
pub mod checkpoint;
pub mod config;
#[cfg(feature = "torch")]
mod course;
#[cfg(feature = "torch")]
mod distillation;
#[cfg(feature = "torch")]
pub mod evaluation;
#[cfg(feature = "torch")]
pub mod fit;
#[cfg(feature = "torch")]
mod none;
pub mod optimizer;
#[cfg(feature = "torch")]
pub mod progress;
#[cfg(feature = "torch")]
mod regularisation;
pub mod schedule;
mod setting;
#[cfg(feature = "torch")]
mod steps;
#[cfg(feature = "torch")]
mod torch;

pub use config::{Config, Keep, Precision};
#[cfg(feature = "torch")]
pub use fit::{Resumable, fit, fit_with};
#[cfg(feature = "torch")]
pub use progress::{Epoch, Event, History, Progress};
pub use schedule::Schedule;
pub use setting::Setting;
