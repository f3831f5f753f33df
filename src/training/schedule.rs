//! How the learning rate changes in the course of training.

use serde::{Deserialize, Serialize};

/// How the learning rate changes from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same throughout.
    Constant,
    /// From the learning rate down to 0 along half a cosine (Loshchilov & Hutter 2016, one cycle).
    Cosine,
    /// A tenth of the rate whenever the loss on the validation split has not fallen for three
    /// epochs, see [`Config::plateau_factor`](crate::training::Config::plateau_factor).
    Plateau,
}

impl Schedule {
    /// The factor of the learning rate that is known from the start, when the share `done`, from 0
    /// to 1, of all steps is done.
    pub fn factor(self, done: f64) -> f64 {
        match self {
            Schedule::Constant | Schedule::Plateau => 1.,
            Schedule::Cosine => 0.5 * (1. + (std::f64::consts::PI * done).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_falls_from_one_to_zero_and_is_halfway_in_the_middle() {
        for (done, factor) in [(0., 1.), (1. / 3., 0.75), (0.5, 0.5), (2. / 3., 0.25), (1., 0.)] {
            assert!((Schedule::Cosine.factor(done) - factor).abs() < 1e-12, "{done}");
            assert_eq!(Schedule::Constant.factor(done), 1.);
        }
    }
}
