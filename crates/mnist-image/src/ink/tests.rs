//! Ink on drawn pages of all lights.

use image::Luma;
use imageproc::integral_image::integral_image;

use super::*;
use crate::noise;

#[test]
fn sums_are_those_of_imageproc() {
    for (width, height) in [(1, 1), (40, 1), (61, 47)] {
        let image = noise(width, height);
        assert_eq!(integral(&image), *integral_image::<_, u32>(&image).as_raw());
    }
}

/// A page of brightness `paper(x, y)` with bars, and gaps twice as wide between them.
fn page(side: u32, bar: u32, ink: f32, paper: impl Fn(u32, u32) -> f32) -> GrayImage {
    GrayImage::from_fn(side, side, |x, y| {
        let inside = |at: u32| (side / 5..side * 4 / 5).contains(&at);
        let written = inside(x) && inside(y) && (x / bar).is_multiple_of(3);
        Luma([(paper(x, y) * if written { ink } else { 1. }) as u8])
    })
}

/// The share of pixels that are binarised as they were drawn.
fn share(grey: &GrayImage, bar: u32) -> f64 {
    let ink = ink(grey);
    let mask = binarise(&ink, Levels::of(&ink).unwrap().threshold);
    let drawn = page(grey.width(), bar, 0., |_, _| 255.);
    let right = mask.iter().zip(drawn.iter()).filter(|(a, b)| (**a > 0) != (**b > 0));
    right.count() as f64 / mask.len() as f64
}

#[test]
fn shadows_and_dark_corners_are_background() {
    let corners =
        |x: u32, y: u32| 230. - 150. * ((x as f32 - 450.).hypot(y as f32 - 450.) / 640.).powi(2);
    let shadow = |x: u32, y: u32| if x + y > 900 { 110. } else { 220. };
    assert!(share(&page(900, 6, 0.5, corners), 6) > 0.99);
    assert!(share(&page(900, 6, 0.5, shadow), 6) > 0.98);
}

#[test]
fn a_bold_stroke_on_a_small_image_is_ink() {
    for (side, bar) in [(28, 4), (60, 9), (400, 60)] {
        assert!(share(&page(side, bar, 0.2, |_, _| 200.), bar) > 0.95, "{side}");
    }
}

#[test]
fn light_on_dark_is_inverted_and_a_dim_page_is_not() {
    for side in [28, 300] {
        let dark = page(side, side / 12, 0.3, |_, _| 90.);
        assert!(!is_light_on_dark(&dark));
        let mut chalk = page(side, side / 12, 0.3, |_, _| 200.);
        imageops::invert(&mut chalk);
        assert!(is_light_on_dark(&chalk));
        assert!(share(&chalk, side / 12) > 0.95);
    }
    // A lamp's glow on a dark wall is not light writing.
    let lamp = |x: u32, y: u32| 120. / (1. + (x as f32 - 80.).hypot(y as f32 - 80.) / 100.);
    assert!(!is_light_on_dark(&page(160, 2, 0.4, lamp)));
}

#[test]
fn a_closing_takes_the_extremes_of_its_windows() {
    let all = |image: &GrayImage, radius: u32, choose: fn(u8, u8) -> u8| {
        GrayImage::from_fn(image.width(), image.height(), |x, y| {
            let near = image.enumerate_pixels().filter(|(other_x, other_y, _)| {
                other_x.abs_diff(x) <= radius && other_y.abs_diff(y) <= radius
            });
            Luma([near.map(|(.., pixel)| pixel.0[0]).reduce(choose).unwrap()])
        })
    };
    for (width, height) in [(1, 1), (3, 17), (40, 9), (33, 32)] {
        let image = noise(width, height);
        for radius in [0, 1, 2, 6, 12] {
            let expected = all(&all(&image, radius, u8::max), radius, u8::min);
            assert_eq!(closing(&image, radius), expected, "{width}×{height}, {radius}");
        }
    }
    assert!(closing(&GrayImage::new(0, 5), 3).is_empty());
}

#[test]
fn blank_paper_has_no_levels() {
    let even = GrayImage::from_pixel(50, 50, Luma([180]));
    assert_eq!(Levels::of(&ink(&even)), None);
}

#[test]
fn the_level_is_between_the_two_classes() {
    let mut histogram = [0; 256];
    (histogram[10], histogram[12], histogram[200]) = (4_000_000_000, 9, 300_000_000);
    assert!((12..200).contains(&otsu(&histogram)));
}
