//! HTTP clients for what the server asks of others: witnesses and mirrors.
//!
//! Whoever is asked stands where the operator says: no redirect is followed. And nobody reads along: over plain HTTP they are
//! asked directly, whatever proxy the environment names, for it would see everything, tokens included. Over TLS it sees
//! nothing, and may be the only way out.

use reqwest::{Client, ClientBuilder, Url};

/// A client for what is at such URLs, to be bounded in time by the caller.
pub(crate) fn builder(scheme: Scheme) -> ClientBuilder {
    // Somebody else in this process may have chosen a provider before; theirs is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = match scheme {
        Scheme::Plain => Client::builder().no_proxy(),
        Scheme::Tls => Client::builder(),
    };
    builder.user_agent(concat!("cairnd/", env!("CARGO_PKG_VERSION"))).redirect(reqwest::redirect::Policy::none())
}

/// Whether others can read what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Plain,
    Tls,
}

impl Scheme {
    /// What is not known to be encrypted is not.
    pub(crate) fn of(url: &Url) -> Self {
        if url.scheme() == "https" { Self::Tls } else { Self::Plain }
    }
}
