//! Whatever comes in may be written by an enemy: one error that names it, no panic, nothing lost.
#![cfg_attr(not(feature = "torch"), allow(dead_code, unused_imports))] // some is for what trains

use std::fs;
use std::io::{BufRead, Cursor, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Place, arrays, finish, gzip, idx, one};
use image::{DynamicImage, ImageFormat};
use mnist_image::decode::{self, Budget, grey};
use mnist_image::normalise;
use mnist_image::page;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use tch_mnist::dataset::idx::{Content, parse};
use tch_mnist::files::atomic;
use tch_mnist::files::input::contained;
use tch_mnist::network::arrays::Arrays;
use tch_mnist::network::classifier::Classifier;
use tch_mnist::network::plain::Plain;
use tch_mnist::weights;

fn from_reader(reader: impl BufRead + Seek) -> anyhow::Result<DynamicImage> {
    contained(|| Ok(decode::from_reader(reader, &Budget::default())?.image))
}

/// What is said of a panic that was contained. Here, none is to come: these files are ours.
const PANIC: &str = "er failed: it is damaged";

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
        let whole = parse(Cursor::new(&valid), content, None).unwrap();
        for _ in 0..2000 {
            match parse(Cursor::new(mutated(&valid, &mut rng)), content, None) {
                Ok(idx) => {
                    let header = whole.bytes.len() - whole.count * item;
                    assert_eq!(idx.bytes.len(), header + idx.count * item);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.lines().count() == 1, "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 4000, "{refused}");
}

#[test]
fn mutated_images_are_read_or_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let image = DynamicImage::from(one(24, 36));
    let mut refused = 0;
    for (format, image) in [
        (ImageFormat::Png, image.clone()),
        (ImageFormat::Jpeg, image.clone()),
        (ImageFormat::Bmp, image.clone()),
        (ImageFormat::Gif, image.to_rgba8().into()),
        (ImageFormat::WebP, image.to_rgba8().into()),
        (ImageFormat::Tiff, image.clone()),
        (ImageFormat::Pnm, image.clone()),
    ] {
        let mut valid = Cursor::new(Vec::new());
        image.write_to(&mut valid, format).unwrap();
        for _ in 0..150 {
            let mutated = mutated(valid.get_ref(), &mut rng);
            match from_reader(Cursor::new(mutated)) {
                Ok(image) if image.width() * image.height() < 100_000 => {
                    let grey = grey(&image);
                    let _ = normalise(&grey);
                    page::find(&grey);
                }
                Ok(_) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.lines().count() == 1 && !error.contains(PANIC), "{error}");
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
    let model = arrays(2, 0);
    let same = |other: &Arrays| model == *other;
    for name in ["a.safetensors", "a.ot", "a.h5", "a.keras"] {
        let path = place.path(name);
        weights::save_with_record(&model, &mut serde_json::json!({}), &path).unwrap();
        let valid = fs::read(&path).unwrap();
        for _ in 0..300 {
            let mutated = mutated(&valid, &mut rng);
            match weights::read(mutated.clone()) {
                // An archive has checksums of the values; what else is in it is of no meaning here.
                Ok(read) => assert!(!["a.ot", "a.keras"].contains(&name) || same(&read)),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.lines().count() == 1 && !error.contains(PANIC), "{error}");
                }
            }
            // With their record, no change passes, but one of a sealed record alone.
            fs::write(&path, &mutated).unwrap();
            match weights::load(&path) {
                Ok(read) => assert!(mutated == valid || name == "a.safetensors" && same(&read)),
                Err(_) => assert!(mutated != valid),
            }
        }
        fs::write(&path, &valid).unwrap();
        assert!(same(&weights::load(&path).unwrap()));
        fs::remove_file(place.path("a.json")).unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop");
    for name in ["keras2.h5", "keras3.h5", "keras3.keras", "torch.pt", "torch.safetensors"] {
        let valid = fs::read(fixtures.join(name)).unwrap();
        for _ in 0..300 {
            if let Err(error) = weights::read(mutated(&valid, &mut rng)) {
                let error = format!("{error:#}");
                assert!(error.lines().count() == 1 && !error.contains(PANIC), "{error}");
            }
        }
    }
}

#[test]
fn a_link_of_an_hdf5_file_that_leads_nowhere_is_named() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop");
    let mut bytes = fs::read(fixtures.join("keras2.h5")).unwrap();
    // After the offset of its name, the address that the first link of a group leads to.
    let groups = bytes.windows(4).enumerate().filter(|(_, bytes)| bytes == b"SNOD");
    let places: Vec<_> = groups.map(|(at, _)| at + 8 + 8).collect();
    for at in &places {
        bytes[*at..][..8].fill(0xff);
    }
    assert!(!places.is_empty());
    let error = format!("{:#}", weights::read(bytes).unwrap_err());
    assert!(error.contains("one of its links leads nowhere") && !error.contains("1844"), "{error}");
}

#[test]
fn weights_and_the_record_beside_them_belong_together_at_every_moment() {
    let place = Place::new();
    let path = place.path("a.ot"); // which has no place for a record within
    let record = place.path("a.json");
    let save = |seed| {
        let model = arrays(2, seed);
        weights::save_with_record(&model, &mut serde_json::json!({}), &path).unwrap();
        (fs::read(&path).unwrap(), fs::read(&record).unwrap())
    };
    let (old, old_record) = save(1);
    let (new, new_record) = save(2);
    let loads = |weights: &[u8], text: &[u8]| {
        fs::write(&path, weights).unwrap();
        fs::write(&record, text).unwrap();
        weights::open(&path).map_err(|error| format!("{error:#}"))
    };
    assert!(loads(&new, &new_record).is_ok());
    assert!(loads(&old, &new_record).is_err());
    // The record is replaced first: this is what a kill between the two leaves.
    let mut between: serde_json::Value = serde_json::from_slice(&new_record).unwrap();
    let sha256 = |bytes: &[u8]| tch_mnist::files::sha256_hex(bytes);
    assert_eq!(between["weights"], serde_json::json!({"file": "a.ot", "sha256": sha256(&new)}));
    between["weights"]["replaced"] = sha256(&old).into();
    for weights in [&old, &new] {
        assert!(loads(weights, between.to_string().as_bytes()).unwrap().doubt.is_none());
    }
    let error = loads(&new, &old_record).unwrap_err();
    assert!(error.contains("a.json") && error.contains("delete the record"), "{error}");
    // Weights without a record do not take its place.
    let error = weights::save(&arrays(2, 3), &path).unwrap_err();
    assert!(format!("{error:#}").contains("a.json is the record of other weights"), "{error:#}");
    // Nor does a record replace a file that is not a record, or another file's.
    for other in ["{\"name\":\"my package\"}", r#"{"weights":{"file":"b.ot","sha256":"0"}}"#] {
        fs::write(&record, other).unwrap();
        let error = format!("{:#}", weights::check_output(&path).unwrap_err());
        assert!(error.contains("would replace") && error.contains("a.json"), "{error}");
    }
    // Whatever lies there and cannot be used is named.
    for other in [
        "no JSON",
        "{}",
        "[1]",
        r#"{"weights":{"file":"a.ot","sha256":null}}"#,
        r#"{"weights":{"file":"b.ot","sha256":"0"}}"#,
    ] {
        let doubt = loads(&new, other.as_bytes()).unwrap().doubt.unwrap();
        assert!(doubt.contains("a.json is not used"), "{doubt}");
    }
}

#[test]
fn a_sealed_record_stays_with_the_weights_under_any_name() {
    let place = Place::new();
    let (path, model) = (place.path("a.safetensors"), arrays(2, 1));
    let mut record = serde_json::json!({"test": {"accuracy": 0.5}});
    weights::save_with_record(&model, &mut record, &path).unwrap();
    let copy: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("a.json")).unwrap()).unwrap();
    assert_eq!((&copy, &copy["test"]["accuracy"]), (&record, &0.5.into()));

    let renamed = place.path("b.bin");
    fs::rename(&path, &renamed).unwrap();
    let loaded = weights::open(&renamed).unwrap();
    assert_eq!(loaded.record.unwrap()["test"], record["test"]);
    // One changed byte is noticed without anything beside the file.
    let mut bytes = fs::read(&renamed).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&renamed, &bytes).unwrap();
    let error = format!("{:#}", weights::load(&renamed).unwrap_err());
    assert!(error.contains("b.bin") && error.contains("SHA-256 of its values"), "{error}");

    // The released weights are sealed, too, though the record of both names another file.
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for stem in ["released", "verifier"] {
        let from = |extension: &str| models.join(stem).with_extension(extension);
        let mut bytes = fs::read(from("safetensors")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(place.path("c.safetensors"), bytes).unwrap();
        fs::copy(from("json"), place.path("c.json")).unwrap();
        let (code, _, err) = place.run(&["summary", "--weights", "c.safetensors"]);
        assert!(code == 1 && err.contains("SHA-256 of its values"), "{err}");
    }
    // Of a copy that does not fit, the program says so, and goes on.
    weights::save_with_record(&model, &mut record, &path).unwrap();
    for (text, why) in [
        (r#"{"weights":{"file":"a.safetensors","sha256":"0"}}"#, "the record of other weights"),
        ("{", "it is damaged"),
    ] {
        fs::write(place.path("a.json"), text).unwrap();
        let (code, _, err) = place.run(&["summary", "--weights", "a.safetensors"]);
        let warned = err.contains("warning: a.json is not used") && err.contains(why);
        assert!(code == 0 && warned, "{err}");
    }
}

#[cfg(feature = "torch")]
#[test]
fn every_command_that_takes_weights_names_a_record_that_does_not_fit() {
    let place = Place::new();
    place.data_set("data", 40, 20);
    one(60, 90).save(place.path("1.png")).unwrap();
    let mut record = serde_json::json!({});
    let model = arrays(2, 1);
    weights::save_with_record(&model, &mut record, &place.path("a.safetensors")).unwrap();
    fs::write(place.path("a.json"), "{").unwrap();
    let training = ["--data", "data", "--epochs", "1", "--init", "a.safetensors"];
    for arguments in [
        &["predict", "--weights", "a.safetensors", "1.png"][..],
        &["read", "--weights", "a.safetensors", "1.png"],
        &["evaluate", "--weights", "a.safetensors", "--data", "data"],
        &["show", "--weights", "a.safetensors", "--weights-map"],
        &["summary", "--weights", "a.safetensors"],
        &["convert", "a.safetensors", "b.h5"],
        &[&["train", "--output", "c.ot"], &training[..]].concat(),
        &[&["compare", "--optimizers", "adam,sgd", "--seeds", "2"], &training[..]].concat(),
    ] {
        let (code, _, err) = place.run(arguments);
        let warnings = err.matches("warning: a.json is not used: it is damaged").count();
        assert_eq!((code, warnings), (0, 1), "{arguments:?}: {err}");
    }
}

#[cfg(unix)]
#[test]
fn weights_saved_through_a_link_have_their_record_beside_them() {
    let place = Place::new();
    fs::create_dir(place.path("there")).unwrap();
    let model = |seed| arrays(2, seed);
    for extension in ["safetensors", "ot"] {
        let (link, target) = (format!("link.{extension}"), format!("there/a.{extension}"));
        weights::save(&model(0), &place.path(&target)).unwrap();
        std::os::unix::fs::symlink(&target, place.path(&link)).unwrap();
        let mut record = serde_json::json!({"seed": 1});
        weights::save_with_record(&model(1), &mut record, &place.path(&link)).unwrap();
        assert!(place.path(&link).is_symlink() && !place.path("link.json").exists());
        for name in [&link, &target] {
            let loaded = weights::open(&place.path(name)).unwrap();
            assert_eq!(loaded.record.unwrap()["seed"], 1, "{name}");
            assert_eq!((loaded.doubt, loaded.arrays), (None, model(1)));
        }
        fs::remove_file(place.path("there/a.json")).unwrap();
    }
}

/// A reader may come at any moment.
#[test]
fn weights_that_keep_being_replaced_load_at_every_moment() {
    let place = Place::new();
    for name in ["a.safetensors", "a.ot"] {
        let path = place.path(name);
        let save = |seed| {
            let model = arrays(2, seed);
            weights::save_with_record(&model, &mut serde_json::json!({}), &path).unwrap();
        };
        save(0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..100).for_each(save));
            while !writer.is_finished() {
                let loaded = weights::open(&path).unwrap();
                assert!(loaded.record.is_some() && loaded.doubt.is_none(), "{:?}", loaded.doubt);
            }
        });
        fs::remove_file(place.path("a.json")).unwrap();
    }
}

/// Runs it, and returns its peak memory in MiB as well.
#[cfg(target_os = "linux")]
fn peak(mut command: Command) -> (i32, String, String, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut kib = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(most) = line {
            kib = most.trim().trim_end_matches(" kB").parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let (code, out, err) = finish(child.wait_with_output().unwrap());
    (code, out, err, kib / 1024)
}

#[cfg(feature = "torch")]
#[cfg(target_os = "linux")]
#[test]
fn files_that_claim_or_hold_too_much_do_not_fill_the_memory() {
    let place = Place::new();
    let sparse = |name: &str, start: &[u8], length: u64| {
        let mut file = fs::File::create(place.path(name)).unwrap();
        file.write_all(start).unwrap();
        file.set_len(length).unwrap();
    };
    place.data_set("data", 40, 20);
    let train = ["train", "--data", "data", "--hidden", "4", "--epochs", "1", "--output"];

    // JSON takes a hundred times its length in memory.
    let json = format!("{{\"config\":[{}1]}}", "{\"\":1},".repeat(4_000_000));
    let mut h5 = hdf5_pure::FileBuilder::new();
    h5.set_attr("model_config", hdf5_pure::AttrValue::VarLenString(json.clone()));
    fs::write(place.path("a.h5"), h5.finish().unwrap()).unwrap();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("config.json", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(json.as_bytes()).unwrap();
    fs::write(place.path("a.keras"), zip.finish().unwrap().into_inner()).unwrap();
    sparse("a.safetensors", &[&u64::MAX.to_le_bytes()[..], b"{"].concat(), 400_000_000);
    sparse("b.safetensors", b"", 3_000_000_000);
    // Chunks, or links, without number.
    let mut h5 = hdf5_pure::FileBuilder::new();
    for (layer, inputs, outputs) in [("dense_1", 784, 100), ("dense_2", 100, 10)] {
        let mut group = h5.create_group(layer);
        let kernel = vec![0.5; (inputs * outputs) as usize];
        let chunked = group.create_dataset("kernel").with_f32_data(&kernel);
        chunked.with_shape(&[inputs, outputs]).with_chunks(&[1, 1]);
        group.create_dataset("bias").with_f32_data(&vec![0.5; outputs as usize]);
        h5.add_group(group.finish());
    }
    fs::write(place.path("b.h5"), h5.finish().unwrap()).unwrap();
    let mut h5 = hdf5_pure::FileBuilder::new();
    for at in 0..20_000 {
        h5.create_dataset(&at.to_string()).with_f32_data(&[1.]);
    }
    fs::write(place.path("c.h5"), h5.finish().unwrap()).unwrap();
    let too_many = "it holds more groups, arrays or chunks than";
    for (name, why) in [
        ("a.h5", too_many),
        ("b.h5", too_many),
        ("c.h5", too_many),
        ("a.keras", "its \"config.json\" claims"),
        ("a.safetensors", "more than there can be"),
        ("b.safetensors", "it has more than the"),
    ] {
        let (code, _, err, mib) = peak(place.command(&["summary", "--weights", name]));
        assert!(code == 1 && err.contains(name) && err.contains(why), "{err}");
        assert!(mib < 1000, "{name}: {mib} MiB");
    }
    // What is replaced is of any size.
    let replace = [&train[..], &["b.safetensors", "--force"]].concat();
    let (code, _, err, mib) = peak(place.command(&replace));
    assert!(code == 0 && mib < 600, "{mib} MiB: {err}");

    // JPEGs of headers only, on many threads.
    sparse("a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01", 49_000_000);
    let mut command = place.command(&["predict"]);
    let (code, _, err, mib) = peak({
        command.args(["a.jpg"; 32]).env("RAYON_NUM_THREADS", "32");
        command
    });
    assert!(code == 1 && err.matches("a.jpg: it is truncated").count() == 32, "{err}");
    assert!(mib < 400, "{mib} MiB");

    // PNGs whose texts and profiles are large once decompressed, on many threads.
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![0; 200_000_000]).unwrap();
    let packed = packed.finish().unwrap();
    let mut png = Cursor::new(Vec::new());
    one(60, 90).write_to(&mut png, ImageFormat::Png).unwrap();
    let mut png = png.into_inner();
    for (kind, name) in
        [(b"iCCP", &b"name\0\0"[..]), (b"zTXt", b"Title\0\0"), (b"tEXt", b"Title\0")]
    {
        let chunk = [&kind[..], name, &packed].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&chunk);
        let length = (chunk.len() as u32 - 4).to_be_bytes();
        png.splice(33..33, [&length[..], &chunk, &crc.sum().to_be_bytes()].concat());
    }
    fs::write(place.path("profile.png"), png).unwrap();
    let mut command = place.command(&["predict"]);
    let (code, out, err, mib) = peak({
        command.args(["profile.png"; 32]).env("RAYON_NUM_THREADS", "32");
        command
    });
    assert!(code == 0 && out.matches("profile.png: 1").count() == 32, "{err}");
    assert!(mib < 400, "{mib} MiB");

    // Images without labels are not decompressed.
    let (images, _) = idx(1, 1);
    let claimed = [&images[..4], &1_000_000u32.to_be_bytes(), &images[8..16]].concat();
    let bomb = gzip(&[claimed, vec![0; 300_000_000]].concat());
    fs::remove_file(place.path("data/train-images-idx3-ubyte")).unwrap();
    fs::write(place.path("data/train-images-idx3-ubyte.gz"), bomb).unwrap();
    let (code, _, err, mib) = peak(place.command(&["evaluate", "--data", "data"]));
    assert!(code == 1 && err.contains("it has 1000000 images, but its set has 40"), "{err}");
    assert!(mib < 250, "{mib} MiB");

    // A file of runs.
    fs::create_dir(place.path("runs")).unwrap();
    sparse("runs/runs.jsonl", b"", 3_000_000_000);
    let (code, _, err, mib) = peak(place.command(&["compare", "--output-dir", "runs"]));
    assert!(code == 1 && err.contains("runs.jsonl: it has more than the"), "{err}");
    assert!(mib < 700, "{mib} MiB");
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn without_permission_the_file_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let run = |arguments: &[&str]| {
        let inner = place.command(arguments);
        if !is_root {
            return finish({ inner }.output().unwrap());
        }
        // Root may do everything, unless it lays these rights down.
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
        command.arg(env!("CARGO_BIN_EXE_mnist")).args(arguments).current_dir(place.path(""));
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
        finish(command.output().unwrap())
    };
    one(60, 90).save(place.path("a.png")).unwrap();
    one(60, 90).save(place.path("b.png")).unwrap();
    place.data_set("data", 20, 10);
    place.data_set("closed", 20, 10);
    weights::save(&arrays(2, 0), &place.path("a.ot")).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    let set = |name: &str, mode| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let closed = ["a.png", "a.ot", "data/train-labels-idx1-ubyte", "closed"];
    closed.iter().for_each(|name| set(name, 0o000));
    set("out", 0o555);
    let train = ["train", "--data", "data", "--epochs", "1", "--output", "out/w.ot"];
    for (arguments, named) in [
        (&["predict", "a.png", "b.png"][..], "a.png"),
        (&["read", "a.png"], "a.png"),
        (&["summary", "--weights", "a.ot"], "a.ot"),
        (&["evaluate", "--data", "data"], "data/train-labels-idx1-ubyte"),
        (&["evaluate", "--data", "closed"], "closed"),
        (&train, "out"),
        (&["convert", "a.ot", "out/a.h5"], "out"),
        (&["compare", "--data", "data", "--output-dir", "out/new"], "data/train-labels"),
        (&["compare", "--epochs", "1", "--output-dir", "out/new"], "out/new"),
        (&["predict", "b.png", "--explain", "out/b.png"], "out"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
        assert!(err.contains("Permission denied") && err.contains(named), "{arguments:?}: {err}");
        assert_eq!(out.contains("b.png: 1"), arguments.contains(&"b.png") && named == "a.png");
    }
    [&closed[..], &["out"]].concat().iter().for_each(|name| set(name, 0o755));
}

#[cfg(feature = "torch")]
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
    assert!(code == 1 && err.contains("it is binary data, not a list of paths"), "{err}");

    // Nobody ever writes to this one.
    let made = Command::new("mkfifo").arg(place.path("pipe.png")).status().unwrap();
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

    // Weights to go on from are read again, to be recorded.
    place.data_set("whole", 20, 10);
    let train = ["train", "--data", "whole", "--init", "/dev/stdin", "--output", "pipe.ot"];
    let (code, _, err) = place.run(&train);
    assert!(code == 1 && err.contains("--init /dev/stdin is not a regular file"), "{err}");
    assert!(Command::new("mkfifo").arg(place.path("pipe.ot")).status().unwrap().success());
    let (code, _, err) = place.run(&["train", "--data", "whole", "--output", "pipe.ot"]);
    assert!(code == 1 && err.contains("cannot write pipe.ot: it is not a regular file"), "{err}");
}

#[cfg(feature = "torch")]
#[test]
fn odd_names_are_read_and_outputs_that_are_inputs_are_refused() {
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
    // The name of a stage, and weights with the name of a figure.
    fs::create_dir(place.path("stages")).unwrap();
    fs::copy(place.path("a.png"), place.path("stages/ink.png")).unwrap();
    tch_mnist::weights::save(&arrays(16, 0), &place.path("w.ot")).unwrap();
    fs::rename(place.path("w.ot"), place.path("w.png")).unwrap();
    for (arguments, kept) in [
        (&["read", "stages/ink.png", "--stages", "stages"][..], "stages/ink.png"),
        (&["predict", "a.png", "--weights", "w.png", "--explain", "w.png"], "w.png"),
        (&["read", "a.png", "--weights", "w.png", "--annotate", "w.png"], "w.png"),
        (&["show", "--weights", "w.png", "--weights-map", "--output", "w.png"], "w.png"),
        #[cfg(feature = "torch")]
        (&["evaluate", "--weights", "w.png", "--plot", "w.png"], "w.png"),
    ] {
        let before = fs::read(place.path(kept)).unwrap();
        let (code, _, err) = place.run(arguments);
        assert!(code == 1 && err.contains("itself; name another file"), "{arguments:?}: {err}");
        assert_eq!(fs::read(place.path(kept)).unwrap(), before, "{arguments:?}");
    }
    #[cfg(unix)]
    {
        fs::create_dir(place.path("linked")).unwrap();
        std::os::unix::fs::symlink("../a.png", place.path("linked/ink.png")).unwrap();
        let (code, _, err) = place.run(&["read", "stages/ink.png", "--stages", "linked"]);
        assert!(code == 1 && err.contains("ink.png: it is a link; delete it"), "{err}");
        assert_eq!(fs::read(place.path("a.png")).unwrap(), bytes);
    }
    let (code, _, err) = place.run(&["predict", "a.png", "--explain", "a.png/b.png"]);
    assert!(code == 1 && err.contains("a.png"), "{err}");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.png");
        fs::copy(place.path("a.png"), place.path("").join(name)).unwrap();
        for command in ["predict", "read"] {
            let (code, out, err) =
                finish(place.command(&[command, "--json"]).arg(name).output().unwrap());
            assert!(code == 0 && out.contains("\u{fffd}\u{fffd}.png"), "{out}{err}");
        }
    }
    // Too long a line costs its path only.
    fs::write(place.path("paths"), format!("{}\na.png\n", "a".repeat(70_000))).unwrap();
    let mut command = place.command(&["predict", "-"]);
    let (code, out, err) =
        finish(command.stdin(fs::File::open(place.path("paths")).unwrap()).output().unwrap());
    assert!(code == 1 && out.starts_with("a.png: 1"), "{out}");
    assert!(err.contains("line 1 is too long for a path"), "{err}");

    // A folder in a file's place, everywhere.
    fs::create_dir(place.path("folder.safetensors")).unwrap();
    let data = place.data_set("data", 20, 10);
    fs::remove_file(data.join("t10k-images-idx3-ubyte")).unwrap();
    fs::create_dir(data.join("t10k-images-idx3-ubyte")).unwrap();
    for arguments in
        [&["evaluate", "--data", "data"][..], &["summary", "--weights", "folder.safetensors"]]
    {
        let (code, _, err) = place.run(arguments);
        assert!(code == 1 && err.contains("it is a folder"), "{arguments:?}: {err}");
    }
}

#[test]
fn a_panic_of_a_decoder_becomes_an_error() {
    let error = contained::<()>(|| panic!("at byte {}", 7)).unwrap_err();
    assert!(error.to_string().contains(PANIC) && !error.to_string().contains('7'), "{error}");
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
            parse(Cursor::new(&bytes), Content::Images, None).is_ok(),
            parse(Cursor::new(&bytes), Content::Labels, None).is_ok()
        );
        count += 1;
    }
    for path in files("image") {
        if let Ok(image) = from_reader(Cursor::new(fs::read(&path).unwrap())) {
            let _ = normalise(&grey(&image));
            page::find(&grey(&image));
            count += 1;
        }
    }
    for path in files("weights") {
        let model = weights::read(fs::read(&path).unwrap());
        let overflow = path.ends_with("overflow.safetensors");
        assert_eq!(model.is_err(), overflow, "{}", path.display());
        let predicts = |arrays| {
            Plain::new(arrays, std::num::NonZero::<usize>::MIN).predict(&[[128; 784]]).is_ok()
        };
        assert!(overflow || predicts(model.unwrap()), "{}", path.display());
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
    stale(".tch-mnist-writing-dead.png");
    stale("mine.png");
    let alive = stale(".tch-mnist-writing-alive.png");
    alive.lock().unwrap();
    fs::File::create(place.path(".tch-mnist-writing-young.png")).unwrap();
    let folder = place.path(".tch-mnist-writing-folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("data"), "").unwrap();
    fs::File::open(&folder).unwrap().set_modified(std::time::SystemTime::now() - hour).unwrap();
    atomic::write(&place.path("a.txt"), |temporary| Ok(fs::write(temporary, "new")?)).unwrap();
    let left = |name: &str| place.path(name).exists();
    assert!(!left(".tch-mnist-writing-dead.png") && !left(".tch-mnist-writing-folder"));
    assert!(
        left("mine.png")
            && left(".tch-mnist-writing-alive.png")
            && left(".tch-mnist-writing-young.png")
    );
}
