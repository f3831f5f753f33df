//! Event files, as TensorBoard reads them.
//!
//! Format: records of the length (u64), its CRC, a message and its CRC (u32, masked CRC-32C), all
//! little-endian (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>).
//! A message is a protocol buffer:
//! <https://github.com/tensorflow/tensorboard/blob/2.20.0/tensorboard/compat/proto/event.proto>.
//! What is written here is the part of it that scalars and images need: the crates that write
//! such files want a compiler for protocol buffers on the machine, bring a web client and its
//! cryptography into the build, or panic where they cannot write.

use std::fs::{self, File};
use std::io::{Cursor, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use crc::{CRC_32_ISCSI, Crc};
use image::{ImageFormat, RgbImage};
use prost::{Message, Oneof};

use crate::training::{self, Config, Epoch};

/// An event.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// When it was, in seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// At which step.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What it was.
    #[prost(oneof = "What", tags = "3, 5")]
    pub what: Option<What>,
}

/// What an event was.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The start of the file, with the version of the format.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values.
    #[prost(message, tag = "5")]
    Summary(Summary),
}

/// Values.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// A value and its name.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its name.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The value.
    #[prost(oneof = "Content", tags = "2, 4")]
    pub content: Option<Content>,
}

/// A number or an image.
#[derive(Clone, PartialEq, Oneof)]
pub enum Content {
    /// A number.
    #[prost(float, tag = "2")]
    Scalar(f32),
    /// An image.
    #[prost(message, tag = "4")]
    Image(Image),
}

/// An image.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// Height in pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Width in pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// Number of colours: 3 for RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// The image as a PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

/// An event file that grows.
#[derive(Debug)]
pub struct Events {
    file: File,
    path: PathBuf,
}

impl Events {
    /// A new event file in `folder`, which is made if missing. TensorBoard shows the folder as one
    /// run, with what other files there hold.
    pub fn create(folder: &Path) -> Result<Events> {
        let create = || -> Result<Events> {
            fs::create_dir_all(folder)?;
            let mut builder = tempfile::Builder::new();
            // The rest of the name keeps it apart from others of the same second.
            let name = format!("events.out.tfevents.{:010}.", now()? as u64);
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            let (file, path) = builder.prefix(&name).tempfile_in(folder)?.keep()?;
            let mut events = Events { file, path };
            events.write(0, What::FileVersion("brain.Event:2".into()))?;
            Ok(events)
        };
        create().with_context(|| format!("cannot write events into {}", folder.display()))
    }

    /// Adds numbers of a step.
    pub fn scalars(&mut self, step: usize, scalars: &[(&str, f64)]) -> Result<()> {
        let value = |&(tag, scalar): &(&str, f64)| Value {
            tag: tag.into(),
            content: Some(Content::Scalar(scalar as f32)),
        };
        self.write(step, What::Summary(Summary { values: scalars.iter().map(value).collect() }))
    }

    /// Adds an image of a step.
    pub fn image(&mut self, step: usize, tag: &str, pixels: &RgbImage) -> Result<()> {
        let mut png = Cursor::new(Vec::new());
        pixels.write_to(&mut png, ImageFormat::Png)?;
        let image = Image {
            height: pixels.height() as i32,
            width: pixels.width() as i32,
            colorspace: 3,
            encoded: png.into_inner(),
        };
        let value = Value { tag: tag.into(), content: Some(Content::Image(image)) };
        self.write(step, What::Summary(Summary { values: vec![value] }))
    }

    fn write(&mut self, step: usize, what: What) -> Result<()> {
        let event = Event { wall_time: now()?, step: step as i64, what: Some(what) };
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let crc = |bytes: &[u8]| masked_crc(bytes).to_le_bytes();
        let record = [&length[..], &crc(&length), &message, &crc(&message)].concat();
        // At once, so that TensorBoard never sees half of it for long.
        let written = self.file.write_all(&record);
        written.with_context(|| format!("cannot write events into {}", self.path.display()))
    }
}

/// The log of a training run: two runs for TensorBoard, whose curves of the same name it puts into
/// one chart, laid out and named as Keras's callback does
/// (<https://keras.io/api/callbacks/tensorboard/>).
#[derive(Debug)]
pub struct TrainingLog {
    folder: PathBuf,
    train: Events,
    validation: Option<Events>,
    /// The losses of the steps of an epoch, which are computed together, at its last one.
    step_losses: Vec<f32>,
}

impl TrainingLog {
    /// Begins event files in the folders `train` and, if there is a split, `validation`. Where
    /// `folder` has a log already, they are in a new folder there, `run-2`, `run-3` and so on.
    pub fn create(folder: &Path, validated: bool) -> Result<TrainingLog> {
        let folder = unused(folder)?;
        let validation = validated.then(|| Events::create(&folder.join("validation")));
        Ok(TrainingLog {
            train: Events::create(&folder.join("train"))?,
            validation: validation.transpose()?,
            step_losses: Vec::new(),
            folder,
        })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds what is to be logged of a step or an epoch of training with `config`.
    pub fn event(&mut self, event: &training::Event<'_>, config: &Config) -> Result<()> {
        match event {
            training::Event::Step(progress) if progress.step == progress.steps => {
                self.step_losses = progress.step_losses()?;
                Ok(())
            }
            training::Event::Step(_) => Ok(()),
            training::Event::Epoch(epoch) => {
                let planned = config.learning_rate_at(epoch.epoch as f64);
                self.epoch(epoch, epoch.learning_rate.unwrap_or(planned))
            }
        }
    }

    /// Adds an epoch, the learning rate at its end, and the mean loss of each of its steps.
    fn epoch(&mut self, epoch: &Epoch, learning_rate: f64) -> Result<()> {
        for (at, loss) in self.step_losses.iter().enumerate() {
            let step = (epoch.epoch - 1) * self.step_losses.len() + at;
            self.train.scalars(step, &[("batch_loss", f64::from(*loss))])?;
        }
        self.train.scalars(
            epoch.epoch,
            &[
                ("epoch_loss", epoch.loss),
                ("epoch_accuracy", epoch.accuracy),
                ("epoch_learning_rate", learning_rate),
            ],
        )?;
        let validated = epoch.validation_loss.zip(epoch.validation_accuracy);
        if let (Some(events), Some((loss, accuracy))) = (&mut self.validation, validated) {
            let scalars = [("epoch_loss", loss), ("epoch_accuracy", accuracy)];
            events.scalars(epoch.epoch, &scalars)?;
        }
        Ok(())
    }

    /// Adds an image of what the network gets wrong after this many epochs, to the run of the split
    /// if there is one.
    pub fn mistakes(&mut self, epochs: usize, image: &RgbImage) -> Result<()> {
        self.validation.as_mut().unwrap_or(&mut self.train).image(epochs, "mistakes", image)
    }
}

/// The folder, or the first one in it, that has no log, with its folder `train` made.
fn unused(folder: &Path) -> Result<PathBuf> {
    let later = (2..).map(|number| folder.join(format!("run-{number}")));
    for run in std::iter::once(folder.to_path_buf()).chain(later) {
        let train = run.join("train");
        // Made here, so that two programs cannot take the same one.
        match fs::create_dir_all(&run).and_then(|()| fs::create_dir(&train)) {
            Ok(()) => return Ok(run),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && train.is_dir() => {}
            Err(error) => {
                let context = format!("cannot write events into {}", train.display());
                return Err(error).context(context);
            }
        }
    }
    unreachable!("there is always another number")
}

fn masked_crc(bytes: &[u8]) -> u32 {
    static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn now() -> Result<f64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(since.context("the clock is before 1970")?.as_secs_f64())
}
