//! Ending training or the server in order, with Ctrl-C, SIGTERM or SIGHUP.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Becomes the number of the signal at the first Ctrl-C, SIGTERM or SIGHUP; the second one of the
/// former two ends the program at once. Nothing is torn down then, while libtorch is still
/// computing on the main thread. A terminal that is closed may send SIGHUP more than once, by way
/// of the shell, too: it never ends the program at once.
///
/// A signal that was ignored when the program began still is, as Ctrl-C for what a script runs in
/// the background.
pub fn stop_on_signal() -> Result<Arc<AtomicUsize>> {
    let (stop, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)) {
        let registered = match signal {
            SIGHUP => Ok(()),
            _ => flag::register_conditional_shutdown(signal, 128 + signal, again.clone())
                .and_then(|_| flag::register(signal, again.clone()).map(drop)),
        };
        registered
            .and_then(|()| flag::register_usize(signal, stop.clone(), signal as usize))
            .context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

#[cfg(unix)]
#[allow(unsafe_code)]
fn is_ignored(signal: i32) -> bool {
    // SAFETY: zeros are a value of it, and nothing but it is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(not(unix))]
fn is_ignored(_: i32) -> bool {
    false
}

/// Whether to go on training.
pub fn flow(stop: &AtomicUsize) -> ControlFlow<()> {
    match stop.load(Ordering::Relaxed) {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

/// The exit code of a program that was ended by the signal: 130 after Ctrl-C, 143 after SIGTERM, 129
/// after SIGHUP.
pub fn exit_code(stop: &AtomicUsize) -> ExitCode {
    (128 + stop.load(Ordering::Relaxed) as u8).into()
}
