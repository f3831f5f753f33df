//! `mnist dataset`: the same digits as IDX files and as images in folders.

use std::fs;
use std::io::Read;

use crate::common::{Place, mnist_digits, mnist_labels};

/// MNIST's first test images in MNIST's layout: 50 to train on, 10 to test on.
fn layout(place: &Place, name: &str) {
    let (digits, labels) = (mnist_digits(60), mnist_labels(60));
    let header = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<u8>>();
    fs::create_dir_all(place.path(name)).unwrap();
    for (part, range) in [("train", 0..50), ("t10k", 50..60)] {
        let count = range.len() as u32;
        let images = [header(&[2051, count, 28, 28]), digits[range.clone()].concat()].concat();
        let labels = labels[range].iter().map(|label| *label as u8);
        let labels = header(&[2049, count]).into_iter().chain(labels).collect::<Vec<u8>>();
        fs::write(place.path(&format!("{name}/{part}-images-idx3-ubyte")), images).unwrap();
        fs::write(place.path(&format!("{name}/{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// The images of a gzipped IDX file, each with its label.
fn samples(place: &Place, part: &str) -> Vec<(u8, Vec<u8>)> {
    let read = |name: String| {
        let mut bytes = Vec::new();
        let file = fs::File::open(place.path(&name)).unwrap();
        flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
        bytes
    };
    let images = read(format!("{part}-images-idx3-ubyte.gz"));
    let labels = read(format!("{part}-labels-idx1-ubyte.gz"));
    let images = images[16..].chunks(784).map(<[u8]>::to_vec);
    labels[8..].iter().copied().zip(images).collect()
}

fn originals(from: usize, to: usize) -> Vec<(u8, Vec<u8>)> {
    let (digits, labels) = (mnist_digits(to), mnist_labels(to));
    (from..to).map(|at| (labels[at] as u8, digits[at].to_vec())).collect()
}

#[test]
fn digits_are_the_same_after_the_way_through_images_and_back() {
    let place = Place::new();
    layout(&place, "data");
    let (code, out, err) = place.run(&["dataset", "png", "data", "--format", "png"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "Saved: png, 50 images to train on, 10 to test on\n");
    let first = &originals(0, 1)[0];
    let path = place.path(&format!("png/train/{}/00000.png", first.0));
    assert_eq!(image::open(path).unwrap().into_luma8().as_raw(), &first.1);

    let (code, _, err) = place.run(&["dataset", "new/idx", "png"]);
    assert_eq!(code, 0, "{err}");
    for (part, mut expected) in [("train", originals(0, 50)), ("t10k", originals(50, 60))] {
        let mut found = samples(&place, &format!("new/idx/{part}"));
        found.sort();
        expected.sort();
        assert!(found == expected, "{part}");
    }

    // What is there is not touched.
    let (code, _, err) = place.run(&["dataset", "png", "data"]);
    assert!(code == 1 && err.contains("there is something already"), "{err}");
    let (code, _, _) = place.run(&["dataset", "broken", "data", "nowhere"]);
    assert!(code == 1 && !place.path("broken").exists());
    let names = fs::read_dir(place.path(".")).unwrap().flatten().map(|entry| entry.file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("writing")));
}

#[test]
fn sets_are_joined_and_emnist_s_images_are_turned() {
    let place = Place::new();
    layout(&place, "emnist");
    let (code, out, err) = place.run(&["dataset", "turned", "emnist", "emnist", "--transpose"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "Saved: turned, 100 images to train on, 20 to test on\n");
    let (turned, originals) = (samples(&place, "turned/train"), originals(0, 50));
    assert_eq!(turned.len(), 100);
    for (turned, original) in turned.iter().zip(originals.iter().chain(&originals)) {
        assert_eq!(turned.0, original.0);
        for at in 0..784 {
            assert_eq!(turned.1[at], original.1[at % 28 * 28 + at / 28]);
        }
    }
    // Images in folders lie upright.
    assert_eq!(place.run(&["dataset", "png", "emnist", "--format=png"]).0, 0);
    assert_eq!(place.run(&["dataset", "both", "png", "turned", "--transpose"]).0, 0);
    let both = samples(&place, "both/train");
    assert!(both.len() == 150 && both.iter().all(|sample| originals.contains(sample)));
    for input in ["png", "mnist"] {
        let (code, _, err) = place.run(&["dataset", "new", input, "--transpose"]);
        assert!(code == 2 && err.contains("no INPUT is one"), "{err}");
    }

    // Files with EMNIST's names are taken as they lie, which is said.
    for (name, emnist) in [
        ("train-images-idx3", "train-images-idx3"),
        ("train-labels-idx1", "train-labels-idx1"),
        ("t10k-images-idx3", "test-images-idx3"),
        ("t10k-labels-idx1", "test-labels-idx1"),
    ] {
        let at = |name: &str| place.path(&format!("emnist/{name}-ubyte"));
        fs::rename(at(name), at(&format!("emnist-digits-{emnist}"))).unwrap();
    }
    let (code, _, err) = place.run(&["dataset", "as-they-lie", "emnist"]);
    assert!(
        code == 0 && err.contains("`mnist dataset OUT emnist --transpose` turns them"),
        "{err}"
    );
    assert!(samples(&place, "as-they-lie/train") == originals);
    #[cfg(feature = "torch")]
    assert!(place.run(&["evaluate", "--data=emnist"]).2.contains("`mnist dataset OUT emnist "));
}
