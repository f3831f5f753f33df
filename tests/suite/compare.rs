//! `mnist compare`: what it reports, keeps, resumes and refuses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::common::Place;
use serde_json::Value;
use tch_mnist::experiments::comparison::compare;
use tch_mnist::experiments::run::{Configuration, Run, Test};
use tch_mnist::network::kernels::MklKernels;
use tch_mnist::output::text;
use tch_mnist::training::optimizer::Optimizer;
use tch_mnist::training::{Config, Epoch};

/// Options of a comparison that takes no time on the small data set.
const SMALL: [[&str; 2]; 7] = [
    ["--optimizers", "adam,sgd:0.1"],
    ["--seeds", "2"],
    ["--data", "data"],
    ["--hidden", "16"],
    ["--batch-size", "20"],
    ["--epochs", "2"],
    ["--validation-split", "0.1"],
];

/// The arguments of a small comparison; `more` win over the small one's.
fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let options = SMALL.iter().filter(|[option, _]| !more.contains(option)).flatten().copied();
    ["compare"].into_iter().chain(options).chain(more.iter().copied()).collect()
}

fn run(place: &Place, more: &[&str]) -> (i32, String, String) {
    place.run(&small(more))
}

/// The file without what depends on the clock.
fn timeless(place: &Place, file: &str) -> Value {
    let text = fs::read_to_string(place.path(file)).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    for contender in value["contenders"].as_array_mut().unwrap() {
        let seconds = contender.as_object_mut().unwrap().remove("seconds_per_epoch").unwrap();
        assert!(seconds["mean"].as_f64().unwrap() > 0.);
    }
    let all = value.as_object_mut().unwrap();
    assert_eq!(all.remove("command").unwrap()[1], "compare");
    assert!(all.remove("started").unwrap().is_string());
    assert!(all.remove("seconds").unwrap().as_f64().unwrap() > 0.);
    value
}

/// The lines of a folder's CSV without the seconds for an epoch.
fn untimed(place: &Place, folder: &str) -> Vec<String> {
    let csv = fs::read_to_string(place.path(&format!("{folder}/compare.csv"))).unwrap();
    let cells = |line: &str| {
        let cells = line.split(',').enumerate().filter(|(at, _)| *at != 9);
        cells.map(|(_, cell)| cell.to_string()).collect::<Vec<_>>().join(",")
    };
    csv.lines().map(cells).collect()
}

fn lines(place: &Place, file: &str) -> Vec<Run> {
    let text = fs::read_to_string(place.path(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_seeds_give_the_same_comparison_and_each_run_is_the_same_as_train() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let (code, out, err) = run(&place, &["--output-dir", "a"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(!out.contains(['\r', '\x1b']), "a log file would be garbled: {out:?}");
    for line in ["Run 1/4 - ", "Run 4/4 - ", "optimizer ", "adam ", "sgd:0.1 ", "Saved: a/compare"]
    {
        assert!(out.lines().any(|found| found.starts_with(line)), "{line}: {out}");
    }
    let (code, out, err) = run(&place, &["--output-dir", "b", "--json"]);
    assert_eq!(code, 0);
    assert!(err.contains("Run 4/4 - "), "{err}");
    assert!(err.contains("Saved: b/runs.jsonl\nSaved: b/compare.{json,csv,png}\n"), "{err}");
    assert_eq!(timeless(&place, "a/compare.json"), timeless(&place, "b/compare.json"));

    let printed: Value = serde_json::from_str(&out).unwrap();
    let csv = fs::read_to_string(place.path("b/compare.csv")).unwrap();
    let cells: Vec<Vec<_>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((cells.len(), cells[0].len(), cells[2][0]), (3, cells[2].len(), "sgd:0.1"));
    let accuracy = &printed["contenders"][1]["test_accuracy"];
    assert_eq!(cells[2][4].parse::<f64>().unwrap(), accuracy["mean"].as_f64().unwrap());

    for (optimizer, rate, seed) in [("adam", "0.001", "1"), ("sgd", "0.1", "0")] {
        let options = ["--optimizer", optimizer, "--learning-rate", rate, "--seed", seed, "--json"];
        let arguments =
            [&["train", "--threads", "1", "--keep", "last"], &SMALL.as_flattened()[4..], &options]
                .concat();
        let (code, out, _) = place.run(&arguments);
        assert_eq!(code, 0);
        let trained: Run = serde_json::from_str(&out).unwrap();
        let runs = lines(&place, "a/runs.jsonl");
        let run = runs.iter().find(|run| run.configuration == trained.configuration).unwrap();
        assert_eq!(run.test, trained.test);
        let losses = |run: &Run| -> Vec<f64> { run.history.iter().map(|e| e.loss).collect() };
        assert_eq!(losses(run), losses(&trained));
    }
}

#[cfg(unix)]
#[test]
fn a_killed_comparison_resumes_to_the_same_table() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let more = |folder| ["--output-dir", folder, "--seeds", "8"];
    assert_eq!(run(&place, &more("whole")).0, 0);

    let mut command = place.command(&small(&more("killed")));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.by_ref().any(|line| line.starts_with("Run 3/16 - ")));
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let path = place.path("killed/runs.jsonl");
    let kept = fs::read_to_string(&path).unwrap();
    let runs = kept.matches('\n').count();
    assert!((3..16).contains(&runs), "{runs}");
    // As it would be cut off in the middle of a line.
    fs::write(&path, format!("{kept}{}", &kept[..kept.len() / 7])).unwrap();

    let (code, out, err) = run(&place, &[&more("killed")[..], &["--resume"]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("\nAlready finished: {runs} of 16 runs\n")), "{out}");
    assert!(fs::read_to_string(&path).unwrap().starts_with(&kept));
    assert_eq!(timeless(&place, "whole/compare.json"), timeless(&place, "killed/compare.json"));
    assert_eq!(untimed(&place, "whole"), untimed(&place, "killed"));

    // With all of it done, nothing is trained; with more seeds, only those.
    let (code, out, _) = run(&place, &[&more("killed")[..], &["--resume"]].concat());
    assert_eq!((code, out.contains("Run ")), (0, false), "{out}");
    let (code, out, _) = run(&place, &["--output-dir", "killed", "--seeds", "9", "--resume"]);
    assert_eq!((code, out.matches("Run ").count()), (0, 2), "{out}");
}

#[test]
fn runs_done_each_by_itself_merge_to_the_same_table() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    assert_eq!(run(&place, &["--output-dir", "whole"]).0, 0);
    let apart = |more: &[&str]| run(&place, &[&["--output-dir", "apart"], more].concat());

    let (code, out, err) = apart(&["--merge"]);
    assert_eq!((code, out.as_str()), (1, "0\n1\n2\n3\n"), "{err}");
    for number in ["3", "0", "2"] {
        let (code, out, err) = apart(&["--run", number]);
        assert_eq!((code, out.as_str()), (0, ""), "{err}");
        assert!(err.ends_with(&format!("Saved: apart/runs/run-0000{number}.json\n")), "{err}");
    }
    let record = place.path("apart/runs/run-00003.json");
    let kept: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    assert!(kept["command"][0] == "mnist" && kept["seconds"].as_f64().unwrap() > 0.);
    let written = fs::metadata(&record).unwrap().modified().unwrap();
    let (code, _, err) = apart(&["--run", "3"]);
    assert!(code == 0 && err.contains("Run 3: done before"), "{err}");
    assert_eq!(fs::metadata(&record).unwrap().modified().unwrap(), written);
    assert_eq!(apart(&["--merge"]).1, "1\n");
    assert!(!place.path("apart/compare.json").exists());
    assert_eq!(apart(&["--run", "1"]).0, 0);

    // What is damaged is to be done again, and is; what is there can be compared without it.
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let (code, out, err) = apart(&["--merge"]);
    assert_eq!((code, out.as_str()), (1, "3\n"));
    let damaged = "cannot use the run in apart/runs/run-00003.json: it is damaged";
    assert!(err.contains(&format!("warning: {damaged}\n")), "{err}");
    fs::create_dir(place.path("copy")).unwrap();
    fs::rename(place.path("apart/runs.jsonl"), place.path("copy/runs.jsonl")).unwrap();
    assert_eq!(apart(&["--merge", "--seeds", "1"]).0, 0);
    fs::rename(place.path("copy/runs.jsonl"), place.path("apart/runs.jsonl")).unwrap();
    let (code, _, err) = apart(&["--run", "3"]);
    assert!(code == 0 && err.contains(&format!("warning: {damaged}; it is done again")), "{err}");

    let (code, _, err) = apart(&["--merge", "--epochs", "3"]);
    assert!(code == 1 && err.contains("run-00000.json: epochs is 2 there and 3 now"), "{err}");
    let (code, _, err) = apart(&["--run", "1", "--optimizers", "sgd,adam"]);
    assert!(code == 1 && err.contains("use the same options"), "{err}");
    for (wrong, fault) in [
        (&["--run", "4"][..], "there is no run 4: there are 4, from 0"),
        (&["--run", "0", "--merge"], "cannot be used with"),
        (&["--run", "0", "--precision", "auto"], "name one with --precision"),
    ] {
        let (code, _, err) = apart(wrong);
        assert!(code == 2 && err.contains(fault), "{err}");
    }

    let (code, merged, _) = apart(&["--merge"]);
    assert!(code == 0 && !merged.contains("several types of processor"), "{merged}");
    assert_eq!(timeless(&place, "whole/compare.json"), timeless(&place, "apart/compare.json"));
    assert_eq!(untimed(&place, "whole"), untimed(&place, "apart"));
    // It is then as if it had been done on one machine: more seeds can follow.
    let (code, out, _) = apart(&["--resume", "--seeds", "3"]);
    assert_eq!((code, out.matches("Run ").count()), (0, 2), "{out}");

    // Another type of processor is named.
    let mut other: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    other["processor"] = "Abacus".into();
    fs::write(&record, other.to_string()).unwrap();
    fs::remove_file(place.path("apart/runs.jsonl")).unwrap();
    let (_, merged, _) = apart(&["--merge"]);
    assert!(merged.contains("1 on Abacus"), "{merged}");
    assert_eq!(timeless(&place, "apart/compare.json")["processors"]["Abacus"], 1);
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_finished_runs() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let more = ["--output-dir", "runs", "--seeds", "1000"];
    let mut command = place.interruptible(&small(&more));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.by_ref().any(|line| line.starts_with("Run 2/2000 - ")));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let finished = 2 + said.filter(|line| line.starts_with("Run ")).count();
    let (code, _, err) = crate::common::finish(child.wait_with_output().unwrap());
    assert_eq!(code, 130);
    let expected = format!("Interrupted: {finished} of 2000 runs are kept in runs; use --resume");
    assert!(err.contains(&expected), "{err}");
    assert_eq!(lines(&place, "runs/runs.jsonl").len(), finished);
    assert!(lines(&place, "runs/runs.jsonl").iter().all(|run| run.history.len() == 2));
    assert!(!place.path("runs/compare.json").exists());
}

#[test]
fn runs_of_another_configuration_are_refused_with_the_difference() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    assert_eq!(run(&place, &["--output-dir", "runs", "--seeds", "1"]).0, 0);
    let kept = fs::read(place.path("runs/runs.jsonl")).unwrap();
    place.data_set("other", 180, 50);
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(kept.clone()).unwrap();
        assert!(text.contains(from));
        fs::create_dir_all(place.path("changed")).unwrap();
        fs::write(place.path("changed/runs.jsonl"), text.replacen(from, to, 1)).unwrap();
    };
    let refused = |more: &[&str], fault: &str| {
        let (code, out, err) = run(&place, more);
        assert_eq!((code, out.as_str()), (1, ""), "{more:?} {err}");
        assert!(err.starts_with("error: ") && err.contains(fault), "{more:?}: {err}");
        assert_eq!(fs::read(place.path("runs/runs.jsonl")).unwrap(), kept);
    };
    let there = ["--output-dir", "runs", "--seeds", "1"];
    refused(&there, "runs/runs.jsonl already has runs; use --resume to continue them");
    for (option, value, fault) in [
        ("--epochs", "3", "epochs is 2 there and 3 now"),
        ("--hidden", "17", "hidden is 16 there and 17 now"),
        ("--threads", "2", "threads is 1 there and 2 now"),
        ("--augment", "affine", "augment is [] there and [\"affine\"] now"),
    ] {
        refused(&[&there[..], &["--resume", option, value]].concat(), fault);
    }
    for (from, to, fault) in [
        ("{\"format\":1", "{\"format\":2", "line 1 is not a run: its format is 2; this program"),
        (
            "{\"format\":1",
            "no run",
            "cannot open the runs in changed/runs.jsonl: line 1 is not a run",
        ),
        ("\"libtorch\":\"", "\"libtorch\":\"1.", "libtorch is \"1."),
    ] {
        changed(from, to);
        refused(&["--output-dir", "changed", "--resume"], fault);
    }
    // Records that no run can have had.
    let edited = |edit: fn(&mut Value)| {
        let text = String::from_utf8(kept.clone()).unwrap();
        let mut run = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        edit(&mut run);
        fs::write(place.path("changed/runs.jsonl"), format!("{run}\n")).unwrap();
    };
    for (edit, fault) in [
        ((|run| run["history"] = serde_json::json!([])) as fn(&mut Value), "0 epochs, expected 2"),
        (|run| run["history"][1]["loss"] = 1e300.into(), "invalid loss 1e300"),
        (|run| run["test"]["accuracy"] = 1e306.into(), "invalid accuracy 1e306"),
        (|run| run["history"][0]["validation_loss"] = (-1.).into(), "invalid loss -1.0"),
        (|run| run["history"][0]["seconds"] = 1e308.into(), "seconds"),
        (|run| run["configuration"]["epochs"] = 0.into(), "the number of epochs"),
        (|run| run["configuration"]["hidden"] = i64::MAX.into(), "hidden units"),
        (|run| run["configuration"]["batch_size"] = (-1).into(), "the batch size must be"),
        (|run| run["configuration"]["learning_rate"] = 1e40.into(), "the learning rate must be"),
    ] {
        edited(edit);
        refused(&["--output-dir", "changed", "--resume"], fault);
    }
    // The same run with two results.
    let first = kept.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let mut again: Value = serde_json::from_slice(first).unwrap();
    again["test"]["accuracy"] = 0.123.into();
    fs::write(place.path("changed/runs.jsonl"), [&kept[..], again.to_string().as_bytes()].concat())
        .unwrap();
    refused(&["--output-dir", "changed", "--resume"], "appears twice, with different results");
    // A line of any length is quoted in short.
    let long = format!("\"{}\"\n", "a".repeat(1_000_000));
    fs::write(place.path("changed/runs.jsonl"), long).unwrap();
    let (code, _, err) = run(&place, &["--output-dir", "changed", "--resume"]);
    assert!(
        code == 1 && err.contains("line 1 is not a run: ") && err.len() < 1000,
        "{}",
        err.len()
    );
    // A file that does not hold runs is left alone; a run whose line has no end, as editors leave
    // it, counts.
    for notes in ["my notes", "{\"format\":\"geojson\",\"mine\":[1,2]}", "{\"format\":2}"] {
        fs::write(place.path("changed/runs.jsonl"), notes).unwrap();
        refused(&["--output-dir", "changed", "--resume"], "line 1 is not a run");
        assert_eq!(fs::read(place.path("changed/runs.jsonl")).unwrap(), notes.as_bytes());
    }
    let torn = [first, &kept[..100], &[0; 50]].concat();
    for there in [first.trim_ascii_end(), &torn[..]] {
        fs::write(place.path("changed/runs.jsonl"), there).unwrap();
        refused(&["--output-dir", "changed", "--seeds", "1"], "already has runs");
        assert_eq!(fs::read(place.path("changed/runs.jsonl")).unwrap(), there);
        assert_eq!(run(&place, &["--output-dir", "changed", "--seeds", "1", "--resume"]).0, 0);
        let found = lines(&place, "changed/runs.jsonl");
        assert_eq!(found.len(), kept.split(|byte| *byte == b'\n').count() - 1);
    }

    fs::rename(place.path("data"), place.path("old")).unwrap();
    fs::rename(place.path("other"), place.path("data")).unwrap();
    refused(&[&there[..], &["--resume"]].concat(), "data_sha256 is ");
}

#[test]
fn what_cannot_be_compared_is_reported() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    fs::write(place.path("file"), "").unwrap();
    for wrong in [
        &["--optimizers", "adamm"][..],
        &["--optimizers", "adam:0"],
        &["--optimizers", "adam:3e38"],
        &["--optimizers", "adam:"],
        &["--optimizers", ""],
        &["--seeds", "0"],
        &["--resume"],
    ] {
        let (code, out, err) = place.run(&[&["compare"], wrong].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?} {err}");
    }
    for twice in ["adam,adam", "adam,sgd,adam:1e-3"] {
        let (code, out, err) = run(&place, &["--optimizers", twice]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(
            err.contains("adam is listed twice") && err.contains("Usage: mnist compare"),
            "{err}"
        );
    }
    for (failing, fault) in [
        (&["--data", "nowhere"][..], "nowhere"),
        (&["--output-dir", "file"], "cannot create the folder file"),
        (&["--optimizers", "sgd:1e30", "--output-dir", "kept"], "sgd:1"),
    ] {
        let (code, _, err) = run(&place, failing);
        assert_eq!(code, 1, "{failing:?} {err}");
        assert!(err.starts_with("error: ") && err.contains(fault), "{failing:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    #[cfg(unix)]
    {
        fs::create_dir(place.path("linked")).unwrap();
        std::os::unix::fs::symlink("../file", place.path("linked/compare.png")).unwrap();
        let (code, _, err) = run(&place, &["--output-dir", "linked"]);
        assert!(code == 1 && err.contains("compare.png: it is a link; delete it"), "{err}");
    }
    let (code, out, _) = run(&place, &["--seeds", "1"]);
    assert!(code == 0 && out.contains("\nOne seed cannot show which is best"), "{out}");
}

// Test accuracies over five seeds: RMSprop's and Adam's, and some that are plainly lower.
const A: [f64; 5] = [0.9807, 0.9743, 0.9806, 0.9816, 0.9739];
const B: [f64; 5] = [0.9752, 0.9745, 0.9778, 0.9795, 0.9755];
const C: [f64; 5] = [0.9643, 0.9601, 0.9650, 0.9662, 0.9570];

fn runs(optimizer: Optimizer, accuracies: &[f64]) -> Vec<Run> {
    let run = |(seed, &accuracy): (usize, &f64)| {
        let configuration = Configuration {
            data: "none".into(),
            data_sha256: None,
            init: None,
            init_sha256: None,
            teacher: None,
            teacher_sha256: None,
            hidden: 16,
            config: Config { optimizer, seed: seed as u64, ..Config::default() },
            device: "cpu".into(),
            threads: 1,
            mkl_kernels: MklKernels::Default,
        };
        let epoch = |epoch: usize| Epoch {
            epoch,
            loss: 1. / epoch as f64,
            accuracy: accuracy - 0.01 * (2 - epoch) as f64,
            validation_loss: None,
            validation_accuracy: None,
            learning_rate: None,
            seconds: 1.,
        };
        Run::new(configuration, vec![epoch(1), epoch(2)], Test { loss: 0.1, accuracy })
    };
    accuracies.iter().enumerate().map(run).collect()
}

#[test]
fn the_best_is_marked_only_where_the_difference_is_more_than_noise() {
    let best = |of: &[(Optimizer, &[f64])]| {
        let runs: Vec<_> = of.iter().map(|(optimizer, a)| runs(*optimizer, a)).collect();
        let comparison = compare(&runs).unwrap();
        let best = comparison.contenders.iter().find(|c| c.best).map(|c| c.optimizer);
        (best, text::comparison(&comparison))
    };
    let (adam, sgd, rmsprop) = (Optimizer::Adam, Optimizer::Sgd, Optimizer::RmsProp);
    let (clear, text) = best(&[(sgd, &C), (adam, &A)]);
    assert_eq!(clear, Some(adam));
    assert!(text.contains("\nadam *  ") && text.contains("* adam is best: "), "{text}");
    assert!(text.contains("paired t-test") && text.contains("p < 0.0001"), "{text}");

    // The second one, not the last, is the one to be better than.
    let (noise, text) = best(&[(rmsprop, &A), (adam, &B), (sgd, &C)]);
    assert_eq!(noise, None);
    assert!(text.contains("rmsprop's lead of 0.0017 over adam may be due to chance"), "{text}");
    assert!(text.contains("Holm-corrected: p = 0.2349, not below 0.05"), "{text}");

    // p is 0.034 by itself, but of three pairs, so that one of them was likely to be found.
    let near = [0.9797, 0.9740, 0.9799, 0.9800, 0.9738];
    assert_eq!(best(&[(rmsprop, &A), (adam, &near)]).0, Some(rmsprop));
    let last = [0.9790, 0.9738, 0.9801, 0.9801, 0.9741];
    assert_eq!(best(&[(rmsprop, &A), (adam, &near), (sgd, &last)]).0, None);

    assert_eq!(best(&[(adam, &A[..1]), (sgd, &C[..1])]).0, None);
    assert_eq!(best(&[(adam, &A)]).0, None);
    let (same, text) = best(&[(adam, &A), (sgd, &A)]);
    assert!(same.is_none() && text.contains("there is nothing to test"), "{text}");
}

#[test]
fn goals_count_the_runs_that_reach_them() {
    let comparison = compare(&[runs(Optimizer::Adam, &A)]).unwrap();
    let goals = &comparison.contenders[0].goals;
    // Accuracies after the first epoch are lower by 0.01: three reach 0.97 by then.
    let epoch = goals[0].epoch.unwrap();
    assert_eq!((goals[0].accuracy, epoch.runs, epoch.mean), (0.97, 5, 1.4));
    assert_eq!((goals[1].accuracy, goals[1].epoch.unwrap().runs), (0.98, 3));
    assert_eq!(comparison.contenders[0].best_epoch, None);
    let text = text::comparison(&comparison);
    assert!(text.contains(" 1.4  2.0 (3 of 5)\n"), "{text}");
}

#[test]
fn a_grid_compares_every_combination_under_a_name_of_its_own() {
    let place = Place::new();
    place.data_set("data", 100, 50);
    let grid = ["--grid", "hidden=4,16", "--grid", "dropout=0,0.2", "--optimizers", "adam"];
    let compare =
        ["compare", "--data", "data", "--epochs", "1", "--seeds", "2", "--output-dir", "a"];
    let (code, out, err) = place.run(&[&compare[..], &grid].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Run 8/8 - adam hidden=") && out.contains(", seed 1 - "), "{out}");
    let json: Value =
        serde_json::from_str(&fs::read_to_string(place.path("a/compare.json")).unwrap()).unwrap();
    let contenders = json["contenders"].as_array().unwrap();
    let names: Vec<_> = contenders.iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!(names[0], "adam hidden=4 dropout=0");
    assert_eq!(names[3], "adam hidden=16 dropout=0.2");
    assert_eq!((&contenders[3]["hidden"], &contenders[3]["dropout"]), (&16.into(), &0.2.into()));
    assert_eq!(json["pairs"].as_array().unwrap().len(), 6);
    assert!(json["configuration"].get("hidden").is_none(), "{}", json["configuration"]);
    let (code, out, err) = place.run(&[&compare[..], &grid, &["--resume"]].concat());
    assert!(code == 0 && out.contains("Already finished: 8 of 8 runs"), "{err}");

    for (wrong, fault) in [
        ("hidden", "choose SETTING=LIST"),
        ("hidden=0", "choose a number from 1"),
        ("width=1", "choose hidden, batch-size"),
        ("schedule=warm", "choose schedules from constant, cosine, plateau"),
        ("hidden=4,4", "is listed twice"),
    ] {
        let (code, _, err) = place.run(&["compare", "--data", "data", "--grid", wrong]);
        assert!(code == 2 && err.contains(fault), "{wrong}: {err}");
    }
    // Before anything is trained.
    let init = ["--init=released", "--grid=hidden=512,16", "--output-dir=b"];
    let (code, out, err) = place.run(&[&["compare", "--data=data"], &init[..]].concat());
    assert!(code == 2 && out.is_empty() && err.contains("hidden units, not 16; omit"), "{err}");
    assert!(!place.path("b").exists());
    for (optimizers, expected) in [("adam,adamw", 2), ("adam,sgd", 0)] {
        let momentum = ["--momentum=0.5", "--hidden=4", "--epochs=1", "--seeds=1", "--optimizers"];
        let compare = [&["compare", "--data=data"], &momentum[..], &[optimizers]].concat();
        let (code, _, err) = place.run(&compare);
        assert!(code == expected && err.contains("adam"), "{err}");
        assert!(err.contains("without momentum; rmsprop and sgd have one"), "{err}");
    }
}
