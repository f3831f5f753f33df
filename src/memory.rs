//! What happens where there is no memory.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::io::Write;

/// Bytes of the longest error.
const MAX_LINE: usize = 400;
/// Bytes of the largest piece of memory that anything here needs. Only what a decoder asks for to
/// see whether it can be had is larger.
const MAX_NEEDED: usize = 1 << 32;

/// The system's memory. Where it has no more, the program ends with an error. Rust would abort it,
/// and wait forever where a backtrace is asked for (`RUST_BACKTRACE=1`), which needs memory itself.
struct OrError;

#[global_allocator]
static ALLOCATOR: OrError = OrError;

// SAFETY: every call goes on to the system's allocator as it is.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for OrError {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        had(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        had(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        had(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}

fn had(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() && bytes <= MAX_NEEDED {
        end(format_args!(
            "not enough memory: {bytes} bytes more could not be had; end other programs, raise the limit \
             (ulimit -v), or use less with smaller images, a smaller network or data set"
        ));
    }
    memory
}

/// Ends the program with an error, for which it takes no memory.
#[cfg(unix)]
#[allow(unsafe_code)]
pub fn end(error: fmt::Arguments<'_>) -> ! {
    let mut line = [0; MAX_LINE];
    let mut rest = &mut line[..];
    let _ = writeln!(rest, "error: {error}");
    let length = MAX_LINE - rest.len();
    // SAFETY: so many bytes are there; nothing is torn down, while other threads may still compute.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), length);
        libc::_exit(libc::EXIT_FAILURE)
    }
}

/// Ends the program with an error.
#[cfg(not(unix))]
pub fn end(error: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    std::process::exit(1)
}
