//! The server as programs and browsers see it.

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};
use tch_mnist::network::classifier::Classifier;

use super::common::{Place, mnist_digits, mnist_images, one, released};

/// A running server; dropped, it is killed.
struct Served {
    child: Child,
    address: SocketAddr,
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// Starts a server at a port that is free.
    fn start(place: &Place, arguments: &[&str]) -> Served {
        Served::start_at(place, "127.0.0.1:0", arguments)
    }

    fn start_at(place: &Place, listen: &str, arguments: &[&str]) -> Served {
        let arguments = [&["serve", "--listen", listen], arguments].concat();
        let mut command = place.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        Served { address: address.expect(&line).parse().unwrap(), child }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// Sends a request with these headers, and returns the answer.
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let own = self.address.to_string();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {own}\r\n");
        }
        let framed = ["Content-Length", "Transfer-Encoding"];
        if !headers.iter().any(|(name, _)| framed.contains(name)) {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        let mut stream = self.connect();
        let request = [head.as_bytes(), b"\r\n", body].concat();
        let _ = stream.write_all(&request); // it may be refused before it has come
        answer(stream)
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &[], body)
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

fn answer(mut stream: TcpStream) -> Answer {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let end = all.windows(4).position(|end| end == b"\r\n\r\n").expect("there is an answer") + 4;
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), body: all[end..].to_vec() }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The status and the sentence of a failure.
    fn failure(&self) -> (u16, String) {
        let sentence = self.json()["error"].as_str().unwrap().to_string();
        assert!(sentence.ends_with('.'), "{sentence}");
        (self.status, sentence)
    }
}

fn sheet(name: &str) -> String {
    format!("{}/tests/sheets/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Whether two values are the same but for how processors and libtorch's batches round.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[test]
fn answers_are_those_of_the_commands() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    for (command, name) in [
        ("predict", "digit_4.jpg"),
        ("predict", "ruled_0.jpg"),
        ("read", "ruled_0.jpg"),
        ("read", "exif_0.jpg"),
        ("read", "blank_0.jpg"),
    ] {
        let file = fs::read(sheet(name)).unwrap();
        let (code, printed, _) = place.run(&[command, "--json", &sheet(name)]);
        assert_eq!(code, 0);
        let mut expected: Value = serde_json::from_str(&printed).unwrap();
        expected["path"] = "-".into();
        let answer = served.post(&format!("/{command}"), &file);
        assert_eq!(answer.status, 200);
        assert!(same(&answer.json(), &expected), "{name}: {} {expected}", answer.json());
        // In a form, it has the name of its file.
        let start =
            format!("--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"");
        let form =
            [start.as_bytes(), b"\r\nContent-Type: image/jpeg\r\n\r\n", &file, b"\r\n--b--\r\n"];
        let media = [("Content-Type", "multipart/form-data; boundary=b")];
        let answer = served.send("POST", &format!("/{command}"), &media, &form.concat());
        expected["path"] = name.into();
        assert!(same(&answer.json(), &expected), "{name}: {} {expected}", answer.json());
        if cfg!(not(feature = "torch")) {
            let line = printed.replace(&sheet(name), name);
            assert_eq!(String::from_utf8(answer.body).unwrap(), line, "to the bit");
        }
    }
    let unsure = served.post("/read?min_confidence=1", &fs::read(sheet("ruled_0.jpg")).unwrap());
    assert!(unsure.json()["lines"][0]["text"].as_str().unwrap().contains('?'));
}

#[test]
fn what_was_seen_and_what_speaks_for_it_is_explained() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let file = fs::read(sheet("ruled_0.jpg")).unwrap();
    let (read, explained) = (served.post("/read", &file), served.post("/explain", &file));
    let (read, explained) = (read.json(), explained.json());
    let mut digits = 0;
    for (line, read) in
        explained["lines"].as_array().unwrap().iter().zip(read["lines"].as_array().unwrap())
    {
        assert_eq!(line["text"], read["text"]);
        let pairs =
            line["digits"].as_array().unwrap().iter().zip(read["digits"].as_array().unwrap());
        for (digit, read) in pairs {
            let mut rest = digit.clone();
            let mut take = |name| rest.as_object_mut().unwrap().remove(name).unwrap();
            let guess = take("guess").as_u64().unwrap() as usize;
            let [seen, evidence, ink] = ["seen", "evidence", "ink"].map(|name| decode(&take(name)));
            assert!(same(&rest, read), "{rest} {read}");
            // What was seen gives the answer again, and the pixels with ink alone speak for it.
            let prediction = &released().predict(&[seen[..].try_into().unwrap()]).unwrap()[0];
            assert_eq!(prediction.label, guess);
            assert!(same(&json!(prediction.probabilities), &digit["probabilities"]));
            let signed: Vec<i8> = evidence.iter().map(|part| *part as i8).collect();
            assert!(signed.iter().zip(&seen).all(|(part, ink)| *ink > 0 || *part == 0));
            assert_eq!(signed.iter().map(|part| part.unsigned_abs()).max(), Some(127));
            assert!(signed.iter().map(|part| i32::from(*part)).sum::<i32>() > 0);
            let ink = image::load_from_memory(&ink).unwrap().into_luma8();
            assert!(ink.contains(&0) && ink.contains(&255));
            digits += 1;
        }
    }
    assert!(digits > 20, "{digits}");
    let blank = image::GrayImage::from_pixel(300, 200, image::Luma([255]));
    assert_eq!(served.post("/explain", &png(blank)).json()["lines"], json!([]));
}

fn decode(base64: &Value) -> Vec<u8> {
    let of = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = base64.as_str().unwrap().trim_end_matches('=');
    let mut bytes = Vec::new();
    for part in text.as_bytes().chunks(4) {
        let bits = part.iter().fold(0u32, |bits, c| bits << 6 | u32::from(of(*c)));
        let bits = bits << (6 * (4 - part.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..part.len()]);
    }
    bytes
}

#[test]
fn the_page_may_do_nothing_but_what_is_its_own() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let page = served.get("/");
    assert_eq!(page.status, 200);
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'self';",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "cache-control: no-cache",
    ] {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    assert!(!page.head.contains("access-control"));
    let tag = page.head.split("etag: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let again = served.send("GET", "/", &[("If-None-Match", tag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    let text = String::from_utf8(page.body).unwrap();
    let mut bytes = text.len();
    for name in text
        .split(['"', '\''])
        .filter(|name| [".js", ".css", ".svg"].iter().any(|end| name.ends_with(end)))
    {
        let file = served.get(&format!("/{}", name.trim_start_matches(['.', '/'])));
        assert_eq!(file.status, 200, "{name}");
        bytes += file.body.len();
    }
    assert!(bytes > text.len());
    assert_eq!(served.get("/../Cargo.toml").status, 404);
}

#[test]
fn requests_for_others_and_from_pages_of_others_are_refused() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let port = served.address.port();
    let own = format!("http://127.0.0.1:{port}");
    let host = |host: &str| served.send("GET", "/weights", &[("Host", host)], b"").status;
    for known in [format!("127.0.0.1:{port}"), "localhost:1".into(), "[::1]".into()] {
        assert_eq!(host(&known), 200, "{known}");
    }
    for other in ["evil.example", "evil.example:8080", "192.168.0.1", "localhost.evil.example"] {
        assert_eq!(host(other), 403, "{other}");
    }
    assert_eq!(host("user@localhost"), 403);
    assert_eq!(host(""), 403);
    let digit = png(one(60, 90));
    let from = |origin: &str| served.send("POST", "/predict", &[("Origin", origin)], &digit).status;
    assert_eq!(from(&own), 200);
    for other in ["http://evil.example", "null", "http://127.0.0.1:1", "127.0.0.1"] {
        assert_eq!(from(other), 403, "{other}");
    }
    // A page elsewhere may lead here, but not send anything.
    let led = served.send("GET", "/weights", &[("Origin", "http://evil.example")], b"");
    assert_eq!(led.status, 200);
}

#[test]
fn at_all_addresses_the_one_to_open_is_printed_and_what_it_means_said() {
    let place = Place::new();
    let mut served = Served::start_at(&place, "0.0.0.0:0", &["--allow-host", "machine.local"]);
    assert!(served.address.ip().is_loopback(), "{}", served.address);
    let host = |host: &str| served.send("GET", "/weights", &[("Host", host)], b"").status;
    assert_eq!(["192.168.0.7", "machine.local", "evil.example"].map(host), [200, 200, 403]);
    served.child.kill().unwrap();
    let mut notes = String::new();
    served.child.stderr.take().unwrap().read_to_string(&mut notes).unwrap();
    assert!(notes.contains("warning: other machines can reach this server"), "{notes}");
    assert!(notes.contains(&format!("at port {}\n", served.address.port())), "{notes}");
    let (code, _, error) = place.run(&["serve", "--allow-host", "https://machine.local"]);
    assert!(code == 2 && error.contains("it is no name of a host"), "{code} {error}");
}

#[test]
fn bad_requests_get_a_sentence() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let digit = png(one(60, 90));
    let cut = &fs::read(sheet("digit_4.jpg")).unwrap()[..900];
    let blank = png(image::GrayImage::from_pixel(30, 30, image::Luma([255])));
    let post = |path: &str, body: &[u8]| served.post(path, body).failure();
    assert_eq!(post("/predict", b"").0, 415);
    let (status, sentence) = post("/predict", b"text");
    assert_eq!(status, 415);
    assert!(sentence.starts_with("Cannot read the image: it is not a PNG"), "{sentence}");
    assert_eq!(
        post("/read", cut),
        (422, "Cannot read the image: it is truncated; download or copy it again.".into())
    );
    assert_eq!(post("/predict", &blank).0, 422);
    assert_eq!(post("/predict?weights=none", &digit).0, 404);
    assert_eq!(post("/read?min_confidence=2", &digit).0, 400);
    assert_eq!(post("/read?min_confidence=x", &digit).0, 400);
    assert_eq!(post("/nothing", &digit).0, 404);
    assert_eq!(served.send("PUT", "/predict", &[], &digit).failure().0, 405);
    assert_eq!(post("/collect?label=4", &digit).0, 404);
    let media = [("Content-Type", "multipart/form-data; boundary=b")];
    assert_eq!(served.send("POST", "/predict", &media, b"--b--\r\n").failure().0, 400);
    let long = [("Content-Length", "20000001")];
    assert_eq!(served.send("POST", "/read", &long, b"").failure().0, 413);
    let chunked = [("Transfer-Encoding", "chunked")];
    assert_eq!(served.send("POST", "/read", &chunked, b"no length\r\n").failure().0, 400);
    // 5001 × 5000 pixels, before they are decoded.
    let many = b"P5 5001 5000 255\n";
    assert_eq!(post("/read", many).0, 413);
    assert_eq!(served.post("/predict", &digit).status, 200);
}

#[test]
fn corrections_are_kept_under_their_label() {
    let place = Place::new();
    let served = Served::start(&place, &["--collect", "mine"]);
    assert_eq!(served.get("/weights").json()["collect"], true);
    let digit = one(60, 90);
    for label in ["7", "none"] {
        let kept = served.post(&format!("/collect?label={label}"), &png(digit.clone()));
        assert_eq!(kept.status, 201);
        let name = kept.json()["saved"].as_str().unwrap().to_string();
        assert_eq!(Path::new(&name).parent(), Some(Path::new(label)));
        let read = image::open(place.path("mine").join(name)).unwrap();
        assert_eq!(read.into_luma8(), digit);
    }
    for label in ["10", "..", "%2e%2e", "7%2f..%2f..", ""] {
        let refused = served.post(&format!("/collect?label={label}"), &png(digit.clone()));
        assert_eq!(refused.failure().0, 400, "{label}");
    }
    assert_eq!(served.post("/collect?label=7", b"text").failure().0, 415);
    assert_eq!(fs::read_dir(place.path("mine")).unwrap().count(), 2);
}

#[test]
fn slow_clients_do_not_keep_others_waiting() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let slow: Vec<_> = (0..300)
        .map(|number| {
            let mut stream = served.connect();
            let part: &[u8] = match number % 2 {
                0 => b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nP5",
                _ => b"GET / HTTP/1.1\r\nHos",
            };
            stream.write_all(part).unwrap();
            stream
        })
        .collect();
    let digit = png(one(60, 90));
    assert_eq!(served.post("/predict", &digit).json()["label"], 1);
    let counts = String::from_utf8(served.get("/metrics").body).unwrap();
    let open = counts.lines().find_map(|line| line.strip_prefix("mnist_connections "));
    assert!(open.unwrap().parse::<usize>().unwrap() > slow.len(), "{counts}");
}

/// An A, which is no digit.
fn letter() -> image::GrayImage {
    image::GrayImage::from_fn(120, 120, |x, y| {
        let (across, half) = (x.abs_diff(60), (y.max(20) - 20) * 2 / 5);
        let inside = (20..100).contains(&y);
        let is_ink = across.abs_diff(half) < 5 || across < half && y.abs_diff(70) < 4;
        image::Luma([if inside && is_ink { 30 } else { 225 }])
    })
}

#[test]
fn requests_at_once_all_get_their_own_answer() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let images = mnist_images(200);
    let seen: Vec<_> = images.iter().map(|image| mnist_image::normalise(image).unwrap()).collect();
    let expected = released().predict(&seen).unwrap();
    thread::scope(|scope| {
        for part in images.chunks(50).zip(expected.chunks(50)) {
            let served = &served;
            scope.spawn(move || {
                for (image, expected) in part.0.iter().zip(part.1) {
                    let answer = served.post("/predict", &png(image.clone())).json();
                    assert!(same(&json!(expected.probabilities), &answer["probabilities"]));
                }
            });
        }
    });
    assert_eq!(served.post("/predict", &png(letter())).json()["digit"], false);
    let counts = String::from_utf8(served.get("/metrics").body).unwrap();
    assert!(counts.contains("mnist_digits_total 200\n"), "{counts}");
    assert!(counts.contains("mnist_requests_total{route=\"/predict\",status=\"200\"} 201\n"));
    assert!(counts.ends_with("# EOF\n"));
}

#[cfg(unix)]
#[test]
fn the_end_waits_for_what_was_asked_before() {
    let place = Place::new();
    let mut served = Served::start(&place, &[]);
    let digit = png(one(60, 90));
    let mut idle = served.connect();
    let mut asked = served.connect();
    let head = format!(
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        digit.len()
    );
    asked.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    asked.read_exact(&mut go_on).unwrap(); // the request is being read
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    served.signal("TERM");
    let _ = idle.read_to_end(&mut Vec::new()); // is closed
    asked.write_all(&digit).unwrap();
    let answer = answer(asked);
    assert_eq!((answer.status, answer.json()["label"].as_u64()), (200, Some(1)));
    assert!(served.child.wait().unwrap().success());
    assert!(TcpStream::connect(served.address).is_err());
}

#[test]
fn the_protocol_for_inference_gives_the_logits_of_the_network() {
    let place = Place::new();
    let served = Served::start(&place, &["--weights", "released"]);
    assert_eq!(served.get("/v2/health/ready").json(), json!({"ready": true}));
    assert_eq!(
        served.get("/v2/models/released/ready").json(),
        json!({"name": "released", "ready": true})
    );
    let model = served.get("/v2/models/released").json();
    assert_eq!(
        model["inputs"][0],
        json!({"name": "images", "datatype": "FP32", "shape": [-1, 784]})
    );
    let digits = mnist_digits(3);
    let values: Vec<f32> = digits.as_flattened().iter().map(|ink| f32::from(*ink) / 255.).collect();
    let input = json!({"name": "images", "datatype": "FP32", "shape": [3, 784], "data": values});
    let request = json!({"id": "a", "inputs": [input], "outputs": [{"name": "logits"}]});
    let path = "/v2/models/released/versions/1/infer";
    let answer = served.post(path, request.to_string().as_bytes()).json();
    let logits = released().logits(&digits).unwrap();
    let expected = json!({
        "model_name": "released", "model_version": "1", "id": "a",
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [3, 10],
            "data": logits.as_flattened()}],
    });
    assert!(same(&answer, &expected), "{answer} {expected}");
    // As bytes, both ways.
    let mut input = input;
    input.as_object_mut().unwrap().remove("data");
    input["parameters"] = json!({"binary_data_size": 4 * values.len()});
    let parameters = json!({"binary_data_output": true});
    let request = json!({"inputs": [input], "parameters": parameters}).to_string();
    let length = request.len().to_string();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let body = [request.as_bytes(), &bytes].concat();
    let header = [("Inference-Header-Content-Length", &*length)];
    let answer = served.send("POST", "/v2/models/released/infer", &header, &body);
    let length = answer.head.split("inference-header-content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let (head, bytes) = answer.body.split_at(length);
    let head: Value = serde_json::from_slice(head).unwrap();
    assert_eq!(head["outputs"][1]["parameters"]["binary_data_size"], 120);
    let found: Vec<f32> =
        bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    assert!(same(&json!(found[..30]), &json!(logits.as_flattened())));
    assert_eq!(served.get("/v2/models/other").failure().0, 404);
    assert_eq!(served.get("/v2/models/released/versions/2/ready").failure().0, 404);
}

#[test]
fn several_weights_are_told_apart_by_the_names_of_their_files() {
    let place = Place::new();
    let path = place.path("mine.safetensors");
    // What their record says is not of MNIST's test set.
    let mut record = json!({"configuration": {"data": "mine"}, "test": {"accuracy": 1}});
    let arrays = super::common::arrays(32, 1);
    tch_mnist::weights::save_with_record(&arrays, &mut record, &path).unwrap();
    let served = Served::start(&place, &["--weights", "mine.safetensors", "--weights", "released"]);
    let list = served.get("/weights").json();
    let names: Vec<_> = list["weights"].as_array().unwrap().iter().map(|w| &w["name"]).collect();
    assert_eq!(names, ["mine", "released"]);
    assert_eq!(list["weights"][0]["test_accuracy"], Value::Null);
    assert!(list["weights"][1]["test_accuracy"].as_f64().unwrap() > 0.99);
    assert_eq!(
        (&list["weights"][0]["default"], &list["weights"][0]["hidden"]),
        (&json!(true), &json!(32))
    );
    assert_eq!(list["weights"][1]["record"]["configuration"]["hidden"], 512);
    let digit = png(one(60, 90));
    let [first, own, other] = ["", "?weights=mine", "?weights=released"]
        .map(|query| served.post(&format!("/predict{query}"), &digit).json());
    assert_eq!(first, own);
    assert_ne!(own["probabilities"], other["probabilities"]);
    assert_eq!(other["label"], 1);
    let (code, _, error) =
        place.run(&["serve", "--weights", "mine.safetensors", "--weights", "./mine.safetensors"]);
    assert_eq!(code, 1);
    assert!(error.contains("two weight files are named mine; rename one"), "{error}");
}

#[test]
fn an_address_that_cannot_be_used_is_named() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    let taken = served.address.to_string();
    for address in [&*taken, "203.0.113.7:80", "nowhere"] {
        let (code, out, error) = place.run(&["serve", "--listen", address]);
        assert_eq!((code, &*out), (1, ""));
        assert!(error.contains(&format!("cannot listen at {address}")), "{error}");
    }
}
