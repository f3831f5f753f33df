//! The steps of an optimizer: libtorch's own, or the same with a state that can be saved.

use anyhow::{Context, Result, ensure};
use tch::{Tensor, nn, no_grad};

use super::Config;
use super::optimizer::Optimizer;
use super::torch::{ADAM_BETAS, EPSILON, RMSPROP_RHO};
use crate::network::model::Model;

/// An optimizer at work on the weights of a network.
pub(super) struct Steps {
    optimizer: Optimizer,
    rate: f64,
    momentum: f64,
    /// What each weight loses in a step, as a share of the learning rate (Keras's `weight_decay`,
    /// the decoupled one of Loshchilov & Hutter 2017).
    decay: f64,
    variables: Vec<(String, Tensor)>,
    by: By,
}

/// Whose steps they are.
enum By {
    /// libtorch's, whose state cannot be reached.
    Libtorch(nn::Optimizer),
    /// Ours, with the same operations in the same order, hence the same weights to the bit.
    Us {
        /// For each variable, the mean gradient or the momentum's buffer, and the mean square.
        state: Vec<[Tensor; 2]>,
        /// Steps done.
        done: i32,
    },
}

impl Config {
    /// The steps over all weights of `model`; `resumable` ones have a state that can be saved.
    pub(super) fn steps(&self, model: &Model, resumable: bool) -> Result<Steps> {
        let Config { optimizer, learning_rate, .. } = *self;
        let (momentum, decay) = (self.momentum(), self.weight_decay());
        let variables: Vec<_> = model.variables().into_iter().collect();
        let by = match resumable {
            false => By::Libtorch(optimizer.build_with(model, learning_rate, momentum, decay)?),
            true => {
                let zeros = |(_, variable): &(String, Tensor)| {
                    [(); 2].map(|()| variable.zeros_like().set_requires_grad(false))
                };
                By::Us { state: variables.iter().map(zeros).collect(), done: 0 }
            }
        };
        Ok(Steps { optimizer, rate: learning_rate, momentum, decay, variables, by })
    }
}

impl Steps {
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = rate;
        if let By::Libtorch(optimizer) = &mut self.by {
            optimizer.set_lr(rate);
        }
    }

    /// Computes the gradients of `loss` and moves the weights.
    pub fn step(&mut self, loss: &Tensor) {
        match &mut self.by {
            By::Libtorch(optimizer) => optimizer.zero_grad(),
            By::Us { .. } => self.variables.iter_mut().for_each(|(_, of)| of.zero_grad()),
        }
        loss.backward();
        // libtorch's AdamW does this by itself.
        let decays = self.decay > 0.
            && !(matches!(self.by, By::Libtorch(_)) && self.optimizer == Optimizer::AdamW);
        let factor = 1. - self.rate * self.decay;
        for (_, variable) in self.variables.iter_mut().filter(|_| decays) {
            let _ = no_grad(|| variable.g_mul_scalar_(factor));
        }
        match &mut self.by {
            By::Libtorch(optimizer) => optimizer.step(),
            By::Us { state, done } => {
                *done += 1;
                for ((_, variable), state) in self.variables.iter_mut().zip(state) {
                    let gradient = variable.grad();
                    let (rate, momentum) = (self.rate, self.momentum);
                    no_grad(|| match self.optimizer {
                        Optimizer::Adam | Optimizer::AdamW => {
                            adam(variable, &gradient, state, rate, *done);
                        }
                        Optimizer::RmsProp => rmsprop(variable, &gradient, state, rate, momentum),
                        Optimizer::Sgd => {
                            let [buffer, _] = state;
                            let _ = buffer.g_mul_scalar_(momentum);
                            let _ = buffer.g_add_(&gradient);
                            add_scaled(variable, buffer, -rate);
                        }
                    });
                }
            }
        }
    }

    /// The state by name, if it can be saved.
    pub fn state(&self) -> Result<Vec<(String, Vec<f32>)>> {
        let By::Us { state, .. } = &self.by else { return Ok(Vec::new()) };
        let mut saved = Vec::new();
        for ((name, _), state) in self.variables.iter().zip(state) {
            for (number, tensor) in state.iter().enumerate() {
                saved.push((format!("{name}.{number}"), values(tensor)?));
            }
        }
        Ok(saved)
    }

    /// Takes over a state that was saved after this many steps.
    pub fn restore(
        &mut self,
        steps: usize,
        take: &mut dyn FnMut(&str) -> Option<Vec<f32>>,
    ) -> Result<()> {
        let By::Us { state, done } = &mut self.by else { return Ok(()) };
        *done = i32::try_from(steps).context("there were too many steps")?;
        for ((name, _), state) in self.variables.iter().zip(state) {
            for (number, tensor) in state.iter_mut().enumerate() {
                set(tensor, &take(&format!("{name}.{number}")).unwrap_or_default())?;
            }
        }
        Ok(())
    }
}

/// The numbers in a tensor, row by row.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    Ok(Vec::<f32>::try_from(tensor.view([-1]))?)
}

/// Sets the numbers in a tensor.
pub(super) fn set(tensor: &mut Tensor, values: &[f32]) -> Result<()> {
    ensure!(
        values.len() == tensor.numel(),
        "it has {} numbers where {} are needed",
        values.len(),
        tensor.numel()
    );
    let values = Tensor::from_slice(values).view_as(tensor);
    no_grad(|| tensor.copy_(&values));
    Ok(())
}

/// Adds `factor` times `more`, rounded once, as libtorch's `add_` with `alpha` does, which tch
/// lacks.
fn add_scaled(to: &mut Tensor, more: &Tensor, factor: f64) {
    let _ = to.addcmul_(more, &Tensor::from(factor as f32).to_device(more.device()));
}

/// The mean of squares, moved towards the gradient's.
fn add_square(mean: &mut Tensor, gradient: &Tensor, keep: f64) {
    let _ = mean.g_mul_scalar_(keep);
    let _ = mean.addcmul_(&(gradient * (1. - keep)), gradient);
}

fn adam(weights: &mut Tensor, gradient: &Tensor, state: &mut [Tensor; 2], rate: f64, done: i32) {
    let [mean, square] = state;
    let (beta1, beta2) = ADAM_BETAS;
    let _ = mean.g_mul_scalar_(beta1);
    add_scaled(mean, gradient, 1. - beta1);
    add_square(square, gradient, beta2);
    let correction = [beta1, beta2].map(|beta| 1. - beta.powi(done));
    let denominator = (square.sqrt() / correction[1].sqrt()).g_add_scalar_(EPSILON);
    let _ = weights.addcdiv_(&(&*mean * (-rate / correction[0])), &denominator);
}

fn rmsprop(
    weights: &mut Tensor,
    gradient: &Tensor,
    state: &mut [Tensor; 2],
    rate: f64,
    momentum: f64,
) {
    let [buffer, square] = state;
    add_square(square, gradient, RMSPROP_RHO);
    let denominator = square.sqrt().g_add_scalar_(EPSILON);
    if momentum == 0. {
        let _ = weights.addcdiv_(&(gradient * -rate), &denominator);
        return;
    }
    let _ = buffer.g_mul_scalar_(momentum);
    let _ = buffer.addcdiv_(gradient, &denominator);
    add_scaled(weights, buffer, -rate);
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    /// The weights after a few steps of training on noise, with a pause after the second one in
    /// which resumable steps are saved and restored.
    fn trained(config: &Config, resumable: bool) -> Vec<(String, Vec<f32>)> {
        let model = Model::new(64, 3, Device::Cpu).unwrap();
        let mut steps = config.steps(&model, resumable).unwrap();
        for step in 0..5 {
            if step == 2 && resumable {
                let state = steps.state().unwrap();
                assert!(
                    state.len() == 8 && state.iter().any(|(_, of)| of.iter().any(|x| *x != 0.))
                );
                steps = config.steps(&model, true).unwrap();
                let mut take = |name: &str| {
                    state.iter().find(|(of, _)| of == name).map(|(_, values)| values.clone())
                };
                steps.restore(2, &mut take).unwrap();
            }
            steps.set_rate(config.learning_rate / f64::from(step + 1));
            let images = Tensor::linspace(0., 9., 32 * 784, (Kind::Float, Device::Cpu));
            let images = (images * f64::from(step + 1)).sin().view([32, 784]);
            let labels = Tensor::arange(32, (Kind::Int64, Device::Cpu)).remainder(10);
            steps.step(&model.forward(&images).cross_entropy_for_logits(&labels));
        }
        model.variables().iter().map(|(name, of)| (name.clone(), values(of).unwrap())).collect()
    }

    #[test]
    fn resumable_steps_are_libtorch_s_to_the_bit() {
        for optimizer in Optimizer::ALL {
            let rate = optimizer.default_learning_rate();
            let config = Config { optimizer, learning_rate: rate, ..Config::default() };
            let with_momentum =
                optimizer.has_momentum().then(|| Config { momentum: Some(0.5), ..config.clone() });
            let decaying = Config { weight_decay: Some(0.1), ..config.clone() };
            for config in [Some(config), with_momentum, Some(decaying)].into_iter().flatten() {
                assert!(trained(&config, true) == trained(&config, false), "{config:?}");
            }
        }
    }

    #[test]
    fn adam_with_weight_decay_is_adamw() {
        let of = |optimizer, weight_decay| {
            trained(&Config { optimizer, weight_decay, ..Config::default() }, false)
        };
        assert!(of(Optimizer::Adam, Some(4e-3)) == of(Optimizer::AdamW, None));
        assert!(of(Optimizer::Adam, None) == of(Optimizer::AdamW, Some(0.)));
        assert!(of(Optimizer::Adam, None) != of(Optimizer::AdamW, None));
    }
}
