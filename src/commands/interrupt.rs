//! Ending training early, with Ctrl-C or SIGTERM.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Becomes the number of the signal at the first Ctrl-C or SIGTERM; the second one ends the program at
/// once. Nothing is torn down then, while libtorch is still computing on the main thread.
pub fn stop_on_signal() -> Result<Arc<AtomicUsize>> {
    let (stop, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, again.clone())
            .and_then(|_| flag::register(signal, again.clone()))
            .and_then(|_| flag::register_usize(signal, stop.clone(), signal as usize))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

/// Whether to go on training.
pub fn flow(stop: &AtomicUsize) -> ControlFlow<()> {
    match stop.load(Ordering::Relaxed) {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

/// The exit code of a program that was ended by the signal: 130 after Ctrl-C, 143 after SIGTERM.
pub fn exit_code(stop: &AtomicUsize) -> ExitCode {
    (128 + stop.load(Ordering::Relaxed) as u8).into()
}
