//! What `mnist train` does.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use image::RgbImage;
use serde_json::Value;
use tch::Device;

use super::{Args, place, resumption};
use crate::commands::args::choices::{OPTIMIZERS, name};
use crate::commands::args::training::{name_and_sha256, network_at};
use crate::commands::args::weights::note_doubt;
use crate::commands::cli::wrong_usage;
use crate::commands::console::{note, print, print_json};
use crate::commands::interrupt;
use crate::commands::origin::Origin;
use crate::commands::progress::Display;
use crate::dataset::{Data, Samples};
use crate::experiments::run::{Configuration, Run, SetTest, Test};
use crate::files::atomic;
use crate::network::device;
use crate::network::model::Model;
use crate::output::plot;
use crate::output::tensorboard::TrainingLog;
use crate::output::text;
use crate::training::checkpoint::State;
use crate::training::evaluation::mistakes;
use crate::training::{Config, Event, History, Keep, Resumable, fit_with};
use crate::weights;

impl Args {
    /// Trains, saves and evaluates. Ctrl-C, SIGTERM and SIGHUP end after the current batch, keep the
    /// last complete epoch's weights and give the exit codes 130, 143 and 129.
    pub fn run(&self) -> Result<ExitCode> {
        let origin = Origin::now();
        let stop = interrupt::stop_on_signal()?;
        self.check_momentum()?;
        weights::check_output(&self.output)?;
        if let Some(path) = &self.plot {
            atomic::prepare(path)?;
        }
        let (device, reason) = self.training.machine.start(None)?;
        let mut model = self.training.model("train", self.training.seed, device)?;
        let teacher = self.teacher(device)?;
        let data = self.training.data()?;
        let precision = match (self.training.precision, self.resume) {
            (None, true) => Some(resumption::precision(&resumption::path(&self.output))?),
            (asked, _) => asked,
        };
        let config = self.training.config(&model, &data, self.optimizer, None, precision);
        let configuration = self.configuration(&model, &data, config.clone())?;

        let mut log = match &self.log_dir {
            Some(folder) => Some(TrainingLog::create(folder, config.validation_split > 0.)?),
            None => None,
        };
        let mut display = Display::new(config.epochs, self.json);
        // What cannot be shown or kept must not cost the run; it is reported at the end.
        let mut failure =
            display.line(&format!("Device: {} ({reason})", device::name(device))).err();
        let history = {
            let mut observer = |event: Event<'_>| {
                let logged = log.as_mut().map_or(Ok(()), |log| log.event(&event, &config));
                if let Err(error) = logged.and(display.show(event)) {
                    failure.get_or_insert(error);
                }
                interrupt::flow(&stop)
            };
            self.fit(&mut model, teacher.as_ref(), &data, &configuration, &mut observer)?
        };
        display.clear();
        if history.epochs.is_empty() {
            display.line("Interrupted before the first epoch was complete; nothing is saved")?;
            return Ok(interrupt::exit_code(&stop));
        }

        let test = Test::of(&model, &data.test)?;
        let sets = SetTest::of_parts(&model, &data)?;
        let run = Run { sets, ..Run::new(configuration, history.epochs, test) };
        let mut record = serde_json::to_value(&run)?;
        record["interrupted"] = history.interrupted.into();
        origin.add_to(&mut record);
        let output = self.save(&model, &mut record, history.interrupted, &data.test)?;
        if let Some(path) = &self.plot {
            plot::save(&plot::training(&run.history), path)?;
            failure = failure.or(display.saved(path).err());
        }
        if let Some(log) = &mut log {
            let image = mistakes_of(&model, &data, &config)?;
            log.mistakes(run.history.len(), &image)?;
            failure = failure.or(display.saved(log.folder()).err());
        }
        if self.checkpoint || self.resume {
            let path = resumption::path(&self.output);
            match history.interrupted {
                true => failure = failure.or(display.saved(&path).err()),
                false => resumption::remove(&path)?,
            }
        }
        let shown = failure.map_or(Ok(()), Err).and_then(|()| {
            report(&display, &run, history.interrupted, &output, self.json)?;
            if self.json { print_json(&record) } else { Ok(()) }
        });
        match history.interrupted {
            // A terminal that was closed shows nothing more.
            true => return Ok(interrupt::exit_code(&stop)),
            false => shown?,
        }
        Ok(if output == self.output { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn check_momentum(&self) -> Result<()> {
        if self.training.momentum.is_none() || self.optimizer.has_momentum() {
            return Ok(());
        }
        let name = name(OPTIMIZERS, self.optimizer);
        Err(wrong_usage("train", format!("{name} has no momentum; rmsprop and sgd do")))
    }

    /// The network to learn from as well, if one is named.
    fn teacher(&self, device: Device) -> Result<Option<Model>> {
        let Some(path) = &self.teacher else { return Ok(None) };
        let (teacher, doubt) = network_at("--teacher", path, device)?;
        note_doubt(doubt.as_deref());
        Ok(Some(teacher))
    }

    fn configuration(&self, model: &Model, data: &Data, config: Config) -> Result<Configuration> {
        let teacher = self.teacher.as_deref().map(name_and_sha256).transpose()?;
        let (teacher, teacher_sha256) = teacher.unzip();
        let configuration = self.training.configuration(model, data, config)?;
        Ok(Configuration { teacher, teacher_sha256, ..configuration })
    }

    /// Trains, from a checkpoint and with checkpoints as asked for.
    fn fit(
        &self,
        model: &mut Model,
        teacher: Option<&Model>,
        data: &Data,
        configuration: &Configuration,
        observer: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<History> {
        let path = resumption::path(&self.output);
        let from = match self.resume {
            true => Some(resumption::load(configuration, &path)?),
            false => {
                ensure!(
                    !self.checkpoint || !path.exists(),
                    "{} is that of a training that was interrupted; --resume goes on with it; to \
                     begin anew, delete it",
                    path.display()
                );
                None
            }
        };
        let mut failed = false;
        let mut save = |state: &State| {
            let saved = resumption::save(state, configuration, &path);
            if let Err(error) = saved
                && !std::mem::replace(&mut failed, true)
            {
                note(&format!("warning: there is no checkpoint of this epoch: {error:#}"));
            }
        };
        let resumable =
            (self.checkpoint || self.resume).then_some(Resumable { from, save: &mut save });
        fit_with(model, teacher, &data.train, &configuration.config, resumable, observer)
    }

    /// Saves the weights with their record, and returns where: at `--output`, or beside it if that
    /// is to be kept, which is noted.
    fn save(
        &self,
        model: &Model,
        record: &mut Value,
        interrupted: bool,
        test: &Samples,
    ) -> Result<PathBuf> {
        let kept = match self.force {
            true => None,
            false => place::why_kept(model, interrupted, &self.output, test)?,
        };
        let output = match kept {
            None => self.output.clone(),
            Some(why) => {
                let there = self.output.display();
                note(&format!("warning: {there} is kept ({why}); --force replaces it"));
                place::beside(&self.output)
            }
        };
        weights::save_model(model, record, &output)?;
        Ok(output)
    }
}

/// Says how training ended, how good the network is and where it lies; the latter even if the
/// program is quiet, unless JSON says so.
fn report(
    display: &Display,
    run: &Run,
    interrupted: bool,
    output: &Path,
    json: bool,
) -> Result<()> {
    let result = |text: &str| if json { display.line(text) } else { print(text) };
    let (config, done) = (&run.configuration.config, run.history.len());
    let kept = config.kept(&run.history);
    if interrupted {
        display.line(&format!("Interrupted: these are the weights of epoch {kept}"))?;
    } else if done < config.epochs {
        let count = Config::since_best(&run.history);
        let epochs = if count == 1 { "epoch" } else { "epochs" };
        display.line(&format!("Stopped early: val_loss has not fallen for {count} {epochs}"))?;
    }
    if config.keep == Keep::Best {
        display.line(&format!("Kept: epoch {kept} of {done}, which has the least val_loss"))?;
    }
    for SetTest { data, test, .. } in &run.sets {
        let figures = text::figures(test.loss, test.accuracy);
        result(&format!("Test of {data}: {figures}"))?;
    }
    result(&format!("Test: {}", text::figures(run.test.loss, run.test.accuracy)))?;
    display.saved(&weights::record_path(output))?;
    result(&format!("Saved: {}", output.display()))
}

/// What the network gets wrong, of the validation split, else of the test set.
fn mistakes_of(model: &Model, data: &Data, config: &Config) -> Result<RgbImage> {
    let (_, split) = config.split(&data.train)?;
    let (samples, of) = match config.validation_split {
        0. => (&data.test, "test set"),
        _ => (&split, "validation split"),
    };
    plot::to_pixels(&plot::mistakes(&mistakes(model, samples)?, of, plot::MOST))
}
