//! The options that say what the reader of audit records knows of himself and of those who brought them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cairn_tree::record::class::Class;
use cairn_tree::record::signature::{ProducerKey, ProducerKeys};
use clap::Args;

/// What a reader knows.
#[derive(Debug, Args)]
pub(super) struct ReaderOptions {
    /// You may see everything up to this class (public, internal, restricted or secret): a record of which anything of
    /// that is withheld is refused.
    #[arg(long, value_name = "CLASS", value_parser = class)]
    pub(super) up_to: Option<Class>,
    /// A producer's key, the base64url of an Ed25519 public key: a record that claims to be signed by it must be. Where one
    /// record is verified offline, it must be signed by this key, or by one of several.
    #[arg(long, value_name = "KEY", value_parser = producer_key, allow_hyphen_values = true)]
    producer_key: Vec<ProducerKey>,
}

impl ReaderOptions {
    /// The producers' keys.
    pub(super) fn producers(&self) -> ProducerKeys {
        self.producer_key.iter().cloned().collect()
    }

    /// Whether there is any.
    pub(super) const fn knows_producers(&self) -> bool {
        !self.producer_key.is_empty()
    }
}

pub(super) fn class(text: &str) -> Result<Class, String> {
    Class::from_name(text).ok_or_else(|| "must be public, internal, restricted or secret".to_owned())
}

fn producer_key(text: &str) -> Result<ProducerKey, String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = bytes.and_then(|bytes| ProducerKey::new(&bytes).ok());
    key.ok_or_else(|| "must be the base64url of an Ed25519 public key, without padding".to_owned())
}
