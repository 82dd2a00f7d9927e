//! The binary formats of the tree, and the paths they are served at.

use cairn_tree::store::Key;
use cairn_tree::tile::{Entries, Tile, TileCoord, TilePath, Width};

use crate::text;

/// More entries than a batch needs here.
const MAX_ENTRIES: usize = 1024;

pub(crate) fn tile_path(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let Ok(path) = text.parse::<TilePath>() else { return false };
    assert_eq!(path.to_string(), text);
    match path {
        TilePath::Tile(coord) => assert!(coord.end() > coord.start()),
        TilePath::Entries(coord) => assert!(coord.end() > coord.start()),
    }
    true
}

/// A width less one, then the hashes.
pub(crate) fn tile(bytes: &[u8]) -> bool {
    let Some((width, bytes)) = bytes.split_first() else { return false };
    let Ok(coord) = Width::new(u64::from(*width) + 1).and_then(|width| TileCoord::new(0, 0, width)) else {
        return false;
    };
    let Ok(tile) = Tile::from_bytes(coord, bytes) else { return false };
    assert_eq!(tile.to_bytes(), bytes);
    assert_eq!(tile.hashes().len(), coord.width().get());
    let shorter =
        Width::FULL.get().min(coord.width().get()).checked_sub(1).and_then(|width| Width::new(width as u64).ok());
    if let Some(cut) = shorter.and_then(|width| tile.cut(width)) {
        assert!(bytes.starts_with(&cut.to_bytes()));
    }
    true
}

/// A width less one, then the entries; they are read as a bundle and as a batch.
pub(crate) fn entries(bytes: &[u8]) -> bool {
    let Some((width, bytes)) = bytes.split_first() else { return false };
    let batch = Entries::parse_batch(bytes, MAX_ENTRIES).inspect(|entries| rewritten(entries, bytes));
    let bundle = Width::new(u64::from(*width) + 1).ok().and_then(|width| {
        let bundle = Entries::parse_bundle(bytes, width).ok()?;
        assert_eq!(bundle.len(), width.get());
        Some(bundle)
    });
    if let (Ok(batch), Some(bundle)) = (&batch, &bundle) {
        rewritten(bundle, bytes);
        assert_eq!(batch.len(), bundle.len());
    }
    batch.is_ok() || bundle.is_some()
}

fn rewritten(entries: &Entries<'_>, bytes: &[u8]) {
    let mut written = Vec::new();
    let mut count = 0;
    for (position, entry) in entries.iter().enumerate() {
        assert_eq!(entries.get(position), Some(entry));
        assert_eq!(Entries::encode(entry, &mut written), Ok(()));
        count += 1;
    }
    assert_eq!(count, entries.len());
    assert_eq!(entries.get(count), None);
    assert_eq!(entries.leaf_hashes().len(), count);
    assert_eq!(written, bytes);
}

pub(crate) fn store_key(bytes: &[u8]) -> bool {
    let Ok(key) = Key::parse(bytes) else { return false };
    assert_eq!(key.as_bytes(), bytes);
    assert!(bytes.ends_with(key.suffix()));
    if let Some(number) = key.number() {
        assert_eq!(Key::numbered(key.log(), key.kind(), number), key);
    }
    true
}
