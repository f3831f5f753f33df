//! What the program answers MKL and libgomp in place of the functions that they ask: MKL's kernels,
//! which it says and records, and how threads wait.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::common::{Place, finish};

const FUNCTION: &str = "mkl_serv_intel_cpu_true";

#[test]
fn the_program_exports_the_function_that_mkl_asks() {
    let listed = Command::new("nm").args(["-D", env!("CARGO_BIN_EXE_mnist")]).output().unwrap();
    let (code, symbols, _) = finish(listed);
    assert_eq!(code, 0);
    assert!(symbols.lines().any(|line| line.ends_with(&format!(" T {FUNCTION}"))), "{symbols}");
}

/// The linker's own words: MKL, in libtorch_cpu.so, gets the program's function.
#[test]
fn mkl_is_bound_to_the_programs_function() {
    let place = Place::new();
    place.data_set("data", 20, 10);
    let mut command = place.command(&["train", "--data", "data", "--hidden", "8", "--epochs", "1"]);
    let (code, _, bindings) = finish(command.env("LD_DEBUG", "bindings").output().unwrap());
    assert_eq!(code, 0);
    let bound = |line: &str| {
        line.contains(FUNCTION)
            && line.contains("libtorch_cpu.so [0] to ")
            && line.contains("/mnist [0]")
    };
    assert!(bindings.lines().any(bound), "libtorch_cpu.so does not ask the program");
}

#[test]
fn the_environment_turns_it_off_and_the_record_keeps_it() {
    let place = Place::new();
    place.data_set("data", 20, 10);
    let train = ["train", "--data", "data", "--hidden", "8", "--epochs", "1", "--threads", "1"];
    let found = |setting: &str| {
        let run = |arguments: &[&str]| {
            let mut command = place.command(arguments);
            let (code, out, err) = finish(command.env("MNIST_MKL", setting).output().unwrap());
            assert_eq!(code, 0, "{err}");
            out
        };
        run(&train);
        let record = fs::read(place.path("models/mnist.json")).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        let doctor: Value = serde_json::from_str(&run(&["doctor", "--json"])).unwrap();
        [&record["configuration"]["mkl_kernels"], &doctor["kernels"]]
            .map(|value| value.as_str().unwrap().to_string())
    };
    let processor = ["processor", "processor"].map(String::from);
    let default = ["default", "default"].map(String::from);
    let information = fs::read_to_string("/proc/cpuinfo").unwrap();
    let intel = information.contains("GenuineIntel");
    let fast = intel || information.split_whitespace().any(|flag| flag == "avx2");
    assert_eq!(&found(""), if fast { &processor } else { &default });
    // On Intel's processors MKL chooses by what they have by itself.
    assert_eq!(&found("default"), if intel { &processor } else { &default });
}

#[test]
fn a_comparison_does_not_resume_with_other_kernels() {
    if fs::read_to_string("/proc/cpuinfo").unwrap().contains("GenuineIntel") {
        eprintln!("skipped: on Intel's processors the setting changes nothing");
        return;
    }
    let place = Place::new();
    place.data_set("data", 20, 10);
    let compare = |setting: &str, more: &[&str]| {
        let common =
            ["compare", "--data", "data", "--hidden", "8", "--epochs", "1", "--seeds", "2"];
        let mut command = place.command(&[&common, more].concat());
        finish(command.env("MNIST_MKL", setting).output().unwrap())
    };
    let (code, _, err) = compare("", &["--output-dir", "runs"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = compare("default", &["--output-dir", "runs", "--resume"]);
    assert_eq!(code, 1);
    assert!(err.contains("mkl_kernels is \"processor\" there and \"default\" now"), "{err}");
}

#[test]
fn on_a_busy_machine_threads_sleep_while_they_wait_unless_the_environment_says_how() {
    let place = Place::new();
    let spins = |variable: &str, value: &str| {
        let mut command = place.command(&["doctor"]);
        command.env("OMP_DISPLAY_ENV", "verbose");
        command.env_remove("OMP_WAIT_POLICY").env_remove("GOMP_SPINCOUNT").env(variable, value);
        let (_, _, err) = finish(command.output().unwrap());
        let line = err.lines().find_map(|line| line.trim().strip_prefix("GOMP_SPINCOUNT = "));
        let count = line.unwrap_or_else(|| panic!("libgomp does not say how it waits: {err}"));
        count.trim_matches('\'').parse::<u64>().unwrap()
    };
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let found =
            [spins("OTHER", ""), spins("GOMP_SPINCOUNT", "9"), spins("OMP_WAIT_POLICY", "active")];
        ended.store(true, Ordering::Relaxed);
        assert_eq!(found[..2], [0, 9]);
        assert!(found[2] > 1_000_000, "{}", found[2]);
    });
}
