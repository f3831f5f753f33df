//! Plain records as text, JSON, plots and TensorBoard's event files.

pub mod plot;
pub mod row;
#[cfg(feature = "torch")]
pub mod tensorboard;
pub mod text;
