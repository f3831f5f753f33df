//! Tells the linker, and the program, where libtorch is.

use std::fs;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // From torch-sys, by way of the `links` key in its manifest.
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        if std::env::var_os("CARGO_FEATURE_TORCH").is_none() {
            println!("cargo:rustc-env=LIBTORCH_VERSION=none");
            return;
        }
        println!("cargo:rustc-env=LIBTORCH_VERSION=of an unknown version");
        println!(
            "cargo:warning=torch-sys does not say where libtorch is; set LD_LIBRARY_PATH to run the program"
        );
        return;
    };
    // Resolved, since libtorch finds NVIDIA's libraries relative to its own place.
    let lib = fs::canonicalize(&lib).unwrap_or_else(|_| lib.into());
    if std::env::var("CARGO_CFG_UNIX").is_ok() {
        // A program that is to be moved finds libtorch relative to its own place, see
        // scripts/dist.py.
        println!("cargo:rerun-if-env-changed=MNIST_RPATH");
        let rpath = std::env::var("MNIST_RPATH").unwrap_or_else(|_| lib.display().to_string());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{rpath}");
    }
    // For MKL and libgomp to find, see src/network/kernels.rs and waiting.rs.
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let mut exports = Vec::new();
    if target("OS") == "linux" {
        exports.push("getenv");
        if target("ARCH") == "x86_64" {
            exports.push("mkl_serv_intel_cpu_true");
        }
    }
    // For a target that a package lacks, as fuzz/ lacks examples, cargo refuses arguments.
    let targets =
        ["bins", "examples"].into_iter().filter(|of| *of == "bins" || Path::new(of).is_dir());
    for export in exports {
        for target in targets.clone() {
            println!("cargo:rustc-link-arg-{target}=-Wl,--export-dynamic-symbol={export}");
        }
    }
    let version = version(&lib).unwrap_or_else(|| "of an unknown version".into());
    println!("cargo:rustc-env=LIBTORCH_VERSION={version}");
}

/// The version that libtorch's headers name.
fn version(lib: &Path) -> Option<String> {
    let header = lib.parent()?.join("include/torch/headeronly/version.h");
    println!("cargo:rerun-if-changed={}", header.display());
    let text = fs::read_to_string(header).ok()?;
    let part = |name| {
        let (_, rest) = text.split_once(&format!("#define TORCH_VERSION_{name} "))?;
        Some(rest.lines().next()?.trim())
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}
