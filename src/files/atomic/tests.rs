use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn error<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().unwrap())
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    for mode in [0o600, 0o640, 0o755] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        write_bytes(&path, mode.to_string()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        assert_eq!(fs::read_to_string(&path).unwrap(), mode.to_string());
    }
}

#[test]
fn a_read_only_file_is_refused_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    for refused in [prepare(&path), write_bytes(&path, "new")] {
        assert!(error(refused).contains("a.txt: it is read-only"));
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[test]
fn a_link_stays_and_one_to_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.txt"), "old").unwrap();
    symlink("a.txt", at("link")).unwrap();
    write_bytes(&at("link"), "new").unwrap();
    assert!(at("link").is_symlink());
    assert_eq!(fs::read_to_string(at("a.txt")).unwrap(), "new");
    symlink("missing", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    for refused in [prepare(&at("dangling")), write_bytes(&at("dangling"), "new")] {
        assert!(error(refused).contains("dangling: it is a link to a file that does not exist"));
    }
    assert!(prepare(&at("loop")).is_err());
    assert!(at("dangling").is_symlink() && !at("missing").exists());
}

#[test]
fn a_link_where_the_program_chose_the_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.txt"), "old").unwrap();
    symlink("a.txt", at("link")).unwrap();
    symlink("missing", at("dangling")).unwrap();
    for name in ["link", "dangling"] {
        assert!(error(refuse_link(&at(name))).ends_with("it is a link; delete it"));
    }
    for name in ["a.txt", "missing"] {
        refuse_link(&at(name)).unwrap();
    }
}

#[test]
fn names_that_are_too_long_are_noticed_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["a".repeat(256), format!("new/{}", "a".repeat(256)), "a/".repeat(3000) + "a"] {
        assert!(error(prepare(&at(&name))).contains("name too long"), "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    // What is just short enough can be written, though its temporary name would not be.
    for name in ["a".repeat(255), format!("a.{}", "b".repeat(253))] {
        prepare(&at(&name)).unwrap();
        write_bytes(&at(&name), "new").unwrap();
    }
}

#[test]
fn folders_are_made_and_anything_but_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    prepare(&at("new/folder/a.txt")).unwrap();
    assert_eq!(fs::read_dir(at("new/folder")).unwrap().count(), 0);
    assert!(error(prepare(&at("new"))).contains("it is a folder"));
    fs::write(at("file"), "").unwrap();
    for below in ["file/a.txt", "file/folder/a.txt"] {
        let refused = error(prepare(&at(below)));
        assert!(refused.ends_with("/file is a file; name another folder"), "{refused}");
    }
    let refused = error(prepare(Path::new("/proc/a.txt")));
    assert!(!refused.contains(PREFIX), "{refused}");
    symlink("/dev/null", at("device")).unwrap();
    assert!(error(write_bytes(&at("device"), "new")).contains("it is not a regular file"));
}

#[test]
fn a_folder_that_another_holds_is_waited_for_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let held = lock(&path, Duration::ZERO).unwrap();
    let error = lock(&path, Duration::from_millis(30)).unwrap_err().to_string();
    assert!(error.contains("has locked the folder"), "{error}");
    assert!(error.contains("; wait for it to finish"), "{error}");
    drop(held);
    assert!(lock(&path, Duration::ZERO).unwrap().is_some());
}
