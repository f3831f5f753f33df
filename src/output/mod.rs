//! Plain records as text, plots and TensorBoard's event files.

pub mod plot;
#[cfg(feature = "torch")]
pub mod tensorboard;
pub mod text;
