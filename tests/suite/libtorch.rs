//! `scripts/libtorch.sh`, as `make libtorch` runs it, where the user brings a libtorch.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::common::{Place, finish};

/// A copy of the files that the script reads, and a folder that looks like libtorch `version`.
fn place(version: &str) -> Place {
    let place = Place::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["scripts", "fuzz", "src"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    for file in ["Cargo.toml", "Cargo.lock", "fuzz/Cargo.toml", "fuzz/Cargo.lock"] {
        fs::copy(root.join(file), place.path(file)).unwrap();
    }
    for file in fs::read_dir(root.join("scripts")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), place.path("scripts").join(file.file_name())).unwrap();
    }
    let headers = place.path("given/include/torch/headeronly");
    fs::create_dir_all(&headers).unwrap();
    let lines: String = ["MAJOR", "MINOR", "PATCH"]
        .iter()
        .zip(version.split('.'))
        .map(|(part, number)| format!("#define TORCH_VERSION_{part} {number}\n"))
        .collect();
    fs::write(headers.join("version.h"), lines).unwrap();
    place
}

fn script(place: &Place, variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new("scripts/libtorch.sh");
    command.current_dir(place.path(""));
    for name in ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LIBTORCH_BYPASS_VERSION_CHECK", "TCH", "CUDA"]
    {
        command.env_remove(name);
    }
    finish(command.envs(variables.iter().copied()).output().unwrap())
}

/// The rows of `scripts/tch.txt`: tch, libtorch, and the checksums of tch and torch-sys.
fn rows() -> Vec<[&'static str; 4]> {
    include_str!("../../scripts/tch.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap())
        .collect()
}

/// The version and the checksum of `package` in a lock file.
fn locked(lock: &str, package: &str) -> [String; 2] {
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\n")).unwrap();
    ["version", "checksum"].map(|key| {
        let (_, value) = entry.split_once(&format!("{key} = \"")).unwrap();
        value.split('"').next().unwrap().to_string()
    })
}

/// Of lock files that name each tch in turn, both are made to fit a libtorch of any other.
#[test]
fn each_libtorch_gets_a_workspace_whose_tch_fits_it() {
    for [tch, libtorch, tch_sum, sys_sum] in rows() {
        let place = place(libtorch);
        let committed = fs::read_to_string(place.path("Cargo.lock")).unwrap();
        let (code, out, err) = script(&place, &[("LIBTORCH", "given")]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains(&format!("libtorch {libtorch}: ")), "{out}");
        assert!(place.path(".libtorch/torch/include").exists());
        for folder in ["", "fuzz/"] {
            let lock = place.path(&format!(".libtorch/workspace/{folder}Cargo.lock"));
            let lock = fs::read_to_string(lock).unwrap();
            assert_eq!(locked(&lock, "tch"), [tch, tch_sum]);
            assert_eq!(locked(&lock, "torch-sys"), [tch, sys_sum]);
            assert!(place.path(&format!(".libtorch/workspace/{folder}Cargo.toml")).exists());
        }
        assert_eq!(fs::read_to_string(place.path("Cargo.lock")).unwrap(), committed);
        let here = fs::canonicalize(place.path(".libtorch/workspace")).unwrap()
            == fs::canonicalize(place.path("")).unwrap();
        assert_eq!(here, locked(&committed, "tch")[0] == tch, "{tch}");
        assert_eq!(out.contains("run cargo in .libtorch/workspace"), !here, "{out}");
        // Later commands need no variable.
        let again = script(&place, &[]);
        assert_eq!((again.0, again.1.contains(libtorch)), (0, true), "{again:?}");
    }
}

#[test]
fn another_libtorch_is_refused_with_those_that_work() {
    let place = place("2.10.1");
    let refusals = [
        (script(&place, &[("LIBTORCH", "given")]), "given is libtorch 2.10.1; these work: "),
        (
            script(&place, &[("LIBTORCH", "fuzz")]),
            "fuzz does not hold a libtorch that works here: ",
        ),
        (
            script(&place, &[("TCH", "0.9")]),
            "there is no libtorch for tch 0.9.0 here; these work: ",
        ),
        (
            script(&place, &[("LIBTORCH", "nowhere")]),
            "which is not a folder: correct it or unset it",
        ),
    ];
    for (index, ((code, _, err), words)) in refusals.into_iter().enumerate() {
        assert_eq!(code, 1);
        assert!(err.contains(words), "{err}");
        if index < 3 {
            for [tch, libtorch, ..] in rows() {
                assert!(err.contains(&format!("{libtorch} (tch {tch})")), "{err}");
            }
        }
    }
    assert!(!place.path(".libtorch").exists(), "nothing is changed");
}

#[test]
fn a_tch_chosen_by_hand_must_fit_the_given_libtorch() {
    let [first, .., last] = &rows()[..] else { panic!() };
    let place = place(last[1]);
    let (code, _, err) = script(&place, &[("LIBTORCH", "given"), ("TCH", first[0])]);
    assert_eq!(code, 1);
    assert!(err.contains(&format!("but tch {} needs {}", first[0], first[1])), "{err}");
    let short = last[0].strip_suffix(".0").unwrap();
    assert_eq!(script(&place, &[("LIBTORCH", "given"), ("TCH", short)]).0, 0);
}

#[test]
fn the_torch_of_python_is_found() {
    let place = place(rows()[0][1]);
    let python = place.path("bin/python3");
    fs::create_dir(place.path("bin")).unwrap();
    fs::write(&python, format!("#!/bin/sh\necho {}\n", place.path("given").display())).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let (code, out, _) = script(&place, &[("LIBTORCH_USE_PYTORCH", "1"), ("PATH", &path)]);
    assert_eq!(code, 0);
    assert!(out.contains(rows()[0][1]) && out.contains("given"), "{out}");
}
