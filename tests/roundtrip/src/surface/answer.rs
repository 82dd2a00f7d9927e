//! Answers of HTTP/1, taken apart as far as the checks need; those of HTTP/2 are frames and are left alone.

/// One answer.
pub(super) struct Answer<'a> {
    /// The status line and headers.
    pub(super) head: &'a str,
    pub(super) status: u16,
    /// If its length is told and it came whole.
    pub(super) body: Option<&'a [u8]>,
}

impl<'a> Answer<'a> {
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// The answers on one connection, up to the first whose length is not told.
pub(super) fn answers(mut said: &[u8]) -> Vec<Answer<'_>> {
    let mut answers = Vec::new();
    while said.starts_with(b"HTTP/1.") {
        let Some(end) = said.windows(4).position(|window| window == b"\r\n\r\n") else { break };
        let (head, rest) = said.split_at(end + 4);
        let head = core::str::from_utf8(head).expect("an answer's head is text");
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("an answer has a status");
        let mut answer = Answer { head, status, body: None };
        let length = answer.header("content-length").map(|text| text.parse::<usize>().expect("a length is a number"));
        // The answer to a HEAD tells the length of a body that does not follow.
        let (body, next) = match length {
            Some(0) => (None, rest),
            Some(length) if !rest.starts_with(b"HTTP/1.") && rest.len() >= length => {
                let (body, next) = rest.split_at(length);
                (Some(body), next)
            }
            Some(_) => (None, rest),
            None => (None, [].as_slice()),
        };
        answer.body = body;
        said = next;
        answers.push(answer);
    }
    answers
}
