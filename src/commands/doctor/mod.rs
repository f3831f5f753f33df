//! `mnist doctor`: what the program runs on.

use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;

use anyhow::Result;
use comfy_table::CellAlignment;
use serde::{Serialize, Serializer};

use super::args::weights::{DEFAULT_WEIGHTS, WeightsArgs};
use super::console::{Results, print_json};
use crate::network::kernels::MklKernels;
use crate::output::text;
use crate::{LIBTORCH, VERSION};

#[cfg(not(feature = "torch"))]
mod plain;
#[cfg(feature = "torch")]
mod torch;
#[cfg(not(feature = "torch"))]
use plain as build;
#[cfg(feature = "torch")]
use torch as build;

/// Show what the program runs on: libtorch, CUDA or why there is none, threads, data, weights
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Findings {
    program: &'static str,
    version: &'static str,
    libtorch: &'static str,
    cuda: Finding<Cuda>,
    device: Finding<String>,
    threads: usize,
    cores: usize,
    kernels: MklKernels,
    data: Finding<Data>,
    weights: Finding<Weights>,
}

#[derive(Serialize)]
struct Cuda {
    devices: usize,
    runtime: i64,
    cudnn: i64,
}

#[derive(Serialize)]
struct Data {
    name: &'static str,
    train: i64,
    test: i64,
    /// The folder that it is kept in, unpacked.
    #[serde(rename = "folder")]
    kept: Finding<String>,
}

#[derive(Serialize)]
struct Weights {
    name: String,
    hidden: i64,
}

/// What was found, or why it was not: in JSON an object with `error`.
struct Finding<T>(Result<T>);

impl<T: Serialize> Serialize for Finding<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(found) => found.serialize(serializer),
            Err(error) => serializer.collect_map([("error", text::plain_error(error))]),
        }
    }
}

impl<T> Finding<T> {
    fn text(&self, text: impl FnOnce(&T) -> String) -> String {
        self.0.as_ref().map_or_else(|error| format!("error: {}", text::error(error)), text)
    }
}

impl Findings {
    fn look() -> Result<Findings> {
        Ok(Findings {
            program: "tch-mnist",
            version: VERSION,
            libtorch: LIBTORCH,
            cuda: Finding(build::cuda()),
            device: Finding(build::device()),
            threads: build::threads()?,
            cores: available_parallelism()?.get(),
            kernels: build::kernels(),
            data: Finding(build::data()),
            weights: Finding(
                WeightsArgs::default()
                    .load()
                    .map(|(loaded, name)| Weights { name, hidden: loaded.arrays.hidden as i64 }),
            ),
        })
    }

    /// Whether everything works that this build is for; CUDA is not needed.
    fn is_fit(&self) -> bool {
        let data = self.data.0.is_ok() || !build::TRAINS;
        self.device.0.is_ok() && data && self.weights.0.is_ok()
    }

    fn rows(&self) -> [(&'static str, String); 8] {
        let cuda = |cuda: &Cuda| {
            let Cuda { devices, runtime, cudnn } = cuda;
            format!("{devices} device(s), runtime {runtime}, cuDNN {cudnn}")
        };
        let data = |data: &Data| {
            let Data { name, train, test, kept } = data;
            let place = match &kept.0 {
                Ok(folder) => format!("in {folder}"),
                Err(error) => format!("in a temporary folder each time: {}", text::error(error)),
            };
            format!("{name}, {train} + {test} images, unpacked {place}")
        };
        let weights = |Weights { name, hidden }: &Weights| format!("{name}, {hidden} hidden units");
        [
            ("program", format!("{} {}", self.program, self.version)),
            ("libtorch", self.libtorch.into()),
            (
                "CUDA",
                match &self.cuda.0 {
                    Ok(found) => cuda(found),
                    Err(cause) => format!("not available: {cause}"),
                },
            ),
            ("device", self.device.text(String::clone)),
            ("threads", format!("{} of {} cores", self.threads, self.cores)),
            (
                "kernels",
                match self.kernels {
                    MklKernels::Processor => "MKL, chosen for this processor".into(),
                    MklKernels::Default if !build::TRAINS => "in plain Rust".into(),
                    MklKernels::Default => {
                        "MKL, its default for processors other than Intel's".into()
                    }
                },
            ),
            (
                "data",
                match &self.data.0 {
                    Err(none) if !build::TRAINS => format!("none: {none}"),
                    _ => self.data.text(data),
                },
            ),
            ("weights", self.weights.text(weights)),
        ]
    }
}

impl Args {
    /// Prints the findings; the exit code is 1 if training or prediction would not work.
    pub fn run(&self) -> Result<ExitCode> {
        let findings = Findings::look()?;
        if self.json {
            print_json(&findings)?;
        } else {
            let rows = findings.rows().map(|(name, found)| [name.into(), text::escape(&found)]);
            let mut results = Results::default();
            results.text(&text::table(&[CellAlignment::Left], rows));
            if build::TRAINS && !Path::new(DEFAULT_WEIGHTS).exists() {
                let hint = format!("(there is no {DEFAULT_WEIGHTS} here; `mnist train` makes one)");
                results.line(&format!("{:10}{hint}", ""));
            }
            results.flush()?;
        }
        Ok(if findings.is_fit() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
