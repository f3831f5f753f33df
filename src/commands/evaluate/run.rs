//! What `mnist evaluate` does.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Args;
use crate::commands::console::{print_json, print_text, saved};
use crate::experiments::run::SetTest;
use crate::output::plot::{self, Reliability};
use crate::output::text;
use crate::training::{calibration, evaluation};

impl Args {
    /// Prints the measurements.
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(path) = &self.plot {
            self.inference.weights.prepare_output(path)?;
        }
        let (machine, loaded, name) = self.inference.load(None)?;
        let model = machine.model(&loaded)?;
        let data = self.data.load()?;
        let (test, sets) = (&data.test, SetTest::of_parts(&model, &data)?);
        let evaluation = evaluation::evaluate(&model, test)?;
        let loss = evaluation.loss;
        ensure!(loss.is_finite(), "the loss of {name} is {loss}: its weights are too large");
        let calibration = calibration::measure(&model, test)?;
        if let Some(path) = &self.plot {
            let title = format!("Calibration error {:.2}%", 100. * calibration.error);
            plot::save(&Reliability { title, calibration: calibration.clone() }, path)?;
            saved(path);
        }
        if self.json {
            let mut value = json!({
                "weights": name,
                "samples": test.count(),
                "loss": evaluation.loss,
                "accuracy": evaluation.accuracy,
                "classes": evaluation.classes(),
                "confusion": evaluation.confusion,
                "calibration": calibration,
            });
            if !sets.is_empty() {
                value["sets"] = serde_json::to_value(&sets)?;
            }
            print_json(&value)?;
        } else {
            if !sets.is_empty() {
                print_text(&format!("{}\nAll of them:\n", text::sets(&sets)))?;
            }
            print_text(&text::evaluation(&evaluation, &calibration))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
