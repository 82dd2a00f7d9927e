//! The list of one print's indexes inside a block: newest first, as spans of indexes without a gap.
//!
//! A list is the distance of its newest index from the run's last possible one, then tokens. An even token is a step
//! down of half of it and one more; an odd one is a stretch: each of the next indexes is one lower. So a print that every
//! record has costs a few bytes per run, and one that every other has a byte each.

/// The fewest steps of one that a stretch stands for; one alone is a step.
const STRETCH: u64 = 2;
/// The most bytes of a number.
pub(super) const VARINT_MAX: usize = 10;

/// Indexes without a gap, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) high: u64,
    pub(super) low: u64,
}

impl Span {
    pub(super) const fn one(index: u64) -> Self {
        Self { high: index, low: index }
    }

    pub(super) const fn count(self) -> u64 {
        self.high - self.low + 1
    }

    /// The part of it that is not above `at_most`.
    pub(super) fn clipped(self, at_most: u64) -> Self {
        Self { high: self.high.min(at_most), ..self }
    }
}

/// Bytes that are no list: too short, or below the first index of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Writes a number in the fewest groups of seven bits, least first.
pub(super) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a number off the front.
pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    let (mut number, mut shift) = (u64::from(first & 0x7f), 7);
    *bytes = rest;
    loop {
        let (byte, rest) = bytes.split_first()?;
        let group = u64::from(byte & 0x7f);
        if group << shift >> shift != group {
            return None;
        }
        number |= group << shift;
        *bytes = rest;
        if *byte < 0x80 {
            return Some(number);
        }
        shift += 7;
        if shift >= u64::BITS {
            return None;
        }
    }
}

/// A list that is being written.
#[derive(Default)]
pub(super) struct ListWriter {
    bytes: Vec<u8>,
    /// The lowest index so far.
    low: Option<u64>,
}

impl ListWriter {
    /// The most bytes that one span adds.
    pub(super) const SPAN_MAX: usize = 2 * VARINT_MAX;

    /// Adds a span below all others. `last` is the run's last possible index.
    pub(super) fn push(&mut self, last: u64, span: Span) -> Result<(), Malformed> {
        match self.low {
            None => put_varint(&mut self.bytes, last.checked_sub(span.high).ok_or(Malformed)?),
            Some(low) => {
                let step = low.checked_sub(span.high).and_then(|step| step.checked_sub(1)).ok_or(Malformed)?;
                put_varint(&mut self.bytes, step << 1);
            }
        }
        match span.high.checked_sub(span.low).ok_or(Malformed)? {
            0 => {}
            1 => self.bytes.push(0),
            steps => put_varint(&mut self.bytes, (steps - STRETCH) << 1 | 1),
        }
        self.low = Some(span.low);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The lowest index so far; none in an empty list.
    pub(super) fn low(&self) -> Option<u64> {
        self.low
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.low = None;
    }
}

/// Where reading a list has come to. Apart from its bytes, so that who owns these can go on later.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListReader {
    next: Option<u64>,
}

impl ListReader {
    /// Begins a list; `last` is the run's last possible index.
    pub(super) fn begin(bytes: &mut &[u8], last: u64) -> Result<Self, Malformed> {
        let down = take_varint(bytes).ok_or(Malformed)?;
        Ok(Self { next: Some(last.checked_sub(down).ok_or(Malformed)?) })
    }

    /// The index that comes next; none at the end.
    pub(super) const fn newest(&self) -> Option<u64> {
        self.next
    }

    /// The next span and the rest of the bytes; none at the end.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Span>, Malformed> {
        let Some(high) = self.next.take() else { return Ok(None) };
        let mut low = high;
        while !bytes.is_empty() {
            let token = take_varint(bytes).ok_or(Malformed)?;
            let half = token >> 1;
            if token & 1 == 1 {
                low = half.checked_add(STRETCH).and_then(|steps| low.checked_sub(steps)).ok_or(Malformed)?;
            } else if half == 0 {
                low = low.checked_sub(1).ok_or(Malformed)?;
            } else {
                self.next = Some(low.checked_sub(half + 1).ok_or(Malformed)?);
                break;
            }
        }
        Ok(Some(Span { high, low }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mut bytes: &[u8], last: u64) -> Result<Vec<Span>, Malformed> {
        let mut reader = ListReader::begin(&mut bytes, last)?;
        let mut spans = Vec::new();
        while let Some(span) = reader.next(&mut bytes)? {
            spans.push(span);
        }
        Ok(spans)
    }

    fn write(spans: &[Span], last: u64) -> Vec<u8> {
        let mut list = ListWriter::default();
        spans.iter().for_each(|span| list.push(last, *span).unwrap());
        list.bytes
    }

    #[test]
    fn what_every_record_has_costs_a_few_bytes_and_what_every_other_has_one_each() {
        assert!(write(&[Span { high: 9_999_999, low: 0 }], 9_999_999).len() <= 6);
        let every_other: Vec<Span> = (0..1_000_000).rev().map(|index| Span::one(2 * index)).collect();
        assert_eq!(write(&every_other, 2_000_000).len(), 1_000_000);
    }

    #[test]
    fn spans_out_of_order_are_not_written() {
        let mut list = ListWriter::default();
        assert_eq!(list.push(9, Span::one(10)), Err(Malformed));
        let mut list = ListWriter::default();
        list.push(9, Span { high: 7, low: 5 }).unwrap();
        assert_eq!(list.push(9, Span::one(5)), Err(Malformed));
        assert_eq!(list.push(9, Span { high: 3, low: 4 }), Err(Malformed));
    }

    proptest! {
        #[test]
        fn a_list_reads_back(steps in prop::collection::vec((2_u64..300, 0_u64..300), 1..200), above in 0_u64..1000) {
            let mut spans = Vec::new();
            let mut at = 1 << 40;
            for (gap, more) in steps {
                spans.push(Span { high: at, low: at - more });
                at -= more + gap;
            }
            let last = (1 << 40) + above;
            let bytes = write(&spans, last);
            prop_assert_eq!(read(&bytes, last), Ok(spans));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), last in any::<u64>()) {
            if let Ok(spans) = read(&bytes, last) {
                prop_assert!(spans.windows(2).all(|pair| pair[1].high < pair[0].low));
                prop_assert!(spans.iter().all(|span| span.low <= span.high && span.high <= last));
            }
        }

        #[test]
        fn a_number_reads_back(number in any::<u64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            prop_assert!(bytes.len() <= VARINT_MAX);
            prop_assert_eq!(take_varint(&mut &bytes[..]), Some(number));
        }
    }
}
