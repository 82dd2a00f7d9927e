//! The listener on a loopback address whose requests need no credential: they act as one token that the configuration names.
//!
//! It serves DIGIT's routes and nothing else. What comes from farther than this machine must not get the token's rights by
//! passing through something that runs here: a request that a browser sends for a web page, or that a proxy passes on, needs
//! a credential like any other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cairn_listen::{Answer, Service};
use http::header::{FORWARDED, HOST, ORIGIN, VIA};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Request, Version};
use hyper::body::Incoming;

use super::path::Target;
use super::problem::Problem;
use super::{App, handle};
use crate::auth::TokenId;

/// Headers that only browsers and proxies send.
const FROM_ELSEWHERE: [&str; 5] = ["sec-fetch-site", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "referer"];

/// The service of that listener.
pub struct Loopback {
    app: Arc<App>,
    token: TokenId,
}

impl Loopback {
    /// Serves DIGIT's routes; who names no token has this one.
    #[must_use]
    pub const fn new(app: Arc<App>, token: TokenId) -> Self {
        Self { app, token }
    }
}

impl Service for Loopback {
    async fn answer(self: Arc<Self>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
        if !Target::parse(request.uri().path()).route.is_digit() {
            return Problem::not_found().to_answer(request.version() <= Version::HTTP_11);
        }
        let (parts, body) = request.into_parts();
        let token = Some(self.token).filter(|_| peer.ip().is_loopback() && is_from_here(&parts));
        handle(&self.app, peer, Request::from_parts(parts, body), token).await
    }

    fn refusal(&self, request: &Request<Incoming>) -> Answer {
        self.app.refusal(request)
    }

    fn take_pressed(&self) -> bool {
        self.app.take_pressed()
    }
}

/// Whether nothing says that a browser or a proxy has passed the request on. A name that leads here and is no loopback
/// address's is how a web page gets past a browser's rules.
fn is_from_here(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let standard = [ORIGIN, FORWARDED, VIA].iter().any(|name| headers.contains_key(name));
    !standard && !FROM_ELSEWHERE.iter().any(|name| headers.contains_key(*name)) && is_named_loopback(parts, headers)
}

fn is_named_loopback(parts: &Parts, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter().map(|host| host.to_str().ok().and_then(|host| host.parse().ok()));
    let named: Option<Authority> = match (parts.uri.authority(), hosts.next()) {
        (Some(authority), _) => Some(authority.clone()),
        (None, Some(host)) => host,
        (None, None) => None,
    };
    let loopback = |name: &Authority| {
        let host = name.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    };
    hosts.next().is_none() && named.as_ref().is_some_and(loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::post("/audit-service/log/v1/_create");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        is_from_here(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn what_a_browser_or_a_proxy_passes_on_does_not_come_from_here() {
        for host in ["localhost", "LocalHost:8280", "127.0.0.1:8280", "127.9.9.9", "[::1]:8280"] {
            assert!(is(&[("host", host)]), "{host}");
        }
        for host in ["log.example", "127.0.0.1.example", "10.0.0.1", "[::2]", "", "a b", "localhost.example:1"] {
            assert!(!is(&[("host", host)]), "{host}");
        }
        assert!(!is(&[]) && !is(&[("host", "localhost"), ("host", "log.example")]));
        for name in FROM_ELSEWHERE.into_iter().chain(["origin", "forwarded", "via"]) {
            assert!(!is(&[("host", "localhost"), (name, "null")]), "{name}");
        }
        assert!(is(&[("host", "localhost"), ("user-agent", "x")]));
    }
}
