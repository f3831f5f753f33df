//! The program `mnist`.

use std::panic;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Parser;
use tch_mnist::commands::cli::Cli;
use tch_mnist::commands::console;

tch_mnist::mkl_kernels_by_processor!();

fn main() -> ExitCode {
    let last_panic = keep_panics();
    let cli = Cli::parse();
    if descriptors::output_was_closed() {
        return console::no_output();
    }
    match panic::catch_unwind(|| cli.run()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => console::failed(&error),
        Err(_) => console::panicked(&last_panic.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// Keeps the text of the last panic instead of showing it: a decoder's becomes an error of its file, and
/// only one that ends the program is shown.
fn keep_panics() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&last);
    panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = format!("{panic}\n{trace}");
    }));
    last
}

/// Rust's runtime opens /dev/null in the place of a closed descriptor before `main` begins; results
/// would vanish without a word. So that is looked at before the runtime starts.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod descriptors {
    use std::sync::atomic::{AtomicBool, Ordering};

    static OUTPUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

    pub fn output_was_closed() -> bool {
        OUTPUT_WAS_CLOSED.load(Ordering::Relaxed)
    }

    // SAFETY: functions in this section are called once, before `main`, with C's calling convention.
    #[unsafe(link_section = ".init_array")]
    #[used]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        // SAFETY: this asks for the flags of a descriptor; nothing is changed.
        let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
        OUTPUT_WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
    }
}

#[cfg(not(target_os = "linux"))]
mod descriptors {
    pub fn output_was_closed() -> bool {
        false
    }
}
