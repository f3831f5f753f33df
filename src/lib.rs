//! Trains and applies a two-layer handwritten-digit network (784 → hidden → 10) on
//! [libtorch](https://pytorch.org/cppdocs/), through the [`tch`] crate. The program `mnist` is a
//! thin shell over this library, of which only [`cli`] and [`commands`] print.
//!
//! Data flows one way, and a module uses only those to its left:
//!
//! ```text
//! bytes ──► tensors ──► model ──► train, metrics ──────► report
//! input,    data,       model,    train, metrics,        report,
//! idx,      augment,    weights,  reading, runs,         plot,
//! image,    outlier     optimizer, comparison            events
//! sheet
//!                       device
//! ```
//!
//! # Example
//!
//! Classify a picture with the released weights:
//!
//! ```
//! use tch::Device;
//! use tch_mnist::{image, weights};
//!
//! # fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("digit.png");
//! # let mut stroke = ::image::GrayImage::from_pixel(60, 90, ::image::Luma([230]));
//! # for y in 10..80 { for x in 27..33 { stroke.put_pixel(x, y, ::image::Luma([40])); } }
//! # stroke.save(&path)?;
//! let model = weights::released(Device::Cpu)?;
//! let digit = image::read(&path)?; // any size, dark on light or light on dark
//! let prediction = &model.predict(&[digit])?[0];
//! println!("{} ({:.1}%)", prediction.label, 100.0 * prediction.confidence);
//! # assert_eq!(prediction.label, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Train a network and keep it:
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use tch::Device;
//! use tch_mnist::{data, metrics, model::Model, train, weights};
//!
//! # fn main() -> anyhow::Result<()> {
//! let data = data::load(None)?; // the MNIST that is built in
//! let mut model = Model::new(512, 0, Device::Cpu)?;
//! let config = train::Config::default(); // RMSprop, batches of 128, 5 epochs
//! let history = train::fit(&mut model, &data.train, &config, &mut |_| ControlFlow::Continue(()))?;
//! let test = metrics::evaluate(&model, &data.test)?;
//! println!("loss {:.4}, test accuracy {:.4}", history.epochs[4].loss, test.accuracy);
//! weights::save(&model, "models/mine.safetensors".as_ref())?;
//! # Ok(())
//! # }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod atomic;
pub mod augment;
pub mod cli;
pub mod commands;
pub mod comparison;
pub mod data;
pub mod device;
pub mod events;
pub mod idx;
pub mod image;
pub mod input;
pub mod metrics;
pub mod model;
pub mod optimizer;
pub mod outlier;
pub mod plot;
pub mod reading;
pub mod report;
pub mod runs;
pub mod sheet;
pub mod train;
pub mod weights;

/// Number of digit classes, 0 to 9.
pub const CLASSES: usize = 10;
/// Width and height of a picture in pixels.
pub const SIDE: usize = 28;
/// Number of inputs of the network, one per pixel.
pub const PIXELS: usize = SIDE * SIDE;
/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the libtorch that this crate was built with.
pub const LIBTORCH: &str = env!("LIBTORCH_VERSION");
