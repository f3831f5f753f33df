//! TIFFs of every kind, made by hand.

use std::io::Cursor;

use super::super::{Budget, from_reader, grey};

/// A TIFF of 3×2 in one strip, or one for each of three colours.
fn tiff(big: bool, tags: &[(u16, &[u64])], pixels: &[u8]) -> Vec<u8> {
    let mut tags: Vec<(u16, Vec<u64>)> =
        tags.iter().map(|(tag, values)| (*tag, values.to_vec())).collect();
    let mut data = pixels.to_vec();
    let start = if big { 16 } else { 8 };
    let strips = if tags.iter().any(|(tag, _)| *tag == 284) { 3 } else { 1 };
    let length = pixels.len() as u64 / strips;
    let starts = (0..strips).map(|strip| start + strip * length).collect();
    tags.extend([(256, vec![3]), (257, vec![2]), (273, starts)]);
    tags.push((279, vec![length; strips as usize]));
    tags.sort();
    let number = |value: u64, width: usize| value.to_le_bytes()[..width].to_vec();
    let room = if big { 8 } else { 4 };
    let mut entries = Vec::new();
    for (tag, values) in &tags {
        entries.extend(number((*tag).into(), 2));
        entries.extend(number(3, 2));
        entries.extend(number(values.len() as u64, room));
        let values: Vec<u8> = values.iter().flat_map(|&value| number(value, 2)).collect();
        if values.len() <= room {
            entries.extend(values.iter().copied().chain([0; 8]).take(room));
        } else {
            entries.extend(number(start + data.len() as u64, room));
            data.extend(values);
        }
    }
    let directory = start + data.len() as u64;
    let header = match big {
        true => [&b"II+\0\x08\0\0\0"[..], &number(directory, 8)].concat(),
        false => [&b"II*\0"[..], &number(directory, 4)].concat(),
    };
    let count = number(tags.len() as u64, if big { 8 } else { 2 });
    [&header[..], &data, &count, &entries, &number(0, room)].concat()
}

#[track_caller]
fn assert_grey(tags: &[(u16, &[u64])], pixels: &[u8], expected: [u8; 6]) {
    for big in [false, true] {
        let bytes = tiff(big, tags, pixels);
        let budget = Budget::default();
        let decoded = from_reader(Cursor::new(bytes), &budget).unwrap();
        let found = grey(&decoded.image).into_raw();
        assert_eq!(found, expected, "BigTIFF: {big}");
    }
}

fn error(bytes: Vec<u8>) -> String {
    let budget = Budget::default();
    let error = from_reader(Cursor::new(bytes), &budget).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn grey_of_any_depth_is_read() {
    let expected = [0, 255, 0, 255, 0, 0];
    let halves = [0, 128, 255, 255, 128, 0];
    assert_grey(&[(258, &[1]), (262, &[1])], &[0b0100_0000, 0b1000_0000], expected);
    assert_grey(&[(258, &[1]), (262, &[0])], &[0b1011_1111, 0b0110_0000], expected);
    let two = [0b0001_1011, 0b1110_0100];
    assert_grey(&[(258, &[2]), (262, &[1])], &two, [0, 85, 170, 255, 170, 85]);
    assert_grey(&[(258, &[4]), (262, &[1])], &[0x0f, 0, 0xf0, 0], expected);
    let words = |all: [u16; 6]| all.map(u16::to_le_bytes).concat();
    assert_grey(&[(258, &[16]), (262, &[1])], &words([0, 32896, 65535, 65535, 32896, 0]), halves);
    let longs = [0, 1 << 31, u32::MAX, u32::MAX, 1 << 31, 0].map(u32::to_le_bytes).concat();
    assert_grey(&[(258, &[32]), (262, &[1])], &longs, halves);
    let quads = [0, 1 << 63, u64::MAX, u64::MAX, 1 << 63, 0].map(u64::to_le_bytes).concat();
    assert_grey(&[(258, &[64]), (262, &[1])], &quads, halves);
    let signed = [-128i8, 0, 127, 127, 0, -128].map(|value| value as u8);
    assert_grey(&[(258, &[8]), (262, &[1]), (339, &[2])], &signed, [0, 128, 254, 254, 128, 0]);
    let floats = [0., 0.5, 1., 7., 0.5, f32::NAN].map(f32::to_le_bytes).concat();
    assert_grey(&[(258, &[32]), (262, &[1]), (339, &[3])], &floats, halves);
    let doubles = [0., 0.5, 1., 7., 0.5, -1.].map(f64::to_le_bytes).concat();
    assert_grey(&[(258, &[64]), (262, &[1]), (339, &[3])], &doubles, halves);
}

#[test]
fn palettes_and_alpha_are_read() {
    let map: Vec<u64> = [0, 65535, 32896, 0].repeat(3);
    let palette: [(u16, &[u64]); 3] = [(258, &[2]), (262, &[3]), (320, &map)];
    assert_grey(&palette, &[0b0001_1000, 0b0110_0000], [0, 255, 128, 255, 128, 0]);
    let with_alpha: [(u16, &[u64]); 4] = [(258, &[8, 8]), (262, &[1]), (277, &[2]), (338, &[2])];
    let pixels = [0, 255, 0, 0, 255, 255, 0, 255, 100, 255, 9, 0];
    assert_grey(&with_alpha, &pixels, [0, 255, 255, 0, 100, 255]);
    let multiplied: [(u16, &[u64]); 4] = [(258, &[8, 8]), (262, &[1]), (277, &[2]), (338, &[1])];
    let pixels = [51, 51, 0, 0, 255, 255, 0, 255, 100, 255, 0, 0];
    assert_grey(&multiplied, &pixels, [255, 255, 255, 0, 100, 255]);
}

#[test]
fn colours_are_converted_to_rgb() {
    let expected = [255, 0, 100, 100, 0, 255];
    let equal =
        |count: usize| -> Vec<u8> { expected.iter().flat_map(|&grey| vec![grey; count]).collect() };
    let rgb: [(u16, &[u64]); 3] = [(258, &[8, 8, 8]), (262, &[2]), (277, &[3])];
    assert_grey(&rgb, &equal(3), expected);
    let planes: Vec<u8> = expected.repeat(3);
    assert_grey(&[&rgb[..], &[(284, &[2])]].concat(), &planes, expected);
    let cmyk: [(u16, &[u64]); 3] = [(258, &[8; 4]), (262, &[5]), (277, &[4])];
    let ink = |grey: u8| [255 - grey, 255 - grey, 255 - grey, 0];
    assert_grey(&cmyk, &expected.map(ink).concat(), expected);
    let with_alpha: [(u16, &[u64]); 4] = [(258, &[8; 5]), (262, &[5]), (277, &[5]), (338, &[2])];
    let ink = |grey: u8| [255 - grey, 255 - grey, 255 - grey, 0, 255];
    assert_grey(&with_alpha, &expected.map(ink).concat(), expected);
    let whole: [(u16, &[u64]); 4] = [(258, &[8; 3]), (262, &[6]), (277, &[3]), (530, &[1, 1])];
    assert_grey(&whole, &expected.map(|grey| [grey, 128, 128]).concat(), expected);
    let lab: [(u16, &[u64]); 3] = [(258, &[8; 3]), (262, &[8]), (277, &[3])];
    let pixels = [255, 0, 137, 137, 0, 255].map(|light| [light, 0, 0]).concat();
    assert_grey(&lab, &pixels, [255, 0, 128, 128, 0, 255]);
}

#[test]
fn what_is_not_supported_is_named() {
    let subsampled = tiff(false, &[(258, &[8; 3]), (262, &[6]), (277, &[3])], &[0; 18]);
    assert!(error(subsampled).starts_with("a TIFF with subsampled colours is not supported"));
    for compression in [34925, 50000] {
        let tags: [(u16, &[u64]); 3] = [(258, &[8]), (262, &[1]), (259, &[compression])];
        let error = error(tiff(false, &tags, &[0; 6]));
        assert!(error.contains("is not supported: convert it"), "{error}");
    }
    // Its three strips become tiles.
    let tags: [(u16, &[u64]); 6] =
        [(258, &[8; 3]), (262, &[2]), (277, &[3]), (284, &[2]), (322, &[16]), (323, &[16])];
    let mut tiles = tiff(false, &tags, &[0; 3 * 256]);
    for (strip, tile) in [(273u16, 324u16), (279, 325)] {
        let at = tiles
            .windows(4)
            .rposition(|entry| entry == [&strip.to_le_bytes()[..], b"\x03\0"].concat());
        tiles[at.unwrap()..][..2].copy_from_slice(&tile.to_le_bytes());
    }
    let tiles = error(tiles);
    assert!(tiles.starts_with("a TIFF with planar tiles is not supported"), "{tiles}");
    let missing = error(tiff(false, &[(258, &[8]), (277, &[1])], &[0; 6]));
    assert!(missing.contains("its directory is damaged"), "{missing}");
    let signed = error(tiff(false, &[(258, &[4]), (262, &[1]), (339, &[2])], &[0; 4]));
    assert!(
        signed.starts_with("a TIFF with signed samples of 4 bits is not supported"),
        "{signed}"
    );
    let palette = error(tiff(false, &[(258, &[8]), (262, &[3])], &[0; 6]));
    assert!(palette.contains("its palette is damaged"), "{palette}");
}

#[test]
fn duplicate_tags_do_not_bypass_the_checks() {
    let rgb = (262, &[2][..]);
    let twice: [(u16, &[u64]); 5] = [(258, &[8; 5]), (262, &[1]), rgb, (277, &[5]), (338, &[0, 0])];
    let error = error(tiff(false, &twice, &[0; 30]));
    assert!(error.contains("it has several kinds of colour"), "{error}");
}

#[test]
fn strips_that_are_all_the_same_long_one_are_refused_at_once() {
    // 60,000 strips of the same megabyte of empty blocks before the pixel.
    let strips = 60_000u32;
    let mut bytes = b"II*\0\x08\0\0\0\x08\0".to_vec();
    let after = 10 + 8 * 12 + 4;
    let data = after + 8 * strips;
    let blocks = [&b"\x78\x01"[..], &b"\0\0\0\xff\xff".repeat(200_000), b"\x01\x01\0\xfe\xff\x07"];
    let length = blocks.concat().len() as u32;
    for (tag, count, value) in [
        (256, 1, 1),
        (257, 1, strips),
        (258, 1, 8),
        (259, 1, 8),
        (262, 1, 1),
        (273, strips, after),
        (278, 1, 1),
        (279, strips, after + 4 * strips),
    ] {
        bytes.extend([tag, 4u16].map(u16::to_le_bytes).concat());
        bytes.extend([count, value].map(u32::to_le_bytes).concat());
    }
    bytes.extend([0; 4]);
    bytes.extend(data.to_le_bytes().repeat(strips as usize));
    bytes.extend(length.to_le_bytes().repeat(strips as usize));
    bytes.extend(blocks.concat());
    let error = error(bytes);
    assert!(error.contains("its strips or tiles overlap"), "{error}");
}

#[test]
fn one_that_ends_within_its_pixels_is_said_to() {
    let mut bytes = tiff(false, &[(258, &[8]), (262, &[1])], &[0; 6]);
    let count = bytes.windows(4).position(|entry| entry == b"\x17\x01\x03\0").unwrap() + 8;
    bytes[count..][..2].copy_from_slice(&60_000u16.to_le_bytes());
    assert_eq!(error(bytes), "it is truncated; download or copy it again");
}

#[test]
fn a_jpeg_in_it_may_not_be_larger_than_its_place() {
    let mut jpeg = Cursor::new(Vec::new());
    image::GrayImage::new(300, 300).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let tags: [(u16, &[u64]); 3] = [(258, &[8]), (262, &[1]), (259, &[7])];
    let error = error(tiff(false, &tags, jpeg.get_ref()));
    assert!(error.contains("larger than its place"), "{error}");
}
