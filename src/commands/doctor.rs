//! `mnist doctor`: what the program runs on.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use tch::{Device, utils};

use super::args::machine::advised;
use super::args::weights::{DEFAULT_WEIGHTS, WeightsArgs};
use super::console::print_json;
use crate::LIBTORCH;
use crate::VERSION;
use crate::dataset;
use crate::network::device::{self, Choice};
use crate::network::kernels::{self, MklKernels};

/// Tell what the program runs on: libtorch, CUDA or why there is none, threads, data, weights
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Prints the findings; the exit code is 1 if training or prediction would not work.
    pub fn run(&self) -> Result<ExitCode> {
        let mut fit = true;
        let mut check = |result: Result<String>| match result {
            Ok(text) => text,
            Err(error) => {
                fit = false;
                format!("error: {error:#}")
            }
        };
        let cuda = match device::cuda() {
            Ok(count) => format!(
                "{count} device(s), runtime {}, cuDNN {}",
                utils::version_cudart(),
                utils::version_cudnn()
            ),
            Err(cause) => format!("not available: {}", advised(cause)),
        };
        let weights = WeightsArgs::default();
        let rows = [
            ("program", format!("tch-mnist {VERSION}")),
            ("libtorch", LIBTORCH.to_string()),
            ("CUDA", cuda),
            ("device", check(device::select(Choice::Auto).map(|(device, _)| device::name(device)))),
            (
                "threads",
                format!(
                    "{} of {} cores",
                    tch::get_num_threads(),
                    std::thread::available_parallelism()?
                ),
            ),
            (
                "kernels",
                match kernels::mkl_kernels() {
                    MklKernels::Processor => "MKL's, by what the processor has".into(),
                    MklKernels::Default => "MKL's default".into(),
                },
            ),
            (
                "data",
                check(dataset::load(None).map(|data| {
                    let place = dataset::cache()
                        .map_or("a temporary folder".into(), |dir| dir.display().to_string());
                    format!(
                        "built-in MNIST, {} + {} pictures, unpacked in {place}",
                        data.train.count(),
                        data.test.count()
                    )
                })),
            ),
            (
                "weights",
                check(
                    weights
                        .load(Device::Cpu)
                        .map(|(model, name)| format!("{name}, {} hidden units", model.hidden())),
                ),
            ),
        ];
        let mut out = io::stdout().lock();
        if self.json {
            let rows: serde_json::Map<String, Value> =
                rows.into_iter().map(|(name, text)| (name.to_lowercase(), json!(text))).collect();
            print_json(&mut out, &rows)?;
        } else {
            for (name, text) in rows {
                writeln!(out, "{name:<9} {text}")?;
            }
            if !Path::new(DEFAULT_WEIGHTS).exists() {
                writeln!(
                    out,
                    "          (there is no {DEFAULT_WEIGHTS} here; `mnist train` makes one)"
                )?;
            }
        }
        Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
