//! The training loop.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::dataset::Samples;
use crate::network::model::Model;
use crate::training::batches::Batches;
use crate::training::{Config, Epoch, Event, History, Progress, evaluation};

/// Trains `model` on `samples`.
///
/// `observer` sees every step and epoch, and ends training with [`ControlFlow::Break`].
/// The model gets the weights of every complete epoch, and none of an incomplete one. The same
/// model, samples, configuration, device and number of threads give the same weights to the bit.
///
/// # Errors
///
/// If a loss is not finite, or the precision cannot be had on the device. Weights that are not
/// finite never reach the model.
pub fn fit(
    model: &mut Model,
    samples: &Samples,
    config: &Config,
    observer: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
) -> Result<History> {
    config.check()?;
    let kind = config.precision.kind(model.device())?;
    let (training, validation) = config.split(samples)?;
    let mut start = Instant::now();
    let batches = Batches::new(training.to_device(model.device()), config, kind)?;
    // A copy is trained, so that the model never has the weights of half an epoch.
    let trained = model.pruned(batches.inputs(), kind)?;
    let mut optimizer = config.optimizer.build(&trained, config.learning_rate)?;
    let mut history = History { epochs: Vec::new(), interrupted: false };

    for epoch in 1..=config.epochs {
        let (labels, batches_of_epoch) = batches.epoch(epoch);
        let mut progress = Progress::new(epoch, labels, config.batch_size);
        for batch in batches_of_epoch {
            optimizer.set_lr(config.learning_rate_at(progress.epochs_done()));
            let (logits, loss) = batch.forward(&trained);
            optimizer.backward_step(&loss);
            progress.add(&logits);
            if observer(Event::Step(&progress)).is_break() {
                history.interrupted = true;
                break;
            }
        }
        // An epoch whose every step was done is complete, even when ended at its last one.
        if !progress.is_complete() {
            return Ok(history);
        }
        let (loss, accuracy) = progress.metrics()?;
        let seconds = start.elapsed().as_secs_f64();
        ensure!(trained.is_finite(), diverged(epoch));
        model.update_from_pruned(&trained, batches.inputs());

        let (validation_loss, validation_accuracy) = validate(model, &validation, epoch)?.unzip();
        let record = Epoch { epoch, loss, accuracy, validation_loss, validation_accuracy, seconds };
        let flow = observer(Event::Epoch(&record));
        history.epochs.push(record);
        history.interrupted |= flow.is_break() && epoch < config.epochs;
        if history.interrupted {
            break;
        }
        start = Instant::now();
    }
    Ok(history)
}

/// Loss and accuracy on the validation split, if there is one.
fn validate(model: &Model, validation: &Samples, epoch: usize) -> Result<Option<(f64, f64)>> {
    if validation.count() == 0 {
        return Ok(None);
    }
    let result = evaluation::evaluate(model, validation).context("cannot validate")?;
    ensure!(result.loss.is_finite(), diverged(epoch));
    Ok(Some((result.loss, result.accuracy)))
}

fn diverged(epoch: usize) -> String {
    format!(
        "the loss or the weights are no longer finite after epoch {epoch}: training has \
         diverged; try a smaller learning rate or a larger batch size"
    )
}
