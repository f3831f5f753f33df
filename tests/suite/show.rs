//! Figures: digits, mistakes, weights, training curves, explanations. Their pixels are checked.

use std::fs;

use crate::common::{Place, arrays, mnist_images, one, released};
use image::{Rgb, RgbImage};
use mnist_image::decode::Budget;
use tch::Device;
use tch_mnist::dataset;
use tch_mnist::network::classifier::Classifier;
use tch_mnist::network::model::Model;
use tch_mnist::output::plot::{self, Confusion, Digits, Palette, Tile, terminal};
use tch_mnist::training::Epoch;
use tch_mnist::training::evaluation;
use tch_mnist::weights;

const FRAME: Rgb<u8> = Rgb([205, 205, 205]);
const BLUE: Rgb<u8> = Rgb([0, 114, 178]);
const ORANGE: Rgb<u8> = Rgb([213, 94, 0]);

fn open(place: &Place, name: &str) -> RgbImage {
    image::open(place.path(name)).unwrap().into_rgb8()
}

/// Where the frames begin that stand in the first row with any, and how wide they are inside.
fn frames(image: &RgbImage) -> (Vec<(u32, u32)>, u32) {
    let y = (0..image.height())
        .find(|y| (1..image.width()).any(|x| is_frame(image, x - 1, *y) && is_frame(image, x, *y)))
        .expect("there is a frame");
    let starts: Vec<u32> = (1..image.width())
        .filter(|x| is_frame(image, *x, y) && !is_frame(image, x - 1, y))
        .collect();
    let length = (starts[0]..).take_while(|x| is_frame(image, *x, y)).count() as u32;
    (starts.into_iter().map(|x| (x, y)).collect(), length - 2)
}

fn is_frame(image: &RgbImage, x: u32, y: u32) -> bool {
    image.get_pixel(x, y) == &FRAME
}

/// The grey pixels of a digit that is drawn in the frame that begins at (x, y).
fn digit(image: &RgbImage, (x, y): (u32, u32), width: u32) -> Vec<u8> {
    let side = width / 28;
    assert_eq!(width, side * 28);
    let middle = |at: u32| 1 + at * side + side / 2;
    let pixels = (0..784).map(|at| image.get_pixel(x + middle(at % 28), y + middle(at / 28)).0);
    pixels.inspect(|[r, g, b]| assert!(r == g && g == b)).map(|[r, ..]| 255 - r).collect()
}

#[test]
fn a_digit_keeps_its_pixels_in_the_figure() {
    let place = Place::new();
    let (code, out, err) = place.run(&["show", "--output", "first.png"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "Saved: first.png\n", ""));
    let digits = mnist_images(13);
    let image = open(&place, "first.png");
    let (corners, width) = frames(&image);
    assert_eq!((corners.len(), width), (1, 28 * 24));
    assert_eq!(digit(&image, corners[0], width), *digits[0].as_raw());

    assert_eq!(place.run(&["show", "--grid", "2x3", "--output", "grid.png"]).0, 0);
    let image = open(&place, "grid.png");
    let (corners, width) = frames(&image);
    assert_eq!(corners.len(), 3);
    for (corner, expected) in corners.iter().zip(&digits) {
        assert_eq!(digit(&image, *corner, width), *expected.as_raw());
    }
    assert_eq!(place.run(&["show", "--index", "12,3", "--output", "two.png"]).0, 0);
    let image = open(&place, "two.png");
    let (corners, width) = frames(&image);
    assert_eq!(corners.len(), 2);
    assert_eq!(digit(&image, corners[0], width), *digits[12].as_raw());
    assert_eq!(digit(&image, corners[1], width), *digits[3].as_raw());
}

#[test]
fn svg_has_the_same_in_lines() {
    let place = Place::new();
    assert_eq!(place.run(&["show", "--output", "first.svg"]).0, 0);
    let text = fs::read_to_string(place.path("first.svg")).unwrap();
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"));
    assert!(text.contains("Label: 7") && text.contains("digit 0 of the test set"), "no title");
    assert!(text.matches("<rect ").count() > 100, "no pixels");
}

#[test]
fn without_a_terminal_there_are_plain_characters() {
    let place = Place::new();
    place.data_set("data", 30, 20);
    let (code, out, _) = place.run(&["show", "--data", "data", "--index", "2"]);
    assert_eq!((code, out.contains('\x1b')), (0, false));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..3], ["Label: 2", "digit 2 of the test set", ""]);
    assert_eq!(lines.len(), 3 + 14, "{out}");
    // The 2 of the small data set is a bar in the rows 6 to 8, columns 4 to 23; all else is noise.
    for (at, line) in lines[3..].iter().enumerate() {
        let ink = |line: &str| line.chars().filter(|c| "=+*#%@".contains(*c)).count();
        assert_eq!(ink(line), if [3, 4].contains(&at) { 20 } else { 0 }, "{out}");
        assert!(at != 3 || line[4..24].chars().all(|c| "#%@".contains(c)), "{out}");
    }
    let (code, out, _) = place.run(&["show", "--data", "data", "--grid"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("The first 20 digits of the test set\nlabel\n\n"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "too wide for 80 columns: {out}");
    let names: Vec<&str> = out
        .lines()
        .skip(2)
        .flat_map(str::split_whitespace)
        .filter(|word| word.parse::<u8>().is_ok())
        .collect();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].repeat(2));

    let (code, out, err) = place.run(&["show", "--data", "data", "--confusion"]);
    assert_eq!((code, err.as_str()), (0, "Weights: the released weights\n"));
    assert!(out.starts_with("Confusion on the test set, accuracy "), "{out}");
    let (_, evaluation, _) = place.run(&["evaluate", "--data", "data"]);
    assert!(out.ends_with(&evaluation[evaluation.find("label ↓").unwrap()..]), "{out}");
    let (code, out, _) = place.run(&["show", "--weights-map"]);
    assert!(code == 0 && out.starts_with("Weights of 100 of 512 hidden units\n"), "{out}");
    assert!(out.contains('+') && out.contains('=') && !out.contains('\x1b'), "{out}");
}

#[test]
fn half_blocks_on_a_terminal_have_the_colours_of_the_pixels() {
    let mut tile = Tile { pixels: [0.; 784], caption: "a".into() };
    tile.pixels[29] = 1.; // row 1, column 1
    let digits = |palette| Digits {
        title: "title".into(),
        note: String::new(),
        tiles: vec![tile.clone()],
        columns: 1,
        palette,
    };
    let text = terminal::digits(&digits(Palette::Ink), true, 80);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[16].trim()), (17, "title", "a"));
    let white = "\x1b[38;2;255;255;255;48;2;255;255;255m▀";
    let ink = "\x1b[38;2;255;255;255;48;2;0;0;0m▀";
    assert_eq!(lines[2], format!("{white}{ink}{}\x1b[0m", white.repeat(26)));
    assert_eq!(lines[3], format!("{}\x1b[0m", white.repeat(28)));
    assert_eq!(terminal::tiles_that_fit(80, 24), 5 * 2);
    assert_eq!(terminal::tiles_that_fit(200, 100), 10 * 10);
    assert_eq!(terminal::tiles_that_fit(1, 1), 1);
    for (width, height) in [(80, 24), (40, 24), (120, 50), (200, 100)] {
        let tiles = vec![tile.clone(); terminal::tiles_that_fit(width, height)];
        let all = Digits { tiles, columns: 10, note: "note".into(), ..digits(Palette::Ink) };
        let text = terminal::digits(&all, false, width);
        assert!(text.lines().count() < height, "with the prompt, {height} lines: {text}");
        assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
    }
    let narrow = terminal::digits(&digits(Palette::Values(1.)), true, 20);
    assert_eq!(narrow.matches('▀').count(), 14 * 7, "it is not halved");
    let confusion = Confusion { title: "c".into(), counts: [[17; 10]; 10] };
    let text = terminal::confusion(&confusion, true);
    assert_eq!((text.matches("  17   ").count(), text.matches("\x1b[0m").count()), (100, 10));
}

#[test]
fn mistakes_are_those_that_evaluation_counts() {
    let place = Place::new();
    let data = dataset::load(Some(&place.data_set("data", 100, 60))).unwrap();
    let arrays = arrays(16, 0);
    let model = Model::from_arrays(&arrays, Device::Cpu).unwrap();
    let mistakes = evaluation::mistakes(&model, &data.test).unwrap();
    let evaluation = evaluation::evaluate(&model, &data.test).unwrap();
    assert_eq!(60 - mistakes.len(), (60. * evaluation.accuracy).round() as usize);
    let labels = Vec::<i64>::try_from(&data.test.labels).unwrap();
    let digits = data.test.digits().unwrap();
    for mistake in &mistakes {
        assert_eq!(mistake.label, labels[mistake.index] as usize);
        assert_ne!(mistake.label, mistake.prediction.label);
        assert_eq!(mistake.digit, digits[mistake.index]);
    }
    let sure = |at: usize| mistakes[at].prediction.confidence;
    assert!((1..mistakes.len()).all(|at| sure(at - 1) >= sure(at)));

    weights::save(&arrays, &place.path("a.ot")).unwrap();
    let show = ["show", "--data", "data", "--weights", "a.ot", "--errors"];
    let (code, out, _) = place.run(&show);
    assert_eq!(code, 0);
    let title = format!("{} mistakes on the test set\n", mistakes.len());
    assert!(out.starts_with(&title), "{out}");
    let first = &mistakes[0];
    let caption = format!("{}: {} as {}", first.index, first.label, first.prediction.label);
    assert!(out.contains(&caption), "{caption}: {out}");
    assert_eq!(place.run(&[&show[..], &["--output", "a.png"]].concat()).0, 0);
    let image = open(&place, "a.png");
    let (corners, width) = frames(&image);
    assert_eq!(digit(&image, corners[0], width), first.digit);
}

#[test]
fn weights_are_red_above_0_and_blue_below() {
    let place = Place::new();
    let model = arrays(2, 3);
    let units = model.filters();
    weights::save(&model, &place.path("a.ot")).unwrap();
    let show = ["show", "--weights", "a.ot", "--weights-map", "--output", "a.png"];
    assert_eq!(place.run(&show).0, 0);
    let image = open(&place, "a.png");
    let (corners, width) = frames(&image);
    let norm = |unit: &[f32; 784]| unit.iter().map(|weight| weight * weight).sum::<f32>();
    let first = if norm(&units[0]) > norm(&units[1]) { 0 } else { 1 };
    let side = width / 28;
    for (corner, unit) in corners.iter().zip([&units[first], &units[1 - first]]) {
        for (at, weight) in (0..).zip(unit).filter(|(_, weight)| weight.abs() > 0.005) {
            let middle = |at: u32| 1 + at * side + side / 2;
            let place = (corner.0 + middle(at % 28), corner.1 + middle(at / 28));
            let Rgb([red, _, blue]) = *image.get_pixel(place.0, place.1);
            assert_eq!(red > blue, *weight > 0., "{at} {weight}");
        }
    }
}

fn count(image: &RgbImage, color: Rgb<u8>) -> usize {
    image.pixels().filter(|pixel| **pixel == color).count()
}

#[test]
fn confusion_is_darkest_where_most_are() {
    let mut counts = [[0; 10]; 10];
    (0..10).for_each(|digit| counts[digit][digit] = 50);
    counts[4][9] = 50;
    let confusion = Confusion { title: "confusion".into(), counts };
    let image = plot::to_pixels(&confusion).unwrap();
    let cells = |color: [u8; 3]| count(&image, Rgb(color)) as f64 / (96. * 96.);
    let ([full, half], dark) =
        ([(0, 0), (4, 9)].map(|(a, b)| confusion.color(a, b).0), confusion.color(4, 9).1);
    assert!(dark);
    assert!((8. ..9.5).contains(&cells(full)), "{}", cells(full)); // less what is written there
    assert!((1.6..2.1).contains(&cells(half)), "{}", cells(half));
}

fn history(validated: bool) -> Vec<Epoch> {
    let epoch = |epoch: usize| Epoch {
        epoch,
        loss: 1. / epoch as f64,
        accuracy: 1. - 0.1 / epoch as f64,
        validation_loss: validated.then_some(0.5),
        validation_accuracy: validated.then_some(0.95),
        learning_rate: None,
        seconds: 1.,
    };
    (1..=6).map(epoch).collect()
}

#[test]
fn curves_fall_and_rise_where_loss_and_accuracy_do() {
    let image = plot::to_pixels(&plot::training(&history(true))).unwrap();
    // Mean height of a colour's pixels between two shares of a part, 0 at its left.
    let height = |part: (u32, u32), from: f64, to: f64, color: Rgb<u8>| {
        let x = |share: f64| part.0 + (f64::from(part.1 - part.0) * share) as u32;
        let found: Vec<f64> = image
            .enumerate_pixels()
            .filter(|(at, _, pixel)| (x(from)..x(to)).contains(at) && **pixel == color)
            .map(|(_, y, _)| f64::from(y))
            .collect();
        assert!(found.len() > 20, "{color:?} is missing in {part:?}");
        found.iter().sum::<f64>() / found.len() as f64
    };
    let (loss, accuracy, legend) = ((0, 735), (735, 1470), (1470, 1800));
    assert!(height(loss, 0.1, 0.4, BLUE) + 100. < height(loss, 0.7, 1., BLUE));
    assert!(height(accuracy, 0.1, 0.4, BLUE) > height(accuracy, 0.7, 1., BLUE) + 100.);
    for part in [loss, accuracy] {
        let drift = height(part, 0.1, 0.4, ORANGE) - height(part, 0.7, 1., ORANGE);
        assert!(drift.abs() < 3., "{drift}");
    }
    assert!(height(legend, 0., 1., BLUE) < height(legend, 0., 1., ORANGE));

    let alone = plot::to_pixels(&plot::training(&history(false))).unwrap();
    assert!(count(&alone, BLUE) > 1000 && count(&alone, ORANGE) == 0);
    plot::to_pixels(&plot::training(&history(false)[..1])).unwrap(); // a single point
}

#[test]
fn the_program_draws_training_curves_and_an_explanation() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let train = ["train", "--data", "data", "--hidden", "16", "--batch-size", "20"];
    let more = ["--validation-split", "0.1", "--plot", "new/a.png", "--threads=1"];
    assert_eq!(place.run(&[&train[..], &more].concat()).0, 0);
    let image = open(&place, "new/a.png");
    assert!(count(&image, BLUE) > 1000 && count(&image, ORANGE) > 1000);

    one(60, 90).save(place.path("one.png")).unwrap();
    let explain = ["predict", "one.png", "--explain", "why.png"];
    let (code, out, _) = place.run(&[&explain[..], &["--weights", "models/none.ot"]].concat());
    assert_eq!((code, out.as_str(), place.path("why.png").exists()), (1, "", false));
    fs::remove_dir_all(place.path("models")).unwrap(); // so that the released weights are taken
    let (code, out, _) = place.run(&explain);
    assert!(code == 0 && out.starts_with("one.png: 1 ("), "{out}");
    let image = open(&place, "why.png");
    let (corners, _) = frames(&image);
    // The image given is higher than wide, so that both frames begin at the same height.
    let seen =
        tch_mnist::files::image::read_digit(&place.path("one.png"), &Budget::default()).unwrap();
    assert_eq!(digit(&image, corners[1], 28 * 18), seen);
    let paper = image.get_pixel(corners[0].0 + 5, corners[0].1 + 5);
    let ink = image.get_pixel(corners[0].0 + 168, corners[0].1 + 252);
    assert_eq!((paper.0, ink.0), ([225; 3], [30; 3]));
    let bar = (0..image.height())
        .map(|y| (0..image.width()).filter(|x| *image.get_pixel(*x, y) == BLUE).count());
    let model = released();
    let confidence = model.predict(&[seen]).unwrap()[0].confidence;
    let (length, expected) = (bar.max().unwrap() as f32, 420. * confidence);
    assert!((length - expected).abs() < 4., "{length} {expected}");
}

#[test]
fn what_cannot_be_shown_is_reported() {
    let place = Place::new();
    place.data_set("data", 20, 10);
    one(60, 90).save(place.path("one.png")).unwrap();
    fs::create_dir(place.path("folder.png")).unwrap();
    for wrong in [
        &["show", "--errors", "--confusion"][..],
        &["show", "--index", "1", "--grid"],
        &["show", "--weights-map", "--grid", "2x2"],
        &["show", "--grid", "0x1"],
        &["show", "--grid", "3"],
        &["show", "--index", "-1"],
        &["show", "--output", "a.gif"],
        &["train", "--plot", "a.jpg"],
        &["predict", "--explain", "a", "one.png"],
        &["predict", "one.png", "one.png", "--explain", "a.png"],
        &["predict", "-", "--explain", "a.png"],
        &["read", "one.png", "one.png", "--annotate", "a.png"],
        &["read", "one.png", "--annotate", "a.txt"],
    ] {
        let (code, out, err) = place.run(wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?} {err}");
        assert!(err.contains("--help"), "{err}");
    }
    for (failing, fault) in [
        (&["show", "--data", "data", "--index", "10"][..], "no digit 10; the test set has 0 to 9"),
        (&["show", "--data", "nowhere"], "nowhere"),
        (&["show", "--errors", "--weights", "none.ot"], "none.ot"),
        (&["show", "--output", "folder.png"], "folder.png: it is a folder"),
        (&["train", "--data", "data", "--plot", "folder.png"], "folder.png: it is a folder"),
        (&["predict", "none.png", "--explain", "a.png"], "none.png"),
    ] {
        let (code, out, err) = place.run(failing);
        assert_eq!((code, out.as_str()), (1, ""), "{failing:?} {err}");
        assert!(err.contains("error: ") && err.contains(fault), "{failing:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    assert!(!place.path("a.png").exists());
    assert!(!place.path("models/mnist.safetensors").exists());
}
