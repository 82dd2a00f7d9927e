//! What hash tables take of memory, which those of the standard library do not tell. They have a power of two of places, each
//! with a byte of its own, and leave an eighth of them empty.

/// The bytes of a table with room for so many of these.
pub(super) const fn table_bytes<E>(room: usize) -> usize {
    if room == 0 {
        return 0;
    }
    (room.saturating_mul(8)).div_ceil(7).next_power_of_two().saturating_mul(size_of::<E>() + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// All the room that a table has is of the places that are counted.
    #[test]
    fn a_table_of_this_room_is_no_larger() {
        assert_eq!(table_bytes::<u64>(0), 0);
        for room in [100, 1_000, 114_688, 114_689, 300_000] {
            let table: HashMap<u32, u32> = HashMap::with_capacity(room);
            assert_eq!(table_bytes::<(u32, u32)>(room), table_bytes::<(u32, u32)>(table.capacity()), "{room}");
            assert_eq!(table_bytes::<(u32, u32)>(room) / 9 * 7 / 8, table.capacity(), "{room}");
        }
    }
}
