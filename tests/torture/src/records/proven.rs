//! Reads records as an auditor does, and believes nothing that is not proven by the log's key.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use cairn_tests::http::{Connection, Request, Response};
use cairn_tree::policy::Trust;
use cairn_tree::record::open::Record;
use cairn_tree::wire::v1::{AnswerError, Page, RecordAnswer, VerifiedEntry};

use crate::tally::{Finding, Sort};

/// What a server says of what it has and can't verify.
const INTEGRITY: &str = "urn:cairn:problem:integrity";

/// Reads the records of one log.
pub(super) struct Reader<'a> {
    connection: Connection,
    token: &'a str,
    trust: &'a Trust,
    /// What it is if the server can't verify what it has: a loss, unless somebody has damaged it on purpose.
    unverified: Sort,
}

impl<'a> Reader<'a> {
    pub(super) fn open(
        address: SocketAddr,
        token: &'a str,
        trust: &'a Trust,
        unverified: Sort,
    ) -> Result<Self, Finding> {
        let connection = Connection::open(address);
        let connection = connection.map_err(|error| Finding::failed(format!("can't connect: {error}")))?;
        Ok(Self { connection, token, trust, unverified })
    }

    /// One record by its id, with what comes before it in its stream; `None` if there is none.
    pub(super) fn record(&mut self, tenant: &str, id: impl core::fmt::Display) -> Result<Option<Entry>, Finding> {
        let target = format!("/v1/records/{id}?tenant={tenant}&proof=1");
        let Some(answer) = self.ask(&target)? else { return Ok(None) };
        let parsed = RecordAnswer::parse(&answer.body).map_err(|error| bad(&target, error))?;
        let (entry, _) = parsed.verify(self.trust).map_err(|error| bad(&target, error))?;
        self.entry(&target, entry).map(Some)
    }

    /// A page of records, each proven; `None` if there is nothing of that name.
    pub(super) fn page(&mut self, target: &str) -> Result<Option<ProvenPage>, Finding> {
        let Some(answer) = self.ask(target)? else { return Ok(None) };
        let page = Page::parse(&answer.body).map_err(|error| bad(target, error))?;
        let (listed, _) = page.verify(self.trust).map_err(|error: AnswerError| bad(target, error))?;
        if let Some(index) = page.broken_from {
            return Err(Finding {
                sort: self.unverified,
                words: format!("{target}: the chain is broken from {index}"),
            });
        }
        let mut entries = Vec::with_capacity(listed.len());
        for entry in listed {
            let problem = |problem| Finding { sort: self.unverified, words: format!("{target}: {problem}") };
            entries.push(self.entry(target, entry.map_err(problem)?)?);
        }
        let next = page.next.map(|next| next.to_string());
        let except = page.except.iter().map(|index| index.get()).collect();
        Ok(Some(ProvenPage { entries, complete_to: page.complete_to.get(), except, next }))
    }

    /// That a search says of no record that it may have missed it.
    pub(super) fn misses_nothing(&self, target: &str, page: &ProvenPage) -> Result<(), Finding> {
        if page.except.is_empty() {
            return Ok(());
        }
        Err(Finding { sort: self.unverified, words: format!("{target}: all but perhaps {:?}", page.except) })
    }

    fn entry(&self, target: &str, entry: VerifiedEntry) -> Result<Entry, Finding> {
        let has_before = entry.has_before();
        let record = entry.into_record().ok_or_else(|| bad(target, "a record of a later version"))?;
        Ok(Entry { record, has_before })
    }

    fn ask(&mut self, target: &str) -> Result<Option<Response>, Finding> {
        let request = Request::get(target).with("authorization", format!("Bearer {}", self.token));
        let answer = self.connection.ask(&request);
        let answer = answer.map_err(|error| Finding::failed(format!("{target}: {error:?}")))?;
        match answer.status {
            200 => Ok(Some(answer)),
            404 => Ok(None),
            status => {
                let text = answer.text();
                let sort = if text.contains(INTEGRITY) { self.unverified } else { Sort::Failed };
                Err(Finding { sort, words: format!("{target} is answered {status}: {text}") })
            }
        }
    }
}

/// A record that is proven to be in the log.
pub(super) struct Entry {
    pub(super) record: Record,
    /// Whether the record before it in its stream came along, and is that one.
    pub(super) has_before: bool,
}

/// Records of a search or a history.
pub(super) struct ProvenPage {
    pub(super) entries: Vec<Entry>,
    pub(super) complete_to: u64,
    /// Of a search: what it may have missed below that size.
    pub(super) except: BTreeSet<u64>,
    pub(super) next: Option<String>,
}

fn bad(target: &str, error: impl core::fmt::Display) -> Finding {
    Finding { sort: Sort::BadBytes, words: format!("{target}: {error}") }
}

/// The transaction that a record names.
pub(super) fn transaction(record: &Record) -> Option<String> {
    let context = record.content().context.disclosed()?.as_ref()?;
    Some(context.transaction.as_ref()?.as_str().to_owned())
}
