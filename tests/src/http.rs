//! A client of HTTP/1.1, written out so that a test can tell a reply that never began from one that ended half-way.
//!
//! It does what these tests need and no more: one request at a time, bodies by length or in chunks, no TLS.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take for anything. Long, for machines that are busy; whoever waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer in these tests is longer.
const LONGEST: usize = 64 << 20;

/// An open connection.
pub struct Connection {
    reader: BufReader<TcpStream>,
    host: SocketAddr,
    /// Whether the last answer left the connection fit for another request.
    reusable: bool,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, if it is empty.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header fields, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub kind: String,
    /// Its id, if it has one.
    pub id: Option<u64>,
    /// Its data.
    pub data: String,
}

/// How an exchange failed.
#[derive(Debug)]
pub enum Broken {
    /// Nothing of an answer came.
    Unanswered(io::Error),
    /// An answer began and did not end.
    HalfWay(io::Error),
}

impl Request {
    /// A request to read.
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), ..Self::default() }
    }

    /// A request to append.
    #[must_use]
    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { method: "POST", target: target.into(), body: body.into(), headers: Vec::new() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Response {
    /// A header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is none is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A figure of `/metrics`, with its labels.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        figure(&self.text(), name)
    }
}

/// A figure in the text of `/metrics`, with its labels.
#[must_use]
pub fn figure(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(host: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&host, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream), host, reusable: true })
    }

    /// Whether another request may be sent.
    #[must_use]
    pub const fn is_reusable(&self) -> bool {
        self.reusable
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    /// [`Broken`] tells how far it came.
    pub fn ask(&mut self, request: &Request) -> Result<Response, Broken> {
        self.reusable = false;
        // A server that has already answered (and closed) may still be read from.
        let sent = self.send(request);
        let (status, headers) = match self.read_head() {
            Ok(head) => head,
            Err(Broken::Unanswered(error)) => return Err(Broken::Unanswered(sent.err().unwrap_or(error))),
            Err(other) => return Err(other),
        };
        let body = self.read_body(&headers).map_err(Broken::HalfWay)?;
        let response = Response { status, headers, body };
        self.reusable = response.header("connection") != Some("close");
        Ok(response)
    }

    /// Asks for a stream of events; then [`Connection::next_line`] gives its lines.
    ///
    /// # Errors
    /// [`Broken`], also when the answer is no stream.
    pub fn ask_stream(&mut self, request: &Request) -> Result<u16, Broken> {
        self.reusable = false;
        self.send(request).map_err(Broken::Unanswered)?;
        let (status, _) = self.read_head()?;
        Ok(status)
    }

    /// The next line of a stream without its end; chunk sizes are left out. `None` at the end.
    ///
    /// # Errors
    /// What the system says.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        // The server sends events whole, each in one chunk, so that a line is never cut by a chunk's border.
        loop {
            let line = self.read_line()?;
            match line.strip_suffix("\r\n") {
                Some("0") | None if line.is_empty() || line == "0\r\n" => return Ok(None),
                // A chunk's size, or the end of its data.
                Some(_) => {}
                None => return Ok(Some(line.trim_end_matches('\n').to_owned())),
            }
        }
    }

    /// The next event of a stream; comments and the retry time are none. `None` at the end of the stream.
    ///
    /// # Errors
    /// What the system says.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        let (mut kind, mut id, mut data) = (None, None, None);
        while let Some(line) = self.next_line()? {
            match line.split_once(": ") {
                Some(("event", value)) => kind = Some(value.to_owned()),
                Some(("id", value)) => id = value.parse().ok(),
                Some(("data", value)) => data = Some(value.to_owned()),
                _ => {}
            }
            if line.is_empty()
                && let (Some(kind), Some(data)) = (&kind, &data)
            {
                return Ok(Some(Event { kind: kind.clone(), id, data: data.clone() }));
            }
        }
        Ok(None)
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let method = if request.method.is_empty() { "GET" } else { request.method };
        let mut bytes = format!("{method} {} HTTP/1.1\r\nhost: {}\r\n", request.target, self.host).into_bytes();
        for (name, value) in &request.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if method == "POST" {
            bytes.extend_from_slice(format!("content-length: {}\r\n", request.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&request.body);
        self.reader.get_mut().write_all(&bytes)
    }

    fn read_head(&mut self) -> Result<(u16, Vec<(String, String)>), Broken> {
        let first = self.read_line().map_err(Broken::Unanswered)?;
        if first.is_empty() {
            return Err(Broken::Unanswered(io::ErrorKind::UnexpectedEof.into()));
        }
        let half = |problem: &str| Broken::HalfWay(io::Error::other(problem.to_owned()));
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| half(&format!("not a status line: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line().map_err(Broken::HalfWay)?;
            match line.strip_suffix("\r\n") {
                Some("") => return Ok((status, headers)),
                Some(field) => {
                    let (name, value) =
                        field.split_once(':').ok_or_else(|| half(&format!("not a field: {field:?}")))?;
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => return Err(half("the header ended half-way")),
            }
        }
    }

    fn read_body(&mut self, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
        let field = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let mut body = Vec::new();
        if let Some(length) = field("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            body.resize(length.min(LONGEST), 0);
            self.reader.read_exact(&mut body)?;
        } else if field("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.read_line()?;
                let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
                let start = body.len();
                body.resize((start + length).min(LONGEST), 0);
                self.reader.read_exact(body.get_mut(start..).unwrap_or_default())?;
                self.read_line()?;
                if length == 0 {
                    break;
                }
            }
        }
        Ok(body)
    }

    /// A line with its end; shorter or without one at the end of the stream.
    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.reader).take(LONGEST as u64).read_until(b'\n', &mut line)?;
        String::from_utf8(line).map_err(io::Error::other)
    }
}
