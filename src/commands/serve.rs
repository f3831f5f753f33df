//! `mnist serve`: the page in the browser, and the interface for programs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::args::machine::MachineArgs;
use super::args::weights::{RELEASED, RELEASED_NAME, WeightsArgs};
use super::console::{note, print};
use super::interrupt;
use crate::server::{Collection, Networks, Server, Weights, host};
use crate::weights::{self, Loaded};

/// Files that the server may have open at a time: its connections, and some more.
const OPEN_FILES: u64 = 5000;

/// Serve a page on which to draw or photograph digits and see how they are read, and an interface
/// for programs, over HTTP
#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| arg.help("Threads that compute on the CPU; images are decoded on all cores [default: 1]")))]
pub struct Args {
    /// Address and port to listen at; at 127.0.0.1 only this machine can reach the server, at
    /// 0.0.0.0 any that can reach this one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Answer requests for this name as well, as machine.local or that of a proxy in front; may be
    /// given several times
    #[arg(long, value_name = "NAME", value_parser = host)]
    allow_host: Vec<String>,
    /// Weight file, as every command takes it, or `released`; given several times, the page offers
    /// a choice, of which the first is the default [default: the better of the released weights and
    /// models/mnist.safetensors in the current folder]
    #[arg(long, value_name = "FILE")]
    weights: Vec<PathBuf>,
    #[command(flatten)]
    machine: MachineArgs,
    /// Keep the digits that people correct on the page in this folder, as LABEL/*.png, to train on
    #[arg(long, value_name = "DIR")]
    collect: Option<PathBuf>,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
}

impl Args {
    /// Prints the address, and answers until Ctrl-C or SIGTERM.
    pub fn run(&self) -> Result<ExitCode> {
        // One thread: the cores are for decoding, and libtorch's threads would spin on them.
        let machine = self.machine.machine(Some(1))?;
        let mut classifiers = Vec::new();
        let mut names = BTreeSet::new();
        for (loaded, name) in each(&self.weights)? {
            note(&format!("Weights: {name}"));
            let name = short_name(&name);
            ensure!(
                names.insert(name.clone()),
                "two weight files are named {name}; rename one of them"
            );
            let (arrays, record) = (loaded.arrays.clone(), loaded.record.clone());
            classifiers.push((Weights { name, arrays, record }, machine.classifier(loaded)?));
        }
        let verifier = machine.classifier(weights::verifier()?)?;
        let collection = self.collect.as_deref().map(Collection::open).transpose()?;
        raise_open_files();
        let stop = interrupt::stop_on_signal()?;
        let server = Server::bind(&self.listen, &self.allow_host)?;
        let mut address = server.address();
        if !address.ip().is_loopback() {
            note(
                "warning: other machines can reach this server, which asks nobody for a password; \
                 without --listen, only this one can",
            );
        }
        if address.ip().is_unspecified() {
            note(&format!(
                "Other machines reach it by an address of this one, at port {}",
                address.port()
            ));
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let url = format!("http://{address}/");
        if let Some(folder) = &self.collect {
            note(&format!("Corrections are kept in {}", folder.display()));
        }
        print(&url)?;
        if self.open
            && let Err(error) = open::that_detached(&url)
        {
            note(&format!("warning: cannot open a browser: {error}; open {url} in one"));
        }
        server.run(Networks { classifiers, verifier }, collection, stop)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Raises the limit on open files as far as it may be, if it is lower than the server needs.
#[cfg(unix)]
#[allow(unsafe_code)]
fn raise_open_files() {
    // SAFETY: zeros are a value of it, and only it is written to.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < OPEN_FILES
        {
            limit.rlim_cur = OPEN_FILES.min(limit.rlim_max);
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

#[cfg(not(unix))]
fn raise_open_files() {}

/// The weights of each of `paths` with a name for them, or without any the better of the two that
/// there are.
fn each(paths: &[PathBuf]) -> Result<Vec<(Loaded, String)>> {
    if paths.is_empty() {
        return Ok(vec![WeightsArgs::default().better()?]);
    }
    paths.iter().map(|path| WeightsArgs { weights: Some(path.clone()) }.load()).collect()
}

/// What weights of this name are called where they are one of several: the file without its folder
/// and extension.
fn short_name(name: &str) -> String {
    match name {
        RELEASED_NAME => RELEASED.into(),
        path => Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}
