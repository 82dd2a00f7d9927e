//! The fuzz target of `cairn_roundtrip::backup_manifest`, which says what it asserts.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _accepted = cairn_roundtrip::backup_manifest(bytes);
});
