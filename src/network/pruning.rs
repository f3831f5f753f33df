//! Pruned inputs: training without the pixels that no training image has ink at.
//!
//! The weights of such pixels get no gradient, so an optimizer without weight decay leaves them as
//! they are. MNIST's margin is a twelfth of all work.

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use crate::network::model::{DENSE_1, Model};

/// The number of inputs is a multiple of this, as suits the vector registers of matrix products:
/// 16 float32 fill one of 512 bits.
const MULTIPLE: usize = 16;

/// The pixels with ink in any of `images` `[count, pixels]`, and as many others as make their
/// number a multiple of 16: int64 indices in ascending order.
pub fn inputs_with_ink(images: &Tensor) -> Result<Tensor> {
    let ink = images.amax([0i64], false).to_kind(Kind::Float).to_device(Device::Cpu);
    let ink = Vec::<f32>::try_from(ink)?;
    let (mut pixels, blank): (Vec<i64>, Vec<i64>) =
        (0..ink.len() as i64).partition(|pixel| ink[*pixel as usize] > 0.);
    let more = pixels.len().max(1).next_multiple_of(MULTIPLE) - pixels.len();
    pixels.extend(blank.iter().take(more));
    pixels.sort_unstable();
    Ok(Tensor::from_slice(&pixels).to_device(images.device()))
}

impl Model {
    /// A copy that has only these `inputs`, int64 indices of pixels, and whose first layer
    /// multiplies in `kind`.
    pub fn pruned(&self, inputs: &Tensor, kind: Kind) -> Result<Model> {
        let pruned = Model::build(inputs.size()[0], self.hidden(), kind, self.device())?;
        let own = self.vs.variables();
        no_grad(|| {
            for (name, mut variable) in pruned.vs.variables() {
                match name.as_str() {
                    DENSE_1 => variable.copy_(&own[&name].index_select(1, inputs)),
                    _ => variable.copy_(&own[&name]),
                }
            }
        });
        Ok(pruned)
    }

    /// Takes over the weights of `pruned`, a copy that [`Model::pruned`] has made with `inputs`.
    pub fn update_from_pruned(&mut self, pruned: &Model, inputs: &Tensor) {
        let new = pruned.vs.variables();
        no_grad(|| {
            for (name, mut variable) in self.vs.variables() {
                match name.as_str() {
                    DENSE_1 => drop(variable.index_copy_(1, inputs, &new[&name])),
                    _ => variable.copy_(&new[&name]),
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ink_at(pixels: &[i64]) -> Tensor {
        let mut images = Tensor::zeros([2, 784], (Kind::Float, Device::Cpu));
        for (at, pixel) in pixels.iter().enumerate() {
            let _ = images.get(at as i64 % 2).get(*pixel).fill_(0.5);
        }
        let _ = images.requires_grad_(false);
        images
    }

    #[test]
    fn inputs_are_those_with_ink_filled_up_to_a_multiple_of_sixteen() {
        let inputs = |pixels: &[i64]| {
            Vec::<i64>::try_from(inputs_with_ink(&with_ink_at(pixels)).unwrap()).unwrap()
        };
        let few = inputs(&[700, 3]);
        assert_eq!(few, [&(0..15).collect::<Vec<_>>()[..], &[700]].concat());
        assert_eq!(inputs(&[]), (0..16).collect::<Vec<_>>());
        assert_eq!(inputs(&(0..784).collect::<Vec<_>>()), (0..784).collect::<Vec<_>>());
        assert_eq!(inputs(&(100..117).collect::<Vec<_>>()).len(), 32);
    }

    #[test]
    fn a_pruned_copy_gives_the_same_logits_and_hands_its_weights_back() {
        let mut model = Model::new(8, 0, Device::Cpu).unwrap();
        let before = model.variables()[DENSE_1].copy();
        let images = with_ink_at(&[400, 500]);
        let inputs = inputs_with_ink(&images).unwrap();
        let pruned = model.pruned(&inputs, Kind::Float).unwrap();
        let logits = pruned.forward(&images.index_select(1, &inputs));
        assert!((&logits - model.forward(&images)).abs().max().double_value(&[]) < 1e-6);
        let _ = no_grad(|| pruned.variables()[DENSE_1].shallow_clone().fill_(2.));
        model.update_from_pruned(&pruned, &inputs);
        let after = &model.variables()[DENSE_1];
        let changed = (after - before).abs().gt(0.).any_dim(0, false);
        assert_eq!(changed.nonzero().view([-1]), inputs);
        assert_eq!(after.index_select(1, &inputs).min().double_value(&[]), 2.);
    }
}
