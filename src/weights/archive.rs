//! Zip archives from elsewhere, of which Keras's `.keras` and PyTorch's files are some.

use std::io::{Cursor, Read as _};

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use super::contents::MAX_COMPRESSION;
use super::format::{DAMAGED, MAX_TEXT};

/// A zip archive in memory.
pub struct Archive {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    length: u64,
}

impl Archive {
    /// Opens what a file holds.
    pub fn open(bytes: Vec<u8>) -> Result<Archive> {
        let length = bytes.len() as u64;
        Ok(Archive { zip: ZipArchive::new(Cursor::new(bytes)).context(DAMAGED)?, length })
    }

    /// Whether there is an entry of that name.
    pub fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// What stands before `end` in the first name that ends so.
    pub fn prefix_of(&self, end: &str) -> Option<String> {
        let mut names = self.zip.file_names_raw();
        names.find_map(|name| Some(std::str::from_utf8(name).ok()?.strip_suffix(end)?.to_string()))
    }

    /// The bytes of an entry, `limit` of them at most.
    pub fn entry(&mut self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let limit = limit.min(MAX_COMPRESSION * self.length + MAX_TEXT);
        let entry = self.zip.by_name(name).with_context(|| format!("in its {name:?}"))?;
        let size = entry.size();
        ensure!(size <= limit, "its {name:?} claims {size} bytes, more than the {limit} supported");
        let mut bytes = Vec::new();
        // Its checksum is compared only at its end.
        entry.take(size + 1).read_to_end(&mut bytes).with_context(|| format!("in its {name:?}"))?;
        ensure!(bytes.len() as u64 == size, "its {name:?} is truncated");
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn an_entry_is_read_whole_within_limits() {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, length) in [("a/data.pkl", 10), ("a/bomb", 8 << 20)] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(&vec![7; length]).unwrap();
        }
        let bytes = zip.finish().unwrap().into_inner();
        let mut archive = Archive::open(bytes.clone()).unwrap();
        assert_eq!(archive.prefix_of("data.pkl").as_deref(), Some("a/"));
        assert!(archive.has("a/bomb") && !archive.has("bomb"));
        assert_eq!(archive.entry("a/data.pkl", 10).unwrap(), [7; 10]);
        for (name, limit) in [("a/data.pkl", 9), ("a/bomb", u64::MAX)] {
            let error = archive.entry(name, limit).unwrap_err().to_string();
            assert!(error.contains("more than the"), "{error}");
        }
        assert!(Archive::open(bytes[..bytes.len() / 2].to_vec()).is_err());
    }
}
