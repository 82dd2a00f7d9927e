//! JSON with names of any kind, and values as they were written.

use cairn_tree::record::json::canonical::push_string;

/// The members of an object that is being written.
pub(super) struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

/// Writes an object.
pub(super) fn object(out: &mut Vec<u8>, write: impl FnOnce(&mut Members<'_>)) {
    out.push(b'{');
    let mut members = Members { out, first: true };
    write(&mut members);
    members.out.push(b'}');
}

impl Members<'_> {
    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        push_string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        push_string(self.name(name), text);
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, number: u64) {
        let out = self.name(name);
        out.extend_from_slice(number.to_string().as_bytes());
    }

    /// JSON as it is.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name).extend_from_slice(json.as_bytes());
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str, write: impl FnOnce(&mut Members<'_>)) {
        object(self.name(name), write);
    }

    /// An array.
    pub(super) fn array<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
        let out = self.name(name);
        out.push(b'[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write(out, item);
        }
        out.push(b']');
    }
}
