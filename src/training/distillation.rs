//! Learning from another network as well as from labels (knowledge distillation: Hinton, Vinyals &
//! Dean 2015, <https://arxiv.org/abs/1503.02531>).

use anyhow::Result;
use tch::{Kind, Tensor, no_grad};

use crate::network::model::Model;

/// What logits are divided by before they are compared, so that what is unlikely counts as well.
const TEMPERATURE: f64 = 2.;
/// The share of the loss that is about the teacher's answers; the rest is about the labels.
const SHARE: f64 = 0.5;

/// A network that is trained no more, whose answers another learns to give.
pub(super) struct Teacher(Model);

impl Teacher {
    /// Lets `model` teach a network that sees only the pixels `inputs`, and multiplies in `kind`.
    pub fn new(model: &Model, inputs: &Tensor, kind: Kind) -> Result<Teacher> {
        Ok(Teacher(model.pruned(inputs, kind)?))
    }

    /// The loss of `logits` `[batch, 10]` for `images` `[batch, inputs]`, whose loss by their labels
    /// is `by_label`: the cross-entropy from the teacher's probabilities has its share. Its
    /// gradients fall with the square of the temperature, which is made up for.
    pub fn loss(&self, images: &Tensor, logits: &Tensor, by_label: &Tensor) -> Tensor {
        let answers = no_grad(|| (self.0.forward(images) / TEMPERATURE).softmax(-1, Kind::Float));
        let learnt = (logits / TEMPERATURE).log_softmax(-1, Kind::Float);
        let each = -(answers * learnt).sum_dim_intlist(-1, false, Kind::Float); // [batch]
        by_label * (1. - SHARE) + each.mean(Kind::Float) * (SHARE * TEMPERATURE * TEMPERATURE)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn the_loss_is_least_where_the_answers_are_the_teacher_s() {
        let images = Tensor::rand([4, 784], (Kind::Float, Device::Cpu));
        let (model, other) =
            (Model::new(8, 0, Device::Cpu).unwrap(), Model::new(8, 1, Device::Cpu).unwrap());
        let inputs = Tensor::arange(784, (Kind::Int64, Device::Cpu));
        let teacher = Teacher::new(&model, &inputs, Kind::Float).unwrap();
        let none = Tensor::from(0f32);
        let logits = model.forward(&images).detach().set_requires_grad(true);
        let same = teacher.loss(&images, &logits, &none);
        same.backward();
        assert!(logits.grad().abs().max().double_value(&[]) < 1e-6);
        let different = teacher.loss(&images, &other.forward(&images), &none);
        assert!(different.double_value(&[]) > same.double_value(&[]) + 1e-3);
        // The labels count as well.
        let more = teacher.loss(&images, &logits, &Tensor::from(1f32)) - same;
        assert!((more.double_value(&[]) - (1. - SHARE)).abs() < 1e-6);
    }
}
