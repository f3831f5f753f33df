//! Whatever comes in may be written by an enemy: one error that names it, no panic, nothing lost.

mod common;

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Place, finish, gzip, idx, one};
use image::{DynamicImage, ImageFormat};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use tch::Device;
use tch_mnist::idx::{Content, parse};
use tch_mnist::image::{from_reader, grey, normalise};
use tch_mnist::input::{contained, is_contained};
use tch_mnist::model::Model;
use tch_mnist::{atomic, sheet, weights};

/// The bytes with some of them changed, left out, doubled or cut off.
fn mutated(bytes: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        // Headers are where the structure is.
        let end = if rng.random_bool(0.5) { bytes.len().min(64) } else { bytes.len() };
        let at = rng.random_range(0..end.max(1));
        let until = (at + rng.random_range(1..16)).min(bytes.len());
        match rng.random_range(0..6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 if at < bytes.len() => bytes[at] = [0, 1, 127, 128, 255][rng.random_range(0..5)],
            3 if at < until => drop(bytes.drain(at..until)),
            4 if at < until => {
                let copy = bytes[at..until].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.truncate(rng.random_range(0..=bytes.len())),
        }
    }
    bytes
}

#[test]
fn mutated_idx_is_read_whole_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (images, labels) = idx(3, 1);
    let mut refused = 0;
    for (valid, content, item) in [
        (images.clone(), Content::Images, 784),
        (gzip(&images), Content::Images, 784),
        (labels.clone(), Content::Labels, 1),
        (gzip(&labels), Content::Labels, 1),
    ] {
        let whole = parse(&valid[..], content).unwrap();
        for _ in 0..2000 {
            match parse(&mutated(&valid, &mut rng)[..], content) {
                Ok(idx) => {
                    let header = whole.bytes.len() - whole.count * item;
                    assert_eq!(idx.bytes.len(), header + idx.count * item);
                }
                Err(error) => {
                    assert_eq!(format!("{error:#}").lines().count(), 1, "{error:#}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 4000, "{refused}");
}

#[test]
fn mutated_pictures_are_read_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let picture = DynamicImage::from(one(24, 36));
    let mut refused = 0;
    for (format, picture) in [
        (ImageFormat::Png, picture.clone()),
        (ImageFormat::Jpeg, picture.clone()),
        (ImageFormat::Bmp, picture.clone()),
        (ImageFormat::Gif, picture.to_rgba8().into()),
        (ImageFormat::WebP, picture.to_rgba8().into()),
        (ImageFormat::Tiff, picture.clone()),
        (ImageFormat::Pnm, picture.clone()),
    ] {
        let mut valid = Cursor::new(Vec::new());
        picture.write_to(&mut valid, format).unwrap();
        for _ in 0..150 {
            let mutated = mutated(valid.get_ref(), &mut rng);
            // A decoder's panic is the decoder's; ours would not be caught here.
            match contained(|| from_reader(Cursor::new(mutated))) {
                Ok(picture) if picture.width() * picture.height() < 100_000 => {
                    let grey = grey(&picture);
                    let _ = normalise(&grey);
                    sheet::find(&grey);
                }
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(format!("{error:#}").lines().count(), 1, "{error:#}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn mutated_weights_are_refused_or_are_sound() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let place = Place::new();
    let model = Model::new(2, 0, Device::Cpu).unwrap();
    let same = |other: &Model| model.variables() == other.variables();
    for name in ["a.safetensors", "a.ot", "a.h5", "a.keras"] {
        let path = place.path(name);
        weights::save_with_record(&model, &mut serde_json::json!({}), &path).unwrap();
        let valid = fs::read(&path).unwrap();
        for _ in 0..300 {
            let mutated = mutated(&valid, &mut rng);
            match weights::read(mutated.clone(), Device::Cpu) {
                // An archive has checksums of the values; what else is in it is of no meaning here.
                Ok(read) => assert!(!["a.ot", "a.keras"].contains(&name) || same(&read)),
                Err(error) => {
                    assert_eq!(format!("{error:#}").lines().count(), 1, "{error:#}");
                }
            }
            // With their record beside them, no change passes.
            fs::write(&path, &mutated).unwrap();
            assert!(mutated == valid || weights::load(&path, Device::Cpu).is_err());
        }
        fs::write(&path, &valid).unwrap();
        assert!(same(&weights::load(&path, Device::Cpu).unwrap()));
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop");
    for name in ["keras2.h5", "keras3.h5", "keras3.keras", "torch.pt", "torch.safetensors"] {
        let valid = fs::read(fixtures.join(name)).unwrap();
        for _ in 0..300 {
            if let Err(error) = weights::read(mutated(&valid, &mut rng), Device::Cpu) {
                assert_eq!(format!("{error:#}").lines().count(), 1, "{error:#}");
            }
        }
    }
}

#[test]
fn weights_and_their_record_belong_together_at_every_moment() {
    let place = Place::new();
    let path = place.path("a.safetensors");
    let record = place.path("a.json");
    let save = |seed| {
        let model = Model::new(2, seed, Device::Cpu).unwrap();
        weights::save_with_record(&model, &mut serde_json::json!({}), &path).unwrap();
        (fs::read(&path).unwrap(), fs::read(&record).unwrap())
    };
    let (old, old_record) = save(1);
    let (new, new_record) = save(2);
    let loads = |weights: &[u8], text: &[u8]| {
        fs::write(&path, weights).unwrap();
        fs::write(&record, text).unwrap();
        weights::load(&path, Device::Cpu).map_err(|error| format!("{error:#}"))
    };
    // The record is replaced first: this is what a kill between the two leaves.
    assert!(loads(&old, &new_record).is_ok());
    assert!(loads(&new, &new_record).is_ok());
    let error = loads(&new, &old_record).unwrap_err();
    assert!(error.contains("a.json") && error.contains("delete the record"), "{error}");
    // Another JSON file is no record.
    for other in ["{}", "[1]", "no JSON", r#"{"weights":{"file":"b.ot","sha256":"0"}}"#] {
        assert!(loads(&new, other.as_bytes()).is_ok(), "{other}");
    }
}

#[test]
fn decompression_bombs_are_refused_in_every_format() {
    let place = Place::new();
    let be = |side: u32| side.to_be_bytes();
    let le = |side: u16| side.to_le_bytes();
    let ihdr = [&b"IHDR"[..], &be(20_000), &be(20_000), b"\x01\0\0\0\0"].concat();
    let mut crc = flate2::Crc::new();
    crc.update(&ihdr);
    let png = [
        &b"\x89PNG\r\n\x1a\n\0\0\0\x0d"[..],
        &ihdr,
        &be(crc.sum()),
        b"\0\0\0\0IDAT\x35\xaf\x06\x1e",
    ];
    let gif = [&b"GIF89a"[..], &le(20_000), &le(20_000), b"\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0"];
    let tiff = [&b"II*\0\x08\0\0\0\x07\0"[..]];
    let entry = |tag: u16, value: u32| {
        [&tag.to_le_bytes()[..], b"\x04\0\x01\0\0\0", &value.to_le_bytes()].concat()
    };
    let entries =
        [(256, 20_000), (257, 20_000), (258, 1), (262, 1), (273, 8), (278, 20_000), (279, 8)]
            .map(|(tag, value)| entry(tag, value));
    // 65,500 × 65,500 in grey: start of the frame, and of the scan.
    let jpeg = b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xdc\xff\xdc\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\xff\xd9";
    let webp = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xfe\xbf\xff\x0f\0\0\0\0\0\0\0\0\0";
    let gif_end = [&gif.concat()[..], &le(20_000), &le(20_000), b"\0\x02\x01\0\0;"].concat();
    for (name, bytes) in [
        ("bomb.png", png.concat()),
        ("bomb.gif", gif_end),
        ("bomb.tiff", [tiff.concat(), entries.concat(), vec![0; 4]].concat()),
        ("bomb.jpg", jpeg.to_vec()),
        ("bomb.webp", webp.to_vec()),
        ("bomb.pbm", b"P4\n20000 20000\n".to_vec()),
    ] {
        let path = place.path(name);
        fs::write(&path, bytes).unwrap();
        let error = format!("{:#}", tch_mnist::image::read(&path).unwrap_err());
        assert!(error.contains(name), "{error}");
        assert!(error.contains("more than the 50000000 supported"), "{error}");
    }
}

#[test]
fn a_jpeg_that_is_not_all_there_is_reported() {
    let mut bytes = Cursor::new(Vec::new());
    let picture = DynamicImage::from(one(200, 300));
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    let bytes = bytes.into_inner();
    let error = |bytes: &[u8]| format!("{:#}", from_reader(Cursor::new(bytes)).unwrap_err());
    for share in [30, 60, 90, 99] {
        let cut = &bytes[..bytes.len() * share / 100];
        assert!(error(cut).contains("its end is missing"), "{share}%");
        // The same, closed by a program that makes the best of it.
        let closed = [cut, b"\xff\xd9"].concat();
        assert!(share == 99 || error(&closed).contains("it is damaged"), "{share}%");
    }
    assert_eq!(error(&bytes[..bytes.len() - 2]), "its end is missing");
    // What follows the end is of no interest: cameras put more pictures there.
    let more = [&bytes[..], &bytes[..500]].concat();
    assert_eq!(from_reader(Cursor::new(more)).unwrap(), from_reader(Cursor::new(bytes)).unwrap());
}

#[cfg(unix)]
#[test]
fn pipes_are_read_but_not_waited_for() {
    let place = Place::new();
    let mut bytes = Cursor::new(Vec::new());
    one(60, 90).write_to(&mut bytes, ImageFormat::Png).unwrap();
    let mut command = place.command(&["predict", "/dev/stdin", "--explain", "why.png"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::sleep(Duration::from_millis(300)); // it has to wait for this
    stdin.write_all(bytes.get_ref()).unwrap();
    drop(stdin);
    let (code, out, err) = finish(child.wait_with_output().unwrap());
    assert!(code == 0 && out.starts_with("/dev/stdin: 1 ("), "{out}{err}");
    assert!(place.path("why.png").exists());

    // Paths without an end.
    let mut command = place.command(&["predict", "-"]);
    command.stdin(fs::File::open("/dev/zero").unwrap());
    let (code, _, err) = finish(command.output().unwrap());
    assert!(code == 1 && err.contains("no path"), "{err}");

    // Nobody ever writes to this one.
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe.png")).status().unwrap();
    assert!(made.success());
    fs::write(place.path("a.png"), bytes.get_ref()).unwrap();
    let started = Instant::now();
    let (code, out, err) = place.run(&["predict", "pipe.png", "a.png"]);
    assert!(code == 1 && out.starts_with("a.png: 1"), "{out}");
    assert!(err.contains("cannot read the image pipe.png") && started.elapsed().as_secs() < 20);
    let data = place.data_set("data", 20, 10);
    fs::remove_file(data.join("train-labels-idx1-ubyte")).unwrap();
    fs::rename(place.path("pipe.png"), data.join("train-labels-idx1-ubyte")).unwrap();
    let (code, _, err) = place.run(&["evaluate", "--data", "data"]);
    assert!(code == 1 && err.contains("train-labels"), "{err}");
}

#[test]
fn odd_names_and_outputs_that_are_inputs() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let bytes = fs::read(place.path("a.png")).unwrap();
    for arguments in
        [["predict", "a.png", "--explain", "./a.png"], ["read", "a.png", "--annotate", "a.png"]]
    {
        let (code, _, err) = place.run(&arguments);
        assert!(code == 1 && err.contains("a.png itself"), "{err}");
    }
    assert_eq!(fs::read(place.path("a.png")).unwrap(), bytes);
    let (code, _, err) = place.run(&["predict", "a.png", "--explain", "a.png/b.png"]);
    assert!(code == 1 && err.contains("a.png"), "{err}");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.png");
        fs::copy(place.path("a.png"), place.path("").join(name)).unwrap();
        for verb in ["predict", "read"] {
            let (code, out, err) =
                finish(place.command(&[verb, "--json"]).arg(name).output().unwrap());
            assert!(code == 0 && out.contains("\u{fffd}\u{fffd}.png"), "{out}{err}");
        }
    }
    // A folder in a file's place, everywhere.
    fs::create_dir(place.path("folder.safetensors")).unwrap();
    let data = place.data_set("data", 20, 10);
    fs::remove_file(data.join("t10k-images-idx3-ubyte")).unwrap();
    fs::create_dir(data.join("t10k-images-idx3-ubyte")).unwrap();
    for arguments in [
        &["predict", "data"][..],
        &["evaluate", "--data", "data"],
        &["summary", "--weights", "folder.safetensors"],
    ] {
        let (code, _, err) = place.run(arguments);
        assert!(code == 1 && err.contains("it is a folder"), "{arguments:?}: {err}");
    }
}

#[test]
fn a_panic_of_a_decoder_becomes_an_error() {
    let error = contained::<()>(|| panic!("at byte {}", 7)).unwrap_err();
    assert!(error.to_string().contains("its reader failed (at byte 7)"), "{error}");
    assert!(!is_contained());
}

/// Files that the fuzz targets have found, and those they start from.
#[test]
fn the_seeds_of_the_fuzz_targets_are_taken_without_a_panic() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let files =
        |name: &str| fs::read_dir(seeds.join(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for path in files("idx") {
        let bytes = fs::read(&path).unwrap();
        assert_ne!(
            parse(&bytes[..], Content::Images).is_ok(),
            parse(&bytes[..], Content::Labels).is_ok()
        );
        count += 1;
    }
    for path in files("image") {
        if let Ok(picture) = from_reader(Cursor::new(fs::read(&path).unwrap())) {
            let _ = normalise(&grey(&picture));
            sheet::find(&grey(&picture));
            count += 1;
        }
    }
    for path in files("weights") {
        let model = weights::read(fs::read(&path).unwrap(), Device::Cpu).unwrap();
        let overflow = path.ends_with("overflow.safetensors");
        assert_eq!(model.predict(&[[128; 784]]).is_err(), overflow, "{}", path.display());
        count += 1;
    }
    assert!(count > 100, "{count}");
}

#[test]
fn what_a_killed_process_has_left_is_removed_at_the_next_write() {
    let place = Place::new();
    let hour = Duration::from_secs(3600);
    let stale = |name: &str| {
        let file = fs::File::create(place.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - hour).unwrap();
        file
    };
    stale(".writing-dead.png");
    stale("mine.png");
    let alive = stale(".writing-alive.png");
    alive.lock().unwrap();
    fs::File::create(place.path(".writing-young.png")).unwrap();
    atomic::write(&place.path("a.txt"), |temporary| Ok(fs::write(temporary, "new")?)).unwrap();
    let left = |name: &str| place.path(name).exists();
    assert!(!left(".writing-dead.png"));
    assert!(left("mine.png") && left(".writing-alive.png") && left(".writing-young.png"));
}
