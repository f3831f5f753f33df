//! Why an image cannot be read.

/// Why an image cannot be read, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is 0 pixels wide or high.
    #[error("it has no pixels")]
    NoPixels,
    /// The image holds one level of grey, or grain alone.
    #[error("it is blank: nothing stands out from the background")]
    Blank,
}

/// What may fail with an [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;
