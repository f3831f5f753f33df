//! Folders of images, one for each digit, as torchvision's [`ImageFolder`] and Keras's
//! [`image_dataset_from_directory`] take them → digits in MNIST's form, with labels.
//!
//! [`ImageFolder`]: https://docs.pytorch.org/vision/stable/generated/torchvision.datasets.ImageFolder.html
//! [`image_dataset_from_directory`]: https://keras.io/api/data_loading/image/

mod kept;
mod list;

use std::io::Cursor;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ::image::GrayImage;
use anyhow::{Error, Result, ensure};
use mnist_image::decode::{self, Budget, MAX_FILE_BYTES};
use mnist_image::{Digit, normalise};
use sha2::{Digest, Sha256};

use self::kept::{Hash, Kept};
pub use self::list::NONE;
use self::list::{Found, Listing, Side};
use super::idx::MAX_COUNT;
use super::{Labelled, Split};
use crate::SIDE;
use crate::files::input;

/// What there is in folders of images.
#[derive(Debug)]
pub struct Images {
    /// The digits; the order of each part is that of the SHA-256 of the images' files, so that its
    /// last share is as good as any.
    pub split: Split,
    /// Images that could not be read.
    pub bad: Vec<Error>,
    /// Folders and files that are none of a digit, each with the reason.
    pub passed_over: Vec<String>,
}

/// Whether `dir` has folders of digits.
pub fn is_of_images(dir: &Path) -> bool {
    list::is_of_images(dir)
}

/// Reads the images in `dir/train/DIGIT` and `dir/test/DIGIT`, or in `dir/DIGIT`, from which
/// `test_split` of the images, from 0 to 1, are taken to test on: those whose files' SHA-256 is
/// below that share of all that there can be. So an image stays where it is when others come.
///
/// Images are brought into MNIST's form as any image to be classified, but for those that are in
/// it.
/// `progress` is told by several threads how many of how many are done.
///
/// # Errors
///
/// If there are none that can be read, or too many, or a folder cannot be listed.
pub fn read(
    dir: &Path,
    test_split: f64,
    threads: NonZero<usize>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Images> {
    let Listing { images, passed_over } = list::list(dir)?;
    ensure!(
        images.len() <= MAX_COUNT,
        "the folder {} has {} images, more than the {MAX_COUNT} supported",
        dir.display(),
        images.len()
    );
    let kept = Kept::of(dir);
    let (mut seen, mut bad) = (Vec::with_capacity(images.len()), Vec::new());
    let read = all(&images, &kept, threads, progress);
    for (found, result) in images.into_iter().zip(read) {
        match result {
            Ok((hash, digit)) => seen.push((hash, digit, found)),
            Err(error) => {
                bad.push(error.context(format!("cannot read the image {}", found.path.display())))
            }
        }
    }
    ensure!(
        !seen.is_empty() || !bad.is_empty(),
        "there are no images of digits in {}; they are looked for in folders 0 to 9, or in those of \
         train and test, and are told by their extensions",
        dir.display()
    );
    kept.replace(seen.iter().map(|(hash, digit, _)| (*hash, *digit)).collect());
    seen.sort_unstable_by_key(|(hash, _, found)| (*hash, found.label));
    let mut split = Split::default();
    for (hash, digit, found) in seen {
        let side = found.side.unwrap_or(match is_to_test(&hash, test_split) {
            true => Side::Test,
            false => Side::Train,
        });
        let part = match side {
            Side::Train => &mut split.train,
            Side::Test => &mut split.test,
        };
        part.push(Labelled { digit, label: found.label });
    }
    Ok(Images { split, bad, passed_over })
}

/// Whether an image whose file has this hash is among the share of those to test on.
fn is_to_test(hash: &Hash, share: f64) -> bool {
    let at = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    (at as f64) < share * 2f64.powi(64)
}

/// Reads images on several threads; the results are in the order of the images.
fn all(
    images: &[Found],
    kept: &Kept,
    threads: NonZero<usize>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Result<(Hash, Digit)>> {
    let (budget, next, done) = (Budget::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        let mut results = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(found) = images.get(at)
        {
            results.push((at, one(&found.path, kept, &budget)));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
        }
        results
    };
    let mut results = thread::scope(|scope| {
        // Where no more threads can be started, fewer do as well.
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads.get().min(images.len())).map_while(start).collect();
        let mut results = work();
        for other in others {
            results.extend(other.join().expect("a panic while reading becomes an error"));
        }
        results
    });
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The digit in an image file, and the file's hash.
fn one(path: &Path, kept: &Kept, budget: &Budget) -> Result<(Hash, Digit)> {
    let read = || {
        let bytes = input::read_regular(path, MAX_FILE_BYTES)?;
        let hash = Sha256::digest(&bytes).into();
        if let Some(digit) = kept.get(&hash) {
            return Ok((hash, digit));
        }
        let decoded = decode::from_reader(Cursor::new(bytes), budget)?;
        let grey = decode::grey(&decoded.image);
        let digit = in_mnist_form(&grey).map_or_else(|| normalise(&grey), Ok)?;
        Ok((hash, digit))
    };
    input::contained(read)
}

/// How far the centre of mass may be from that of the image, in pixels: MNIST's own is rounded.
const OFF_CENTRE: f64 = 1.;
/// Pixels of the longer side of a digit in MNIST's form.
const LONGER_SIDE: usize = 20;

/// The image as it is, if it is in MNIST's form already: 28×28 pixels, of which those that are not
/// black measure 20 on the longer side, and have their centre of mass in the middle. Of MNIST's own
/// images, 9,997 in 10,000 are; EMNIST's, which are larger, are not.
fn in_mnist_form(grey: &GrayImage) -> Option<Digit> {
    if grey.dimensions() != (SIDE as u32, SIDE as u32) {
        return None;
    }
    let digit: Digit = grey.as_raw()[..].try_into().ok()?;
    let ink = digit.iter().enumerate().filter(|(_, ink)| **ink > 0);
    let places = ink.clone().map(|(at, _)| [at % SIDE, at / SIDE]);
    let total: f64 = ink.clone().map(|(_, ink)| f64::from(*ink)).sum();
    let mut longer = 0;
    for axis in [0, 1] {
        let (least, most) = places
            .clone()
            .map(|place| place[axis])
            .fold((SIDE, 0), |(a, b), at| (a.min(at), b.max(at)));
        let mass: f64 = ink
            .clone()
            .zip(places.clone())
            .map(|((_, ink), place)| f64::from(*ink) * place[axis] as f64)
            .sum();
        let is_centred = (mass / total - SIDE as f64 / 2.).abs() <= OFF_CENTRE;
        if !is_centred {
            return None;
        }
        longer = longer.max(most + 1 - least);
    }
    (longer == LONGER_SIDE).then_some(digit)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use flate2::read::GzDecoder;

    use super::*;

    /// MNIST's first test images.
    fn digits(count: usize) -> Vec<Digit> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/data/t10k-images-idx3-ubyte.gz");
        let mut bytes = vec![0; 16 + count * SIDE * SIDE];
        let mut file = GzDecoder::new(fs::File::open(file).unwrap());
        std::io::Read::read_exact(&mut file, &mut bytes).unwrap();
        bytes[16..].as_chunks().0.to_vec()
    }

    fn image(digit: &Digit) -> GrayImage {
        GrayImage::from_raw(SIDE as u32, SIDE as u32, digit.to_vec()).unwrap()
    }

    #[test]
    fn mnist_s_own_images_are_in_its_form_and_others_are_not() {
        let digits = digits(10_000);
        let own = digits.iter().filter(|digit| in_mnist_form(&image(digit)) == Some(**digit));
        assert_eq!(own.count(), 9_997);
        let shifted = |by: i64| {
            GrayImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
                let x = (i64::from(x) - by).clamp(0, SIDE as i64 - 1) as u32;
                *image(&digits[0]).get_pixel(x, y)
            })
        };
        assert!(in_mnist_form(&shifted(0)).is_some() && in_mnist_form(&shifted(2)).is_none());
        let mut dark = image(&digits[0]);
        image::imageops::invert(&mut dark);
        assert!(in_mnist_form(&dark).is_none());
        assert!(in_mnist_form(&GrayImage::new(SIDE as u32, SIDE as u32)).is_none());
        assert!(in_mnist_form(&GrayImage::new(20, 20)).is_none());
    }

    fn read_all(dir: &Path, test_split: f64) -> Images {
        read(dir, test_split, NonZero::new(2).unwrap(), &|_, _| {}).unwrap()
    }

    #[test]
    fn an_image_stays_in_its_part_when_others_are_added_and_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("7")).unwrap();
        let digits = digits(60);
        let save = |at: usize, name: String| {
            image(&digits[at]).save(folder.path().join("7").join(name)).unwrap();
        };
        (0..40).for_each(|at| save(at, format!("{at}.png")));
        let first = read_all(folder.path(), 0.25).split;
        assert_eq!(first.train.len() + first.test.len(), 40);
        assert!((4..=16).contains(&first.test.len()), "{}", first.test.len());
        assert_eq!(read_all(folder.path(), 0.25).split, first);
        assert!(read_all(folder.path(), 0.).split.test.is_empty());
        assert!(read_all(folder.path(), 1.).split.train.is_empty());
        for at in 0..40 {
            fs::remove_file(folder.path().join(format!("7/{at}.png"))).unwrap();
        }
        (0..60).for_each(|at| save(at, format!("a{}.png", 60 - at)));
        let second = read_all(folder.path(), 0.25).split;
        let within = |part: &[Labelled], of: &[Labelled]| part.iter().all(|one| of.contains(one));
        assert!(within(&first.train, &second.train) && within(&first.test, &second.test));
    }

    #[test]
    fn what_is_none_of_a_digit_is_named_and_what_cannot_be_read_is_an_error_each() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let digits = digits(4);
        for dir in ["train/0/more", "train/none", "train/10", "test/9", "letters"] {
            fs::create_dir_all(at(dir)).unwrap();
        }
        for (digit, name) in digits.iter().zip([
            "train/0/a.png",
            "train/0/more/b.png",
            "test/9/c.png",
            "train/none/d.png",
        ]) {
            image(digit).save(at(name)).unwrap();
        }
        fs::write(at("train/0/bad.png"), "no image").unwrap();
        fs::write(at("train/0/notes.txt"), "").unwrap();
        fs::write(at("train/0/.hidden.png"), "").unwrap();
        image(&digits[0]).save(at("loose.png")).unwrap();
        image(&digits[0]).save(at("train/loose.png")).unwrap();
        // A folder of a digit may be a link; what leads elsewhere within it is not followed.
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            fs::create_dir(at("elsewhere")).unwrap();
            image(&digits[3]).save(at("elsewhere/e.png")).unwrap();
            symlink("../elsewhere", at("test/8")).unwrap();
            symlink("..", at("elsewhere/round")).unwrap();
        }
        let images = read_all(folder.path(), 0.5);
        let labels = |part: &[Labelled]| part.iter().map(|one| one.label).collect::<Vec<_>>();
        assert_eq!(labels(&images.split.train), [0, 0]);
        let mut tests = labels(&images.split.test);
        tests.sort_unstable();
        assert_eq!(tests, if cfg!(unix) { &[8, 9][..] } else { &[9] });
        let bad: Vec<_> = images.bad.iter().map(|error| format!("{error:#}")).collect();
        assert!(bad.len() == 1 && bad[0].contains("bad.png: "), "{bad:?}");
        let passed_over = images.passed_over.join("\n");
        for what in [
            "none: it holds what is no digit",
            "10: its name is no digit",
            "letters: it is neither",
            &format!("{}: in it, 1 image(s) lie in no folder", folder.path().display()),
            "train: in it, 1 image(s) lie in no folder",
        ] {
            assert!(passed_over.contains(what), "{passed_over}");
        }
        assert!(passed_over.contains("1 file(s)"));
        assert_eq!(passed_over.contains("8/round: it is a link to a folder"), cfg!(unix));
        assert_eq!(images.passed_over.len(), if cfg!(unix) { 8 } else { 6 }, "{passed_over}");
        let empty = read(&at("letters"), 0.2, NonZero::<usize>::MIN, &|_, _| {}).unwrap_err();
        assert!(empty.to_string().starts_with("there are no images of digits in "), "{empty}");
    }
}
