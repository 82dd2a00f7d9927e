//! The fuzz target of `cairn_roundtrip::incident`, which says what it asserts.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _accepted = cairn_roundtrip::incident(bytes);
});
