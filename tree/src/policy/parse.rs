//! Reading and writing policy files (C2SP tlog-policy, policy file syntax and structure).
//!
//! White space and comments are allowed, so that a file is not what [`Policy::encode`] writes byte for byte; what that
//! writes means the same. The file is octets: those past ASCII are opaque and compared as they are.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Octets, Policy, PolicyGroup, PolicyLog, PolicyWitness};
use crate::cosignature::{CosignatureError, CosignerKey};
use crate::note::{SignatureType, VerifierKey, VerifierKeyError};

/// The name that is predefined for the quorum.
const NONE: &[u8] = b"none";

/// Why octets are not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The file is longer than [`Policy::MAX_BYTES`].
    #[error("a policy must be at most {max} bytes, not {0}", max = Policy::MAX_BYTES)]
    TooLong(usize),
    /// The last line is cut off: it has no newline.
    #[error("the last line of a policy must end in a newline")]
    NoFinalNewline,
    /// No line says what the quorum is.
    #[error("a policy must have a quorum line")]
    NoQuorum,
    /// A line is wrong.
    #[error("line {line}: {fault}")]
    Line {
        /// The line, counted from one.
        line: usize,
        /// What is wrong with it.
        fault: PolicyFault,
    },
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// There is an octet that no policy may hold.
    #[error("the octet {0:#04x} is not allowed")]
    Octet(u8),
    /// The line begins with none of the four keywords.
    #[error("{0} is none of log, witness, group, quorum")]
    Keyword(Octets),
    /// There are too few or too many items.
    #[error("the line must be: {0}")]
    Form(&'static str),
    /// A vkey is malformed.
    #[error("the key is wrong: {0}")]
    Key(#[from] VerifierKeyError),
    /// A vkey is not UTF-8.
    #[error("the key must be UTF-8")]
    KeyNotUtf8,
    /// The log's key is of a type that does not sign checkpoints.
    #[error("a key for {0} is no log's key")]
    LogKeyType(SignatureType),
    /// The witness's key is of a type that does not cosign.
    #[error(transparent)]
    WitnessKeyType(#[from] CosignatureError),
    /// Another log has the same public key.
    #[error("another log has the same public key")]
    DuplicateLog,
    /// Another witness has the same public key.
    #[error("another witness has the same public key")]
    DuplicateWitness,
    /// A name is defined twice, or is the predefined one.
    #[error("the name {0} is already defined")]
    DuplicateName(Octets),
    /// A name stands on no line before.
    #[error("the name {0} is not defined on a line before")]
    UnknownName(Octets),
    /// A name is listed a second time as a member.
    #[error("{0} is already a member of a group")]
    MemberTwice(Octets),
    /// The name `none` is listed as a member.
    #[error("none cannot be a member")]
    NoneAsMember,
    /// The threshold is not `all`, `any`, or a number from one to the number of members.
    #[error("the threshold must be all, any or a number from 1 to {members}, not {found}")]
    Threshold {
        /// What stands there.
        found: Octets,
        /// The number of members.
        members: usize,
    },
    /// There is more than one quorum line.
    #[error("a policy must have only one quorum line")]
    SecondQuorum,
    /// There are more lines of a kind than are supported.
    #[error("a policy must have at most {bound} {kind}")]
    TooMany {
        /// What there is too much of.
        kind: &'static str,
        /// How many are supported.
        bound: usize,
    },
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`] names the line and what is wrong with it.
    pub fn parse(file: &[u8]) -> Result<Self, PolicyError> {
        if file.len() > Self::MAX_BYTES {
            return Err(PolicyError::TooLong(file.len()));
        }
        let lines = match file {
            [] => return Err(PolicyError::NoQuorum),
            [lines @ .., b'\n'] => lines,
            _ => return Err(PolicyError::NoFinalNewline),
        };
        let mut parser = Parser::default();
        for (number, line) in (1..).zip(lines.split(|&octet| octet == b'\n')) {
            parser.line(line).map_err(|fault| PolicyError::Line { line: number, fault })?;
        }
        let Parser { logs, witnesses, groups, quorum, .. } = parser;
        Ok(Self { logs, witnesses, groups, quorum: quorum.ok_or(PolicyError::NoQuorum)? })
    }

    /// Writes a policy file that means the same: one space between items, no comments, logs first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for log in &self.logs {
            write_line(&mut file, &[b"log", log.key.to_string().as_bytes()], log.url.as_ref());
        }
        for witness in &self.witnesses {
            let key = witness.key.verifier_key().to_string();
            write_line(&mut file, &[b"witness", witness.name.as_bytes(), key.as_bytes()], witness.url.as_ref());
        }
        for group in &self.groups {
            let threshold = group.threshold.to_string();
            let mut items = vec![b"group".as_slice(), group.name.as_bytes(), threshold.as_bytes()];
            items.extend(group.members.iter().filter_map(|&member| self.member_name(member)).map(Octets::as_bytes));
            write_line(&mut file, &items, None);
        }
        let quorum = self.quorum.and_then(|member| self.member_name(member));
        write_line(&mut file, &[b"quorum", quorum.map_or(NONE, Octets::as_bytes)], None);
        file
    }
}

fn write_line(file: &mut Vec<u8>, items: &[&[u8]], url: Option<&Octets>) {
    file.extend_from_slice(&items.join(&b' '));
    if let Some(url) = url {
        file.push(b' ');
        file.extend_from_slice(url.as_bytes());
    }
    file.push(b'\n');
}

#[derive(Default)]
struct Parser {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    /// The outer option says whether there was a quorum line.
    quorum: Option<Option<Member>>,
    names: BTreeMap<Octets, Member>,
    /// The names that are members of a group.
    members: BTreeSet<Octets>,
}

impl Parser {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyFault> {
        // Character set: 0x09, 0x0A (split off already), 0x20-0x7E, 0x80-0xFF; in comments too.
        if let Some(&octet) = line.iter().find(|&&octet| !matches!(octet, b'\t' | 0x20..=0x7e | 0x80..)) {
            return Err(PolicyFault::Octet(octet));
        }
        let items: Vec<&[u8]> =
            line.split(|octet| matches!(octet, b' ' | b'\t')).filter(|item| !item.is_empty()).collect();
        match items.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", rest @ ..] => self.log(rest),
            [b"witness", rest @ ..] => self.witness(rest),
            [b"group", rest @ ..] => self.group(rest),
            [b"quorum", rest @ ..] => self.quorum(rest),
            [other, ..] => Err(PolicyFault::Keyword(Octets(other.to_vec()))),
        }
    }

    fn log(&mut self, items: &[&[u8]]) -> Result<(), PolicyFault> {
        let (key, url) = match items {
            [key] => (key, None),
            [key, url] => (key, Some(Octets(url.to_vec()))),
            _ => return Err(PolicyFault::Form("log <vkey> [<url>]")),
        };
        let key = vkey(key)?;
        if !key.kind().signs_for_logs() {
            return Err(PolicyFault::LogKeyType(key.kind()));
        }
        if self.logs.iter().any(|log| log.key.public_key() == key.public_key()) {
            return Err(PolicyFault::DuplicateLog);
        }
        bounded("logs", self.logs.len(), Policy::MAX_LOGS)?;
        self.logs.push(PolicyLog { key, url });
        Ok(())
    }

    fn witness(&mut self, items: &[&[u8]]) -> Result<(), PolicyFault> {
        let (name, key, url) = match items {
            [name, key] => (name, key, None),
            [name, key, url] => (name, key, Some(Octets(url.to_vec()))),
            _ => return Err(PolicyFault::Form("witness <name> <vkey> [<url>]")),
        };
        let key = CosignerKey::new(vkey(key)?)?;
        let public_key = key.verifier_key().public_key();
        if self.witnesses.iter().any(|witness| witness.key.verifier_key().public_key() == public_key) {
            return Err(PolicyFault::DuplicateWitness);
        }
        bounded("witnesses", self.witnesses.len(), Policy::MAX_WITNESSES)?;
        let name = self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness { name, key, url });
        Ok(())
    }

    fn group(&mut self, items: &[&[u8]]) -> Result<(), PolicyFault> {
        let [name, threshold, members @ ..] = items else { return Err(PolicyFault::Form(GROUP_FORM)) };
        if members.is_empty() {
            return Err(PolicyFault::Form(GROUP_FORM));
        }
        bounded("groups", self.groups.len(), Policy::MAX_GROUPS)?;
        let threshold = parse_threshold(threshold, members.len())?;
        // The members first: a group is not defined on a line before its own.
        let members = members.iter().map(|member| self.member(member)).collect::<Result<_, _>>()?;
        let name = self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(PolicyGroup { name, threshold, members });
        Ok(())
    }

    fn quorum(&mut self, items: &[&[u8]]) -> Result<(), PolicyFault> {
        let [name] = items else { return Err(PolicyFault::Form("quorum <name>")) };
        if self.quorum.is_some() {
            return Err(PolicyFault::SecondQuorum);
        }
        let none = *name == NONE;
        self.quorum = Some(if none { None } else { Some(self.defined(Octets(name.to_vec()))?) });
        Ok(())
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<Octets, PolicyFault> {
        let name = Octets(name.to_vec());
        if name.as_bytes() == NONE || self.names.contains_key(&name) {
            return Err(PolicyFault::DuplicateName(name));
        }
        self.names.insert(name.clone(), member);
        Ok(name)
    }

    fn defined(&self, name: Octets) -> Result<Member, PolicyFault> {
        self.names.get(&name).copied().ok_or(PolicyFault::UnknownName(name))
    }

    fn member(&mut self, name: &[u8]) -> Result<Member, PolicyFault> {
        if name == NONE {
            return Err(PolicyFault::NoneAsMember);
        }
        let name = Octets(name.to_vec());
        let member = self.defined(name.clone())?;
        if self.members.insert(name.clone()) { Ok(member) } else { Err(PolicyFault::MemberTwice(name)) }
    }
}

const GROUP_FORM: &str = "group <name> all|any|<k> <name>...";

fn vkey(item: &[u8]) -> Result<VerifierKey, PolicyFault> {
    Ok(core::str::from_utf8(item).map_err(|_| PolicyFault::KeyNotUtf8)?.parse()?)
}

fn bounded(kind: &'static str, count: usize, bound: usize) -> Result<(), PolicyFault> {
    if count < bound { Ok(()) } else { Err(PolicyFault::TooMany { kind, bound }) }
}

fn parse_threshold(item: &[u8], members: usize) -> Result<usize, PolicyFault> {
    let decimal = || {
        let digits = item.iter().all(u8::is_ascii_digit) && !item.starts_with(b"0");
        core::str::from_utf8(item).ok().filter(|_| digits)?.parse().ok()
    };
    let threshold = match item {
        b"all" => Some(members),
        b"any" => Some(1),
        _ => decimal().filter(|k| (1..=members).contains(k)),
    };
    threshold.ok_or_else(|| PolicyFault::Threshold { found: Octets(item.to_vec()), members })
}
