//! Chooses the kernels of Intel's MKL, which computes libtorch's matrix products on x86-64.
//!
//! MKL asks its own function `mkl_serv_intel_cpu_true` whether the processor is Intel's, and gives
//! all others its default kernels, even where they have AVX2 or AVX-512. It asks by way of the
//! dynamic linker, so that a function of this name in the executable takes the place of its own:
//! known among users of MKL on AMD's Zen since 2020
//! (<https://danieldk.eu/Posts/2020-08-31-MKL-Zen>). MKL still asks the processor what
//! instructions it has. A program gets this only where it asks for it, by
//! [`mkl_kernels_by_processor!`](crate::mkl_kernels_by_processor).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How MKL chooses its kernels. Results differ in their last digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MklKernels {
    /// Its default kernels, as for other processors than Intel's; also where there is no MKL.
    #[default]
    Default,
    /// By the instructions that the processor has: AVX2, AVX-512.
    Processor,
}

impl fmt::Display for MklKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MklKernels::Default => "default",
            MklKernels::Processor => "processor",
        })
    }
}

/// The kernels of the MKL in this process, by the very function that MKL asks.
#[cfg(feature = "torch")]
#[allow(unsafe_code)]
pub fn mkl_kernels() -> MklKernels {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    {
        use libloading::os::unix::{Library, Symbol};
        let program = Library::this();
        // SAFETY: both MKL's function and ours take nothing, return an int and may be called from
        // any thread at any time.
        let by_processor = unsafe {
            let asked: Result<Symbol<extern "C" fn() -> std::ffi::c_int>, _> =
                program.get(b"mkl_serv_intel_cpu_true\0");
            asked.is_ok_and(|asked| asked() != 0)
        };
        if by_processor {
            return MklKernels::Processor;
        }
    }
    MklKernels::Default
}

/// What [`mkl_kernels_by_processor!`](crate::mkl_kernels_by_processor) answers MKL: yes on Intel's
/// processors, as MKL itself would, and on all that have AVX2, unless the environment says
/// `MNIST_MKL=default`. Asked of the environment once.
#[cfg(target_arch = "x86_64")]
pub fn by_processor() -> bool {
    use std::arch::is_x86_feature_detected;
    use std::sync::LazyLock;

    static ANSWER: LazyLock<bool> = LazyLock::new(|| {
        let default = std::env::var_os("MNIST_MKL").is_some_and(|value| value == "default");
        is_intel() || (!default && is_x86_feature_detected!("avx2"))
    });
    *ANSWER
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, unused_unsafe)] // safe to call from Rust 1.94 on
fn is_intel() -> bool {
    // SAFETY: every x86-64 processor has CPUID.
    let vendor = unsafe { std::arch::x86_64::__cpuid(0) };
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

/// Makes MKL choose its kernels by what the processor has, in an executable that has this at the
/// root of a module, and in its `build.rs`, so that the linker shows the function to MKL:
///
/// ```text
/// println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol=mkl_serv_intel_cpu_true");
/// ```
///
/// Does nothing but on Linux on x86-64.
#[macro_export]
macro_rules! mkl_kernels_by_processor {
    () => {
        /// Asked by MKL, in place of its own function, whether to choose kernels by processor.
        #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub extern "C" fn mkl_serv_intel_cpu_true() -> ::std::ffi::c_int {
            $crate::network::kernels::by_processor().into()
        }
    };
}
