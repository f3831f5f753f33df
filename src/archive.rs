//! Archives of tensors as libtorch's C++ API writes them: zip files with the tensors' values as they
//! are and a pickle that says which is which.
//!
//! libtorch's own reader runs the program that such a file may hold, believes its sizes, and does not
//! look at its checksums. Of the pickle, only what names tensors is understood here; nothing is run.
//!
//! Formats: <https://docs.pytorch.org/docs/2.11/notes/serialization.html>, and Python's `pickletools`.

use std::collections::HashMap;
use std::io::{BufRead, Read, Seek};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use tch::Kind;
use zip::{CompressionMethod, ZipArchive};

use crate::weights::Stored;

/// A pickle that names a few tensors is far smaller.
const MAX_PICKLE: u64 = 1 << 16;
const MAX_TENSORS: usize = 64;

/// The tensors in an archive, by name.
pub(crate) fn entries(reader: impl BufRead + Seek) -> Result<Vec<(String, Stored)>> {
    let mut zip = ZipArchive::new(reader).context("it is no archive, or not all of one")?;
    let pickle = |name: &&str| name.strip_suffix("/data.pkl").is_some_and(|top| !top.contains('/'));
    let name = zip.file_names().find(pickle).context("there is no data.pkl in it")?.to_string();
    let top = name.trim_end_matches("data.pkl");
    if let Ok(mut order) = zip.by_name(&format!("{top}byteorder")) {
        let mut text = Vec::new();
        order.by_ref().take(16).read_to_end(&mut text)?;
        ensure!(text == b"little", "its numbers are not little-endian");
    }
    let mut bytes = Vec::new();
    let mut file = zip.by_name(&name)?;
    ensure!(file.size() <= MAX_PICKLE, "its data.pkl has more than {MAX_PICKLE} bytes");
    file.by_ref().take(MAX_PICKLE).read_to_end(&mut bytes).context("its data.pkl is damaged")?;
    drop(file);

    let mut entries = Vec::new();
    for (name, Tensor { storage, offset, shape, strides }) in tensors(&bytes)? {
        let file = format!("{top}data/{}", storage.key);
        let file =
            zip.by_name(&file).with_context(|| format!("the values of {name} are missing"))?;
        ensure!(
            file.compression() == CompressionMethod::Stored,
            "the values of {name} are compressed"
        );
        let size = storage.kind.elt_size_in_bytes() as u64;
        ensure!(
            storage.count.checked_mul(size) == Some(file.size())
                && file.compressed_size() == file.size(),
            "{name} has {} bytes, expected {} values",
            file.size(),
            storage.count
        );
        let mut expected = 1i64;
        for (&side, &stride) in shape.iter().zip(&strides).rev() {
            ensure!(side <= 1 || stride == expected, "the values of {name} are not in order");
            expected = expected
                .checked_mul(side)
                .filter(|count| *count >= 0)
                .context("it is too large")?;
        }
        let whole = offset == 0 && expected as u64 == storage.count && shape.len() == strides.len();
        ensure!(whole, "{name} is only a part of its values");
        let (start, crc) = (file.data_start(), Some(file.crc32()));
        entries.push((name.replace('|', "."), Stored { shape, kind: storage.kind, start, crc }));
    }
    Ok(entries)
}

#[derive(Clone)]
struct Storage {
    key: String,
    kind: Kind,
    count: u64,
}

#[derive(Clone)]
struct Tensor {
    storage: Storage,
    offset: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

/// What the stack of the pickle holds.
#[derive(Clone)]
enum Value {
    Mark,
    Integer(i64),
    Text(Rc<str>),
    /// A type or a function, by module and name.
    Global(Rc<str>),
    Tuple(Rc<Vec<Value>>),
    Storage(Rc<Storage>),
    Tensor(Rc<Tensor>),
    /// The module, or a dictionary: of no interest but for the tensors that were put into it.
    Other,
}

/// The tensors that a pickle puts into its module, with their names.
fn tensors(mut pickle: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut stack: Vec<Value> = Vec::new();
    let mut memo: HashMap<u32, Value> = HashMap::new();
    let mut found = Vec::new();
    loop {
        let [code] = take(&mut pickle)?;
        let value = match code {
            0x80 => {
                let [version] = take(&mut pickle)?;
                ensure!(version == 2, "its pickle has the version {version}, expected 2");
                continue;
            }
            b'.' => return Ok(found),
            b'(' => Value::Mark,
            b'c' => Value::Global(format!("{} {}", line(&mut pickle)?, line(&mut pickle)?).into()),
            b'q' | b'r' => {
                let at = index(code == b'r', &mut pickle)?;
                memo.insert(at, stack.last().context(BROKEN)?.clone());
                continue;
            }
            b'h' | b'j' => memo.get(&index(code == b'j', &mut pickle)?).context(BROKEN)?.clone(),
            b'J' => Value::Integer(i32::from_le_bytes(take(&mut pickle)?).into()),
            b'K' => Value::Integer(take::<1>(&mut pickle)?[0].into()),
            b'M' => Value::Integer(u16::from_le_bytes(take(&mut pickle)?).into()),
            0x8a => {
                let [length] = take(&mut pickle)?;
                ensure!(length == 8, BROKEN);
                Value::Integer(i64::from_le_bytes(take(&mut pickle)?))
            }
            0x88 | 0x89 => Value::Integer((code == 0x88).into()),
            b'X' => {
                let length = u32::from_le_bytes(take(&mut pickle)?) as usize;
                let (text, rest) = pickle.split_at_checked(length).context(BROKEN)?;
                pickle = rest;
                Value::Text(std::str::from_utf8(text).context(BROKEN)?.into())
            }
            b')' => Value::Tuple(Rc::default()),
            b'}' => Value::Other,
            b't' => Value::Tuple(Rc::new(from_mark(&mut stack)?)),
            b'Q' => Value::Storage(Rc::new(storage(&stack.pop().context(BROKEN)?)?)),
            // Made new, called, or given its state: the arguments, and what they are for.
            0x81 | b'R' | b'b' => {
                let arguments = stack.pop().context(BROKEN)?;
                match (stack.pop(), arguments) {
                    (Some(Value::Global(name)), Value::Tuple(arguments)) if code != b'b' => {
                        match &*name {
                            "torch._utils _rebuild_tensor_v2" => {
                                Value::Tensor(Rc::new(tensor(&arguments)?))
                            }
                            "__torch__ Module" | "collections OrderedDict" => Value::Other,
                            _ => bail!("it calls for {name:?}, which weights do not need"),
                        }
                    }
                    (Some(Value::Other), Value::Other) if code == b'b' => Value::Other,
                    _ => bail!(BROKEN),
                }
            }
            b'u' => {
                for pair in from_mark(&mut stack)?.chunks(2) {
                    match pair {
                        [Value::Text(name), Value::Tensor(tensor)] => {
                            ensure!(
                                found.len() < MAX_TENSORS,
                                "it holds more than {MAX_TENSORS} tensors"
                            );
                            found.push((name.to_string(), Tensor::clone(tensor)));
                        }
                        // What the module knows of itself, as whether it is being trained.
                        [Value::Text(_), Value::Integer(_)] => {}
                        _ => bail!("it holds more than tensors"),
                    }
                }
                ensure!(matches!(stack.last(), Some(Value::Other)), BROKEN);
                continue;
            }
            _ => bail!("its pickle has the code {code:#04x}, which weights do not need"),
        };
        stack.push(value);
    }
}

const BROKEN: &str = "its pickle is damaged";

fn take<const LENGTH: usize>(pickle: &mut &[u8]) -> Result<[u8; LENGTH]> {
    let (taken, rest) = pickle.split_first_chunk().context(BROKEN)?;
    *pickle = rest;
    Ok(*taken)
}

fn index(long: bool, pickle: &mut &[u8]) -> Result<u32> {
    Ok(if long { u32::from_le_bytes(take(pickle)?) } else { take::<1>(pickle)?[0].into() })
}

fn line(pickle: &mut &[u8]) -> Result<String> {
    let mut line = String::new();
    pickle.read_line(&mut line).context(BROKEN)?;
    Ok(line.strip_suffix('\n').context(BROKEN)?.into())
}

/// Takes what lies above the last mark, and the mark. In it, tuples have none deeper than themselves.
fn from_mark(stack: &mut Vec<Value>) -> Result<Vec<Value>> {
    let at = stack.iter().rposition(|value| matches!(value, Value::Mark)).context(BROKEN)?;
    let values = stack.split_off(at + 1);
    stack.pop();
    let tuples = |values: &[Value]| values.iter().any(|value| matches!(value, Value::Tuple(_)));
    let deep = |value: &Value| matches!(value, Value::Tuple(inner) if tuples(inner));
    ensure!(!values.iter().any(deep), BROKEN);
    Ok(values)
}

/// From `("storage", type, key, device, number of values)`.
fn storage(id: &Value) -> Result<Storage> {
    let Value::Tuple(id) = id else { bail!(BROKEN) };
    let [_, Value::Global(kind), Value::Text(key), _, Value::Integer(count)] = &id[..] else {
        bail!(BROKEN)
    };
    let kind = match kind.strip_prefix("torch ") {
        Some("FloatStorage") => Kind::Float,
        Some("DoubleStorage") => Kind::Double,
        Some("HalfStorage") => Kind::Half,
        Some("BFloat16Storage") => Kind::BFloat16,
        Some("LongStorage") => Kind::Int64,
        Some("IntStorage") => Kind::Int,
        _ => bail!("it holds values of the type {kind:?}, expected torch FloatStorage"),
    };
    Ok(Storage { key: key.to_string(), kind, count: u64::try_from(*count).context(BROKEN)? })
}

/// From `(storage, offset, shape, strides, …)`.
fn tensor(arguments: &[Value]) -> Result<Tensor> {
    let [
        Value::Storage(storage),
        Value::Integer(offset),
        Value::Tuple(shape),
        Value::Tuple(strides),
        ..,
    ] = arguments
    else {
        bail!(BROKEN)
    };
    let integers = |values: &[Value]| {
        let integer = |value: &Value| match value {
            Value::Integer(value) if *value >= 0 => Ok(*value),
            _ => bail!(BROKEN),
        };
        values.iter().map(integer).collect::<Result<Vec<i64>>>()
    };
    Ok(Tensor {
        storage: Storage::clone(storage),
        offset: *offset,
        shape: integers(shape)?,
        strides: integers(strides)?,
    })
}
