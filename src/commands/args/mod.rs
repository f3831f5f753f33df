//! Options that several commands share.

pub mod choices;
pub mod data;
pub mod images;
pub mod inference;
pub mod machine;
pub mod training;
pub mod weights;

use std::str::FromStr;

/// Parses a share of a whole, or a probability.
pub fn share<T: FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    match text.parse() {
        Ok(share) if (T::from(0)..=T::from(1)).contains(&share) => Ok(share),
        _ => Err("choose a number from 0 to 1".into()),
    }
}
