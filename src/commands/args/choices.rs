//! Values that are chosen by name, with the help text of each.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::dataset::augment::Augment;
use crate::training::optimizer::Optimizer;
use crate::training::{Keep, Precision, Schedule};

/// A name, its help text and what it stands for.
pub type Choice<T> = (&'static str, &'static str, T);

/// Names of the optimizers, in the order in which they are compared.
pub const OPTIMIZERS: &[Choice<Optimizer>] = &[
    ("adam", "Adam (Kingma & Ba 2014): rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7", Optimizer::Adam),
    (
        "rmsprop",
        "RMSprop (Hinton 2012): rate 0.001, ρ 0.9, ε 1e-7, no momentum, not centred",
        Optimizer::RmsProp,
    ),
    (
        "adamw",
        "AdamW (Loshchilov & Hutter 2017): as Adam, with decoupled weight decay 0.004",
        Optimizer::AdamW,
    ),
    (
        "sgd",
        "Stochastic gradient descent: rate 0.01, momentum 0.9 (Keras's default is none)",
        Optimizer::Sgd,
    ),
];

/// Names of the schedules.
pub const SCHEDULES: &[Choice<Schedule>] = &[
    ("constant", "The same throughout", Schedule::Constant),
    (
        "cosine",
        "From the learning rate down to 0 along half a cosine (Loshchilov & Hutter 2016, one cycle)",
        Schedule::Cosine,
    ),
    (
        "plateau",
        "A tenth of the rate whenever the loss on the validation split has not fallen for three \
         epochs, as Keras's ReduceLROnPlateau",
        Schedule::Plateau,
    ),
];

/// Names of what is kept.
pub const KEEPS: &[Choice<Keep>] = &[
    ("best", "The weights of the epoch with the least loss on the validation split", Keep::Best),
    ("last", "The weights of the last epoch", Keep::Last),
];

/// Names of the ways to change images.
pub const AUGMENTS: &[Choice<Augment>] = &[
    ("affine", "Shift, rotation, scale of either axis, and shear", Augment::Affine),
    ("elastic", "A smooth displacement of every pixel (Simard 2003)", Augment::Elastic),
    ("stroke", "Thicker or thinner strokes", Augment::Stroke),
    (
        "low-resolution",
        "Some of the images as if taken from few pixels, and brought into MNIST's form again",
        Augment::LowResolution,
    ),
    (
        "forms",
        "Adds digits of forms that MNIST lacks: 1 with a flag or a foot, crossed 7, open 4",
        Augment::Forms,
    ),
];

/// The precision that is asked for: none is whichever is faster here.
pub type AskedPrecision = Option<Precision>;

/// Names of the precisions.
pub const PRECISIONS: &[Choice<AskedPrecision>] = &[
    ("float32", "32 bits, as the weights", Some(Precision::Float32)),
    (
        "bf16",
        "Bfloat16 for the first layer's products and their gradients (mixed precision, \
         Micikevicius et al. 2017); weights, optimizer and all else stay float32",
        Some(Precision::Bf16),
    ),
    (
        "auto",
        "bf16 where the device has it and, tried at the start, it is faster; else float32. The record \
         says which was used",
        None,
    ),
];

/// A parser of the names in `choices`.
pub fn one_of<T>(choices: &'static [Choice<T>]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(
        choices.iter().map(|(name, help, _)| PossibleValue::new(*name).help(*help)),
    )
    .map(|name| value(choices, &name).expect("clap lets only the names of choices pass"))
}

/// The names in `choices`.
pub fn names<T>(choices: &[Choice<T>]) -> Vec<&'static str> {
    choices.iter().map(|choice| choice.0).collect()
}

/// What `name` stands for.
pub fn value<T: Copy>(choices: &[Choice<T>], name: &str) -> Option<T> {
    choices.iter().find(|choice| choice.0 == name).map(|choice| choice.2)
}

/// The name of `value`.
pub fn name<T: PartialEq>(choices: &[Choice<T>], value: T) -> &'static str {
    choices.iter().find(|choice| choice.2 == value).map_or("", |choice| choice.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use serde_json::Value;

    /// Records and options call the same value by the same name; the library knows nothing of
    /// options, so only a test can check it.
    fn check<T: Copy + Serialize + PartialEq>(choices: &[Choice<T>]) {
        check_recorded(choices, |of| serde_json::to_value(of).unwrap());
    }

    fn check_recorded<T: Copy + PartialEq>(choices: &[Choice<T>], recorded: impl Fn(T) -> Value) {
        for &(name_of, _, of) in choices {
            assert_eq!(recorded(of), name_of);
            assert!(value(choices, name_of) == Some(of) && name(choices, of) == name_of);
        }
        assert!(value(choices, "none").is_none());
    }

    #[test]
    fn options_and_records_have_the_same_names() {
        check(OPTIMIZERS);
        assert_eq!(OPTIMIZERS.iter().map(|choice| choice.2).collect::<Vec<_>>(), Optimizer::ALL);
        check(SCHEDULES);
        check(KEEPS);
        check(AUGMENTS);
        check_recorded(PRECISIONS, |of| {
            of.map_or("auto".into(), |of| serde_json::to_value(of).unwrap())
        });
    }
}
