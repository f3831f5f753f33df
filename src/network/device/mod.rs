//! What the network is computed on.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "torch")]
mod torch;
#[cfg(feature = "torch")]
pub(crate) use torch::check_bf16;
#[cfg(feature = "torch")]
pub use torch::{CudaNotInstalled, Reason, cuda, load_cuda, name, select};

/// A choice of device, as given by `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A CUDA device if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// Apple's Metal.
    Mps,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> Result<Choice, String> {
        match name {
            "auto" => Ok(Choice::Auto),
            "cpu" => Ok(Choice::Cpu),
            "cuda" => Ok(Choice::Cuda(0)),
            "mps" => Ok(Choice::Mps),
            _ => name
                .strip_prefix("cuda:")
                // Not parsed as a number alone, since "+1" would be one.
                .filter(|index| index.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|index| index.parse::<u16>().ok())
                .map(|index| Choice::Cuda(index.into()))
                .ok_or_else(|| "choose auto, cpu, cuda, cuda:N (N from 0) or mps".to_string()),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(index) => write!(f, "cuda:{index}"),
            Choice::Mps => f.write_str("mps"),
        }
    }
}
