//! Event files, read back record by record. `make tensorboard` has TensorBoard itself read them.

use std::fs;
use std::path::Path;

use crate::common::Place;
use prost::Message;
use tch_mnist::experiments::run::Run;
use tch_mnist::output::tensorboard::{Content, Event, What};

const SMALL: [&str; 10] = [
    "train",
    "--data",
    "data",
    "--hidden",
    "16",
    "--batch-size",
    "30",
    "--threads=1",
    "--log-dir",
    "log",
];

/// CRC-32C bit by bit, masked as the format has it.
fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The events of the one file in a folder, all of it checked.
fn events(folder: &Path) -> Vec<Event> {
    let files: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|file| file.path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert!(file.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
    let bytes = fs::read(file).unwrap();
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let mut take = |count: usize| {
            let taken;
            (taken, rest) = rest.split_at(count);
            taken
        };
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let length = take(8);
        assert_eq!(masked_crc(length), number(take(4)));
        let message = take(u64::from_le_bytes(length.try_into().unwrap()) as usize);
        assert_eq!(masked_crc(message), number(take(4)));
        events.push(Event::decode(message).unwrap());
    }
    assert_eq!(events.remove(0).what, Some(What::FileVersion("brain.Event:2".into())));
    assert!(events.iter().all(|event| event.wall_time > 1.6e9));
    events
}

/// Steps and values of a name.
fn values(events: &[Event], tag: &str) -> Vec<(i64, Content)> {
    let of = |event: &Event| {
        let Some(What::Summary(summary)) = event.what.clone() else { panic!("{event:?}") };
        let step = event.step;
        summary.values.into_iter().filter(|v| v.tag == tag).map(move |v| (step, v.content.unwrap()))
    };
    events.iter().flat_map(of).collect()
}

fn scalars(events: &[Event], tag: &str) -> Vec<(i64, f32)> {
    let scalar = |(step, content)| match content {
        Content::Scalar(value) => (step, value),
        Content::Image(_) => panic!("an image"),
    };
    values(events, tag).into_iter().map(scalar).collect()
}

fn image(events: &[Event]) -> (i64, image::RgbImage) {
    let [(step, Content::Image(found))] = &values(events, "mistakes")[..] else { panic!() };
    let pixels = image::load_from_memory(&found.encoded).unwrap().into_rgb8();
    assert_eq!((found.width, found.height), (pixels.width() as i32, pixels.height() as i32));
    assert_eq!(found.colorspace, 3);
    (*step, pixels)
}

#[test]
fn an_event_file_has_the_course_of_training() {
    assert_eq!(masked_crc(b"123456789"), 0xe306_9283u32.rotate_right(15).wrapping_add(0xa282_ead8));
    let place = Place::new();
    place.data_set("data", 200, 50);
    let more = ["--validation-split", "0.5", "--epochs", "3", "--schedule", "cosine", "--json"];
    let (code, out, err) = place.run(&[&SMALL[..], &more].concat());
    assert_eq!(code, 0, "{err}");
    let run: Run = serde_json::from_str(&out).unwrap();
    let (train, validation) =
        (events(&place.path("log/train")), events(&place.path("log/validation")));

    for (events, tag, figure) in [
        (&train, "epoch_loss", (|e| e.loss) as fn(&tch_mnist::training::Epoch) -> f64),
        (&train, "epoch_accuracy", |e| e.accuracy),
        (&train, "epoch_learning_rate", |e| {
            0.0005 * (1. + (std::f64::consts::PI * e.epoch as f64 / 3.).cos())
        }),
        (&validation, "epoch_loss", |e| e.validation_loss.unwrap()),
        (&validation, "epoch_accuracy", |e| e.validation_accuracy.unwrap()),
    ] {
        let expected: Vec<_> =
            run.history.iter().map(|e| (e.epoch as i64, figure(e) as f32)).collect();
        assert_eq!(scalars(events, tag), expected, "{tag}");
    }
    let batches = scalars(&train, "batch_loss");
    assert_eq!(
        batches.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        (0..12).collect::<Vec<_>>()
    );
    for (epoch, steps) in run.history.iter().zip(batches.chunks(4)) {
        // Of 100 samples, the last step has 10.
        let mean: f32 =
            steps.iter().zip([30., 30., 30., 10.]).map(|((_, loss), n)| loss * n / 100.).sum();
        assert!((f64::from(mean) - epoch.loss).abs() < 1e-5, "{mean} {}", epoch.loss);
    }
    let (step, mistakes) = image(&validation);
    assert!(step == 3 && mistakes.pixels().any(|pixel| pixel.0[0] < 100));
    assert!(values(&train, "mistakes").is_empty());
}

#[test]
fn without_a_split_mistakes_are_of_the_test_set() {
    let place = Place::new();
    place.data_set("data", 60, 50);
    let (code, _, err) = place.run(&[&SMALL[..], &["--epochs", "1"]].concat());
    assert_eq!(code, 0, "{err}");
    assert_eq!(image(&events(&place.path("log/train"))).0, 1);
    assert!(!place.path("log/validation").exists());
    // The same folder again: TensorBoard would draw two runs in one folder as one zigzag.
    for again in ["log/run-2", "log/run-3"] {
        let more = ["--epochs", "1", "--validation-split", "0.5", "--force"];
        assert_eq!(place.run(&[&SMALL[..], &more].concat()).0, 0);
        assert_eq!(image(&events(&place.path(&format!("{again}/validation")))).0, 1);
        assert_eq!(scalars(&events(&place.path(&format!("{again}/train"))), "epoch_loss").len(), 1);
    }
    assert_eq!(events(&place.path("log/train")).len(), 4);
    fs::remove_dir_all(place.path("log")).unwrap();
    fs::write(place.path("log"), "").unwrap();
    let (code, out, err) = place.run(&SMALL);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("error: cannot write events into log/train"), "{err}");
}
