//! The part of Python's pickles that a `state_dict` needs.
//!
//! A pickle is a program (<https://docs.python.org/3/library/pickletools.html>) that can have Python
//! call anything. It is not executed: of its operations only those are followed that a
//! `state_dict` needs, none of which calls anything. (The crates for pickles do not know the
//! references to storages. libtorch's own reader would run what TorchScript an archive brings.)

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::contents::Number;

/// The names and, where they are some, tensors of a dictionary.
pub type Items = Vec<(Rc<str>, Option<Rc<Stored>>)>;

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
    Storage(Option<Number>, Rc<str>),
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
    Storage(Option<Number>),
}

/// A tensor: a view of a storage.
#[derive(Debug)]
pub struct Stored {
    /// Its numbers; none if they are integers.
    pub number: Option<Number>,
    pub key: Rc<str>,
    pub offset: usize,
    pub size: Vec<usize>,
    pub stride: Vec<usize>,
}

/// The dictionary that a pickle makes.
pub fn unpickle(pickle: &[u8]) -> Result<Items> {
    let mut input = Input(pickle);
    let mut stack = Stack(Vec::new());
    let mut memo = HashMap::new();
    loop {
        let operation = input.number::<1>()? as u8;
        if operation == b'.' {
            break; // STOP
        }
        if let Some(value) = pushed(operation, &mut input)? {
            stack.0.push(value);
        } else if !recall(operation, &mut input, &mut stack, &mut memo)? {
            combine(operation, &mut stack)?;
        }
    }
    match stack.pop()? {
        Value::Dict(items) => Ok(items),
        Value::Tensor(_) => bail!("it is a single tensor"),
        _ => bail!("it does not hold a dictionary of tensors"),
    }
}

/// The value that an operation puts on the stack, if it does that alone.
fn pushed(operation: u8, input: &mut Input<'_>) -> Result<Option<Value>> {
    Ok(Some(match operation {
        b'(' => Value::Mark,                                        // MARK
        b'N' | 0x88 | 0x89 => Value::Other,                         // NONE, NEWTRUE, NEWFALSE
        b'K' => Value::Int(input.number::<1>()? as i64),            // BININT1
        b'M' => Value::Int(input.number::<2>()? as i64),            // BININT2
        b'J' => Value::Int((input.number::<4>()? as i32).into()),   // BININT
        b'}' => Value::Dict(Vec::new()),                            // EMPTY_DICT
        b')' => Value::Tuple([].into(), false),                     // EMPTY_TUPLE
        b'c' => class(text(input.line()?)?, text(input.line()?)?)?, // GLOBAL
        0x8c => {
            let length = input.number::<1>()?; // SHORT_BINUNICODE
            Value::Text(text(input.take(length as usize)?)?.into())
        }
        b'X' => {
            let length = input.number::<4>()?; // BINUNICODE
            Value::Text(text(input.take(length as usize)?)?.into())
        }
        _ => return Ok(None),
    }))
}

/// Follows an operation that stores or recalls what is on the stack, or tells of the pickle itself;
/// whether it is one.
fn recall(
    operation: u8,
    input: &mut Input<'_>,
    stack: &mut Stack,
    memo: &mut HashMap<u64, Value>,
) -> Result<bool> {
    match operation {
        0x80 => _ = input.take(1)?, // PROTO
        0x95 => _ = input.take(8)?, // FRAME
        b'q' | b'r' | 0x94 => {
            // BINPUT, LONG_BINPUT, MEMOIZE
            let key = match operation {
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
            let key = if operation == b'h' { input.number::<1>()? } else { input.number::<4>()? };
            stack.0.push(memo.get(&key).context("invalid pickle: unknown memo key")?.clone());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Follows an operation that makes something of what is on the stack.
fn combine(operation: u8, stack: &mut Stack) -> Result<()> {
    match operation {
        0x93 => {
            // STACK_GLOBAL
            let (name, module) = (stack.text()?, stack.text()?);
            stack.0.push(class(&module, &name)?);
        }
        b't' => {
            // TUPLE
            let items = stack.since_mark()?;
            stack.tuple(items)?;
        }
        0x85..=0x87 => {
            // TUPLE1 to TUPLE3
            let items = stack.last(usize::from(operation - 0x84))?;
            stack.tuple(items)?;
        }
        b's' => {
            // SETITEM
            let items = stack.last(2)?;
            stack.set(items)?;
        }
        b'u' => {
            // SETITEMS
            let items = stack.since_mark()?;
            stack.set(items)?;
        }
        b'Q' => {
            // BINPERSID
            let storage = storage(&stack.arguments()?)?;
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
        other => bail!("it has the operation {other:#04x}, which no state_dict needs"),
    }
    Ok(())
}

const EMPTY: &str = "invalid pickle: the stack is empty";

/// What is left to be read of a pickle.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("it is truncated")?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned number of N bytes, little-endian.
    fn number<const N: usize>(&mut self) -> Result<u64> {
        Ok(self.take(N)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == b'\n').context("it is truncated")?;
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
            _ => bail!("a name in it is not text"),
        }
    }

    fn arguments(&mut self) -> Result<Rc<[Value]>> {
        match self.pop()? {
            Value::Tuple(items, _) => Ok(items),
            _ => bail!("invalid pickle: REDUCE without a tuple of arguments"),
        }
    }

    /// Takes the last `count` values.
    fn last(&mut self, count: usize) -> Result<Vec<Value>> {
        Ok(self.0.split_off(self.0.len().checked_sub(count).context(EMPTY)?))
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
            bail!("invalid pickle: SETITEMS without a dictionary")
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
                [_, _] => dict.push(("a key that is not text".into(), None)),
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
        ("torch", "FloatStorage") => Class::Storage(Some(Number::F32)),
        ("torch", "DoubleStorage") => Class::Storage(Some(Number::F64)),
        ("torch", "HalfStorage") => Class::Storage(Some(Number::F16)),
        ("torch", "BFloat16Storage") => Class::Storage(Some(Number::Bf16)),
        ("torch", "LongStorage") => Class::Storage(None),
        _ => bail!(
            "it refers to {:?}, which no state_dict needs; save with torch.save(model.state_dict(), …)",
            format!("{module}.{name}")
        ),
    }))
}

/// The storage that is referred to so: ("storage", type, key, device, number of elements).
fn storage(reference: &[Value]) -> Result<Value> {
    match reference {
        [_, Value::Class(Class::Storage(number)), Value::Text(key), ..] => {
            Ok(Value::Storage(*number, key.clone()))
        }
        _ => bail!("a storage in it is not as PyTorch writes them"),
    }
}

/// What comes of calling `callee`.
fn made(callee: Value, arguments: &[Value]) -> Result<Value> {
    let number = |value: &Value| match value {
        Value::Int(number) => usize::try_from(*number).ok(),
        _ => None,
    };
    let numbers = |values: &[Value]| values.iter().map(number).collect::<Option<Vec<_>>>();
    match (callee, arguments) {
        (Value::Class(Class::OrderedDict), []) => Ok(Value::Dict(Vec::new())),
        (Value::Class(Class::Module), []) => Ok(Value::Module),
        (
            Value::Class(Class::RebuildTensor),
            [
                Value::Storage(stored, key),
                offset,
                Value::Tuple(size, _),
                Value::Tuple(stride, _),
                ..,
            ],
        ) if size.len().max(stride.len()) <= MAX_DIMENSIONS => {
            let view = (number(offset), numbers(size), numbers(stride));
            let (Some(offset), Some(size), Some(stride)) = view else {
                bail!("the shape of a tensor in it is not of whole numbers from 0 up")
            };
            let (number, key) = (*stored, key.clone());
            Ok(Value::Tensor(Rc::new(Stored { number, key, offset, size, stride })))
        }
        (Value::Class(Class::RebuildParameter), [Value::Tensor(tensor), ..]) => {
            Ok(Value::Tensor(tensor.clone()))
        }
        _ => bail!("it calls a function that no state_dict needs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dictionary of one float16 tensor `a [2, 3]`, whose columns are stored one after the other.
    const DICTIONARY: &[u8] = b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(\
        (X\x07\0\0\0storagectorch\nHalfStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x07tQ\
        K\x01K\x02K\x03\x86K\x01K\x02\x86\x89}tRs.";

    #[test]
    fn a_dictionary_of_tensors_is_read() {
        let items = unpickle(DICTIONARY).unwrap();
        let [(name, Some(tensor))] = &items[..] else { panic!() };
        assert_eq!((&**name, &*tensor.key), ("a", "0"));
        assert_eq!((tensor.number, tensor.offset), (Some(Number::F16), 1));
        assert_eq!((&tensor.size[..], &tensor.stride[..]), (&[2, 3][..], &[1, 2][..]));
    }

    #[test]
    fn truncated_pickles_and_ones_that_call_anything_are_refused() {
        for length in 0..DICTIONARY.len() {
            assert!(unpickle(&DICTIONARY[..length]).is_err(), "{length}");
        }
        let error = unpickle(b"\x80\x02cos\nsystem\n(X\x02\0\0\0ls\x85R.").unwrap_err();
        assert!(error.to_string().contains("\"os.system\", which no state_dict needs"), "{error}");
        // Sizes and offsets below 0, by BININT.
        let negative =
            [&DICTIONARY[..DICTIONARY.len() - 16], b"K\x01J\xff\xff\xff\xffK\x03"].concat();
        let negative = [&negative[..], &DICTIONARY[DICTIONARY.len() - 11..]].concat();
        assert!(unpickle(&negative).is_err());
    }
}
