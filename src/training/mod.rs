//! Training and evaluation.

pub mod batches;
pub mod config;
pub mod evaluation;
pub mod fit;
pub mod optimizer;
pub mod progress;
pub mod schedule;

pub use config::{Config, Precision};
pub use fit::fit;
pub use progress::{Epoch, Event, History, Progress};
pub use schedule::Schedule;
