//! Pictures of single digits → 28×28 grey bytes as MNIST has them.
//!
//! MNIST's recipe (<http://yann.lecun.com/exdb/mnist/>): the digit is fitted into a box of 20×20
//! with its aspect kept, anti-aliased, and its centre of mass is put at the centre of 28×28.

use std::array;
use std::io::{BufRead, Seek, SeekFrom};
use std::sync::{Condvar, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageDecoder, ImageFormat, ImageReader, Limits, Luma,
    Rgb, RgbImage, Rgba,
};
use imageproc::contrast::{ThresholdType, otsu_level, threshold};
use imageproc::distance_transform::{Norm, distance_transform};
use imageproc::filter::gaussian_blur_f32;
use imageproc::morphology::{Mask, dilate, grayscale_close, grayscale_dilate};
use imageproc::region_labelling::{Connectivity, connected_components};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::{PIXELS, SIDE};

const ENDS_EARLY: &str = "it ends early; get the whole of it again";

/// A digit as the network sees it: rows of 28 pixels, 0 for paper to 255 for full ink.
pub type Digit = [u8; PIXELS];

/// Pictures of more pixels are refused: decoded, they would take over 400 MB.
pub const MAX_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 50_000_000 };
/// So many pixels in 16-bit RGBA: files, and what decoders take, may not be larger.
pub const MAX_BYTES: u64 = MAX_PIXELS * 8;

/// Longest side, in pixels, at which a digit is looked for; larger pictures are shrunk to it.
const WORKING_SIDE: u32 = 512;
/// Longest side, in pixels, that MNIST's recipe gives a digit.
const BOX: u32 = 20;
/// Grey levels that ink must stand out from paper.
const MIN_CONTRAST: f32 = 16.;

const DAMAGED: &str =
    "it is damaged, or of a rare kind; get it again, or save it in another format";
const BLANK: &str = "it is blank: nothing stands out from the background";

/// Decodes a picture, upright by its EXIF orientation. One that is not all there is refused.
pub fn from_reader(reader: impl BufRead + Seek) -> Result<DynamicImage> {
    Ok(from_reader_reserved(reader)?.0)
}

pub fn from_reader_reserved(reader: impl BufRead + Seek) -> Result<(DynamicImage, Reserved)> {
    let reader = ImageReader::new(reader).with_guessed_format()?;
    let (mut picture, orientation, reserved) = match reader.format() {
        Some(ImageFormat::Jpeg) => jpeg(reader.into_inner())?,
        Some(_) => other_than_jpeg(reader)?,
        None => bail!("it is no PNG, JPEG, BMP, GIF, WebP, TIFF or PNM picture"),
    };
    picture.apply_orientation(orientation);
    Ok((picture, reserved))
}

type Decoded = (DynamicImage, Orientation, Reserved);

fn other_than_jpeg<R: BufRead + Seek>(mut reader: ImageReader<R>) -> Result<Decoded> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().context(DAMAGED)?;
    let pixels = check_size(decoder.dimensions())?;
    let reserved = DECODED.reserve(pixels);
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).context(DAMAGED)?, orientation, reserved))
}

/// The decoder of [`image`] fills up with grey what is missing of a JPEG.
fn jpeg(mut reader: impl BufRead + Seek) -> Result<Decoded> {
    let length = reader.seek(SeekFrom::End(0))?;
    ensure!(length <= 2 * MAX_PIXELS, "it has {length} bytes, more than a JPEG needs");
    let _reserved = BYTES.reserve(length.min(MAX_PIXELS));
    reader.rewind()?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let (end, after) = end_of_jpeg(&bytes).context(ENDS_EARLY)?;
    let after =
        after.context("it keeps its colours apart, which is rare; save it again, as a PNG")?;
    bytes.truncate(end);
    bytes.extend(after);
    // What surrounds the pixels may be odd, but not they.
    let options = |strict: bool| {
        let side = usize::from(u16::MAX);
        let options = DecoderOptions::default().set_strict_mode(strict);
        options.set_max_width(side).set_max_height(side)
    };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), options(false));
    decoder.decode_headers().context(DAMAGED)?;
    let (width, height) = decoder.dimensions().context("it has no size")?;
    let (width, height) = (width as u32, height as u32);
    let pixels = check_size((width, height))?;
    let reserved = DECODED.reserve(pixels);
    let color = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    decoder.set_options(options(true).jpeg_set_out_colorspace(color));
    let pixels = decoder.decode().context(DAMAGED)?;
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let picture = match color {
        ColorSpace::Luma => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let picture = picture.context("it has not as many pixels as it says")?;
    Ok((picture, orientation.unwrap_or(Orientation::NoTransforms), reserved))
}

/// Where in a JPEG its last scan ends, and what to put there for the decoder; nothing if
/// something is missing, or the decoder would get the colours wrong.
///
/// The decoder takes the end of the file for that of the last scan, however early it comes. If there
/// is none, or some marker that it does not know comes first, it notices; but it reads ahead by up to
/// 8 bytes.
///
/// Format: <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B.
fn end_of_jpeg(bytes: &[u8]) -> Option<(usize, Option<&'static [u8]>)> {
    let (mut at, mut end, mut in_scan, mut scans) = (2, 0, false, 0);
    let (mut progressive, mut restarts) = (false, false);
    // The components, and which coefficients of each are there to the last bit.
    let (mut components, mut whole) = (Vec::new(), [0u64; 256]);
    loop {
        // Neither a pixel's FF, nor padding, nor a restart within a scan.
        let is_marker =
            |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0 | 1 | 0xd0..=0xd8 | 0xff);
        at += bytes.get(at..)?.windows(2).position(is_marker)?;
        let marker = bytes[at + 1];
        if in_scan {
            end = at;
        }
        if marker == 0xd9 {
            break;
        }
        in_scan = marker == 0xda;
        let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
        let segment = bytes.get(at + 4..at + 2 + length)?;
        match marker {
            0xc0..=0xc2 => {
                progressive = marker == 0xc2;
                components = segment.get(6..)?.iter().step_by(3).copied().collect();
            }
            0xdd => restarts = segment != [0, 0],
            0xda => {
                scans += 1;
                let (ids, band) = segment.get(1..)?.split_last_chunk::<3>()?;
                if let [first @ 0..64, last @ 0..64, bits] = *band
                    && bits % 16 == 0
                    && first <= last
                {
                    let coefficients = u64::MAX << first & u64::MAX >> (63 - last);
                    ids.iter().step_by(2).for_each(|id| whole[usize::from(*id)] |= coefficients);
                }
            }
            _ => {}
        }
        at += 2 + length;
    }
    let after = match (progressive, restarts) {
        (false, _) => (scans == 1).then_some(&[0; 8][..]),
        (true, false) => Some(&b"\0\0\0\0\0\0\0\0\xff\x02\0\x02\xff\xd9"[..]),
        // Where a restart may be due, an unknown marker is none.
        (true, true) => {
            Some(&b"\0\0\0\0\0\0\0\0\xff\xd0\0\0\0\0\0\0\0\0\xff\x02\0\x02\xff\xd9"[..])
        }
    };
    components.iter().all(|id| whole[usize::from(*id)] == u64::MAX).then_some((end, after))
}

/// The number of pixels, if they are not too many.
fn check_size((width, height): (u32, u32)) -> Result<u64> {
    let pixels = u64::from(width) * u64::from(height);
    ensure!(
        pixels <= MAX_PIXELS,
        "it has {width}×{height} pixels, more than the {MAX_PIXELS} supported; make it smaller"
    );
    ensure!(pixels > 0, "it has no pixels");
    Ok(pixels)
}

/// Of what all threads have at work: no more than `MAX_PIXELS`, so that memory does not depend on how
/// many threads there are.
struct InWork(Mutex<u64>, Condvar);

/// Pixels that [`read`] has decoded.
static DECODED: InWork = InWork(Mutex::new(0), Condvar::new());
/// Bytes of JPEGs, which are held while they are decoded; whoever waits for these holds no pixels.
static BYTES: InWork = InWork(Mutex::new(0), Condvar::new());

pub struct Reserved(&'static InWork, u64);

impl InWork {
    /// Waits until there is room for so much more.
    fn reserve(&'static self, amount: u64) -> Reserved {
        let in_work = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |in_work: &mut u64| *in_work + amount > MAX_PIXELS;
        let mut in_work = self.1.wait_while(in_work, full).unwrap_or_else(PoisonError::into_inner);
        *in_work += amount;
        Reserved(self, amount)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) -= self.1;
        self.0.1.notify_all();
    }
}

/// The picture in grey, with transparent parts white.
pub fn grey(picture: &DynamicImage) -> GrayImage {
    match picture.color().has_alpha() {
        true => DynamicImage::from(on_white(picture)).into_luma8(),
        false => picture.to_luma8(),
    }
}

/// The picture in colour, with transparent parts white.
pub fn on_white(picture: &DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let picture = picture.to_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let Rgba([r, g, b, alpha]) = *picture.get_pixel(x, y);
        let mix = |color: u8| 255. + (f32::from(color) - 255.) * f32::from(alpha) / 255.;
        Rgb([r, g, b].map(|color| mix(color).round() as u8))
    })
}

/// Brings the digit in a grey picture into MNIST's form.
///
/// Fails when nothing in the picture stands out from its background.
pub fn normalise(grey: &GrayImage) -> Result<Digit> {
    let longest = grey.width().max(grey.height());
    ensure!(longest > 0, "it has no pixels");
    let ink = if longest > WORKING_SIDE {
        let side = |side: u32| {
            ((u64::from(side) * u64::from(WORKING_SIDE) / u64::from(longest)) as u32).max(1)
        };
        ink(&imageops::thumbnail(grey, side(grey.width()), side(grey.height())))?
    } else {
        ink(grey)?
    };
    digit(&isolate(&ink)?).context(BLANK)
}

/// MNIST's recipe for the ink of one digit; nothing where there is no ink.
pub(crate) fn digit(ink: &GrayImage) -> Option<Digit> {
    Some(centre(&fit(ink)?))
}

/// How much darker than the paper each pixel is, 0 to 255; light on dark is turned round first.
fn ink(grey: &GrayImage) -> Result<GrayImage> {
    let (low, high) = grey.iter().fold((255, 0), |(low, high), &g| (g.min(low), g.max(high)));
    ensure!(f32::from(high - low) >= MIN_CONTRAST, "{BLANK}");
    let (width, height) = grey.dimensions();
    let mut edge: Vec<u8> = grey
        .enumerate_pixels()
        .filter(|(x, y, _)| *x == 0 || *y == 0 || x + 1 == width || y + 1 == height)
        .map(|(.., grey)| grey.0[0])
        .collect();
    edge.sort_unstable();
    let quantile = |part: usize| edge[(edge.len() - 1) * part / 10];

    let mut paper_like = grey.clone();
    let (mut paper, spread) = (quantile(5), quantile(9) - quantile(1));
    if paper <= otsu_level(grey) {
        imageops::invert(&mut paper_like);
        paper = 255 - paper;
    }
    // An even background is taken as it is: small drawings have no room to estimate one.
    let paper = match spread > 8 {
        true => background(&paper_like),
        false => GrayImage::from_pixel(width, height, Luma([paper])),
    };
    Ok(darker(&paper_like, &paper))
}

/// How much darker than `paper` each pixel is, 0 to 255.
pub(crate) fn darker(grey: &GrayImage, paper: &GrayImage) -> GrayImage {
    let mut ink = grey.clone();
    for (ink, paper) in ink.iter_mut().zip(paper.iter()) {
        let share = f32::from(*ink) / f32::from((*paper).max(1));
        *ink = (255. * (1. - share) + 0.5) as u8; // below 0 becomes 0
    }
    ink
}

/// The paper without what is written on it, by a grey closing wider than any stroke.
fn background(grey: &GrayImage) -> GrayImage {
    let (width, height) = grey.dimensions();
    let shrink = width.max(height).div_ceil(64);
    let small = imageops::thumbnail(grey, width.div_ceil(shrink), height.div_ceil(shrink));
    let radius = (small.width().max(small.height()) / 8) as u8;
    let closed = grayscale_close(&small, &Mask::square(radius));
    let smooth = gaussian_blur_f32(&closed, f32::from(radius).max(1.) / 2.);
    imageops::resize(&smooth, width, height, FilterType::Triangle)
}

/// White where there is more ink than `level`, else black.
pub(crate) fn binary(ink: &GrayImage, level: u8) -> GrayImage {
    threshold(ink, level, ThresholdType::Binary)
}

/// A connected part of the ink.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub pixels: u32,
    /// Sum of the ink.
    pub weight: f32,
    pub left: u32,
    pub top: u32,
    pub right: u32,
    pub bottom: u32,
}

impl Part {
    /// Free pixels between the boxes of two parts, on the axis where they are farther apart.
    pub fn gap(&self, other: &Part) -> u32 {
        let across = self.left.max(other.left).saturating_sub(self.right.min(other.right));
        let down = self.top.max(other.top).saturating_sub(self.bottom.min(other.bottom));
        across.max(down)
    }

    pub fn width(&self) -> u32 {
        self.right - self.left + 1
    }

    pub fn height(&self) -> u32 {
        self.bottom - self.top + 1
    }

    pub fn size(&self) -> u32 {
        self.width().max(self.height())
    }

    /// Whether it reaches the edge of a picture of this size.
    pub fn is_cut_off(&self, (width, height): (u32, u32)) -> bool {
        self.left == 0 || self.top == 0 || self.right + 1 == width || self.bottom + 1 == height
    }

    pub fn union(&self, other: &Part) -> Part {
        Part {
            pixels: self.pixels + other.pixels,
            weight: self.weight + other.weight,
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// The parts of a labelled picture in the order of their labels, 1 first, as far as they are in
/// `mask`; one that has no pixel there has 0 of them.
pub(crate) fn parts(
    labels: &ImageBuffer<Luma<u32>, Vec<u32>>,
    mask: &GrayImage,
    ink: &GrayImage,
) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for (x, y, &Luma([label])) in labels.enumerate_pixels() {
        if label == 0 {
            continue;
        }
        let empty = Part { pixels: 0, weight: 0., left: x, top: y, right: x, bottom: y };
        let index = label as usize - 1;
        if parts.len() <= index {
            parts.resize(index + 1, empty.clone());
        }
        if mask.get_pixel(x, y).0[0] == 0 {
            continue;
        }
        let pixel = Part { pixels: 1, weight: f32::from(ink.get_pixel(x, y).0[0]), ..empty };
        let part = &mut parts[index];
        *part = if part.pixels == 0 { pixel } else { part.union(&pixel) };
    }
    parts
}

/// The ink of the digit alone, from 0 to 255: without specks, neighbours cut off by the picture's
/// edge, and the paper's grain. One digit's several strokes stay together.
fn isolate(ink: &GrayImage) -> Result<GrayImage> {
    let (width, height) = ink.dimensions();
    let longest = width.max(height);
    let near = (longest / 100) as u8;
    let smooth = match longest {
        0..=128 => ink.clone(),
        _ => gaussian_blur_f32(ink, longest as f32 / 400.),
    };
    let mask = binary(&smooth, otsu_level(&smooth));
    // Closes the gaps of broken strokes. Most pictures are too small to need it.
    let joined = if near > 0 { dilate(&mask, Norm::LInf, near) } else { mask.clone() };
    let labels = connected_components(&joined, Connectivity::Eight, Luma([0]));

    let parts = parts(&labels, &mask, &smooth);
    let cut_off = |part: &Part| part.is_cut_off((width, height));
    // What is meant is whole and near the middle: neighbours may be in the picture, too.
    let score = |part: &Part| {
        let off = |from: u32, to: u32, side: u32| (from + to + 1) as f32 / side as f32 - 1.;
        let aside = off(part.left, part.right, width).hypot(off(part.top, part.bottom, height));
        part.weight / if cut_off(part) { 4. } else { 1. } / (1. + 2. * aside.powi(2))
    };
    let main = parts
        .iter()
        .max_by(|a, b| score(a).total_cmp(&score(b)))
        .filter(|part| part.pixels > 0)
        .context(BLANK)?;
    let belongs: Vec<bool> = parts
        .iter()
        .map(|part| {
            part.pixels * 50 >= main.pixels
                && part.gap(main) * 4 <= main.size()
                && (cut_off(main) || !cut_off(part))
        })
        .collect();

    // Soft edges lie outside the mask.
    let around = near.max(2);
    let kept = GrayImage::from_fn(width, height, |x, y| {
        let label = labels.get_pixel(x, y).0[0] as usize;
        Luma([if label > 0 && belongs[label - 1] { 255 } else { 0 }])
    });
    let all = dilate(&joined, Norm::LInf, around);
    let kept = if kept == joined { all.clone() } else { dilate(&kept, Norm::LInf, around) };
    let grain: Vec<f32> = ink
        .iter()
        .zip(all.iter())
        .filter(|(_, written)| **written == 0)
        .map(|(&ink, _)| f32::from(ink))
        .collect();
    let mut strokes: Vec<u8> = smooth
        .iter()
        .zip(mask.iter())
        .filter(|(_, stroke)| **stroke > 0)
        .map(|(&ink, _)| ink)
        .collect();
    strokes.sort_unstable();
    let (mean, deviation) = mean_and_deviation(&grain);
    let floor = mean + 3. * deviation;
    let full = f32::from(strokes[(strokes.len() - 1) * 9 / 10]);
    ensure!(full - floor >= MIN_CONTRAST / 2., "{BLANK}");
    let levels: [u8; 256] =
        array::from_fn(|ink| (255. * (ink as f32 - floor) / (full - floor)).round() as u8);
    let mut digit = smooth;
    for (ink, kept) in digit.iter_mut().zip(kept.iter()) {
        *ink = if *kept > 0 { levels[usize::from(*ink)] } else { 0 };
    }
    Ok(digit)
}

fn mean_and_deviation(values: &[f32]) -> (f32, f32) {
    if values.is_empty() {
        return (0., 0.);
    }
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt())
}

/// Crops to the ink and fits it into 20×20.
fn fit(digit: &GrayImage) -> Option<GrayImage> {
    let inked = digit.enumerate_pixels().filter(|(.., ink)| ink.0[0] > 0);
    let (left, top, right, bottom) = inked
        .fold((u32::MAX, u32::MAX, 0, 0), |(l, t, r, b), (x, y, _)| {
            (l.min(x), t.min(y), r.max(x), b.max(y))
        });
    if left > right {
        return None;
    }
    let (width, height) = (right + 1 - left, bottom + 1 - top);
    let mut crop = imageops::crop_imm(digit, left, top, width, height).to_image();
    let shrink = width.max(height).div_ceil(WORKING_SIDE);
    if shrink > 1 {
        // At full size, to thicken would take long. Widened first, thin strokes do not fade.
        crop = grayscale_dilate(&crop, &Mask::square((shrink / 2) as u8));
        crop = imageops::thumbnail(&crop, width.div_ceil(shrink), height.div_ceil(shrink));
    }
    let crop = thicken(crop);
    let (width, height) = crop.dimensions();
    let longest = width.max(height);
    if longest == BOX {
        return Some(crop);
    }
    let side = |side: u32| ((side * BOX) as f32 / longest as f32).round().max(1.) as u32;
    // The triangle's support grows with the reduction, so that it averages.
    let mut fitted = imageops::resize(&crop, side(width), side(height), FilterType::Triangle);
    let darkest = f32::from(fitted.iter().copied().max().unwrap_or(0).max(1));
    fitted.iter_mut().for_each(|ink| *ink = (f32::from(*ink) * 255. / darkest).round() as u8);
    Some(fitted)
}

/// Widens strokes that would be thinner than MNIST's once scaled: those are about 2.2 pixels wide,
/// and a fine pen on a large sheet would fade to grey.
fn thicken(crop: GrayImage) -> GrayImage {
    const MNIST_WIDTH: f32 = 2.2;
    const TOO_THIN: f32 = 1.6;
    let scale = BOX as f32 / crop.width().max(crop.height()) as f32;
    let outside = GrayImage::from_fn(crop.width() + 2, crop.height() + 2, |x, y| {
        let inside = (1..=crop.width()).contains(&x) && (1..=crop.height()).contains(&y);
        Luma([if inside && crop.get_pixel(x - 1, y - 1).0[0] > 127 { 0 } else { 255 }])
    });
    let depths: Vec<f32> = distance_transform(&outside, Norm::L1)
        .iter()
        .filter(|depth| **depth > 0)
        .map(|&depth| f32::from(depth))
        .collect();
    // Across a stroke w pixels wide the depth rises from 1 to w/2 and falls: its mean is w/4 + 1/2.
    let width = 4. * mean_and_deviation(&depths).0 - 2.;
    let missing = (MNIST_WIDTH / scale - width) / 2.;
    if width * scale >= TOO_THIN || missing < 0.5 {
        return crop;
    }
    let radius = missing.round() as u8;
    let margin = u32::from(radius);
    let mut wide = GrayImage::new(crop.width() + 2 * margin, crop.height() + 2 * margin);
    imageops::replace(&mut wide, &crop, margin.into(), margin.into());
    grayscale_dilate(&wide, &Mask::disk(radius))
}

/// Puts the centre of mass at pixel (14, 14), counted from 0, as in MNIST's files.
fn centre(fitted: &GrayImage) -> Digit {
    let (mut mass, mut x_mass, mut y_mass) = (0., 0., 0.);
    for (x, y, ink) in fitted.enumerate_pixels() {
        let ink = f32::from(ink.0[0]);
        mass += ink;
        x_mass += ink * x as f32;
        y_mass += ink * y as f32;
    }
    let offset = |moment: f32, side: u32| {
        let offset = (SIDE as f32 / 2. - moment / mass).round() as usize; // below 0 becomes 0
        offset.min(SIDE - side as usize)
    };
    let (left, top) = (offset(x_mass, fitted.width()), offset(y_mass, fitted.height()));
    let mut digit = [0; PIXELS];
    for (x, y, ink) in fitted.enumerate_pixels() {
        digit[(top + y as usize) * SIDE + left + x as usize] = ink.0[0];
    }
    digit
}
