//! PyTorch's `.pt`, as `torch.save(model.state_dict(), …)` writes it, and the `.ot` of libtorch's C++
//! API: zip archives of a pickle and of the storages that it names. Read here, not written.
//!
//! A pickle is a program (<https://docs.python.org/3/library/pickletools.html>) that can have Python
//! call anything. It is not executed: of its operations only those are followed that a
//! `state_dict` needs, none of which calls anything. (The crates for pickles do not know the
//! references to storages. libtorch's own reader would run what TorchScript an archive brings.)

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor};

use super::{Archive, Contents, MAX_BYTES, MAX_HEADER, NO_FLOAT, entry};

/// The names and, where they are some, tensors of a dictionary.
type Items = Vec<(Rc<str>, Option<Rc<Stored>>)>;

/// The most tensors, and bytes of the name of one.
const MAX_TENSORS: usize = 1000;
const MAX_NAME: usize = 1000;
/// The most dimensions of a tensor. A pickle can recall a long list in two bytes, again and again.
const MAX_DIMENSIONS: usize = 8;

/// What a pickle puts on its stack.
#[derive(Clone)]
enum Value {
    Mark,
    Int(i64),
    Text(Rc<str>),
    /// Its items, and whether there are tuples among them, which then hold none: none is deep.
    Tuple(Rc<[Value]>, bool),
    Class(Class),
    Dict(Items),
    /// A `torch.nn.Module` of TorchScript, whose state is a dictionary.
    Module,
    Storage(Kind, Rc<str>),
    Tensor(Rc<Stored>),
    Other,
}

/// What of Python's a pickle may name.
#[derive(Clone, Copy)]
enum Class {
    OrderedDict,
    Module,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

/// A tensor: a view of a storage.
struct Stored {
    kind: Kind,
    key: Rc<str>,
    offset: i64,
    size: Vec<i64>,
    stride: Vec<i64>,
}

/// Reads an archive of PyTorch's.
pub fn read(mut archive: Archive) -> Result<Contents> {
    let names: Vec<_> = archive.zip.file_names_raw().map(|name| name.to_vec()).collect();
    let prefix = names
        .iter()
        .find_map(|name| std::str::from_utf8(name).ok()?.strip_suffix("data.pkl"))
        .context("it is a zip archive, but neither Keras's (config.json) nor PyTorch's (data.pkl)")?
        .to_string();
    let byteorder = format!("{prefix}byteorder");
    if archive.zip.index_for_name(&byteorder).is_some() {
        let order = entry(&mut archive, &byteorder, 100)?;
        ensure!(order == b"little", "its numbers are not little-endian");
    }
    let pickle = entry(&mut archive, &format!("{prefix}data.pkl"), MAX_HEADER)?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in unpickle(&pickle).context("in its pickle")? {
        let tensor = tensor.with_context(|| {
            format!("its {name:?} is no tensor; save with torch.save(model.state_dict(), …)")
        })?;
        tensors.insert(name.replace('|', "."), tensor); // as the C++ API writes dots
    }
    Ok(Contents {
        shapes: tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size.clone())).collect(),
        read: Box::new(move |name| {
            let Stored { kind, key, offset, size, stride } = &*tensors[name];
            ensure!(*kind != Kind::Int64, "it is of type {kind:?}, {NO_FLOAT}");
            let bytes = entry(&mut archive, &format!("{prefix}data/{key}"), MAX_BYTES)?;
            let count = bytes.len() / kind.elt_size_in_bytes();
            let storage = Tensor::f_from_data_size(&bytes, &[count as i64], *kind)?;
            // libtorch refuses a view that goes beyond its storage.
            Ok(storage.f_as_strided(size, stride, *offset)?)
        }),
    })
}

/// The dictionary that a pickle makes.
fn unpickle(pickle: &[u8]) -> Result<Items> {
    let mut input = Input(pickle);
    let mut stack = Stack(Vec::new());
    let mut memo = HashMap::new();
    loop {
        let operation = input.number::<1>()?;
        match operation as u8 {
            0x80 => _ = input.number::<1>()?,                 // PROTO
            0x95 => _ = input.take(8)?,                       // FRAME
            b'(' => stack.0.push(Value::Mark),                // MARK
            b'N' | 0x88 | 0x89 => stack.0.push(Value::Other), // NONE, NEWTRUE, NEWFALSE
            b'K' => stack.0.push(Value::Int(input.number::<1>()? as i64)), // BININT1
            b'M' => stack.0.push(Value::Int(input.number::<2>()? as i64)), // BININT2
            b'J' => stack.0.push(Value::Int((input.number::<4>()? as i32).into())), // BININT
            b'X' | 0x8c => {
                // BINUNICODE, SHORT_BINUNICODE
                let length =
                    if operation == 0x8c { input.number::<1>()? } else { input.number::<4>()? };
                stack.0.push(Value::Text(text(input.take(length as usize)?)?.into()));
            }
            b'c' => stack.0.push(class(text(input.line()?)?, text(input.line()?)?)?), // GLOBAL
            0x93 => {
                // STACK_GLOBAL
                let (name, module) = (stack.text()?, stack.text()?);
                stack.0.push(class(&module, &name)?);
            }
            b')' => stack.tuple(Vec::new())?, // EMPTY_TUPLE
            b't' => {
                let items = stack.since_mark()?; // TUPLE
                stack.tuple(items)?;
            }
            0x85..=0x87 => {
                // TUPLE1 to TUPLE3
                let at = stack.0.len().checked_sub(operation as usize - 0x84).context(EMPTY)?;
                let items = stack.0.split_off(at);
                stack.tuple(items)?;
            }
            b'}' => stack.0.push(Value::Dict(Vec::new())), // EMPTY_DICT
            b's' => {
                // SETITEM
                let at = stack.0.len().checked_sub(2).context(EMPTY)?;
                let items = stack.0.split_off(at);
                stack.set(items)?;
            }
            b'u' => {
                let items = stack.since_mark()?; // SETITEMS
                stack.set(items)?;
            }
            b'q' | b'r' | 0x94 => {
                // BINPUT, LONG_BINPUT, MEMOIZE
                let key = match operation as u8 {
                    b'q' => input.number::<1>()?,
                    b'r' => input.number::<4>()?,
                    _ => memo.len() as u64,
                };
                let value = match stack.0.last().context(EMPTY)? {
                    Value::Dict(_) => Value::Other, // nothing needs it again
                    value => value.clone(),
                };
                memo.insert(key, value);
            }
            b'h' | b'j' => {
                // BINGET, LONG_BINGET
                let key = if operation as u8 == b'h' {
                    input.number::<1>()?
                } else {
                    input.number::<4>()?
                };
                stack.0.push(memo.get(&key).context("it recalls what it has not stored")?.clone());
            }
            b'Q' => {
                let storage = storage(&stack.arguments()?)?; // BINPERSID
                stack.0.push(storage);
            }
            b'R' | 0x81 => {
                // REDUCE, NEWOBJ
                let (arguments, callee) = (stack.arguments()?, stack.pop()?);
                stack.0.push(made(callee, &arguments)?);
            }
            b'b' => {
                // BUILD: of a dictionary it sets the versions of layers
                let (state, object) = (stack.pop()?, stack.pop()?);
                stack.0.push(if matches!(object, Value::Module) { state } else { object });
            }
            b'.' => break, // STOP
            other => bail!("it has the operation {other:#04x}, which no state_dict needs"),
        }
    }
    match stack.pop()? {
        Value::Dict(items) => Ok(items),
        Value::Tensor(_) => bail!("it is a single tensor"),
        _ => bail!("it makes no dictionary of tensors"),
    }
}

const EMPTY: &str = "it takes from an empty stack";

/// What is left to be read of a pickle.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("it ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned number of N bytes, little-endian.
    fn number<const N: usize>(&mut self) -> Result<u64> {
        Ok(self.take(N)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == b'\n').context("it ends early")?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(line)
    }
}

struct Stack(Vec<Value>);

impl Stack {
    fn pop(&mut self) -> Result<Value> {
        self.0.pop().context(EMPTY)
    }

    fn text(&mut self) -> Result<Rc<str>> {
        match self.pop()? {
            Value::Text(text) => Ok(text),
            _ => bail!("a name in it is no text"),
        }
    }

    fn arguments(&mut self) -> Result<Rc<[Value]>> {
        match self.pop()? {
            Value::Tuple(items, _) => Ok(items),
            _ => bail!("it calls with what is no tuple"),
        }
    }

    /// Takes what was put there since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Value>> {
        let at = self.0.iter().rposition(|value| matches!(value, Value::Mark)).context(EMPTY)?;
        let items = self.0.split_off(at + 1);
        self.0.pop();
        Ok(items)
    }

    fn tuple(&mut self, items: Vec<Value>) -> Result<()> {
        ensure!(
            !items.iter().any(|value| matches!(value, Value::Tuple(_, true))),
            "it nests tuples more deeply than a state_dict does"
        );
        let nests = items.iter().any(|value| matches!(value, Value::Tuple(..)));
        self.0.push(Value::Tuple(items.into(), nests));
        Ok(())
    }

    /// Puts keys and values by turns into the dictionary on the stack.
    fn set(&mut self, items: Vec<Value>) -> Result<()> {
        let Some(Value::Dict(dict)) = self.0.last_mut() else {
            bail!("it sets items of no dictionary")
        };
        let too_many = "it holds more names, or longer ones, than a state_dict does";
        ensure!(dict.len() + items.len() / 2 <= MAX_TENSORS, too_many);
        for pair in items.chunks(2) {
            match pair {
                [Value::Text(name), _] if name.len() > MAX_NAME => bail!(too_many),
                [Value::Text(name), Value::Tensor(tensor)] => {
                    dict.push((name.clone(), Some(tensor.clone())))
                }
                [Value::Text(name), _] => dict.push((name.clone(), None)),
                [_, _] => dict.push(("a key that is no text".into(), None)),
                _ => bail!("a key in it has no value"),
            }
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).context("a name in it is not UTF-8")
}

/// What the name of something of Python's stands for.
fn class(module: &str, name: &str) -> Result<Value> {
    Ok(Value::Class(match (module, name) {
        ("collections", "OrderedDict") => Class::OrderedDict,
        ("__torch__", "Module") => Class::Module,
        ("torch._utils", "_rebuild_tensor_v2") => Class::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Class::RebuildParameter,
        ("torch", "FloatStorage") => Class::Storage(Kind::Float),
        ("torch", "DoubleStorage") => Class::Storage(Kind::Double),
        ("torch", "HalfStorage") => Class::Storage(Kind::Half),
        ("torch", "BFloat16Storage") => Class::Storage(Kind::BFloat16),
        ("torch", "LongStorage") => Class::Storage(Kind::Int64),
        _ => bail!(
            "it names {:?}, which no state_dict needs; save with torch.save(model.state_dict(), …)",
            format!("{module}.{name}")
        ),
    }))
}

/// The storage that is referred to so: ("storage", type, key, device, number of elements).
fn storage(reference: &[Value]) -> Result<Value> {
    match reference {
        [_, Value::Class(Class::Storage(kind)), Value::Text(key), ..] => {
            Ok(Value::Storage(*kind, key.clone()))
        }
        _ => bail!("a storage in it is not as PyTorch writes them"),
    }
}

/// What comes of calling `callee`.
fn made(callee: Value, arguments: &[Value]) -> Result<Value> {
    let numbers = |values: &[Value]| -> Option<Vec<i64>> {
        values.iter().map(|v| if let Value::Int(i) = v { Some(*i) } else { None }).collect()
    };
    match (callee, arguments) {
        (Value::Class(Class::OrderedDict), []) => Ok(Value::Dict(Vec::new())),
        (Value::Class(Class::Module), []) => Ok(Value::Module),
        (
            Value::Class(Class::RebuildTensor),
            [
                Value::Storage(kind, key),
                Value::Int(offset),
                Value::Tuple(size, _),
                Value::Tuple(stride, _),
                ..,
            ],
        ) if size.len().max(stride.len()) <= MAX_DIMENSIONS => {
            let shape = numbers(size).zip(numbers(stride));
            let (size, stride) = shape.context("a tensor's shape is no numbers")?;
            let (kind, key, offset) = (*kind, key.clone(), *offset);
            Ok(Value::Tensor(Rc::new(Stored { kind, key, offset, size, stride })))
        }
        (Value::Class(Class::RebuildParameter), [Value::Tensor(tensor), ..]) => {
            Ok(Value::Tensor(tensor.clone()))
        }
        _ => bail!("it calls what no state_dict needs"),
    }
}
