//! A client that asks one thing after another on one connection, and keeps the room that answers take.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest header of an answer.
const HEADER: usize = 16 << 10;

/// A connection with a token.
pub(in crate::rows) struct Client {
    stream: TcpStream,
    authority: String,
    token: String,
    answer: Vec<u8>,
}

/// An answer, and how long it took from its request's first byte to its own last.
pub(in crate::rows) struct Answered<'c> {
    pub(in crate::rows) status: u16,
    pub(in crate::rows) body: &'c [u8],
    pub(in crate::rows) time: Duration,
}

impl Client {
    pub(in crate::rows) fn connect(origin: &str, token: &str) -> anyhow::Result<Self> {
        let authority = origin.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, authority, token: token.to_owned(), answer: Vec::new() })
    }

    pub(in crate::rows) fn get(&mut self, path: &str) -> anyhow::Result<Answered<'_>> {
        let answered = self.get_any(path)?;
        let words = || String::from_utf8_lossy(answered.body.get(..400.min(answered.body.len())).unwrap_or_default());
        anyhow::ensure!(answered.status == 200, "{path}: {} {}", answered.status, words());
        Ok(answered)
    }

    pub(in crate::rows) fn post(&mut self, path: &str, media_type: &str, body: &[u8]) -> anyhow::Result<Answered<'_>> {
        self.post_with(path, (media_type, ""), body)
    }

    /// The same with further lines of a header.
    pub(in crate::rows) fn post_with(
        &mut self,
        path: &str,
        (media_type, headers): (&str, &str),
        body: &[u8],
    ) -> anyhow::Result<Answered<'_>> {
        let more = format!("content-type: {media_type}\r\n{headers}content-length: {}\r\n", body.len());
        self.ask(&format!("POST {path}"), &more, body)
    }

    /// Whatever the answer is.
    pub(in crate::rows) fn get_any(&mut self, path: &str) -> anyhow::Result<Answered<'_>> {
        self.ask(&format!("GET {path}"), "", &[])
    }

    fn ask(&mut self, line: &str, more: &str, body: &[u8]) -> anyhow::Result<Answered<'_>> {
        let begun = Instant::now();
        let (authority, token) = (&self.authority, &self.token);
        let header = format!("{line} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n{more}\r\n");
        self.stream.write_all(header.as_bytes())?;
        self.stream.write_all(body)?;
        self.answer.resize(self.answer.len().max(HEADER), 0);
        let (mut filled, mut end) = (0, None);
        while end.is_none() {
            anyhow::ensure!(filled < HEADER, "a header without an end");
            let count = self.stream.read(self.answer.get_mut(filled..).unwrap_or_default())?;
            anyhow::ensure!(count > 0, "{line}: the connection was closed");
            filled += count;
            let read = self.answer.get(..filled).unwrap_or_default();
            end = read.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4);
        }
        let start = end.unwrap_or_default();
        let header = std::str::from_utf8(self.answer.get(..start).unwrap_or_default())?;
        let status = header.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
        let length = header.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("an answer without its length")?.parse()?;
        let whole = start + length;
        if self.answer.len() < whole {
            self.answer.resize(whole, 0);
        }
        self.stream.read_exact(self.answer.get_mut(filled..whole).context("more than the answer")?)?;
        let body = self.answer.get(start..whole).unwrap_or_default();
        Ok(Answered { status, body, time: begun.elapsed() })
    }
}
