//! Killed, interrupted, out of space, or two at once: what was there, or what was to be, is there
//! whole. The long ones are for `make faults`.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{Place, arrays, finish, one};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tch_mnist::experiments::journal::Journal;
use tch_mnist::weights;

const SMALL: [&str; 9] =
    ["train", "--data", "data", "--hidden", "16", "--batch-size", "20", "--threads=1", "--epochs"];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&SMALL[..], more].concat()
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The program, with a limit of 512 or 1024 bytes on every file it writes: as if the disk was full.
fn full(place: &Place, arguments: &[&str]) -> Command {
    let inner = place.command(arguments);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -f 2; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mnist")])
        .args(arguments)
        .current_dir(inner.get_current_dir().unwrap())
        .stdin(Stdio::null());
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

/// All files in a folder and below, with what they hold.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => {
                found.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()))
            }
        }
    }
    found.sort();
    found
}

/// Every command that writes, and the file that it then says it cannot write.
const WRITERS: [(&str, &str); 12] = [
    ("train --data data --hidden 16 --epochs 1 --output out/w.safetensors", "w.safetensors"),
    ("train --data data --hidden 16 --epochs 1 --output out/u.ot", "u.ot"),
    ("train --data data --hidden 16 --epochs 1 --output out/v.ot --log-dir log", "v.ot"),
    ("convert in.safetensors out/k.safetensors --names 0,2", "k.safetensors"),
    ("convert in.safetensors out/k.h5", "k.h5"),
    ("convert in.safetensors out/k.keras", "k.keras"),
    ("convert in.safetensors out/k.onnx", "k.onnx"),
    ("show --data data --output out/a.png", "a.png"),
    ("show --data data --output out/a.svg", "a.svg"),
    ("predict one.png --explain out/b.png", "b.png"),
    ("read one.png --annotate out/c.png", "c.png"),
    (COMPARE, "out/d"),
];
const COMPARE: &str =
    "compare --data data --hidden 16 --epochs 1 --seeds 1 --optimizers sgd,adam --output-dir out/d";

fn prepare(place: &Place) {
    weights::save(&arrays(16, 0), &place.path("in.safetensors")).unwrap();
    place.data_set("data", 40, 20);
    one(300, 450).save(place.path("one.png")).unwrap();
    fs::create_dir_all(place.path("out")).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_what_was_there_stays() {
    let place = Place::new();
    prepare(&place);
    place.data_set("data", 1, 1); // the only files small enough
    let record = r#"{"weights":{"file":"w.safetensors","sha256":"old"}}"#;
    fs::write(place.path("out/w.json"), record).unwrap();
    for (_, old) in WRITERS.iter().filter(|(_, old)| old.contains('.') && *old != "v.ot") {
        fs::write(place.path("out").join(old), "old").unwrap();
    }
    let before = files(&place.path("out"));
    for (arguments, file) in WRITERS {
        let split: Vec<_> = arguments.split(' ').collect();
        let (code, _, err) = finish(full(&place, &split).output().unwrap());
        assert_eq!(code, 1, "{arguments:?}: {err}");
        assert!(err.contains("error: ") && err.contains(file), "{arguments:?}: {err}");
        assert!(!err.contains("panicked") && !err.contains("writing-"), "{err}");
        assert_eq!(err.matches("File too large").count(), 1, "{err}");
    }
    let after: Vec<_> = files(&place.path("out"))
        .into_iter()
        .filter(|(name, _)| !name.ends_with("runs.jsonl"))
        .collect();
    assert_eq!(after, before);
    // Half a line in the file of runs is not a run: with space again, it goes on.
    let compare: Vec<_> = COMPARE.split(' ').chain(["--resume"]).collect();
    let (code, _, err) = place.run(&compare);
    assert_eq!(code, 0, "{err}");
    // Nowhere to decompress the data into.
    let mut command = full(&place, &["evaluate"]);
    command.env("XDG_CACHE_HOME", place.path("cache")).env("TMPDIR", place.path("out"));
    let (code, _, err) = finish(command.output().unwrap());
    assert!(code == 1 && err.contains("cannot"), "{err}");
    assert!(files(&place.path("cache")).is_empty());
}

#[test]
fn two_runs_with_one_output_both_succeed_and_their_files_belong_together() {
    let place = Place::new();
    place.data_set("data", 40, 20);
    for round in 0..3 {
        let seeds = ["1", "2", "3", "4"];
        let children =
            seeds.map(|seed| spawn(place.command(&train(&["1", "--force", "--seed", seed]))));
        for child in children {
            let (code, _, err) = finish(child.wait_with_output().unwrap());
            assert_eq!((code, err.as_str()), (0, ""), "{round}");
        }
        let path = place.path("models/mnist.safetensors");
        weights::load(&path).unwrap(); // which compares it with its record
        let record: Value =
            serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let sha256 = tch_mnist::files::sha256_hex(&fs::read(&path).unwrap());
        assert_eq!(record["weights"]["sha256"], sha256);
        assert_eq!(files(&place.path("models")).len(), 2);
    }
}

#[test]
fn runs_that_wait_for_the_folder_all_save() {
    let place = Place::new();
    place.data_set("data", 40, 20);
    fs::create_dir(place.path("models")).unwrap();
    let held = fs::File::open(place.path("models")).unwrap();
    let seeds = ["1", "2", "3", "4"];
    let children =
        seeds.map(|seed| spawn(place.command(&train(&["1", "--force", "--seed", seed]))));
    held.lock().unwrap();
    sleep(Duration::from_secs(2));
    drop(held);
    for child in children {
        let (code, _, err) = finish(child.wait_with_output().unwrap());
        assert_eq!((code, err.as_str()), (0, ""));
    }
    let loaded = weights::open(&place.path("models/mnist.safetensors")).unwrap();
    assert!(loaded.record.is_some() && loaded.doubt.is_none());
}

#[test]
fn two_comparisons_in_one_folder_are_kept_apart() {
    let place = Place::new();
    place.data_set("data", 2000, 20);
    let arguments = [
        "compare",
        "--data",
        "data",
        "--hidden",
        "16",
        "--epochs",
        "100000",
        "--output-dir",
        "out",
    ];
    let first = spawn(place.command(&arguments));
    let path = place.path("out/runs.jsonl");
    let started = Instant::now();
    while !path.exists() && started.elapsed().as_secs() < 30 {
        sleep(Duration::from_millis(20));
    }
    let (code, _, err) = place.run(&arguments);
    assert!(code == 1 && err.contains("another program is writing to it"), "{err}");
    signal(&first, "-TERM");
    assert_eq!(finish(first.wait_with_output().unwrap()).0, 143);
}

#[test]
fn sigterm_keeps_the_last_complete_epoch() {
    let place = Place::new();
    place.data_set("data", 2000, 50);
    let mut child = spawn(place.command(&train(&["100000"])));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("Epoch 2/")));
    signal(&child, "-TERM");
    assert!(lines.any(|line| line.starts_with("Interrupted: these are the weights of epoch")));
    assert_eq!(child.wait().unwrap().code(), Some(143));
    weights::load(&place.path("models/mnist.safetensors")).unwrap();
}

/// Kills it at a random moment within that time, or of its writing into that folder; whether it was
/// still running then.
fn kill(mut child: Child, folder: Option<&Path>, within: Duration, rng: &mut ChaCha8Rng) -> bool {
    let writes = |folder: &Path| {
        let mut names =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.file_name());
        names.any(|name| name.as_encoded_bytes().starts_with(b".tch-mnist-writing-"))
    };
    let within = match folder {
        Some(folder) => {
            while !writes(folder) && child.try_wait().unwrap().is_none() {
                sleep(Duration::from_micros(200));
            }
            Duration::from_millis(50)
        }
        None => within,
    };
    sleep(within.mul_f64(rng.random_range(0. ..1.)));
    let running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    running
}

/// Removes what a killed process was writing, so that the next one's is seen.
fn clear(folder: &Path) {
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        if file.file_name().as_encoded_bytes().starts_with(b".tch-mnist-writing-") {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

/// How long it takes to its end.
fn time(command: Command) -> Duration {
    let started = Instant::now();
    assert_eq!(finish(spawn(command).wait_with_output().unwrap()).0, 0);
    started.elapsed()
}

#[test]
#[ignore = "takes minutes: make faults"]
fn two_hundred_kills() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let place = Place::new();
    place.data_set("data", 40, 20);

    // Saving, three in four times while it is at it.
    let models = place.path("models");
    let path = models.join("mnist.safetensors");
    let save =
        ["train", "--data", "data", "--hidden", "2048", "--epochs", "1", "--force", "--seed"];
    let save = |seed: &str| place.command(&[&save[..], &[seed]].concat());
    let within = time(save("0"));
    let (mut killed, mut between) = (0, 0);
    while killed < 100 {
        let folder = rng.random_bool(0.75).then_some(&*models);
        let seed = rng.random::<u16>().to_string();
        killed += u32::from(kill(spawn(save(&seed)), folder, within, &mut rng));
        weights::load(&path).unwrap(); // whole, and its record's
        let record: Value =
            serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let sha256 = tch_mnist::files::sha256_hex(&fs::read(&path).unwrap());
        between += u32::from(record["weights"]["sha256"] != sha256);
        clear(&models);
    }
    assert_eq!(place.run(&["evaluate", "--data", "data"]).0, 0);
    println!("100 kills of savings, {between} of them between the record and the weights");

    // Decompressing the data.
    let evaluate = |cache: &Path| {
        let mut command = place.command(&["evaluate", "--json"]);
        command.env("XDG_CACHE_HOME", cache);
        command
    };
    let within = time(evaluate(&place.path("first")));
    let expected = finish(evaluate(&place.path("first")).output().unwrap()).1;
    let cache = place.path("cache");
    let mut killed = 0;
    while killed < 50 {
        let folder = cache.join("tch-mnist");
        let watched = rng.random_bool(0.75).then_some(&*folder);
        killed += u32::from(kill(spawn(evaluate(&cache)), watched, within, &mut rng));
        clear(&folder);
        if rng.random_bool(0.2) {
            let (code, out, err) = finish(evaluate(&cache).output().unwrap());
            assert_eq!((code, &out), (0, &expected), "{err}");
            fs::remove_dir_all(&cache).unwrap();
        }
    }
    println!("50 kills of unpackings");

    // Comparing.
    let compare = |folder: &str| {
        let rest = ["--epochs", "2", "--seeds", "3", "--resume", "--json", "--output-dir", folder];
        place.command(&[&["compare", "--data", "data", "--hidden", "16"][..], &rest].concat())
    };
    let within = time(compare("whole"));
    let runs = |folder: &str| Journal::open(&place.path(folder).join("runs.jsonl")).unwrap().1;
    let mut expected: Vec<_> =
        runs("whole").into_iter().map(|run| (run.configuration.name(), run.test)).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut killed, mut folder) = (0, 0);
    while killed < 50 {
        let name = format!("compare{folder}");
        killed += u32::from(kill(spawn(compare(&name)), None, within, &mut rng));
        let finished = runs(&name).len();
        if rng.random_bool(0.2) {
            let (code, _, err) = finish(compare(&name).output().unwrap());
            assert_eq!(code, 0, "{err}");
            // What was finished is not done again, and the rest is as it would have been.
            let mut found: Vec<_> =
                runs(&name).into_iter().map(|run| (run.configuration.name(), run.test)).collect();
            assert!(found.len() == expected.len() && finished <= found.len());
            found.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, expected);
            folder += 1;
        }
    }
    println!("50 kills of comparisons");
}

/// A real full disk, where a small one may be mounted.
#[test]
#[ignore = "mounts a file system: make faults"]
fn a_disk_without_space_is_an_error_that_changes_nothing() {
    let place = Place::new();
    prepare(&place);
    let mounted = "mount -t tmpfs -o size=2m tmpfs out && echo old > out/a.png && \
                   head -c 4m /dev/zero > out/fill 2>/dev/null; \"$0\" \"$@\"; code=$?; \
                   cat out/a.png; ls -A out; exit $code";
    let log = "train --data data --hidden 16 --epochs 1 --output v.ot --log-dir out/log";
    for (arguments, file) in WRITERS.into_iter().chain([(log, "out/log")]) {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let inner = place.command(&arguments);
        let mut command = Command::new("unshare");
        command
            .args(["-rm", "sh", "-c", mounted, env!("CARGO_BIN_EXE_mnist")])
            .args(&arguments)
            .current_dir(inner.get_current_dir().unwrap());
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
        let (code, out, err) = finish(command.output().unwrap());
        if err.contains("unshare") || err.contains("mount") {
            println!("skipped, since nothing can be mounted here: {err}");
            return;
        }
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
        assert!(err.contains("No space left") && err.contains(file), "{arguments:?}: {err}");
        assert!(out.contains("old\n") && !out.contains("writing-"), "{out}");
    }
}
