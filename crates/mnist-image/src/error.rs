//! Why an image cannot be read.

use std::error::Error as StdError;
use std::io;

/// Why an image cannot be read, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read from where it lies.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// Its content is not that of a known image format.
    #[error("it is not a PNG, JPEG, BMP, GIF, WebP, TIFF or PNM image")]
    UnknownFormat,
    /// It is of a format, or a kind of its format, that is not read.
    #[error("{0} is not supported: convert it to PNG or JPEG")]
    NotSupported(String),
    /// It is truncated.
    #[error("it is truncated; download or copy it again")]
    EndsEarly,
    /// Its decoder does not understand it.
    #[error(
        "it is damaged, or uses an unusual variant of its format; download or copy it again, or save it in another format"
    )]
    Damaged(#[source] Box<dyn StdError + Send + Sync>),
    /// Its decoder panicked, with this message, which means nothing to whoever has the image.
    #[error(
        "its decoder failed: it is damaged, or uses an unusual variant of its format; convert it to PNG"
    )]
    Panicked(String),
    /// Its colours lie one after the other, which the JPEG decoder mixes up.
    #[error(
        "it keeps its colours in separate scans, which is not supported; save it again as a PNG"
    )]
    SeparateScans,
    /// The file has more bytes than [`MAX_FILE_BYTES`](crate::decode::MAX_FILE_BYTES).
    #[error("it has {bytes} bytes, more than the {most} supported; save it again as a PNG")]
    TooManyBytes {
        /// How many it has.
        bytes: u64,
        /// How many are supported.
        most: u64,
    },
    /// It has more pixels than its [`Budget`](crate::decode::Budget) allows.
    #[error("it has {width}×{height} pixels, more than the {most} supported; make it smaller")]
    TooManyPixels {
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
        /// How many are supported.
        most: u64,
    },
    /// The [`Budget`](crate::decode::Budget) is held, and nothing is given back.
    #[error("the memory for images is in use; read fewer images at a time")]
    OutOfBudget,
    /// It is 0 pixels wide or high.
    #[error("it has no pixels")]
    NoPixels,
    /// The image holds one level of grey, or grain alone.
    #[error("it is blank: nothing stands out from the background")]
    Blank,
}

/// What may fail with an [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a decoder says of bytes that it does not understand.
    pub(crate) fn of_decoder(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let error = error.into();
        // Decoders hide the kind of an error in their own, but keep the text.
        let mut next = Some(&*error as &(dyn StdError + 'static));
        while let Some(cause) = next {
            let text = cause.to_string();
            if ["failed to fill whole buffer", "unexpected end of file"]
                .iter()
                .any(|end| text.contains(end))
            {
                return Self::EndsEarly;
            }
            next = cause.source();
        }
        Self::Damaged(error)
    }
}
