//! The training loop.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::dataset::Samples;
use crate::network::model::Model;
use crate::training::batches::Batches;
use crate::training::checkpoint::State;
use crate::training::config::Keep;
use crate::training::distillation::Teacher;
use crate::training::regularisation::Regularisation;
use crate::training::steps::Steps;
use crate::training::{Config, Epoch, Event, History, Progress, Schedule, evaluation};

/// What sees every step and epoch, and ends training with [`ControlFlow::Break`].
type Observer<'a> = &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

/// How a training can be resumed.
pub struct Resumable<'a> {
    /// Where to go on; without it, training begins.
    pub from: Option<State>,
    /// Gets the state after every epoch.
    pub save: &'a mut dyn FnMut(&State),
}

/// Trains `model` on `samples`.
///
/// `observer` sees every step and epoch, and ends training with [`ControlFlow::Break`].
/// The model gets the weights of a complete epoch, and none of an incomplete one: of the last one,
/// or of the best so far, as `config` says. The same model, samples, configuration, device and
/// number of threads give the same weights to the bit.
///
/// # Errors
///
/// If a loss is not finite, or the precision cannot be had on the device. Weights that are not
/// finite never reach the model.
pub fn fit(
    model: &mut Model,
    samples: &Samples,
    config: &Config,
    observer: Observer,
) -> Result<History> {
    fit_with(model, None, samples, config, None, observer)
}

/// Like [`fit`], but the model also learns the answers of `teacher`, which is on the same device,
/// if there is one, and training may save its state after every epoch and go on where it was saved
/// before: from the same `model`, `teacher`, `samples` and `config`, with the same result to the
/// bit. The loss that is reported is the labels' alone.
///
/// # Errors
///
/// Those of [`fit`], and if the state is that of another network.
pub fn fit_with(
    model: &mut Model,
    teacher: Option<&Model>,
    samples: &Samples,
    config: &Config,
    mut resumable: Option<Resumable>,
    observer: Observer,
) -> Result<History> {
    config.check()?;
    let kind = config.precision.kind(model.device())?;
    let (training, validation) = config.split(samples)?;
    let mut start = Instant::now();
    let batches = Batches::new(training.to_device(model.device()), config, kind)?;
    // A copy is trained, so that the model never has the weights of half an epoch.
    let trained = model.pruned(batches.inputs(), kind)?;
    let teacher = teacher.map(|model| Teacher::new(model, batches.inputs(), kind)).transpose()?;
    let mut steps = config.steps(&trained, resumable.is_some())?;
    let (mut history, mut best) = (History::default(), None);
    if let Some(state) = resumable.as_mut().and_then(|resumable| resumable.from.take()) {
        history.epochs.clone_from(&state.epochs);
        best = state.restore(&trained, &mut steps, batches.steps()).context("cannot resume")?;
        model.update_from_pruned(&trained, batches.inputs());
    }

    while history.epochs.len() < config.epochs && !config.ends_early(&history.epochs) {
        let (progress, is_broken) = epoch(
            &trained,
            teacher.as_ref(),
            &mut steps,
            &batches,
            config,
            &history.epochs,
            observer,
        )?;
        history.interrupted |= is_broken;
        // An epoch whose every step was done is complete, even when ended at its last one.
        if !progress.is_complete() {
            break;
        }
        let (epoch, (loss, accuracy)) = (progress.epoch, progress.metrics()?);
        let seconds = start.elapsed().as_secs_f64();
        ensure!(trained.is_finite(), diverged(epoch));
        model.update_from_pruned(&trained, batches.inputs());

        let (validation_loss, validation_accuracy) = validate(model, &validation, epoch)?.unzip();
        let learning_rate = (config.schedule == Schedule::Plateau)
            .then(|| rate(config, &progress, &history.epochs));
        history.epochs.push(Epoch {
            epoch,
            loss,
            accuracy,
            validation_loss,
            validation_accuracy,
            learning_rate,
            seconds,
        });
        if config.keep == Keep::Best && config.kept(&history.epochs) == epoch {
            best = Some(model.to_arrays()?);
        }
        if let Some(resumable) = &mut resumable {
            let state = State::of(&history.epochs, &trained, &steps, best.as_ref())?;
            (resumable.save)(&state);
        }
        let flow = observer(Event::Epoch(&history.epochs[epoch - 1]));
        history.interrupted |= flow.is_break() && epoch < config.epochs;
        if history.interrupted {
            break;
        }
        start = Instant::now();
    }
    if let Some(best) = best {
        *model = Model::from_arrays(&best, model.device())?;
    }
    Ok(history)
}

/// Does the steps of the epoch after those that are `done`, until `observer` ends it; says whether
/// it did.
fn epoch(
    trained: &Model,
    teacher: Option<&Teacher>,
    steps: &mut Steps,
    batches: &Batches,
    config: &Config,
    done: &[Epoch],
    observer: Observer,
) -> Result<(Progress, bool)> {
    let epoch = done.len() + 1;
    let (labels, batches) = batches.epoch(epoch);
    let mut progress = Progress::new(epoch, labels, config.batch_size);
    let mut regularisation = Regularisation::of(config, epoch);
    for batch in batches {
        steps.set_rate(rate(config, &progress, done));
        let (logits, loss) = batch.forward(trained, teacher, &mut regularisation);
        steps.step(&loss);
        progress.add(&logits);
        if observer(Event::Step(&progress)).is_break() {
            return Ok((progress, true));
        }
    }
    Ok((progress, false))
}

/// The learning rate of the next step.
fn rate(config: &Config, progress: &Progress, done: &[Epoch]) -> f64 {
    config.learning_rate_at(progress.epochs_done()) * config.plateau_factor(done)
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
