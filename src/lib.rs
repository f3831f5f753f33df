//! Trains and applies a two-layer handwritten-digit network (784 → hidden → 10) on
//! [libtorch](https://pytorch.org/cppdocs/), through the [`tch`] crate. The program `mnist` is a
//! thin shell over this library, of which only [`commands`] prints.
//!
//! Data flows one way, and a module uses only those to its left (`tests/suite/layout.rs` holds it
//! to that):
//!
//! ```text
//! mnist_image ─► files ─► dataset ─► network ─► weights ─► training ─► experiments
//!                                                  └► reading              └► output ─┐
//!                                                        commands ◄─ server ◄─ batch ◄─┘
//! ```
//!
//! # Example
//!
//! Classify an image with the released weights:
//!
//! ```
//! use std::num::NonZero;
//!
//! use mnist_image::decode::Budget;
//! use tch_mnist::network::{classifier::Classifier, plain::Plain};
//! use tch_mnist::{files, weights};
//!
//! # fn main() -> anyhow::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("digit.png");
//! # let mut stroke = ::image::GrayImage::from_pixel(60, 90, ::image::Luma([230]));
//! # for y in 10..80 { for x in 27..33 { stroke.put_pixel(x, y, ::image::Luma([40])); } }
//! # stroke.save(&path)?;
//! let model = Plain::new(weights::released()?, NonZero::<usize>::MIN);
//! // Any size, dark on light or light on dark.
//! let digit = files::image::read_digit(&path, &Budget::default())?;
//! let prediction = &model.predict(&[digit])?[0];
//! println!("{} ({:.1}%)", prediction.label, 100.0 * prediction.confidence);
//! # assert_eq!(prediction.label, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Train a network and save it, with the feature `torch`, which is on unless it is turned off:
#![cfg_attr(feature = "torch", doc = "```no_run")]
#![cfg_attr(not(feature = "torch"), doc = "```ignore")]
//! use std::ops::ControlFlow::Continue;
//! use tch::Device;
//! use tch_mnist::training::{self, evaluation};
//! use tch_mnist::{dataset, network::model::Model, weights};
//!
//! # fn main() -> anyhow::Result<()> {
//! let data = dataset::load(None)?; // the MNIST that is built in
//! let mut model = Model::new(512, 0, Device::Cpu)?;
//! let config = training::Config::default(); // RMSprop, batches of 128, 5 epochs
//! let history = training::fit(&mut model, &data.train, &config, &mut |_| Continue(()))?;
//! let test = evaluation::evaluate(&model, &data.test)?;
//! println!("loss {:.4}, test accuracy {:.4}", history.epochs[4].loss, test.accuracy);
//! weights::save(&model.to_arrays()?, "models/mine.safetensors".as_ref())?;
//! # Ok(())
//! # }
//! ```

#[cfg(all(doctest, feature = "torch"))]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/install.md")]
struct Documentation;

pub mod batch;
pub mod commands;
pub mod dataset;
#[cfg(feature = "torch")]
pub mod experiments;
pub mod files;
pub mod network;
pub mod output;
pub mod reading;
#[cfg(feature = "serve")]
pub mod server;
pub mod training;
pub mod weights;

pub use mnist_image::{PIXELS, SIDE};

/// Number of digit classes, 0 to 9.
pub const CLASSES: usize = 10;
/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of the libtorch that this crate was built with, or `none`.
pub const LIBTORCH: &str = env!("LIBTORCH_VERSION");
