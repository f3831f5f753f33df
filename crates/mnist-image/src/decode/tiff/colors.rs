//! The colours of a TIFF, from its samples.

use std::io::{Read, Seek};

use tiff::decoder::{BufferLayoutPreference, Decoder, DecodingResult};
use tiff::tags::Tag;

use super::super::{Samples, assemble};
use super::{COMPRESSION, JPEG, refusal};
use crate::{Error, Result};

/// The samples as the decoder gives them.
pub(super) struct Raw {
    pub samples: DecodingResult,
    pub layout: BufferLayoutPreference,
    pub bits: usize,
}

impl Raw {
    /// A sample of a pixel from 0 to 1; `samples` are those of each pixel.
    fn get(&self, x: usize, y: usize, sample: usize, samples: usize) -> f32 {
        use DecodingResult::{F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        let stride = self.layout.row_stride.map_or(0, |stride| stride.get());
        let plane = self.layout.plane_stride.map_or(0, |stride| stride.get());
        let (start, index) = match self.layout.planes {
            0 | 1 => (y * stride, x * samples + sample),
            _ => (sample * plane + y * stride, x),
        };
        let signed = |value: f64, bits: i32| ((value / 2f64.powi(bits) + 0.5) as f32).clamp(0., 1.);
        let at = start * 8 / self.bits + index;
        match &self.samples {
            U8(all) if self.bits < 8 => {
                let bit = index * self.bits;
                let most = (1u8 << self.bits) - 1;
                let value = all[start + bit / 8] >> (8 - self.bits - bit % 8) & most;
                f32::from(value) / f32::from(most)
            }
            U8(all) => f32::from(all[at]) / 255.,
            U16(all) => f32::from(all[at]) / 65535.,
            U32(all) => (f64::from(all[at]) / f64::from(u32::MAX)) as f32,
            U64(all) => (all[at] as f64 / u64::MAX as f64) as f32,
            I8(all) => signed(all[at].into(), 8),
            I16(all) => signed(all[at].into(), 16),
            I32(all) => signed(all[at].into(), 32),
            I64(all) => signed(all[at] as f64, 64),
            F16(all) => all[at].to_f32().clamp(0., 1.),
            F32(all) => all[at].clamp(0., 1.),
            F64(all) => (all[at] as f32).clamp(0., 1.),
        }
    }
}

/// How samples become colours.
pub(super) struct Colors {
    kind: Kind,
    pub bits: usize,
    samples: usize,
    alpha: Alpha,
}

#[derive(PartialEq)]
enum Kind {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    /// Red, green and blue of each index, one after the other.
    Palette(Vec<u16>),
    Cmyk,
    YCbCr,
    /// Of which only the lightness is used.
    Lab,
}

impl Kind {
    /// How many samples of a pixel are its colour.
    fn samples(&self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr | Self::Lab => 3,
            Self::Cmyk => 4,
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Alpha {
    None,
    Straight,
    /// The colours are multiplied with it.
    Premultiplied,
}

impl Colors {
    pub fn of(color: u64, decoder: &mut Decoder<impl Read + Seek>) -> Result<Self> {
        let mut list = |tag| {
            Ok::<Vec<u16>, Error>(
                decoder.find_tag_unsigned_vec(tag).map_err(refusal)?.unwrap_or_default(),
            )
        };
        let bits = usize::from(*list(Tag::BitsPerSample)?.first().unwrap_or(&1));
        let samples = usize::from(*list(Tag::SamplesPerPixel)?.first().unwrap_or(&1));
        let kind = match color {
            0 => Kind::WhiteIsZero,
            1 => Kind::BlackIsZero,
            2 => Kind::Rgb,
            3 => Kind::Palette(list(Tag::ColorMap)?),
            5 => Kind::Cmyk,
            6 => Kind::YCbCr,
            8 | 9 => Kind::Lab,
            _ => {
                return Err(Error::NotSupported(format!(
                    "a TIFF with photometric interpretation {color}"
                )));
            }
        };
        let of_color = kind.samples();
        if samples < of_color || !matches!(bits, 1 | 2 | 4 | 8 | 16 | 32 | 64) {
            return Err(Error::NotSupported(format!(
                "a TIFF with {samples} samples of {bits} bits"
            )));
        }
        if let Kind::Palette(map) = &kind
            && (bits > 16 || map.len() != 3 << bits)
        {
            return Err(Error::of_decoder("its palette is damaged"));
        }
        let is_jpeg =
            list(Tag::Unknown(COMPRESSION))?.first().copied().map(u64::from) == Some(JPEG);
        if kind == Kind::YCbCr && !is_jpeg && list(Tag::ChromaSubsampling)? != [1, 1] {
            return Err(Error::NotSupported("a TIFF with subsampled colours".into()));
        }
        let alpha = match list(Tag::ExtraSamples)?.first() {
            _ if samples == of_color => Alpha::None,
            Some(1) => Alpha::Premultiplied,
            Some(2) => Alpha::Straight,
            None if kind == Kind::Rgb => Alpha::Straight,
            _ => Alpha::None,
        };
        Ok(Self { kind, bits, samples, alpha })
    }

    pub fn assemble(&self, width: u32, height: u32, raw: &Raw) -> Result<image::DynamicImage> {
        if self.bits < 8 && !matches!(raw.samples, DecodingResult::U8(_)) {
            let bits = self.bits;
            return Err(Error::NotSupported(format!("a TIFF with signed samples of {bits} bits")));
        }
        let grey = matches!(self.kind, Kind::WhiteIsZero | Kind::BlackIsZero | Kind::Lab);
        let colors = if grey { 1 } else { 3 };
        let channels = colors + usize::from(self.alpha != Alpha::None);
        let points = (0..height as usize).flat_map(|y| (0..width as usize).map(move |x| (x, y)));
        let values = points.flat_map(|(x, y)| {
            let (color, alpha) = self.color(raw, x, y);
            [color[0], color[1], color[2], alpha]
                .into_iter()
                .enumerate()
                .filter_map(move |(index, value)| (index < colors || index == 3).then_some(value))
                .take(channels)
        });
        let samples = match self.bits > 8 {
            true => Samples::Sixteen(values.map(|value| (value * 65535.).round() as u16).collect()),
            false => Samples::Eight(values.map(|value| (value * 255.).round() as u8).collect()),
        };
        assemble(width, height, channels, samples)
    }

    /// Red, green and blue, or grey three times; and alpha: each from 0 to 1.
    fn color(&self, raw: &Raw, x: usize, y: usize) -> ([f32; 3], f32) {
        let get = |sample| raw.get(x, y, sample, self.samples);
        let mut color = match &self.kind {
            Kind::WhiteIsZero | Kind::BlackIsZero => {
                let grey = if self.kind == Kind::BlackIsZero { get(0) } else { 1. - get(0) };
                [grey; 3]
            }
            Kind::Rgb => [get(0), get(1), get(2)],
            Kind::Palette(map) => {
                let colors = 1 << self.bits;
                let index = (get(0) * (colors - 1) as f32).round() as usize;
                [0, 1, 2].map(|channel| f32::from(map[channel * colors + index]) / 65535.)
            }
            Kind::Cmyk => [0, 1, 2].map(|ink| (1. - get(ink)) * (1. - get(3))),
            // As JFIF has it: <https://www.w3.org/Graphics/JPEG/jfif3.pdf>.
            Kind::YCbCr => {
                let half = 128. / 255.;
                let (y, blue, red) = (get(0), get(1) - half, get(2) - half);
                [y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue]
                    .map(|channel| channel.clamp(0., 1.))
            }
            Kind::Lab => [lightness(get(0)); 3],
        };
        let mut alpha = 1.;
        if self.alpha != Alpha::None {
            alpha = get(self.kind.samples());
            if self.alpha == Alpha::Premultiplied && alpha > 0. {
                color = color.map(|channel| (channel / alpha).min(1.));
            }
        }
        (color, alpha)
    }
}

/// CIE's L*, from 0 to 1, as the grey of sRGB (IEC 61966-2-1) that is as light.
fn lightness(l: f32) -> f32 {
    let root = (l * 100. + 16.) / 116.;
    let light = if root > 6. / 29. { root.powi(3) } else { (root - 4. / 29.) * 108. / 841. };
    match light <= 0.0031308 {
        true => light.max(0.) * 12.92,
        false => 1.055 * light.powf(1. / 2.4) - 0.055,
    }
}
