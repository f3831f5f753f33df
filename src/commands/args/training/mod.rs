//! How to train: what `train` and `compare` share.

use std::path::PathBuf;

use super::choices::{
    AUGMENTS, AskedPrecision, KEEPS, OPTIMIZERS, PRECISIONS, SCHEDULES, name, one_of,
};
use super::data::DataArgs;
use super::machine::MachineArgs;
use super::share;
use crate::dataset::augment::Augment;
use crate::network::classifier::MAX_HIDDEN;
use crate::training::optimizer::Optimizer;
use crate::training::{Config, Keep, Schedule};

#[cfg(feature = "torch")]
mod run;

#[cfg(feature = "torch")]
pub use run::{name_and_sha256, network_at};

/// The option that changes the defaults of others; these were chosen on made-up hands, see
/// docs/guide/adapt.md.
pub const ADAPT: &str = "adapt";
/// The learning rate with it.
const ADAPT_LEARNING_RATE: f64 = 3e-4;
/// Images in an epoch of the set that is adapted to.
const ADAPT_SHOWN: f64 = 2000.;
/// The share of MNIST in an epoch.
const ADAPT_MNIST: f64 = 0.2;

/// How to train, but for the optimizer.
#[derive(Debug, clap::Args)]
pub struct TrainingArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Adapt weights to the images of --data without losing the rest: changes the defaults of other
    /// options. It starts from the released weights, shows these images as often as makes 2,000 in
    /// an epoch, mixed with a fifth of MNIST, and trains for 10 epochs with Adam at 0.0003, the
    /// schedule cosine, augmented by affine and elastic
    #[arg(long, requires = "data")]
    adapt: bool,
    /// Hidden units [default: 512, or those of --init]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=MAX_HIDDEN))]
    hidden: Option<i64>,
    #[arg(long, visible_alias = "lr", help = learning_rate_help(), value_name = "RATE", value_parser = learning_rate, allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// Schedule of the learning rate
    #[arg(long, value_parser = one_of(SCHEDULES), default_value_if(ADAPT, "true", "cosine"), default_value = name(SCHEDULES, Config::default().schedule))]
    schedule: Schedule,
    /// Augment the images anew in every epoch, in these ways [without a value: affine, elastic,
    /// stroke]
    #[arg(long, value_parser = one_of(AUGMENTS), value_name = "WAY", num_args = 0.., value_delimiter = ',', default_missing_values = ["affine", "elastic", "stroke"], default_value_if(ADAPT, "true", "affine,elastic"))]
    augment: Vec<Augment>,
    /// Train on non-digits as well, this share of the training set from 0 to 1, so that the
    /// network can tell them from digits: halves and pairs of digits, scribbles, lines,
    /// letters
    #[arg(long = "outliers", visible_alias = "non-digits", value_name = "SHARE", default_value_t = 0., value_parser = share::<f64>, allow_negative_numbers = true)]
    non_digits: f64,
    /// Passes over the training set
    #[arg(long, value_name = "N", default_value_if(ADAPT, "true", "10"), default_value_t = Config::default().epochs as u32, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Samples per step
    #[arg(long, value_name = "N", default_value_t = Config::default().batch_size, value_parser = clap::value_parser!(i64).range(1..=i64::from(i32::MAX)))]
    batch_size: i64,
    /// Share of the training set, its last part, to keep for validation: 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = Config::default().validation_split, value_parser = share_below_1, allow_negative_numbers = true)]
    validation_split: f64,
    /// Momentum of rmsprop and sgd, from 0 to below 1 [default: 0; sgd: 0.9]
    #[arg(long, value_name = "M", value_parser = share_below_1)]
    pub momentum: Option<f64>,
    /// Weight decay, decoupled as Keras's: in each step, every weight loses the learning rate times
    /// this share of itself [default: 0; adamw: 0.004]
    #[arg(long, value_name = "D", value_parser = weight_decay)]
    weight_decay: Option<f64>,
    /// Share of the hidden units to leave out of each step, others each time, from 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share_below_1)]
    dropout: f64,
    /// Share of each label to spread over all ten classes, from 0 to below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share_below_1)]
    label_smoothing: f64,
    /// End training when the loss on the validation split has not fallen for this many epochs
    /// [without a value: 5]
    #[arg(long, value_name = "PATIENCE", num_args = 0..=1, default_missing_value = "5", value_parser = clap::value_parser!(u32).range(1..))]
    early_stopping: Option<u32>,
    /// Which epoch's weights are the result [default: best where there is a validation split, else
    /// last]
    #[arg(long, value_parser = one_of(KEEPS))]
    pub keep: Option<Keep>,
    /// Number format of the large matrix products
    #[arg(long, value_parser = one_of(PRECISIONS), default_value = name(PRECISIONS, Some(Config::default().precision)))]
    pub precision: AskedPrecision,
    /// Determines initial weights and order of samples
    #[arg(long, default_value_t = Config::default().seed, allow_negative_numbers = true)]
    pub seed: u64,
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Start from these weights instead of random ones: a file, or `released`
    #[arg(long, value_name = "WEIGHTS")]
    init: Option<PathBuf>,
}

/// The default, and where an optimizer has another, that.
fn learning_rate_help() -> String {
    let usual = Config::default().learning_rate;
    let mut help = format!("Learning rate [default: {usual}");
    for &(name, _, optimizer) in OPTIMIZERS {
        let rate = optimizer.default_learning_rate();
        if rate != usual {
            help += &format!("; {name}: {rate}");
        }
    }
    help + "]"
}

/// A learning rate, from the command line.
pub fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if Optimizer::check_learning_rate(rate).is_ok() => Ok(rate),
        _ => Err("choose a number above 0, usually well below 1".into()),
    }
}

fn weight_decay(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(decay) if (0. ..=f64::from(f32::MAX)).contains(&decay) => Ok(decay),
        _ => Err("choose a number from 0, usually well below 1".into()),
    }
}

/// A share from 0 to below 1, from the command line.
pub fn share_below_1(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0. ..1.).contains(&share) => Ok(share),
        _ => Err("choose a number from 0 to below 1".into()),
    }
}
