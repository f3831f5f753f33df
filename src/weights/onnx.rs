//! ONNX: written, so that other runtimes can serve a network.
//!
//! A file is a protocol buffer: <https://github.com/onnx/onnx/blob/v1.21.0/onnx/onnx.proto>. What is
//! declared here is the part of it that this network needs.

use prost::{Message, Oneof};

use super::contents::bytes_of;
use crate::CLASSES;
use crate::PIXELS;
use crate::VERSION;
use crate::network::arrays::{Arrays, NAMES};

/// The set of operators; those used here are the same since set 14.
const OPSET: i64 = 28;
/// The version of the file format, the oldest that may name this set of operators.
const IR: i64 = 10;
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "3")]
    producer_version: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Array>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

/// An integer.
#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Array {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "Extent", tags = "1, 2")]
    extent: Option<Extent>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Extent {
    #[prost(int64, tag = "1")]
    Fixed(i64),
    #[prost(string, tag = "2")]
    Named(String),
}

/// A file of the network: `images [N, 784]`, from 0 to 1, to `logits` and `probabilities [N, 10]`.
pub fn encode(arrays: &Arrays) -> Vec<u8> {
    let initializer = arrays.named().map(|(name, shape, values)| Array {
        dims: shape.into_iter().map(|side| side as i64).collect(),
        data_type: FLOAT,
        name: name.into(),
        raw_data: bytes_of(values),
    });
    let graph = Graph {
        node: vec![
            dense(["images", NAMES[0], NAMES[1]], "hidden"),
            node("Relu", &["hidden"], "active", vec![]),
            dense(["active", NAMES[2], NAMES[3]], "logits"),
            node("Softmax", &["logits"], "probabilities", vec![integer("axis", -1)]),
        ],
        name: "mnist".into(),
        initializer: initializer.collect(),
        input: vec![value("images", PIXELS)],
        output: vec![value("logits", CLASSES), value("probabilities", CLASSES)],
    };
    let model = Model {
        ir_version: IR,
        producer_name: "tch-mnist".into(),
        producer_version: VERSION.into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { version: OPSET }],
    };
    model.encode_to_vec()
}

fn dense(input: [&str; 3], output: &str) -> Node {
    node("Gemm", &input, output, vec![integer("transB", 1)])
}

fn node(op_type: &str, input: &[&str], output: &str, attribute: Vec<Attribute>) -> Node {
    Node {
        input: input.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op_type.into(),
        attribute,
    }
}

fn integer(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: 2 }
}

/// `[N, width]` in float32.
fn value(name: &str, width: usize) -> Value {
    let dim = [Extent::Named("N".into()), Extent::Fixed(width as i64)]
        .map(|extent| Dimension { extent: Some(extent) })
        .into();
    let tensor = TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) };
    Value { name: name.into(), kind: Some(Type { tensor: Some(tensor) }) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::network::arrays::tests::arrays;

    /// A matrix by rows.
    type Matrix = Vec<Vec<f32>>;

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn softmax(row: &[f32]) -> Vec<f32> {
        let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(|logit| logit.exp() / sum).collect()
    }

    /// Computes what a file says, node by node; `make interop` has onnxruntime do it.
    #[test]
    fn a_file_computes_the_probabilities() {
        let mut weights = arrays();
        let small = |value: &mut f32| *value = (*value % 11. - 5.) / 100.;
        weights.values.iter_mut().flatten().for_each(small);
        let file = Model::decode(&encode(&weights)[..]).unwrap();
        assert_eq!((file.ir_version, file.opset_import[0].version), (IR, OPSET));
        let graph = file.graph.unwrap();
        let image = |shift: usize| (0..PIXELS).map(|at| ((at + shift) % 7) as f32 / 7.).collect();
        let images: Matrix = (0..3).map(image).collect();
        let mut values: HashMap<String, Matrix> =
            HashMap::from([("images".into(), images.clone())]);
        for array in graph.initializer {
            assert_eq!(array.data_type, FLOAT);
            let (bytes, _) = array.raw_data.as_chunks();
            let numbers: Vec<f32> =
                bytes.iter().map(|number| f32::from_le_bytes(*number)).collect();
            let width = *array.dims.last().unwrap() as usize;
            values.insert(array.name, numbers.chunks(width).map(<[f32]>::to_vec).collect());
        }
        for node in graph.node {
            let input: Vec<_> = node.input.iter().map(|name| &values[name]).collect();
            let attributes: Vec<_> = node.attribute.iter().map(|a| (&a.name[..], a.i)).collect();
            let each = |change: &dyn Fn(&[f32]) -> Vec<f32>| -> Matrix {
                input[0].iter().map(|row| change(row)).collect()
            };
            let output = match (&node.op_type[..], &attributes[..]) {
                ("Gemm", [("transB", 1)]) => each(&|row| {
                    let units = input[1].iter().zip(&input[2][0]);
                    units.map(|(weights, bias)| dot(row, weights) + bias).collect()
                }),
                ("Relu", []) => each(&|row| row.iter().map(|value| value.max(0.)).collect()),
                ("Softmax", [("axis", -1)]) => each(&softmax),
                other => panic!("{other:?}"),
            };
            values.insert(node.output[0].clone(), output);
        }
        let shape = |value: &Value| {
            let tensor = value.kind.clone().unwrap().tensor.unwrap();
            let dims = tensor.shape.unwrap().dim;
            (value.name.clone(), dims.into_iter().map(|d| d.extent.unwrap()).collect::<Vec<_>>())
        };
        let named = |name: &str, width| {
            (name.to_string(), vec![Extent::Named("N".into()), Extent::Fixed(width)])
        };
        let outputs: Vec<_> = graph.output.iter().map(shape).collect();
        assert_eq!(shape(&graph.input[0]), named("images", 784));
        assert_eq!(outputs, [named("logits", 10), named("probabilities", 10)]);
        let layer = |input: &[f32], layer: usize| -> Vec<f32> {
            let units = weights.values[2 * layer].chunks(input.len());
            let units = units.zip(&weights.values[2 * layer + 1]);
            units.map(|(weights, bias)| dot(input, weights) + bias).collect()
        };
        for (at, image) in images.iter().enumerate() {
            let hidden: Vec<f32> = layer(image, 0).iter().map(|value| value.max(0.)).collect();
            let logits = layer(&hidden, 1);
            for (name, expected) in [("probabilities", softmax(&logits)), ("logits", logits)] {
                let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1. + b.abs());
                assert!(values[name][at].iter().zip(&expected).all(near), "{name}");
            }
        }
    }
}
