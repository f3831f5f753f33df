//! Asks a server again and again over connections that stay open, and prints what it took, as JSON.
//!
//! usage: load ADDRESS PATH BODY CONNECTIONS REQUESTS [RATE] [HEADER: VALUE]...
//!
//! With a RATE other than 0, so many requests a second are due, at equal intervals, and a latency
//! counts from when a request was due, so that one that is late makes the next ones late as well.
//! Answers that are 503 are counted and asked for again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, path, body, connections, requests, rest @ ..] = &arguments[..] else {
        panic!("load ADDRESS PATH BODY CONNECTIONS REQUESTS [RATE] [HEADER: VALUE]...")
    };
    let (connections, count): (u64, u64) =
        (connections.parse().unwrap(), requests.parse().unwrap());
    let rate: f64 = rest.first().map_or(0., |rate| rate.parse().unwrap());
    let body = fs::read(body).unwrap();
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n");
    rest.iter().skip(1).for_each(|header| request += &format!("{header}\r\n"));
    request += &format!("Content-Length: {}\r\n\r\n", body.len());
    let request = [request.as_bytes(), &body].concat();

    let (next, turned_away) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    let mut seconds: Vec<f64> = thread::scope(|scope| {
        let ask = || {
            let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
            stream.get_ref().set_nodelay(true).unwrap();
            let mut seconds = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return seconds;
                }
                let mut since = Instant::now();
                if rate > 0. {
                    since = start + Duration::from_secs_f64(number as f64 / rate);
                    thread::sleep(since.saturating_duration_since(Instant::now()));
                }
                while answered(&mut stream, &request) == 503 {
                    turned_away.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(10));
                }
                seconds.push(since.elapsed().as_secs_f64());
            }
        };
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = start.elapsed().as_secs_f64();
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| 1000. * seconds[(share * (seconds.len() - 1) as f64) as usize];
    println!(
        "{{\"seconds\": {took}, \"requests\": {}, \"turned_away\": {}, \"rate\": {}, \
         \"median_ms\": {}, \"p99_ms\": {}, \"most_ms\": {}}}",
        seconds.len(),
        turned_away.into_inner(),
        seconds.len() as f64 / took,
        at(0.5),
        at(0.99),
        at(1.)
    );
}

/// Sends the request and reads the answer; its status, which is 200 or 503.
fn answered(stream: &mut BufReader<TcpStream>, request: &[u8]) -> u16 {
    stream.get_mut().write_all(request).unwrap();
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if status == 0 {
            status = text.split(' ').nth(1).expect("the server answers").parse().unwrap();
        }
        if let Some((name, value)) = text.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().unwrap();
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).unwrap();
    assert!(status == 200 || status == 503, "{status}: {}", String::from_utf8_lossy(&rest));
    status
}
