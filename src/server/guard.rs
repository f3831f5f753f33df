//! What holds for every request: who may ask, and what browsers may do with the answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::failure::{Failure, Kind, Outcome};

/// Own content alone, nothing inline, no frames; images and the camera of the page itself.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
    object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The names by which this server may be asked for. A page elsewhere may have its own name lead
/// here (DNS rebinding), but no browser then sends one of these.
#[derive(Debug)]
pub struct Hosts {
    /// The name to listen at, as it was given.
    name: String,
    address: IpAddr,
    /// More names, some with a port.
    allowed: Vec<String>,
}

/// A name that a server may be asked for by, as `machine.local` or `example.org:8443`.
///
/// # Errors
///
/// If it is none.
pub fn host(name: &str) -> Result<String, String> {
    match name.parse::<Authority>() {
        Ok(authority) if !name.contains('@') && !authority.host().is_empty() => {
            Ok(name.to_ascii_lowercase())
        }
        _ => Err("it is no name of a host, as machine.local or example.org:8443".into()),
    }
}

impl Hosts {
    /// Those of a server that listens at `address`, given as `listen`, and [`host`]s.
    pub fn new(listen: &str, address: SocketAddr, allowed: &[String]) -> Hosts {
        let name = listen.rsplit_once(':').map_or(listen, |(name, _)| name);
        let (name, allowed) = (name.to_ascii_lowercase(), allowed.to_vec());
        Hosts { name, address: address.ip(), allowed }
    }

    fn allow(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().to_ascii_lowercase();
        if authority.as_str().contains('@') || name.is_empty() {
            return false;
        }
        let is_it = |allowed: &String| *allowed == name || allowed.eq_ignore_ascii_case(host);
        if self.allowed.iter().any(is_it) {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            // Addresses are not looked up; with all of this machine's, any may be the one meant.
            Ok(address) => {
                address.is_loopback() || address == self.address || self.address.is_unspecified()
            }
            Err(_) => name == "localhost" || name == self.name,
        }
    }

    /// Whether this request may be answered.
    fn check(&self, uri: &Uri, headers: &HeaderMap, changes: bool) -> Outcome<()> {
        let mut given = headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let (Some(host), None) = (given.next(), given.next()) else {
            return Err(Failure::bad("The request needs one Host header."));
        };
        let target = uri.authority().map_or(host, Authority::as_str);
        if !self.allow(host) || !self.allow(target) {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                "The Host header names another server: use the address that was printed when this \
                 one started, or start it with --allow-host and that name.",
            ));
        }
        let own = |origin: &HeaderValue| {
            let origin = origin.to_str().unwrap_or_default();
            let origin = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
            origin.is_some_and(|origin| {
                // A proxy in front may put another Host in the place of the one that was asked for.
                let mut names = self.allowed.iter().map(String::as_str).chain([host]);
                names.any(|name| origin.eq_ignore_ascii_case(name))
            })
        };
        if changes && !headers.get_all(ORIGIN).iter().all(own) {
            return Err(Failure::new(
                StatusCode::FORBIDDEN,
                "Pages of other servers may not send anything here.",
            ));
        }
        Ok(())
    }
}

/// Lets a request through if it may be answered, counts it, and sets the headers of the answer.
pub async fn guard(State(state): State<Shared>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let changes = !request.method().is_safe();
    let mut response = match state.hosts.check(request.uri(), request.headers(), changes) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(Kind(kind)) = response.extensions().get() {
        state.metrics.error(kind);
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    state.metrics.request(route, response.status().as_u16(), since.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_for_by_its_addresses_and_the_names_it_has() {
        let allowed = ["machine.local", "Example.org:8443"].map(|name| host(name).unwrap());
        let hosts = Hosts::new("0.0.0.0:8080", ([0; 4], 8080).into(), &allowed);
        let status = |host: &'static str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            hosts.check(&Uri::from_static("/read"), &headers, true).is_ok()
        };
        for (host, origin) in [
            ("192.168.0.7:8080", None),
            ("[fe80::1]:8080", Some("http://[fe80::1]:8080")),
            ("localhost:8080", None),
            ("Machine.local:8080", Some("http://machine.local:8080")),
            ("example.org:8443", Some("https://example.org:8443")),
            ("127.0.0.1:8080", Some("https://machine.local")),
        ] {
            assert!(status(host, origin), "{host} {origin:?}");
        }
        for (host, origin) in [
            ("evil.example", None),
            ("example.org", None),
            ("192.168.0.7.evil.example", None),
            ("machine.local", Some("http://evil.example")),
            ("127.0.0.1:8080", Some("http://machine.local:1")),
            ("127.0.0.1:8080", Some("https://example.org")),
        ] {
            assert!(!status(host, origin), "{host} {origin:?}");
        }
        for wrong in ["", "https://machine.local", "a@machine.local", "machine local", ":80"] {
            assert!(super::host(wrong).is_err(), "{wrong}");
        }
    }
}
