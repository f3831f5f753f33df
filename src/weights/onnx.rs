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
#[cfg(feature = "torch")] // which computes what the nodes say
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// Computes what a file says, node by node; `make interop` has onnxruntime do it.
    #[test]
    fn a_file_computes_the_probabilities() {
        let model = crate::network::model::Model::new(5, 1, Device::Cpu).unwrap();
        let file = encode(&model.to_arrays().unwrap());
        let file = Model::decode(&file[..]).unwrap();
        assert_eq!((file.ir_version, file.opset_import[0].version), (IR, OPSET));
        let graph = file.graph.unwrap();
        let images = Tensor::rand([3, PIXELS as i64], (Kind::Float, Device::Cpu));
        let mut values =
            std::collections::HashMap::from([("images".into(), images.shallow_clone())]);
        for array in graph.initializer {
            assert_eq!(array.data_type, FLOAT);
            let tensor =
                Tensor::f_from_data_size(&array.raw_data, &array.dims, Kind::Float).unwrap();
            values.insert(array.name, tensor);
        }
        for node in graph.node {
            let input: Vec<_> = node.input.iter().map(|name| &values[name]).collect();
            let attributes: Vec<_> = node.attribute.iter().map(|a| (&a.name[..], a.i)).collect();
            let output = match (&node.op_type[..], &attributes[..]) {
                ("Gemm", [("transB", 1)]) => input[0].matmul(&input[1].tr()) + input[2],
                ("Relu", []) => input[0].relu(),
                ("Softmax", [("axis", -1)]) => input[0].softmax(-1, Kind::Float),
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
        let logits = model.forward(&images);
        for (name, expected) in
            [("logits", &logits), ("probabilities", &logits.softmax(-1, Kind::Float))]
        {
            assert!(values[name].allclose(expected, 1e-5, 1e-6, false), "{name}");
        }
    }
}
