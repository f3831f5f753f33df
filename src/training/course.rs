//! What the figures of the epochs so far decide: the rate, whether to go on, which weights to keep.
//! It follows from them alone, so that a training that is resumed decides the same.

use super::config::Keep;
use super::{Config, Epoch, Schedule};

/// By what the learning rate is multiplied on a plateau, and what counts as less loss: Keras's and
/// PyTorch's constants (<https://keras.io/api/callbacks/reduce_lr_on_plateau/>).
const PLATEAU_FACTOR: f64 = 0.1;
const PLATEAU_DELTA: f64 = 1e-4;
/// Epochs without less loss that make a plateau. Keras's 10 are for longer trainings: the
/// tutorial's has 5 epochs.
const PLATEAU_PATIENCE: usize = 3;

impl Config {
    /// The epoch whose weights are kept, of those that are done; 0 if there is none.
    pub fn kept(&self, done: &[Epoch]) -> usize {
        match self.keep {
            Keep::Last => done.len(),
            Keep::Best => best(done),
        }
    }

    /// Whether training ends after these epochs, before the last: the loss on the validation split
    /// has not fallen for [`Config::early_stopping`] of them, as Keras's `EarlyStopping` has
    /// it, but for its patience of 0, which is 1 here.
    pub fn ends_early(&self, done: &[Epoch]) -> bool {
        self.early_stopping.is_some_and(|patience| Self::since_best(done) >= patience.max(1))
    }

    /// Epochs after the one with the least loss on the validation split.
    pub fn since_best(done: &[Epoch]) -> usize {
        done.len() - best(done)
    }

    /// The factor of the learning rate after these epochs, on the schedule [`Schedule::Plateau`].
    pub fn plateau_factor(&self, done: &[Epoch]) -> f64 {
        let (mut factor, mut best, mut waited) = (1., f64::INFINITY, 0);
        if self.schedule != Schedule::Plateau {
            return factor;
        }
        for loss in done.iter().filter_map(|epoch| epoch.validation_loss) {
            waited += 1;
            if loss < best - PLATEAU_DELTA {
                (best, waited) = (loss, 0);
            } else if waited == PLATEAU_PATIENCE {
                (factor, waited) = (factor * PLATEAU_FACTOR, 0);
            }
        }
        factor
    }
}

/// The first epoch with the least loss on the validation split, if any is done, else 0.
fn best(done: &[Epoch]) -> usize {
    let loss = |epoch: &Epoch| epoch.validation_loss.unwrap_or(f64::INFINITY);
    done.iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).map_or(0, |epoch| epoch.epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(losses: &[f64]) -> Vec<Epoch> {
        let epoch = |(at, loss): (usize, &f64)| Epoch {
            epoch: at + 1,
            loss: 0.5,
            accuracy: 0.9,
            validation_loss: Some(*loss),
            validation_accuracy: Some(0.9),
            learning_rate: None,
            seconds: 1.,
        };
        losses.iter().enumerate().map(epoch).collect()
    }

    #[test]
    fn the_first_epoch_with_the_least_loss_is_the_best() {
        let kept =
            |keep, losses: &[f64]| Config { keep, ..Config::default() }.kept(&epochs(losses));
        assert_eq!(kept(Keep::Best, &[0.3, 0.2, 0.2, 0.4]), 2);
        assert_eq!(kept(Keep::Last, &[0.3, 0.2, 0.2, 0.4]), 4);
        assert_eq!(kept(Keep::Best, &[]), 0);
    }

    #[test]
    fn training_ends_when_patience_does() {
        let ends = |patience, losses: &[f64]| {
            let config = Config { early_stopping: Some(patience), ..Config::default() };
            config.ends_early(&epochs(losses))
        };
        assert!(!ends(2, &[0.3, 0.2, 0.25]) && ends(2, &[0.3, 0.2, 0.25, 0.21]));
        assert!(!ends(0, &[0.3, 0.2]) && ends(0, &[0.3, 0.3]) && !ends(1, &[]));
        assert!(!Config::default().ends_early(&epochs(&[0.1, 0.2, 0.3])));
    }

    #[test]
    fn the_rate_falls_on_every_plateau() {
        let factor = |schedule, losses: &[f64]| {
            Config { schedule, ..Config::default() }.plateau_factor(&epochs(losses))
        };
        let flat = [0.2, 0.2, 0.19995, 0.2, 0.1, 0.1, 0.1, 0.1];
        for (count, expected) in [(1, 1.), (3, 1.), (4, 0.1), (7, 0.1), (8, 0.01)] {
            let got = factor(Schedule::Plateau, &flat[..count]);
            assert!((got - expected).abs() < 1e-12, "{count}: {got}");
        }
        assert_eq!(factor(Schedule::Constant, &flat), 1.);
    }
}
