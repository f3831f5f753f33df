//! The program `mnist`.

use std::panic;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::anyhow;
use clap::Parser;
use tch_mnist::commands::cli::Cli;
use tch_mnist::commands::console;

#[cfg(feature = "torch")]
tch_mnist::mkl_kernels_by_processor!();

fn main() -> ExitCode {
    let last_panic = keep_panics();
    let cli = Cli::parse();
    if surroundings::output_is_closed() {
        return console::no_output();
    }
    if surroundings::folder_is_gone() {
        return console::failed(&anyhow!(
            "the current folder cannot be used: it was deleted; change to another"
        ));
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

/// What has to be looked at before the libraries and Rust's runtime start: libtorch's MKL ends the program
/// where there is no current folder, and the runtime opens /dev/null in the place of a closed descriptor, so
/// that results would vanish without a word.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod surroundings {
    use std::sync::atomic::{AtomicBool, Ordering};

    static OUTPUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);
    static FOLDER_IS_GONE: AtomicBool = AtomicBool::new(false);

    pub fn output_is_closed() -> bool {
        OUTPUT_IS_CLOSED.load(Ordering::Relaxed)
    }

    pub fn folder_is_gone() -> bool {
        FOLDER_IS_GONE.load(Ordering::Relaxed)
    }

    // SAFETY: functions in this section are called once, before those of the libraries, with C's calling
    // convention.
    #[unsafe(link_section = ".preinit_array")]
    #[used]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        let mut folder = [0u8; libc::PATH_MAX as usize];
        // SAFETY: the first call asks for the flags of a descriptor and changes nothing; the second writes
        // at most as many bytes as there are; the third is given a string that ends with 0.
        unsafe {
            OUTPUT_IS_CLOSED
                .store(libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) == -1, Ordering::Relaxed);
            if libc::getcwd(folder.as_mut_ptr().cast(), folder.len()).is_null()
                && *libc::__errno_location() == libc::ENOENT
            {
                FOLDER_IS_GONE.store(true, Ordering::Relaxed);
                libc::chdir(c"/".as_ptr()); // `main` goes no further than to say why
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod surroundings {
    pub fn output_is_closed() -> bool {
        false
    }

    pub fn folder_is_gone() -> bool {
        false
    }
}
