//! Dropout and label smoothing, as Keras has them.

use rand::Rng;
use rand::rngs::ChaCha8Rng;
use tch::{Reduction, Tensor};

use super::Config;
use crate::network::model::{Model, random};

/// The first stream of random numbers of dropout, one for each epoch.
const DROPOUT: u64 = 5 << 32;

/// What keeps a network from learning its training set by heart, for one epoch.
pub(super) struct Regularisation {
    dropout: f64,
    smoothing: f64,
    rng: ChaCha8Rng,
}

impl Regularisation {
    pub fn of(config: &Config, epoch: usize) -> Regularisation {
        let Config { dropout, label_smoothing: smoothing, seed, .. } = *config;
        Regularisation { dropout, smoothing, rng: random(seed, DROPOUT + epoch as u64) }
    }

    /// The logits of images, with a share of the hidden units left out, each time others
    /// (Srivastava et al. 2014), and the others raised so that their sum stays about the same.
    pub fn logits(&mut self, model: &Model, images: &Tensor) -> Tensor {
        if self.dropout == 0. {
            return model.forward(images);
        }
        model.forward_through(images, |hidden| {
            let kept = (1. / (1. - self.dropout)) as f32;
            let least = (self.dropout * 2f64.powi(32)) as u64;
            let mut factor = || if u64::from(self.rng.next_u32()) < least { 0. } else { kept };
            let mask: Vec<f32> = (0..hidden.numel()).map(|_| factor()).collect();
            let mask = Tensor::from_slice(&mask).to_device(hidden.device());
            &hidden * mask.view_as(&hidden)
        })
    }

    /// The mean cross-entropy of `logits`; with label smoothing, a share of each label is spread
    /// over all classes (Szegedy et al. 2016).
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> Tensor {
        if self.smoothing == 0. {
            return logits.cross_entropy_for_logits(labels);
        }
        let mean = Reduction::Mean;
        logits.cross_entropy_loss::<Tensor>(labels, None, mean, -100, self.smoothing)
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn dropout_leaves_out_its_share_of_the_hidden_units_and_keeps_their_mean() {
        let model = Model::new(400, 0, Device::Cpu).unwrap();
        let images = Tensor::ones([100, 784], (Kind::Float, Device::Cpu));
        let config = Config { dropout: 0.25, ..Config::default() };
        let logits =
            |config: &Config, epoch| Regularisation::of(config, epoch).logits(&model, &images);
        let (plain, dropped) = (logits(&Config::default(), 1), logits(&config, 1));
        assert_eq!(plain, model.forward(&images));
        // Rows of one image differ by what is left out of them, and average to what none is left
        // out of.
        let deviation = dropped.std_dim(&[0i64][..], true, false).mean(Kind::Float);
        assert!(deviation.double_value(&[]) > 0.01);
        let means = |of: &Tensor| of.mean_dim(&[0i64][..], false, Kind::Float);
        let off = (means(&dropped) - means(&plain)).abs().max().double_value(&[]);
        assert!(off < 5. * deviation.double_value(&[]) / 10., "{off}");
        assert_eq!(logits(&config, 1), dropped);
        assert_ne!(logits(&config, 2), dropped);
    }

    #[test]
    fn smoothing_spreads_a_share_of_the_label_over_all_classes() {
        let logits = Tensor::from_slice(&[3f32, 0., 0., 0., 0., 0., 0., 0., 0., 1.]).view([1, 10]);
        let label = Tensor::from_slice(&[0i64]);
        let config = Config { label_smoothing: 0.2, ..Config::default() };
        let loss = Regularisation::of(&config, 1).loss(&logits, &label).double_value(&[]);
        let logs = Vec::<f32>::try_from(logits.log_softmax(-1, Kind::Float).view([-1])).unwrap();
        let all: f64 = logs.iter().map(|log| f64::from(*log)).sum();
        let expected = -(0.8 * f64::from(logs[0]) + 0.2 * all / 10.);
        assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    }
}
