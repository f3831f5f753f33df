//! `mnist batch`: shards are transactions, whatever happens to those who run them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Place, finish, mnist_images};

/// Ten images in a shard, as none counts for less than 1 KB.
const SHARD: [&str; 4] = ["--verb", "predict", "--shard-size", "0.01"];

/// A folder `images` of 40 digits, one of them cut.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("images")).unwrap();
    for (index, image) in mnist_images(40).iter().enumerate() {
        image.save(place.path(&format!("images/{index:02}.png"))).unwrap();
    }
    let cut = fs::read(place.path("images/07.png")).unwrap();
    fs::write(place.path("images/07.png"), &cut[..cut.len() / 2]).unwrap();
    place
}

fn run(place: &Place, arguments: &[&str]) -> String {
    let (code, out, err) = place.run(&[&["batch"], arguments].concat());
    assert_eq!(code, 0, "{arguments:?}: {err}");
    out
}

fn plan(place: &Place, folder: &str, inputs: &[&str]) -> String {
    run(place, &[&["plan", folder], inputs, &SHARD].concat())
}

/// What `check` prints to standard output and error of a batch that is not whole.
fn wrong(place: &Place, folder: &str) -> (String, String) {
    let (code, out, err) = place.run(&["batch", "check", folder]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(!place.path(folder).join("_SUCCESS").exists());
    (out, err)
}

/// The bytes of all parts; what killed runs leave behind has other names.
fn parts(place: &Place, folder: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(place.path(folder).join("parts")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let named = paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path));
    let is_part = |name: &str| name.starts_with("part-") && name.ends_with(".zst");
    let mut parts: Vec<_> = named
        .filter(|(name, _)| is_part(name))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    parts.sort();
    parts
}

fn rows(place: &Place, folder: &str) -> Vec<Value> {
    let parts = parts(place, folder).into_iter();
    let text = parts.flat_map(|(_, part)| zstd::decode_all(&part[..]).unwrap()).collect();
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Replaces text in a file of a batch.
fn change(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn rows_are_those_of_predict_and_an_image_that_cannot_be_read_is_one() {
    let place = place();
    assert_eq!(plan(&place, "b", &["images"]), "40 images in 4 shards\n");
    assert_eq!(wrong(&place, "b").0, "0\n1\n2\n3\n");
    let uncertain = ["batch", "plan", "c", "images", "--verb=predict", "--min-confidence=0.5"];
    let (code, _, err) = place.run(&uncertain);
    assert!(code == 2 && err.contains("--min-confidence is for --verb read"), "{err}");
    assert!(!place.path("c").exists());
    run(&place, &["run", "b", "2"]);
    assert_eq!(wrong(&place, "b").0, "0\n1\n3\n");
    assert_eq!(run(&place, &["status", "b", "--json"]), "{\"done\":1,\"shards\":4}\n");
    assert_eq!(run(&place, &["status", "b", "--missing"]), "0\n1\n3\n");
    run(&place, &["run", "b"]);
    let totals: Value = serde_json::from_str(&run(&place, &["check", "b"])).unwrap();
    assert_eq!((&totals["rows"], &totals["errors"]["image"]), (&40.into(), &1.into()));
    assert!(place.path("b/_SUCCESS").exists());

    let rows = rows(&place, "b");
    assert_eq!(rows[7]["error"]["kind"], "image");
    let paths: Vec<&str> = rows.iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    let (_, predicted, _) = place.run(&[&["predict", "--json"], &paths[..]].concat());
    let predicted = predicted.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let predicted: Vec<_> = predicted.collect();
    let answered: Vec<_> = rows.iter().filter(|row| row.get("error").is_none()).collect();
    assert_eq!((answered.len(), predicted.len()), (39, 39));
    for (row, predicted) in answered.iter().zip(&predicted) {
        assert_eq!((&row["path"], &row["label"]), (&predicted["path"], &predicted["label"]));
        // libtorch adds in another order.
        #[cfg(not(feature = "torch"))]
        assert_eq!(**row, *predicted);
    }
}

#[test]
fn pages_are_read_as_read_reads_them() {
    let place = Place::new();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/table.jpg");
    fs::write(place.path("list.txt"), format!("{page}\n/missing.png\n")).unwrap();
    run(&place, &["plan", "b", "list.txt", "--verb", "read"]);
    run(&place, &["run", "b"]);
    let rows = rows(&place, "b");
    let (_, read, _) = place.run(&["read", "--json", page]);
    let read: Value = serde_json::from_str(&read).unwrap();
    let text = |row: &Value| row["lines"][0]["text"].clone();
    assert_eq!((text(&rows[0]), &rows[0]["path"]), (text(&read), &page.into()));
    assert_eq!(rows[1]["error"]["kind"], "missing");
}

#[test]
fn a_batch_whose_runs_are_killed_at_any_moment_has_the_same_bytes() {
    let place = place();
    plan(&place, "whole", &["images"]);
    run(&place, &["run", "whole"]);
    plan(&place, "killed", &["images"]);
    for attempt in 0..30 {
        let mut command = place.command(&["batch", "run", "killed", "--threads", "1"]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(4 * attempt));
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, _, err) = place.run(&["batch", "check", "killed"]);
        assert!(!err.contains("error:"), "{err}");
    }
    run(&place, &["run", "killed"]);
    run(&place, &["check", "killed"]);
    assert!(parts(&place, "killed") == parts(&place, "whole"));
    let left = fs::read_dir(place.path("killed/parts")).unwrap();
    assert_eq!(left.count(), 8, "what killed runs left is removed when all is done");
}

#[test]
fn attempts_at_once_and_with_other_numbers_of_threads_write_the_same_bytes() {
    let place = place();
    plan(&place, "whole", &["images"]);
    run(&place, &["run", "whole"]);
    plan(&place, "b", &["images"]);
    let start = |threads| {
        let arguments = ["batch", "run", "b", "--threads", threads];
        place.command(&arguments).stderr(Stdio::piped()).spawn().unwrap()
    };
    for attempt in ["1", "2", "4"].map(start) {
        let (code, _, err) = finish(attempt.wait_with_output().unwrap());
        assert_eq!(code, 0, "{err}");
    }
    run(&place, &["check", "b"]);
    assert!(parts(&place, "b") == parts(&place, "whole"));
}

#[test]
fn what_was_changed_or_cut_is_refused_with_what_differs() {
    let place = place();
    plan(&place, "b", &["images"]);
    run(&place, &["run", "b"]);
    let at = |name: &str| place.path("b").join(name);
    let whole_parts = parts(&place, "b");

    for (name, from, to, says) in [
        ("parts/part-00000.receipt.json", "\"image\":1", "\"image\":0", "other errors"),
        ("parts/part-00000.receipt.json", "\"shard\":0", "\"shard\":1", "its shard is 1, not 0"),
        ("parts/part-00000.receipt.json", "}", "", "it is damaged"),
        ("inputs.jsonl", "00.png", "01.png", "the inputs of shard 0 were changed"),
    ] {
        let whole = fs::read(at(name)).unwrap();
        change(&at(name), from, to);
        let (again, err) = wrong(&place, "b");
        assert!(again == "0\n" && err.contains(says), "{says}: {again}{err}");
        fs::write(at(name), whole).unwrap();
    }
    // What `check` names is done again.
    for (name, from, to, says) in [
        ("parts/part-00001.receipt.json", "{", "", "it is damaged"),
        ("parts/part-00001.receipt.json", "\"rows\":10", "\"rows\":9", "its number of rows is 9"),
        ("parts/part-00000.receipt.json", "\"image\":1", "\"image\":0", "other errors"),
    ] {
        change(&at(name), from, to);
        let (again, _) = wrong(&place, "b");
        let (code, _, err) = place.run(&["batch", "run", "b", again.trim()]);
        assert!(code == 0 && err.contains("done again") && err.contains(says), "{err}");
        run(&place, &["check", "b"]);
        assert!(parts(&place, "b") == whole_parts);
    }
    let part = fs::read(at("parts/part-00003.jsonl.zst")).unwrap();
    fs::write(at("parts/part-00003.jsonl.zst"), &part[..part.len() - 1]).unwrap();
    let (again, err) = wrong(&place, "b");
    assert!(again == "3\n" && err.contains("the SHA-256 of its part"), "{again}{err}");
    run(&place, &["run", "b", "3"]);
    run(&place, &["check", "b"]);

    for (from, to, says) in [
        ("predict", "read", "it was changed"),
        (tch_mnist::VERSION, "0.0.9", "made by mnist 0.0.9"),
        ("]", "", "it is damaged"),
    ] {
        let whole = fs::read(at("plan.json")).unwrap();
        change(&at("plan.json"), from, to);
        let (code, _, err) = place.run(&["batch", "run", "b"]);
        assert!(code == 1 && err.contains(says), "{says}: {err}");
        fs::write(at("plan.json"), whole).unwrap();
    }
    fs::remove_file(at("weights.safetensors")).unwrap();
    let (code, _, err) = place.run(&["batch", "run", "b"]);
    assert!(code == 1 && err.contains("weights.safetensors"), "{err}");
    let (code, _, err) = place.run(&[&["batch", "plan", "b", "images"], &SHARD[..]].concat());
    assert!(code == 1 && err.contains("exists"), "{err}");
}

#[test]
fn what_is_no_regular_file_keeps_no_batch_waiting() {
    let place = place();
    let pipe = |name: &str| {
        let _ = fs::remove_file(place.path(name));
        assert!(Command::new("mkfifo").arg(place.path(name)).status().unwrap().success());
    };
    pipe("pipe.tar");
    let (code, _, err) = place.run(&[&["batch", "plan", "a", "pipe.tar"], &SHARD[..]].concat());
    assert!(code == 1 && err.contains("not a regular file"), "{err}");
    plan(&place, "b", &["images"]);
    run(&place, &["run", "b"]);
    pipe("b/parts/part-00000.jsonl.zst");
    let (again, err) = wrong(&place, "b");
    assert!(again == "0\n" && err.contains("not a regular file"), "{again}{err}");
    pipe("b/inputs.jsonl");
    let (code, _, err) = place.run(&["batch", "run", "b", "0"]);
    assert!(code == 1 && err.contains("not a regular file"), "{err}");
}

#[test]
#[cfg(unix)]
fn links_under_the_names_of_a_batch_are_not_followed() {
    use std::os::unix::fs::symlink;

    let place = place();
    fs::write(place.path("mine"), "mine").unwrap();
    plan(&place, "a", &["images"]);
    for name in ["part-00000.jsonl.zst", "part-00000.receipt.json"] {
        let path = place.path(&format!("a/parts/{name}"));
        symlink("../../mine", &path).unwrap();
        let (code, _, err) = place.run(&["batch", "run", "a", "0"]);
        assert!(code == 1 && err.contains(&format!("{name}: it is a link; delete it")), "{err}");
        fs::remove_file(path).unwrap();
    }
    for name in ["plan.json", "inputs.jsonl", "weights.safetensors"] {
        let folder = name.replace('.', "-");
        fs::create_dir(place.path(&folder)).unwrap();
        symlink("../nowhere", place.path(&format!("{folder}/{name}"))).unwrap();
        let (code, _, err) =
            place.run(&[&["batch", "plan", &folder, "images"], &SHARD[..]].concat());
        assert!(code == 1 && err.contains("it is a link; delete it"), "{err}");
    }
    assert_eq!(fs::read(place.path("mine")).unwrap(), b"mine");
}

#[test]
fn an_image_that_was_planned_and_cannot_be_reached_fails_its_shard() {
    let place = place();
    fs::write(place.path("images/.hidden.png"), "").unwrap();
    plan(&place, "b", &["images"]);
    fs::rename(place.path("images"), place.path("not mounted")).unwrap();
    let (code, _, err) = place.run(&["batch", "run", "b"]);
    assert_eq!((code, err.matches("images/").count()), (1, 4), "{err}");
    assert!(err.contains("error: shard 3 is not done: cannot reach "), "{err}");
    assert_eq!(run(&place, &["status", "b", "--json"]), "{\"done\":0,\"shards\":4}\n");

    fs::rename(place.path("not mounted"), place.path("images")).unwrap();
    fs::remove_file(place.path("images/00.png")).unwrap();
    let (code, _, err) = place.run(&["batch", "run", "b"]);
    assert!(code == 1 && err.contains("shard 0 is not done") && err.contains("00.png"), "{err}");
    assert_eq!(wrong(&place, "b").0, "0\n", "the others are done");
    run(&place, &["run", "b", "0", "--allow-missing"]);
    run(&place, &["check", "b"]);
    assert_eq!(rows(&place, "b")[0]["error"]["kind"], "missing");

    // What was not there when it was planned is not looked for.
    fs::write(place.path("list.txt"), "images/00.png\nimages/01.png\n").unwrap();
    let (code, _, err) = place.run(&["batch", "plan", "c", "list.txt", "--verb", "predict"]);
    assert!(code == 0 && err.contains("warning: 1 of 2 images cannot be found"), "{err}");
    fs::copy(place.path("images/01.png"), place.path("images/00.png")).unwrap();
    run(&place, &["run", "c"]);
    let found = rows(&place, "c");
    assert_eq!(found[0]["error"]["kind"], "missing");
    assert!(found[1].get("error").is_none(), "{}", found[1]);
    // A file is no folder: what lies in it is missing as well.
    fs::write(place.path("list.txt"), "nowhere.png\nlist.txt/a.png\n").unwrap();
    let (code, _, err) = place.run(&["batch", "plan", "d", "list.txt", "--verb", "predict"]);
    assert!(code == 1 && err.contains("none of the 2 images"), "{err}");
    // What cannot be looked for may be there.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("loop.png", place.path("loop.png")).unwrap();
        fs::write(place.path("list.txt"), "images/01.png\nloop.png\n").unwrap();
        let (code, _, err) = place.run(&["batch", "plan", "d", "list.txt", "--verb", "predict"]);
        assert!(
            code == 1 && err.contains("cannot plan list.txt: cannot look for loop.png: "),
            "{err}"
        );
    }
}

#[test]
fn images_in_an_archive_are_read_where_they_lie() {
    let place = place();
    let image = fs::read(place.path("images/00.png")).unwrap();
    let mut archive = tar::Builder::new(fs::File::create(place.path("a.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(image.len() as u64);
    header.set_mode(0o644);
    let long = format!("{}a.png", "long/".repeat(40));
    archive.append_data(&mut header.clone(), &long, &image[..]).unwrap();
    let mut outside = header.clone();
    outside.as_mut_bytes()[..13].copy_from_slice(b"../escape.png");
    outside.set_cksum();
    archive.append(&outside, &image[..]).unwrap();
    for passed_over in ["notes.txt", "._a.png", ".hidden/a.png"] {
        archive.append_data(&mut header.clone(), passed_over, &image[..]).unwrap();
    }
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    archive.append_link(&mut link, "link.png", "/etc/passwd").unwrap();
    archive.finish().unwrap();
    drop(archive);
    fs::write(place.path("list.txt"), "images/00.png\na.tar\n").unwrap();

    assert_eq!(plan(&place, "b", &["list.txt"]), "3 images in 1 shards\n");
    run(&place, &["run", "b"]);
    let found = rows(&place, "b");
    for row in &found {
        assert_eq!(row["score"], found[0]["score"], "{row}");
    }
    assert!(found[2]["path"].as_str().unwrap().ends_with("a.tar/../escape.png"));
    assert!(!place.path("../escape.png").exists() && !place.path("escape.png").exists());

    let whole = fs::read(place.path("a.tar")).unwrap();
    // Without the mark of its end, and within the second image.
    for missing in [1024, 1024 + 512 + 1] {
        fs::write(place.path("cut.tar"), &whole[..whole.len() - missing]).unwrap();
        let (code, _, err) = place.run(&["batch", "plan", "cut", "cut.tar", "--verb", "predict"]);
        assert!(code == 1 && err.contains("cut.tar: it ends before"), "{err}");
        assert!(!err.contains("inputs.jsonl"), "{err}");
    }

    plan(&place, "later", &["a.tar"]);
    fs::write(place.path("a.tar"), vec![0; 9000]).unwrap();
    run(&place, &["run", "later"]);
    let rows = rows(&place, "later");
    assert_eq!(rows[0]["error"]["text"], "the archive is not the one that was planned");
}
