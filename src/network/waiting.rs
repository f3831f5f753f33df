//! Has libtorch's threads sleep while they wait for each other on a busy machine, where they would
//! spin.
//!
//! libtorch computes on OpenMP's threads. At the end of each parallel part, GCC's libgomp has them
//! spin for up to milliseconds, unless `OMP_WAIT_POLICY` is `passive`
//! (<https://gcc.gnu.org/onlinedocs/libgomp/OMP_005fWAIT_005fPOLICY.html>). That is fastest where
//! they have the processor for themselves; beside other busy programs, one spins just while the one
//! that it waits for cannot run. libgomp reads its variables when it is loaded, before `main`, and
//! by way of the dynamic linker, so that a `getenv` of the executable answers it. A program gets
//! this only where it asks for it, by [`openmp_sleeps_where_busy!`](crate::openmp_sleeps_where_busy).

use std::ffi::{CStr, c_char};
use std::time::Duration;
use std::{fs, ptr, thread};

const POLICY: &CStr = c"OMP_WAIT_POLICY";
const SPINS: &CStr = c"GOMP_SPINCOUNT";
/// Moments, so long apart, at each of which other programs have to be at work.
const MOMENTS: usize = 3;
const APART: Duration = Duration::from_millis(1);

/// The value of a variable of the environment, as C's `getenv` gives it, but on a busy machine
/// `passive` for `OMP_WAIT_POLICY`, where neither that nor `GOMP_SPINCOUNT` is set.
///
/// # Safety
///
/// As for C's `getenv`: `name` is a string of C's, and no other thread changes the environment.
#[allow(unsafe_code)]
pub unsafe fn getenv(name: *const c_char) -> *mut c_char {
    // SAFETY: promised by the caller.
    let (name, value) = unsafe { (CStr::from_ptr(name), value(CStr::from_ptr(name))) };
    // SAFETY: promised by the caller.
    let is_open = || value.is_null() && unsafe { self::value(SPINS) }.is_null();
    if name == POLICY && is_open() && is_busy() {
        return c"passive".as_ptr().cast_mut();
    }
    value
}

/// Whether others have work for half of the processor's cores or more.
#[allow(unsafe_code)]
fn is_busy() -> bool {
    // SAFETY: it only asks.
    let cores = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    (0..MOMENTS).all(|moment| {
        if moment > 0 {
            thread::sleep(APART);
        }
        running().is_some_and(|threads| 2 * (threads - 1) >= cores)
    })
}

/// Threads on this machine that run or wait for a core, this one included (proc_loadavg(5)).
fn running() -> Option<i64> {
    let load = fs::read_to_string("/proc/loadavg").ok()?;
    load.split_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

/// The value of a variable, within the environment; null where it is not set.
#[allow(unsafe_code)]
unsafe fn value(name: &CStr) -> *mut c_char {
    unsafe extern "C" {
        static environ: *const *mut c_char;
    }
    let name = name.to_bytes();
    // SAFETY: `environ` is null or a list of strings of C's that ends with null, and does not
    // change meanwhile, as the caller promises.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let line = CStr::from_ptr(*entry).to_bytes();
            if line.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'=')) {
                return (*entry).add(name.len() + 1);
            }
            entry = entry.add(1);
        }
    }
    ptr::null_mut()
}

/// Has libtorch's threads sleep while they wait on a busy machine, in an executable that has this at the root of a
/// module, and in its `build.rs`, so that the linker shows the function to libgomp:
///
/// ```text
/// println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=getenv");
/// ```
///
/// Does nothing but on Linux.
#[macro_export]
macro_rules! openmp_sleeps_where_busy {
    () => {
        /// Asked by libgomp, in place of C's own function, for its settings.
        ///
        /// # Safety
        ///
        /// As for C's own.
        #[cfg(target_os = "linux")]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn getenv(
            name: *const ::std::ffi::c_char,
        ) -> *mut ::std::ffi::c_char {
            // SAFETY: promised by the caller.
            unsafe { $crate::network::waiting::getenv(name) }
        }
    };
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_their_values() {
        let value = |name: &CStr| {
            // SAFETY: no test changes the environment.
            let value = unsafe { getenv(name.as_ptr()) };
            // SAFETY: it is null, or a string within the environment, which does not change.
            (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_str().unwrap())
        };
        assert_eq!(value(c"PATH"), Some(&*std::env::var("PATH").unwrap()));
        for name in [c"PAT", c"PATH=a", c"", c"MNIST_UNKNOWN"] {
            assert_eq!(value(name), None, "{name:?}");
        }
        assert!(running().is_some_and(|threads| threads > 0));
    }
}
