//! Digits that were read from images before, kept by the SHA-256 of the images' files.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use mnist_image::Digit;
use sha2::{Digest, Sha256};

use crate::dataset::idx::MAX_COUNT;
use crate::files::cache::Cache;
use crate::files::sha256_hex;
use crate::{PIXELS, VERSION};

/// The SHA-256 of a file.
pub(super) type Hash = [u8; 32];

const ENTRY: usize = size_of::<Hash>() + PIXELS;
/// To be raised when an image gives another digit than before.
const READER: u32 = 1;

/// The digits of one folder's images.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Where they are kept; nowhere if that cannot be.
    place: Option<(Cache, String)>,
    digits: HashMap<Hash, Digit>,
}

impl Kept {
    /// What is kept of the images in `dir`; nothing if that cannot be read, or is of another
    /// version.
    pub fn of(dir: &Path) -> Kept {
        let open = || -> Result<_> {
            let dir = fs::canonicalize(dir)?;
            let name = sha256_hex(dir.as_os_str().as_encoded_bytes());
            let cache = Cache::of_user()?;
            let cache = Cache::open(&cache.path().join("images"))?;
            let most = (MAX_COUNT * ENTRY + header().len() + size_of::<Hash>()) as u64;
            let bytes = cache.read(&name, most).unwrap_or_default();
            Ok(((cache, name), decode(&bytes).unwrap_or_default()))
        };
        match open() {
            Ok((place, digits)) => Kept { place: Some(place), digits },
            Err(_) => Kept::default(),
        }
    }

    /// The digit of the image whose file has this hash.
    pub fn get(&self, hash: &Hash) -> Option<Digit> {
        self.digits.get(hash).copied()
    }

    /// Keeps these digits and no others, if they are not kept already. That they cannot be costs
    /// nothing but time.
    pub fn replace(&self, mut digits: Vec<(Hash, Digit)>) {
        digits.sort_unstable_by_key(|(hash, _)| *hash);
        digits.dedup_by_key(|(hash, _)| *hash);
        let is_kept = |(hash, _): &(Hash, Digit)| self.digits.contains_key(hash);
        if digits.len() == self.digits.len() && digits.iter().all(is_kept) {
            return;
        }
        if let Some((cache, name)) = &self.place {
            let _ = cache.write(name, &encode(&digits));
        }
    }
}

fn header() -> String {
    format!("tch-mnist {VERSION}, images read by {READER}\n")
}

/// The header, the entries and the SHA-256 of both.
fn encode(digits: &[(Hash, Digit)]) -> Vec<u8> {
    let mut bytes = header().into_bytes();
    for (hash, digit) in digits {
        bytes.extend_from_slice(hash);
        bytes.extend_from_slice(digit);
    }
    let sum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

fn decode(bytes: &[u8]) -> Result<HashMap<Hash, Digit>> {
    let (bytes, sum) =
        bytes.split_at_checked(bytes.len().saturating_sub(size_of::<Hash>())).unwrap_or_default();
    ensure!(Sha256::digest(bytes)[..] == *sum, "it is damaged");
    let entries = bytes.strip_prefix(header().as_bytes()).unwrap_or_default();
    let entries = entries.as_chunks::<ENTRY>().0.iter();
    let entry = |entry: &[u8; ENTRY]| {
        let (hash, digit) = entry.split_at(size_of::<Hash>());
        Ok((hash.try_into()?, digit.try_into()?))
    };
    entries.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_read_and_nothing_if_it_is_damaged() {
        let digits = [([1; 32], [7; PIXELS]), ([2; 32], [0; PIXELS])];
        let bytes = encode(&digits);
        assert_eq!(decode(&bytes).unwrap(), HashMap::from(digits));
        for at in [0, 100, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert!(decode(&bytes).is_err(), "{at}");
        }
        assert!(decode(&[]).is_err() && decode(&bytes[..bytes.len() - 1]).is_err());
    }
}
