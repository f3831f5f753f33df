//! Images as people have them, read right: made from MNIST's test digits, classified with the
//! released weights.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use crate::common::{Place, mnist_digits, mnist_images, mnist_labels, one, released};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageEncoder, ImageFormat, Luma, Rgba, RgbaImage};
use mnist_image::decode::{Budget, grey};
use mnist_image::{Digit, normalise};
use tch_mnist::network::classifier::Classifier;

/// The first digits of MNIST's test set that the released weights get right as they are, so that
/// what is lost is lost by the reading of images.
fn known(count: usize) -> Vec<(GrayImage, usize)> {
    let images = mnist_images(count);
    let predictions = released().predict(&mnist_digits(count)).unwrap();
    let right = images.into_iter().zip(mnist_labels(count)).zip(predictions);
    right
        .filter(|((_, label), prediction)| prediction.label == *label)
        .map(|((image, label), _)| (image, label))
        .collect()
}

/// The share of 200 digits, changed by `change`, that are still read right.
fn share(change: impl Fn(&GrayImage) -> GrayImage) -> f64 {
    let known = known(200);
    let digits: Vec<Digit> =
        known.iter().map(|(image, _)| normalise(&change(image)).unwrap()).collect();
    let predictions = released().predict(&digits).unwrap();
    let right = predictions.iter().zip(&known).filter(|(p, (_, label))| p.label == *label).count();
    right as f64 / known.len() as f64
}

#[track_caller]
fn assert_share(least: f64, change: impl Fn(&GrayImage) -> GrayImage) {
    let share = share(change);
    assert!(share >= least, "{share}");
}

fn enlarged(digit: &GrayImage, width: u32, height: u32) -> GrayImage {
    imageops::resize(digit, width, height, FilterType::CatmullRom)
}

/// Ink of this share of darkness on paper of brightness `paper(x, y)`.
fn on_paper(ink: &GrayImage, darkness: f32, paper: impl Fn(u32, u32) -> f32) -> GrayImage {
    GrayImage::from_fn(ink.width(), ink.height(), |x, y| {
        let ink = f32::from(ink.get_pixel(x, y).0[0]) / 255.;
        Luma([(paper(x, y) * (1. - darkness * ink)).round() as u8])
    })
}

/// Grain that is the same in every run.
fn grain(x: u32, y: u32) -> f32 {
    let mixed =
        (x.wrapping_mul(374_761_393) ^ y.wrapping_mul(668_265_263)).wrapping_mul(1_274_126_177);
    (mixed >> 16 & 255) as f32 / 255. - 0.5
}

#[test]
fn dark_on_light_is_read_at_any_size() {
    for side in [28, 64, 150, 700] {
        assert_share(0.97, |digit| {
            let mut image = enlarged(digit, side, side);
            imageops::invert(&mut image);
            image
        });
    }
}

#[test]
fn light_on_dark_off_the_centre_of_a_wide_image_is_read() {
    assert_share(0.97, |digit| {
        let mut image = GrayImage::from_pixel(400, 150, Luma([40]));
        let lit = on_paper(&enlarged(digit, 100, 100), -4., |_, _| 40.);
        imageops::replace(&mut image, &lit, 270, 10);
        image
    });
}

#[test]
fn faint_pencil_on_grainy_paper_in_uneven_light_is_read() {
    assert_share(0.95, |digit| {
        on_paper(&enlarged(digit, 180, 180), 0.45, |x, y| {
            70. + 0.35 * x as f32 + 0.15 * y as f32 + 8. * grain(x, y)
        })
    });
}

#[test]
fn a_neighbour_cut_off_by_the_edge_and_specks_are_ignored() {
    assert_share(0.95, |digit| {
        let mut ink = GrayImage::new(200, 200);
        imageops::overlay(&mut ink, &enlarged(digit, 140, 140), 30, 30);
        imageops::replace(&mut ink, &enlarged(digit, 100, 100), 170, 60);
        for (x, y) in [(12, 20), (100, 8), (25, 180)] {
            ink.put_pixel(x, y, Luma([255]));
            ink.put_pixel(x + 1, y, Luma([255]));
        }
        on_paper(&ink, 0.8, |_, _| 230.)
    });
}

#[test]
fn a_fine_pen_on_a_large_sheet_does_not_fade() {
    let digit = |half: u32| {
        let image = GrayImage::from_fn(400, 400, |x, y| {
            let ring = ((x as f32 - 200.).hypot(y as f32 - 200.) - 150.).abs() <= half as f32;
            Luma([if ring { 20 } else { 240 }])
        });
        normalise(&image).unwrap()
    };
    let ink = |digit: &Digit| digit.iter().map(|&ink| u32::from(ink)).sum::<u32>();
    let (fine, broad) = (digit(1), digit(14));
    assert!(f64::from(ink(&fine)) > 0.6 * f64::from(ink(&broad)));
    let predictions = released().predict(&[fine, broad]).unwrap();
    assert_eq!((predictions[0].label, predictions[1].label), (0, 0));
}

#[test]
fn a_detached_stroke_belongs_to_its_digit() {
    // The top of the 5 stands apart from its body.
    let mut five = GrayImage::from_pixel(120, 160, Luma([235]));
    let mut line = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
        for y in y {
            x.clone().for_each(|x| five.put_pixel(x, y, Luma([30])));
        }
    };
    line(42..90, 24..32);
    line(32..40, 42..80);
    line(40..80, 74..82);
    line(80..88, 80..124);
    line(34..80, 122..130);
    let digit = normalise(&five).unwrap();
    let inked: Vec<bool> = digit.chunks(28).map(|row| row.iter().any(|&ink| ink > 127)).collect();
    let top = inked.iter().position(|inked| *inked).unwrap();
    let bottom = inked.iter().rposition(|inked| *inked).unwrap();
    assert_eq!(bottom - top, 19, "with the top the digit is 20 rows high");
    let gap = inked[top..bottom].iter().filter(|inked| !**inked).count();
    assert!(gap > 0, "the gap is there still");
    let prediction = &released().predict(&[digit]).unwrap()[0];
    assert_eq!(prediction.label, 5);
}

#[test]
fn mnist_form_matches_mnist_to_the_pixel() {
    // A bar of 10×40 is fitted to 5×20, its centre of mass put at pixel (14, 14) as MNIST counts.
    let mut bar = GrayImage::new(100, 100);
    for y in 50..90 {
        for x in 15..25 {
            bar.put_pixel(x, y, Luma([255]));
        }
    }
    let expected: Digit = std::array::from_fn(|index| {
        let (x, y) = (index % 28, index / 28);
        if (12..17).contains(&x) && (5..25).contains(&y) { 255 } else { 0 }
    });
    assert_eq!(normalise(&bar).unwrap(), expected);
}

#[test]
fn nothing_written_is_an_error() {
    let noise = GrayImage::from_fn(90, 90, |x, y| Luma([(128. + 12. * grain(x, y)) as u8]));
    for (blank, what) in [
        (GrayImage::from_pixel(64, 64, Luma([255])), "white"),
        (GrayImage::from_pixel(64, 64, Luma([0])), "black"),
        (GrayImage::from_pixel(1, 1, Luma([99])), "one pixel"),
        (noise, "noise"),
    ] {
        let error = normalise(&blank).expect_err(what);
        assert!(error.to_string().contains("blank"), "{error}");
    }
    // Odd shapes are no reason to fail.
    for (width, height) in [(1, 5000), (5000, 1), (2, 2), (3, 1)] {
        let mut odd = GrayImage::from_pixel(width, height, Luma([255]));
        odd.put_pixel(width / 2, height / 2, Luma([0]));
        let _ = normalise(&odd);
    }
}

#[test]
fn every_format_is_recognised_by_its_content() {
    let place = Place::new();
    let image = DynamicImage::from(one(60, 90));
    for (format, name) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Jpeg, "jpeg"),
        (ImageFormat::Bmp, "bmp"),
        (ImageFormat::Gif, "gif"),
        (ImageFormat::WebP, "webp"),
        (ImageFormat::Tiff, "tiff"),
        (ImageFormat::Pnm, "pgm"),
    ] {
        let path = place.path(name).with_extension("png"); // a wrong extension for most
        match format {
            ImageFormat::Gif | ImageFormat::WebP => {
                image.to_rgba8().save_with_format(&path, format)
            }
            _ => image.save_with_format(&path, format),
        }
        .unwrap();
        assert_one(&path);
    }
    for (name, image) in [
        ("luma16", DynamicImage::from(image.to_luma16())),
        ("luma_alpha", image.to_luma_alpha8().into()),
        ("rgb16", image.to_rgb16().into()),
        ("rgba16", image.to_rgba16().into()),
    ] {
        let path = place.path(name).with_extension("png");
        image.save(&path).unwrap();
        assert_one(&path);
    }
}

fn read(path: &Path) -> anyhow::Result<Digit> {
    tch_mnist::files::image::read_digit(path, &Budget::default())
}

#[track_caller]
fn assert_one(path: &Path) {
    let digit = read(path).unwrap_or_else(|error| panic!("{error:#}"));
    let prediction = &released().predict(&[digit]).unwrap()[0];
    assert_eq!(prediction.label, 1, "{}", path.display());
}

#[test]
fn transparent_parts_are_white_paper() {
    let place = Place::new();
    let ink = one(60, 90);
    // Transparent black paper: without the alpha all of it would be black.
    let image = RgbaImage::from_fn(60, 90, |x, y| {
        let written = ink.get_pixel(x, y).0[0] < 100;
        Rgba([0, 0, 0, if written { 255 } else { 0 }])
    });
    image.save(place.path("alpha.png")).unwrap();
    assert_one(&place.path("alpha.png"));
    let budget = Budget::default();
    let decoded = tch_mnist::files::image::open(&place.path("alpha.png"), &budget).unwrap();
    let grey = grey(&decoded.image);
    assert_eq!((grey.get_pixel(0, 0).0[0], grey.get_pixel(30, 45).0[0]), (255, 0));
}

#[test]
fn exif_orientation_is_applied() {
    let place = Place::new();
    // A 7 upside down, with the note that it is to be turned by 180°.
    let (seven, _) = known(200).into_iter().find(|(_, label)| *label == 7).unwrap();
    let mut image = enlarged(&seven, 112, 112);
    imageops::invert(&mut image);
    imageops::rotate180_in_place(&mut image);
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0".to_vec();
    for (note, path) in [(3, "turned.jpg"), (1, "upright.jpg")] {
        exif[18] = note;
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
        encoder.set_exif_metadata(exif.clone()).unwrap();
        encoder.write_image(&image, 112, 112, image::ExtendedColorType::L8).unwrap();
        fs::write(place.path(path), bytes.into_inner()).unwrap();
    }
    let turned = read(&place.path("turned.jpg")).unwrap();
    let upright = read(&place.path("upright.jpg")).unwrap();
    let predictions = released().predict(&[turned, upright]).unwrap();
    assert_eq!(predictions[0].label, 7);
    assert_ne!(turned, upright);
}

#[test]
fn an_image_too_large_is_refused_before_it_is_decoded() {
    let place = Place::new();
    // A BMP header that claims 60,000 × 60,000 pixels, and nothing behind it.
    let mut bytes = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend(60_000u32.to_le_bytes().repeat(2));
    bytes.extend(b"\x01\0\x18\0");
    bytes.resize(54, 0);
    fs::write(place.path("huge.bmp"), bytes).unwrap();
    let error = format!("{:#}", read(&place.path("huge.bmp")).unwrap_err());
    assert!(error.contains("huge.bmp") && error.contains("60000×60000"), "{error}");
}

#[test]
fn of_several_digits_the_one_in_the_middle_is_meant() {
    assert_share(0.95, |digit| {
        let mut ink = GrayImage::new(330, 200);
        imageops::overlay(&mut ink, &enlarged(digit, 120, 120), 105, 40);
        // A whole neighbour, bolder than most, on either side.
        for x in [20, 270] {
            imageops::replace(&mut ink, &GrayImage::from_pixel(14, 120, Luma([255])), x, 35);
        }
        on_paper(&ink, 0.8, |_, _| 230.)
    });
}
