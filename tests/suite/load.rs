//! Much of everything: memory does not grow, nothing slows down, nothing is lost. `make load`.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::process::Stdio;
use std::time::Instant;

use crate::common::{Place, mnist_images};
use tch::Device;
use tch_mnist::dataset;
use tch_mnist::network::model::Model;
use tch_mnist::training;

/// The memory that a process has in use, in KiB.
fn memory(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[ignore = "takes minutes: make load"]
fn a_million_paths() {
    const PATHS: usize = 1_000_000;
    const FILES: usize = 4000;
    let place = Place::new();
    for (index, image) in mnist_images(FILES).iter().enumerate() {
        image.save(place.path(&format!("{index}.png"))).unwrap();
    }
    let mut command = place.command(&["predict", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        (0..PATHS).for_each(|index| writeln!(stdin, "{}.png", index % FILES).unwrap());
    });
    let process = child.id().to_string();
    let mut first: Vec<String> = Vec::new();
    let (mut count, mut memories, mut seconds) = (0, Vec::new(), Vec::new());
    let mut since = Instant::now();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match first.get(count % FILES) {
            Some(same) if count >= FILES => assert_eq!(*same, line),
            _ => first.push(line),
        }
        count += 1;
        if count % (PATHS / 10) == 0 {
            memories.push(memory(&process));
            seconds.push(since.elapsed().as_secs_f64());
            since = Instant::now();
        }
        if count == PATHS {
            break; // its memory can no longer be asked for
        }
    }
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    println!("memory in MiB: {:?}", memories.iter().map(|kib| kib / 1024).collect::<Vec<_>>());
    println!("seconds for a tenth: {seconds:.1?}");
    assert_eq!(count, PATHS);
    assert!(memories[9] < memories[0] + 20_000, "it grows: {memories:?}");
    let median = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_by(f64::total_cmp);
        part[part.len() / 2]
    };
    assert!(median(&seconds[5..]) < 1.5 * median(&seconds[..5]), "it slows down: {seconds:?}");
}

#[test]
#[ignore = "takes minutes: make load"]
fn ten_thousand_training_runs() {
    let place = Place::new();
    let data = dataset::load(Some(&place.data_set("data", 40, 20))).unwrap();
    let mut memories = Vec::new();
    for round in 0..10_000 {
        let config =
            training::Config { epochs: 1, batch_size: 20, seed: round, ..Default::default() };
        let mut model = Model::new(16, round, Device::Cpu).unwrap();
        let go_on = &mut |_: training::Event| ControlFlow::Continue(());
        training::fit(&mut model, &data.train, &config, go_on).unwrap();
        if round % 1000 == 999 {
            memories.push(memory("self"));
        }
    }
    println!("memory in MiB: {:?}", memories.iter().map(|kib| kib / 1024).collect::<Vec<_>>());
    assert!(memories[9] < memories[1] + 10_000, "it grows: {memories:?}");
}
