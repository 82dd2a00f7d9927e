//! Who may do what: bearer tokens with rights, on logs and on the records of tenants (RFC 6750, section 2.1).
//!
//! A token is 256 random bits, so its digest needs no salt and no slow hash; only digests are kept. Tokens are looked up
//! by their id, which is no secret, and then compared in constant time. Not here: which route needs which right (`http`).

mod file;
mod producer_key;
mod rights;
mod selector;
mod token;

pub use file::{TokenFile, TokenFileError};
pub use producer_key::{ProducerKeyText, ProducerKeyTextError};
pub use rights::{AUDITOR_RIGHTS, PRODUCER_RIGHTS, Right, Rights, RightsError};
pub use selector::{Selector, SelectorError, Tenants};
pub use token::{Token, TokenId, TokenIdError, TokenTerms, TokenText};

use arc_swap::ArcSwap;

/// The tokens in force, replaced as a whole when the file was changed.
#[derive(Debug)]
pub struct Tokens {
    current: ArcSwap<Vec<Token>>,
}

/// What the header `Authorization` of a request amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// No such header.
    Anonymous,
    /// A header that names no token in force.
    Unknown,
    /// A token in force.
    Known {
        /// Which one; idempotency keys belong to it.
        id: TokenId,
        /// What it may do.
        rights: Rights,
        /// On which logs.
        selector: Selector,
        /// On the records of which tenants.
        tenants: Tenants,
        /// The keys that its producer signs with.
        producer_keys: Vec<ProducerKeyText>,
    },
}

impl Tokens {
    /// Puts these tokens in force.
    #[must_use]
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { current: ArcSwap::from_pointee(sorted(tokens)) }
    }

    /// Replaces all tokens; requests that are already let in go on.
    pub fn replace(&self, tokens: Vec<Token>) {
        self.current.store(sorted(tokens).into());
    }

    /// Looks up the token of an `Authorization` header's value.
    #[must_use]
    pub fn caller(&self, authorization: Option<&[u8]>) -> Caller {
        let Some(value) = authorization else { return Caller::Anonymous };
        self.known(value).unwrap_or(Caller::Unknown)
    }

    /// The token of this id, for a listener whose requests it stands for; unknown if it is not in force any more.
    #[must_use]
    pub fn of_id(&self, id: TokenId) -> Caller {
        let tokens = self.current.load();
        let place = tokens.binary_search_by(|token| token.id.cmp(&id)).ok();
        place.and_then(|place| tokens.get(place)).map_or(Caller::Unknown, Caller::of)
    }

    fn known(&self, value: &[u8]) -> Option<Caller> {
        let (scheme, credentials) = value.split_at_checked("Bearer ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return None;
        }
        let text = TokenText::parse(std::str::from_utf8(credentials).ok()?.trim_matches(' '))?;
        let tokens = self.current.load();
        let place = tokens.binary_search_by(|token| token.id.cmp(&text.id())).ok()?;
        tokens.get(place).filter(|token| token.is(&text)).map(Caller::of)
    }
}

impl Caller {
    fn of(token: &Token) -> Self {
        let Token { id, rights, selector, tenants, producer_keys, .. } = token.clone();
        Self::Known { id, rights, selector, tenants, producer_keys }
    }

    /// Whether it has `right` on the log of this name.
    #[must_use]
    pub fn may(&self, right: Right, log: &str) -> bool {
        match self {
            Self::Known { rights, selector, .. } => rights.contains(right) && selector.matches(log),
            Self::Anonymous | Self::Unknown => false,
        }
    }

    /// Whether it has `right` on the records of this tenant.
    #[must_use]
    pub fn may_on_tenant(&self, right: Right, tenant: &str) -> bool {
        match self {
            Self::Known { rights, tenants, .. } => rights.contains(right) && tenants.matches(tenant),
            Self::Anonymous | Self::Unknown => false,
        }
    }
}

fn sorted(mut tokens: Vec<Token>) -> Vec<Token> {
    tokens.sort_by_key(|token| token.id);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(seed: u8, rights: &str, selector: &str) -> (TokenText, Token) {
        let text = TokenText::from_random([seed; TokenText::RANDOM_BYTES]);
        let (rights, logs, tenants) = (rights.parse().unwrap(), selector.parse().unwrap(), "pb.*".parse().unwrap());
        let terms = TokenTerms { name: "test".into(), rights, logs, tenants, producer_keys: vec![] };
        let token = Token::new(&text, terms, 0);
        (text, token)
    }

    fn header(text: &TokenText) -> Vec<u8> {
        format!("Bearer {}", *text.reveal()).into_bytes()
    }

    #[test]
    fn a_token_gives_its_rights_on_its_logs_until_it_is_gone() {
        let (text, kept) = token(1, "append,read", "team-*");
        let tokens = Tokens::new(vec![token(2, "admin", "*").1, kept]);
        let caller = tokens.caller(Some(&header(&text)));
        assert!(caller.may(Right::Append, "team-a") && caller.may(Right::Read, "team-b"));
        assert!(!caller.may(Right::Admin, "team-a") && !caller.may(Right::Append, "other"));
        assert!(caller.may_on_tenant(Right::Read, "pb.a") && !caller.may_on_tenant(Right::Read, "team-a"));
        assert!(!caller.may_on_tenant(Right::Admin, "pb.a") && !caller.may(Right::Read, "pb.a"));
        tokens.replace(vec![]);
        assert_eq!(tokens.caller(Some(&header(&text))), Caller::Unknown);
    }

    #[test]
    fn anything_but_the_exact_token_is_unknown() {
        let (text, kept) = token(1, "append", "*");
        let tokens = Tokens::new(vec![kept]);
        let good = header(&text);
        assert_ne!(tokens.caller(Some(&good)), Caller::Unknown);
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0x01;
            assert_eq!(tokens.caller(Some(&bad)), Caller::Unknown, "byte {place}");
            assert_eq!(tokens.caller(Some(&good[..place])), Caller::Unknown, "cut at {place}");
        }
        assert_eq!(tokens.caller(Some(&[good, b"x".to_vec()].concat())), Caller::Unknown);
        assert_eq!(tokens.caller(None), Caller::Anonymous);
    }
}
