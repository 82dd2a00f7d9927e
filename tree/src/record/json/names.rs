//! Names that stand twice in an object.

use std::borrow::Cow;

/// Up to so many names are compared with those only that share a bit with them; more are sorted.
const FEW_NAMES: usize = 64;

/// The offset of the first name that stands there already; the names may be put in another order.
pub(super) fn first_repeated(names: &mut [(Cow<'_, str>, usize)]) -> Option<usize> {
    if names.len() < 2 {
        return None;
    }
    if names.len() > FEW_NAMES {
        names.sort_unstable();
        let pairs = names.iter().zip(names.iter().skip(1));
        return pairs.filter(|(one, other)| one.0 == other.0).map(|(_, other)| other.1).min();
    }
    let mut seen = [0_u64; 16];
    for (count, (name, at)) in names.iter().enumerate() {
        let (word, bit) = fingerprint(name);
        let seen = seen.get_mut(word)?;
        let maybe = *seen & bit != 0;
        *seen |= bit;
        if maybe && names.iter().take(count).any(|(other, _)| other == name) {
            return Some(*at);
        }
    }
    None
}

/// One of 1,024 bits for a name: the word it is in, and the bit in the word. Equal names have equal bits.
fn fingerprint(name: &str) -> (usize, u64) {
    let bytes = name.as_bytes();
    let end = bytes
        .last_chunk::<8>()
        .copied()
        .map_or_else(|| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), u64::from_le_bytes);
    let start = bytes.first_chunk::<8>().copied().map_or(0, u64::from_le_bytes);
    let mixed = (end ^ start.rotate_left(29) ^ bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (usize::from((mixed >> 60) as u8), 1 << (mixed >> 54 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_found_among_few_and_many() {
        for count in [1, 2, 16, 63, 64, 65, 300] {
            let name = |number: usize| Cow::<str>::Owned(format!("{}{number}", "same beginning, ".repeat(number % 3)));
            let names: Vec<(Cow<'_, str>, usize)> = (0..count).map(|number| (name(number), number)).collect();
            assert_eq!(first_repeated(&mut names.clone()), None, "{count}");
            for twice in [0, count / 2, count - 1] {
                let mut names = names.clone();
                names.push((name(twice), count));
                names.push((name(twice), count + 1));
                assert_eq!(first_repeated(&mut names), Some(count), "{count} {twice}");
            }
        }
    }

    #[test]
    fn equal_names_have_equal_bits_and_most_others_do_not() {
        let bits: std::collections::BTreeSet<(usize, u64)> =
            (0..1_000).map(|number| fingerprint(&format!("field_{number}"))).collect();
        assert!(
            bits.len() > 300 && bits.iter().all(|(word, bit)| *word < 16 && bit.is_power_of_two()),
            "{}",
            bits.len()
        );
        assert_eq!(fingerprint("a"), fingerprint(&String::from("a")));
    }
}
