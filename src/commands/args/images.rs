//! Which images to look at.

use std::fs;
use std::io::{self, BufReader};
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files::image::is_image;
use crate::files::paths::{self, LIST};

/// Whether `images` names one image and no list or folder of them.
pub fn is_one(images: &[PathBuf]) -> bool {
    matches!(images, [path] if path.as_os_str() != LIST && !path.is_dir())
}

/// The paths given, with those on standard input where `-` is, and a folder's images in its place.
pub fn all(images: Vec<PathBuf>) -> impl Iterator<Item = Result<PathBuf>> + Send {
    images.into_iter().flat_map(|path| {
        let found: Box<dyn Iterator<Item = Result<PathBuf>> + Send> = if path.as_os_str() == LIST {
            Box::new(paths::lines(BufReader::new(io::stdin())).map(|path| {
                path.context(
                    "cannot read standard input, where `-` expects a path per line \
                     (for an image itself, use /dev/stdin)",
                )
            }))
        } else if path.is_dir() {
            match in_folder(&path) {
                Ok(found) => Box::new(found.into_iter().map(Ok)),
                Err(error) => Box::new(iter::once(Err(error))),
            }
        } else {
            Box::new(iter::once(Ok(path)))
        };
        found
    })
}

/// The images that lie in `folder` itself, by name.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut found =
        list().with_context(|| format!("cannot list the folder {}", folder.display()))?;
    found.retain(|path| is_image(path) && !path.is_dir());
    ensure!(
        !found.is_empty(),
        "there are no images in the folder {}; they are told by their extensions, and folders \
         within it are not searched",
        folder.display()
    );
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stands_for_the_images_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b.JPG", "a.png", "c.txt", ".hidden.png", "d.avif", "none"] {
            fs::write(at(name), "").unwrap();
        }
        fs::create_dir(at("e.png")).unwrap();
        let given = [folder.path().into(), "f".into()];
        let found: Vec<_> = all(given.to_vec()).map(Result::unwrap).collect();
        assert_eq!(found, [at("a.png"), at("b.JPG"), "f".into()]);
        let error = all(vec![at("e.png")]).next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("there are no images in the folder "), "{error}");
        assert!(is_one(&given[1..]) && !is_one(&given[..1]) && !is_one(&given));
        assert!(!is_one(&[LIST.into()]));
    }
}
