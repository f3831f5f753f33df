//! Sheets of handwriting, drawn by `sheets/make_sheets.py`, read with the released weights.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use crate::common::{Place, released};
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, Luma};
use mnist_image::decode::{self, Budget};
use mnist_image::page::Bounds;
use serde_json::Value;
use tch_mnist::network::classifier::Classifier;
use tch_mnist::network::plain::Plain;
use tch_mnist::reading::{self, ReadDigit};
use tch_mnist::weights;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sheets")
}

/// What is written on each sheet, by its name.
fn truth() -> BTreeMap<String, Value> {
    serde_json::from_slice(&fs::read(folder().join("truth.json")).unwrap()).unwrap()
}

/// The digits of the truth, in reading order, with their boxes.
fn written(truth: &Value) -> Vec<(char, Bounds)> {
    let lines = truth["lines"].as_array().unwrap().iter();
    let digits = lines.flat_map(|line| line.as_str().unwrap().chars().filter(|c| *c != ' '));
    let boxes = truth["boxes"].as_array().unwrap().iter().flat_map(|line| line.as_array().unwrap());
    let bounds = boxes.map(|bounds| {
        let [x, y, width, height]: [u32; 4] = serde_json::from_value(bounds.clone()).unwrap();
        Bounds { x, y, width, height }
    });
    digits.zip(bounds).collect()
}

/// How many digits are read right, in the right place and order, and how many are read where
/// nothing is.
fn score(written: &[(char, Bounds)], lines: &[Vec<ReadDigit>]) -> (usize, usize) {
    let (mut right, mut stray) = (Vec::new(), 0);
    for read in lines.iter().flatten().filter(|read| read.answer.is_digit) {
        let middle = |b: &Bounds| (b.x + b.width / 2, b.y + b.height / 2);
        let (x, y) = middle(&read.bounds);
        let around =
            |b: &Bounds| (b.x..b.x + b.width).contains(&x) && (b.y..b.y + b.height).contains(&y);
        let hits = (0..written.len()).filter(|&at| around(&written[at].1));
        match hits.min_by_key(|&at| middle(&written[at].1).0.abs_diff(x)) {
            None => stray += 1,
            Some(at) if written[at].0 == read.label(0.) && !right.contains(&at) => right.push(at),
            Some(_) => {}
        }
    }
    // The longest run in the right order.
    let mut longest: Vec<usize> = Vec::new();
    for at in right {
        let place = longest.partition_point(|&other| other < at);
        longest.truncate(longest.len().max(place));
        match longest.get_mut(place) {
            Some(other) => *other = at,
            None => longest.push(at),
        }
    }
    (longest.len(), stray)
}

/// By kind of trouble; `cargo test --test suite sheets::our_own_sheets_are_read -- --nocapture`
/// prints the table of `docs/guide/read.md`.
#[test]
fn our_own_sheets_are_read() {
    let truth = truth();
    assert!(truth.len() >= 30);
    let model = released();
    let verifier = Plain::new(weights::verifier().unwrap(), NonZero::<usize>::MIN);
    // Pixels 255 times as large give the same label as biases 255 times as small.
    let mut scaled = weights::released().unwrap();
    for bias in [1, 3] {
        scaled.values[bias].iter_mut().for_each(|value| *value /= 255.);
    }
    let scaled = Plain::new(scaled, NonZero::<usize>::MIN);
    let budget = Budget::default();
    let look = |(name, truth): &(&String, &Value)| {
        let path = folder().join(format!("{name}.jpg"));
        let opened = tch_mnist::files::image::open(&path, &budget).unwrap();
        let lines = reading::read(&model, &verifier, &decode::grey(&opened.image)).unwrap();
        let written = written(truth);
        let (found, stray) = score(&written, &lines);
        if written.is_empty() {
            assert!(lines.is_empty(), "{name}: no writing found");
        }
        let tutorial = as_the_tutorial_does(&scaled, &opened.image, &written);
        ([found, tutorial, written.len()], stray)
    };
    let sheets: Vec<(&String, &Value)> = truth.iter().collect();
    let cores = thread::available_parallelism().unwrap().get();
    let counts: Vec<([usize; 3], usize)> = thread::scope(|scope| {
        let parts: Vec<_> = sheets
            .chunks(sheets.len().div_ceil(cores))
            .map(|part| scope.spawn(move || part.iter().map(look).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let strays: usize = counts.iter().map(|(_, stray)| stray).sum();
    for ((_, truth), (found, _)) in sheets.iter().zip(&counts) {
        let kind = kinds.entry(truth["trouble"].as_str().unwrap()).or_default();
        for (sum, count) in kind.iter_mut().zip(found) {
            *sum += count;
        }
    }
    for (kind, [right, tutorial, all]) in &kinds {
        println!("| {kind} | {right} of {all} | {tutorial} of {all} |");
    }
    let [right, tutorial, all] =
        [0, 1, 2].map(|of| kinds.values().map(|sums| sums[of]).sum::<usize>());
    let share = |count: usize| 100. * count as f64 / all as f64;
    println!(
        "| all | {right} of {all} ({:.1}%) | {tutorial} of {all} ({:.1}%) |",
        share(right),
        share(tutorial)
    );
    assert!(share(right) >= 98., "{right} of {all}: {kinds:?}");
    assert!(strays * 200 <= all, "{strays} where nothing is");
    for (kind, [right, _, all]) in kinds.iter().filter(|(_, [.., all])| *all > 0) {
        let least = if *kind == "touching digits" { 0.9 } else { 0.95 };
        assert!(*right as f64 >= least * *all as f64, "{kind}: {right} of {all}");
    }
}

/// Lines and boxes are told from writing by their size, so that is to be of no account.
#[test]
fn sheets_with_lines_are_read_at_other_sizes() {
    let truth = truth();
    let model = released();
    let verifier = Plain::new(weights::verifier().unwrap(), NonZero::<usize>::MIN);
    for (scale, least) in [(1.6, 0.97), (0.6, 0.93)] {
        let (mut right, mut all, mut strays) = (0, 0, 0);
        let kinds = ["form", "table", "dotted"];
        let lined =
            truth.iter().filter(|(name, _)| kinds.iter().any(|kind| name.starts_with(kind)));
        for (name, truth) in lined.step_by(2) {
            let image = image::open(folder().join(format!("{name}.jpg"))).unwrap().to_luma8();
            let at = |side: u32| (f64::from(side) * scale) as u32;
            let (width, height) = (at(image.width()), at(image.height()));
            let image = imageops::resize(&image, width, height, FilterType::CatmullRom);
            let lines = reading::read(&model, &verifier, &image).unwrap();
            let mut written = written(truth);
            for (_, Bounds { x, y, width, height }) in &mut written {
                (*x, *y, *width, *height) = (at(*x), at(*y), at(*width), at(*height));
            }
            let (found, stray) = score(&written, &lines);
            (right, all, strays) = (right + found, all + written.len(), strays + stray);
        }
        println!("{scale}: {right} of {all}, {strays} where nothing is");
        assert!(right as f64 >= least * all as f64, "{scale}: {right} of {all}");
        assert!(strays * 100 <= all, "{scale}: {strays} where nothing is");
    }
}

#[test]
fn a_digit_on_paper_on_a_desk_is_predicted() {
    let sheets: Vec<String> =
        (0..10).map(|label| format!("{}/digit_{label}.jpg", folder().display())).collect();
    let arguments = ["predict", "--json"].into_iter().chain(sheets.iter().map(String::as_str));
    let (code, out, err) = Place::new().run(&arguments.collect::<Vec<_>>());
    let label = |line| serde_json::from_str::<Value>(line).unwrap()["label"].as_u64().unwrap();
    let labels: Vec<u64> = out.lines().map(label).collect();
    assert_eq!((code, labels.len()), (0, 10), "{err}");
    let right = labels.iter().zip(0..).filter(|(label, written)| **label == *written).count();
    assert!(right >= 9, "{labels:?}");
}

#[test]
fn what_is_no_digit_is_left_out() {
    let letter = format!("{}/docs/examples/letter.png", env!("CARGO_MANIFEST_DIR"));
    let page = folder().join("marks_3.jpg").display().to_string();
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let (code, out, err) = place.run(arguments);
        assert_eq!(code, 0, "{err}");
        out
    };
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&run(arguments)).unwrap() };
    assert_eq!(run(&["predict", &letter]), format!("{letter}: -\n"));
    let answer = json(&["predict", "--json", &letter]);
    assert_eq!((&answer["digit"], &answer["label"]), (&Value::Bool(false), &Value::Null));
    let accepted = json(&["predict", "--json", "--accept-all", &letter]);
    assert!(accepted["label"].is_u64() && accepted["score"] == answer["score"], "{accepted}");

    let none = |page: &Value| {
        let digits = page["lines"].as_array().unwrap().iter();
        let digits = digits.flat_map(|line| line["digits"].as_array().unwrap());
        digits.filter(|digit| digit["label"].is_null() && digit["box"]["width"].is_u64()).count()
    };
    assert!(none(&json(&["read", "--json", &page])) >= 3);
    assert_eq!(none(&json(&["read", "--json", "--accept-all", &page])), 0);
    // In the place of what is left out there is a space.
    assert!(run(&["read", &page]).lines().all(|line| line.contains(' ')));
}

/// How many digits the tutorial's own path gets right, even if a person cuts them out for it: each
/// resized to 28×28, the first channel taken as it is, from 0 to 255.
fn as_the_tutorial_does(model: &Plain, sheet: &DynamicImage, written: &[(char, Bounds)]) -> usize {
    let rgb = sheet.to_rgb8();
    let reads = |(label, at): &&(char, Bounds)| {
        let cut = imageops::crop_imm(&rgb, at.x, at.y, at.width, at.height).to_image();
        let small = imageops::resize(&cut, 28, 28, FilterType::Nearest);
        let channel: Vec<u8> = small.pixels().map(|pixel| pixel.0[0]).collect();
        let predicted = model.predict(&[channel.try_into().unwrap()]).unwrap()[0].label;
        Some(predicted as u32) == label.to_digit(10)
    };
    written.iter().filter(reads).count()
}

#[test]
fn the_program_prints_lines_spaces_boxes_and_an_image() {
    let place = Place::new();
    let sheet = folder().join("plain_0.jpg");
    let sheet = sheet.to_str().unwrap();
    let (code, out, _) = place.run(&["read", sheet]);
    let truth = truth();
    let expected: Vec<&str> =
        truth["plain_0"]["lines"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    assert_eq!((code, out.lines().collect::<Vec<_>>()), (0, expected.clone()));

    let (code, out, _) = place.run(&["read", "--json", "--annotate", "new/seen.png", sheet]);
    assert_eq!(code, 0);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["lines"][0]["text"], expected[0]);
    let digit = &found["lines"][0]["digits"][0];
    assert_eq!(digit["probabilities"].as_array().unwrap().len(), 10);
    let seen = image::open(place.path("new/seen.png")).unwrap().to_rgb8();
    assert_eq!(seen.dimensions(), (1300, 900));
    let side = |name: &str| digit["box"][name].as_u64().unwrap() as u32;
    // The box's edge is close by, and in colour on a page that has hardly any.
    let colored = (1..10).any(|away| {
        let pixel = seen.get_pixel(side("x") - away, side("y") + side("height") / 2).0;
        pixel[0].abs_diff(pixel[1]) > 50
    });
    assert!(colored);

    let (_, out, _) = place.run(&["read", "--min-confidence", "1", sheet]);
    assert!(out.contains('?'), "{out}");
    let (code, _, err) = place.run(&["read", "--annotate", "a.png", sheet, sheet]);
    assert!(
        code == 2 && err.contains("--annotate takes one image") && err.contains("Usage"),
        "{err}"
    );
    assert_eq!(place.run(&["read", "--min-confidence", "2", sheet]).0, 2);
}

#[test]
fn an_empty_page_gives_no_lines_and_a_note() {
    let place = Place::new();
    GrayImage::from_pixel(300, 200, Luma([240])).save(place.path("empty.png")).unwrap();
    let (code, out, err) = place.run(&["read", "empty.png"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("empty.png: no writing found"), "{err}");
    let (code, out, err) = place.run(&["read", "none.png", "empty.png", "--json"]);
    assert_eq!(code, 1);
    assert!(out.contains("\"lines\":[]") && err.contains("none.png"), "{out} {err}");
    // Odd shapes are no reason to fail.
    for (width, height) in [(1, 1), (1, 3000), (3000, 1), (2, 2), (9, 200)] {
        let mut odd = GrayImage::from_pixel(width, height, Luma([255]));
        odd.put_pixel(width / 2, height / 2, Luma([0]));
        let _ = mnist_image::page::find(&odd);
    }
    assert!(mnist_image::page::find(&GrayImage::new(0, 0)).is_empty());
}

#[test]
fn joined_up_writing_gives_few_candidates() {
    // A wave more than five heights wide.
    let wave = GrayImage::from_fn(500, 200, |x, y| {
        let middle = 100. + 22. * (x as f32 / 4.).sin();
        let ink = (100..390).contains(&x) && (y as f32 - middle).abs() < 4.;
        Luma([if ink { 30 } else { 230 }])
    });
    let lines = mnist_image::page::find(&wave);
    let candidates: usize = lines.iter().flatten().map(|lattice| lattice.candidates.len()).sum();
    assert!((10..1000).contains(&candidates), "{candidates}");
}
