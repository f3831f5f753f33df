//! Optimizers with the constants of Keras, but for SGD, which has momentum.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// The largest learning rate, far above any that trains. Adam's first step divides it by 1 − β₁ =
/// 0.1, and libtorch fails where the quotient overflows float32.
pub const MAX_LEARNING_RATE: f64 = 1e30;

/// An optimizer; with the feature `torch`, `build` makes tch's own.
///
/// Each updates the weights as the optimizer of the same name in `torch.optim` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Adam (Kingma & Ba 2014): rate 0.001, β₁ 0.9, β₂ 0.999, ε 1e-7.
    ///
    /// Source: <https://keras.io/api/optimizers/adam/>; PyTorch and tch have ε 1e-8. Keras folds
    /// the bias correction into the rate and adds ε to the uncorrected √v; PyTorch, hence this,
    /// adds it to the corrected one. The two differ only in what 1e-7 does.
    Adam,
    /// AdamW (Loshchilov & Hutter 2017): as Adam, with decoupled weight decay 0.004.
    ///
    /// Source: <https://keras.io/api/optimizers/adamw/>; PyTorch and tch have a decay of 0.01.
    AdamW,
    /// RMSprop (Hinton 2012): rate 0.001, ρ 0.9, ε 1e-7, no momentum, not centred.
    ///
    /// Source: <https://keras.io/api/optimizers/rmsprop/>; PyTorch and tch have α = ρ 0.99, ε 1e-8.
    /// ε is added to √v, as in PyTorch and in Keras 2.2.4 to 2.10; Keras 2.11 and 3 take √(v + ε).
    RmsProp,
    /// Stochastic gradient descent: rate 0.01, momentum 0.9.
    ///
    /// Source of the rate: <https://keras.io/api/optimizers/sgd/>; Keras and PyTorch have no
    /// momentum by default.
    Sgd,
}

impl Optimizer {
    /// All of them.
    pub const ALL: [Optimizer; 4] =
        [Optimizer::Adam, Optimizer::RmsProp, Optimizer::AdamW, Optimizer::Sgd];

    /// The learning rate when none is given.
    pub fn default_learning_rate(self) -> f64 {
        match self {
            Optimizer::Adam | Optimizer::AdamW | Optimizer::RmsProp => 1e-3,
            Optimizer::Sgd => 1e-2,
        }
    }

    /// Whether it has momentum.
    pub fn has_momentum(self) -> bool {
        matches!(self, Optimizer::RmsProp | Optimizer::Sgd)
    }

    /// The momentum when none is given.
    pub fn default_momentum(self) -> f64 {
        if self == Optimizer::Sgd { 0.9 } else { 0. }
    }

    /// The weight decay when none is given.
    pub fn default_weight_decay(self) -> f64 {
        if self == Optimizer::AdamW { 4e-3 } else { 0. }
    }

    /// Its name: `adam`, or `adam:0.0003` where the learning rate is not the default.
    pub fn name_at(self, learning_rate: f64) -> String {
        let name = format!("{self:?}").to_lowercase();
        match learning_rate == self.default_learning_rate() {
            true => name,
            false => format!("{name}:{learning_rate}"),
        }
    }

    /// Fails unless this learning rate can be computed with in float32, as the weights are.
    pub fn check_learning_rate(rate: f64) -> Result<()> {
        ensure!(
            rate as f32 > 0. && rate <= MAX_LEARNING_RATE,
            "the learning rate must be above 0, usually well below 1, not {rate}"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_learning_rate_where_it_is_not_the_default() {
        assert_eq!(Optimizer::AdamW.name_at(1e-3), "adamw");
        assert_eq!(Optimizer::Sgd.name_at(1e-3), "sgd:0.001");
    }

    #[test]
    fn learning_rates_are_above_zero_and_computable_in_float32() {
        for rate in [1e-3, 1e-40, 1., 1e30] {
            assert!(Optimizer::check_learning_rate(rate).is_ok(), "{rate}");
        }
        for rate in [0., -1., 1e-60, 1e31, f64::INFINITY, f64::NAN] {
            assert!(Optimizer::check_learning_rate(rate).is_err(), "{rate}");
        }
    }
}
