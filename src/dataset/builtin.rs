//! The MNIST that is built into the program, unpacked once into a cache folder.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;

use crate::files::cache::Cache;
use crate::files::sha256_hex;

/// The four files: name, gzipped bytes, and the length and SHA-256 of the unpacked ones.
const FILES: [(&str, &[u8], u64, &str); 4] = [
    (
        "train-images-idx3-ubyte",
        include_bytes!("../../data/train-images-idx3-ubyte.gz"),
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    (
        "train-labels-idx1-ubyte",
        include_bytes!("../../data/train-labels-idx1-ubyte.gz"),
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    (
        "t10k-images-idx3-ubyte",
        include_bytes!("../../data/t10k-images-idx3-ubyte.gz"),
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    (
        "t10k-labels-idx1-ubyte",
        include_bytes!("../../data/t10k-labels-idx1-ubyte.gz"),
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
];

/// The folder that the built-in MNIST is kept in, unpacked and unharmed.
///
/// # Errors
///
/// If the system has no folder for such things, or not one that can be trusted and written to.
pub fn kept() -> Result<PathBuf> {
    let cache = Cache::of_user()?;
    unpack(&cache)?;
    Ok(cache.path().into())
}

/// Makes sure that `cache` holds the built-in MNIST, unpacked and unharmed. What lies there under
/// the names of its files and is not such a file is removed, and never followed.
pub(super) fn unpack(cache: &Cache) -> Result<()> {
    for (name, gzipped, length, sha256) in FILES {
        match cache.read(name, length) {
            Ok(bytes) if sha256_hex(&bytes) == sha256 => continue,
            Ok(_) => {}
            Err(_) => cache.remove(name)?,
        }
        let mut bytes = Vec::with_capacity(length as usize);
        GzDecoder::new(gzipped)
            .read_to_end(&mut bytes)
            .context("cannot unpack the built-in MNIST")?;
        ensure!(
            sha256_hex(&bytes) == sha256,
            "the built-in {name} is damaged; build the program again from a clean clone"
        );
        cache.write(name, &bytes)?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn unpack(folder: &Path) -> Result<()> {
        super::unpack(&Cache::open(folder)?)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_link_in_the_cache_is_replaced_and_never_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, precious) = (folder.path().join("new/cache"), folder.path().join("precious"));
        fs::write(&precious, "precious").unwrap();
        unpack(&cache).unwrap();
        assert_eq!(mode(&cache), 0o700);
        let [first, second, third] = [0, 1, 3].map(|at| cache.join(FILES[at].0));
        let bytes = fs::read(&second).unwrap();
        for path in [&first, &second, &third] {
            fs::remove_file(path).unwrap();
        }
        symlink(&precious, &first).unwrap();
        symlink(folder.path().join("nowhere"), &second).unwrap();
        symlink("/dev/null", &third).unwrap();
        unpack(&cache).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert!(!folder.path().join("nowhere").exists());
        assert_eq!(fs::read(&second).unwrap(), bytes);
        for path in [first, second, third] {
            assert!(fs::symlink_metadata(path).unwrap().is_file());
        }
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_closed_and_a_link_to_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let link = folder.path().join("link");
        symlink(&open, &link).unwrap();
        let error = format!("{:#}", unpack(&link).unwrap_err());
        assert!(error.contains("exist") || error.contains("not a folder"), "{error}");
        assert!((mode(&open), fs::read_dir(&open).unwrap().count()) == (0o777, 0));
        unpack(&open).unwrap();
        assert_eq!(mode(&open), 0o700);
    }
}
