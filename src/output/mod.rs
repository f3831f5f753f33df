//! Plain records as text, plots and TensorBoard's event files.

pub mod plot;
pub mod tensorboard;
pub mod text;
