//! Inputs → a plan.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufWriter, Write};
use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use tar::{Archive, EntryType};

use super::{
    Batch, FORMAT, INPUTS, Input, MAX_SHARDS, Member, Options, PARTS, PLAN, Plan, Signed, Slice,
    WEIGHTS, is_missing,
};
use crate::files::image::{is_hidden, is_image};
use crate::files::paths::{self, LIST};
use crate::files::{atomic, input, sha256_hex};
use crate::network::arrays::Arrays;
use crate::weights;

/// What the smallest image counts for: opening it takes time as well.
const LEAST_BYTES: u64 = 1000;
/// The most bytes of a list: 10 billion short paths.
const MAX_LIST_BYTES: u64 = 1 << 40;
const UNWRITTEN: &str = "cannot write the list of the images";
/// What the parts of an archive are multiples of.
const BLOCK: u64 = 512;

/// Plans a batch in `folder`, which is made if it is missing: the images of `inputs` in shards of
/// about `shard_bytes`. Images are not read. An input is a folder, of which all images are taken
/// that are not hidden, in the order of their names; a `.tar`, of which the same are; a `.txt`, which
/// lists images and `.tar`s, one a line, or `-` for such a list in `standard_input`; or an image.
///
/// # Errors
///
/// If there is a plan, an input cannot be listed, be looked for, or has a name that is not UTF-8,
/// there are none or none of them can be found, there are too many shards, or the folder cannot be
/// written to.
pub fn plan(
    folder: &Path,
    inputs: &[PathBuf],
    standard_input: impl BufRead,
    shard_bytes: u64,
    options: Options,
    model: &Arrays,
) -> Result<Batch> {
    let plan_path = folder.join(PLAN);
    ensure!(
        !plan_path.exists(),
        "{} exists; run its shards, or name another folder",
        plan_path.display()
    );
    for name in [PLAN, INPUTS, WEIGHTS] {
        atomic::refuse_link(&folder.join(name))?;
    }
    fs::create_dir_all(folder.join(PARTS))
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let (mut shards, mut missing) = (Vec::new(), 0);
    // Why the inputs cannot be listed says nothing of the file that they were to be listed in.
    let mut unlisted = None;
    let fill = |temporary: &Path| {
        let mut list = List::new(File::create(temporary)?, shard_bytes);
        let mut standard_input = Some(standard_input);
        for input in inputs {
            match input.as_os_str() == LIST {
                true => {
                    let lines = standard_input.take().context("`-` is named twice")?;
                    list.lines(lines).context("cannot plan what standard input lists")?;
                }
                false => {
                    list.input(input).with_context(|| format!("cannot plan {}", input.display()))?
                }
            }
        }
        (shards, missing) = list.finish()?;
        ensure!(!shards.is_empty(), "there are no images in what was named");
        let images = shards.iter().map(|shard| shard.inputs).sum::<u64>();
        ensure!(missing < images, "none of the {images} images that are listed can be found");
        Ok(())
    };
    let written = atomic::write(&folder.join(INPUTS), |temporary| {
        fill(temporary).map_err(|error| {
            let failed = anyhow!("{error}");
            unlisted = Some(error);
            failed
        })
    });
    if let Some(error) = unlisted {
        return Err(error);
    }
    written?;
    weights::save(model, &folder.join(WEIGHTS))?;
    let plan = Plan {
        format: FORMAT,
        program: crate::VERSION.into(),
        options,
        weights: super::digest(model),
        verifier: super::digest(&weights::verifier()?),
        missing,
        shards,
    };
    let sha256 = sha256_hex(&serde_json::to_vec(&plan)?);
    atomic::write_bytes(&plan_path, serde_json::to_vec(&Signed { plan, sha256 })?)?;
    Batch::open(folder)
}

/// The list of inputs while it is written, one shard of it in memory.
struct List {
    file: BufWriter<File>,
    shard_bytes: u64,
    /// The lines of the shard to come, their number, and the size of the images.
    lines: Vec<u8>,
    inputs: u64,
    size: u64,
    at: u64,
    missing: u64,
    shards: Vec<Slice>,
}

impl List {
    fn new(file: File, shard_bytes: u64) -> List {
        let (file, lines, shards) = (BufWriter::new(file), Vec::new(), Vec::new());
        List { file, shard_bytes, lines, inputs: 0, size: 0, at: 0, missing: 0, shards }
    }

    fn input(&mut self, path: &Path) -> Result<()> {
        if fs::metadata(path)?.is_dir() {
            return self.folder(path);
        }
        match extension(path).as_str() {
            "txt" => self.lines(input::open(path, MAX_LIST_BYTES)?),
            _ => self.file(path),
        }
    }

    /// Everything below a folder, one folder's names in memory; links to folders are not followed.
    fn folder(&mut self, path: &Path) -> Result<()> {
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            let entries =
                fs::read_dir(&path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
            let mut entries =
                entries.with_context(|| format!("cannot list the folder {}", path.display()))?;
            entries.sort_by_key(|entry| entry.file_name());
            let mut folders = Vec::new();
            for entry in entries {
                let path = entry.path();
                if is_hidden(&path) {
                    continue;
                } else if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if extension(&path) == "tar" || is_image(&path) {
                    self.file(&path)?;
                }
            }
            left.extend(folders.into_iter().rev());
        }
        Ok(())
    }

    fn lines(&mut self, lines: impl BufRead) -> Result<()> {
        paths::lines(lines).try_for_each(|path| self.file(&path?))
    }

    /// An image, there or not, or a `.tar`.
    fn file(&mut self, path: &Path) -> Result<()> {
        if extension(path) == "tar" {
            return self
                .tar(path)
                .with_context(|| format!("cannot list the archive {}", path.display()));
        }
        let size = match fs::metadata(path) {
            Ok(metadata) => Some(metadata.len()),
            Err(error) if is_missing(&error) => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot look for {}", path.display()));
            }
        };
        let input = Input { path: absolute(path)?, member: None, missing: size.is_none() };
        self.add(&input, size.unwrap_or_default())
    }

    /// The images of an archive, told as in a folder. Links lead elsewhere, and are passed over.
    fn tar(&mut self, path: &Path) -> Result<()> {
        let name = absolute(path)?;
        let mut archive = Archive::new(input::open_regular(path, u64::MAX)?);
        let mut end = 0_u64;
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            end = entry.raw_file_position().saturating_add(entry.size().next_multiple_of(BLOCK));
            let (kind, member) = (entry.header().entry_type(), entry.path()?);
            let is_hidden = member.components().any(|part| is_hidden(part.as_os_str().as_ref()));
            if !matches!(kind, EntryType::Regular | EntryType::Continuous)
                || is_hidden
                || !is_image(&member)
            {
                continue;
            }
            let member = Member {
                name: utf8(&member)?.to_owned(),
                at: entry.raw_file_position(),
                size: entry.size(),
                header: entry.header().cksum()?,
            };
            let size = member.size;
            let input = Input { path: name.clone(), member: Some(member), missing: false };
            self.add(&input, size)?;
        }
        // A block of zeros ends an archive; the reader takes the end of the file for it.
        ensure!(
            fs::metadata(path)?.len() >= end.saturating_add(BLOCK),
            "it ends before the mark of its end; download or copy it again"
        );
        Ok(())
    }

    fn add(&mut self, input: &Input, size: u64) -> Result<()> {
        serde_json::to_writer(&mut self.lines, input)?;
        self.lines.push(b'\n');
        self.inputs += 1;
        self.missing += u64::from(input.missing);
        self.size = self.size.saturating_add(size.max(LEAST_BYTES));
        if self.size >= self.shard_bytes { self.end_shard() } else { Ok(()) }
    }

    fn end_shard(&mut self) -> Result<()> {
        if self.inputs > 0 {
            ensure!(
                self.shards.len() < MAX_SHARDS,
                "there are more than the {MAX_SHARDS} shards supported; make them larger"
            );
            self.file.write_all(&self.lines).context(UNWRITTEN)?;
            let (at, bytes) = (self.at, self.lines.len() as u64);
            let sha256 = sha256_hex(&self.lines);
            self.shards.push(Slice { at, bytes, inputs: self.inputs, sha256 });
            self.at += bytes;
            self.lines.clear();
            (self.inputs, self.size) = (0, 0);
        }
        Ok(())
    }

    /// The shards, and how many images could not be found.
    fn finish(mut self) -> Result<(Vec<Slice>, u64)> {
        self.end_shard()?;
        self.file.flush().context(UNWRITTEN)?;
        Ok((self.shards, self.missing))
    }
}

fn extension(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase()
}

/// Shards are run in other folders than they were planned in.
fn absolute(path: &Path) -> Result<String> {
    Ok(utf8(&path::absolute(path)?)?.to_owned())
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the name {} is not UTF-8; rename it", path.display()))
}
