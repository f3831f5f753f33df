//! What a comparison can vary beside the optimizer.

use super::Schedule;

/// A setting and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Hidden units.
    Hidden(i64),
    /// Samples per step.
    BatchSize(i64),
    /// The learning rate, of every optimizer.
    LearningRate(f64),
    /// The share of hidden units that steps leave out.
    Dropout(f64),
    /// The schedule of the learning rate.
    Schedule(Schedule),
}
