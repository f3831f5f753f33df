//! The class of what is no digit: an eleventh logit that is always 0.
//!
//! The weights stay those of ten outputs: P(none) = 1 / (1 + Σ exp zᵢ).

use tch::{Kind, Tensor};

use crate::CLASSES;

/// Logits `[count, 10]` with that of none, 0, as the eleventh: `[count, 11]`.
pub(super) fn with_none(logits: &Tensor) -> Tensor {
    logits.constant_pad_nd([0, 1])
}

/// The mean of -ln P(none) of `logits` `[count, 10]`, weighted by `weights` `[count]`.
pub(super) fn loss(logits: &Tensor, weights: &Tensor) -> Tensor {
    let each = -with_none(logits).log_softmax(-1, Kind::Float).select(1, CLASSES as i64);
    (each * weights).sum(Kind::Float) / weights.sum(Kind::Float).clamp_min(1.)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_that_of_none_and_counts_only_what_has_weight() {
        let even = Tensor::from_slice(&[0f32; 10]).view([1, 10]);
        let logits = Tensor::cat(&[&even, &(&even + 5.)], 0);
        let loss = |weights: &[f32]| loss(&logits, &Tensor::from_slice(weights)).double_value(&[]);
        assert!((loss(&[1., 0.]) - 11f64.ln()).abs() < 1e-5);
        assert!(loss(&[0., 1.]) > loss(&[1., 1.]));
        assert_eq!(loss(&[0., 0.]), 0.);
    }
}
