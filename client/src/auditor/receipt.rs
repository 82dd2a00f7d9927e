//! A receipt without the log's help: from a checkpoint, tiles and a bundle, which every C2SP tlog-tiles log serves.

use cairn_tree::hash::Hash;
use cairn_tree::merkle::{NodeCoord, PlanError};
use cairn_tree::policy::Trust;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::LeafIndex;
use cairn_tree::tile::{BundleCoord, ReaderError};

use super::error::AuditError;
use super::tiles::TileReader;
use crate::fetch::{Freshness, HeadKind, Remote};

/// The entry at an index, and a receipt for it that verifies.
///
/// # Errors
/// [`AuditError`]; [`AuditError::Plan`] if the log does not have the index.
pub async fn receipt_from_tiles(
    remote: &Remote,
    reader: &mut TileReader,
    trust: &Trust,
    index: LeafIndex,
) -> Result<(Vec<u8>, Receipt), AuditError> {
    let served = remote.head(HeadKind::Checkpoint, Freshness::AnyCache).await?;
    let tree = trust.verify(&served)?.checkpoint().tree();
    let (leaf, proof) = reader.inclusion(index, tree, Freshness::AnyCache).await?;
    let (coord, place) =
        BundleCoord::of_leaf(index, tree.size).ok_or(PlanError::NoSuchLeaf { index, size: tree.size })?;
    let bundle = remote.bundle(coord, Freshness::AnyCache).await?;
    let entry = bundle.entries().ok().and_then(|entries| entries.get(usize::from(place)).map(<[u8]>::to_vec));
    // The bundle has as many entries as it is wide.
    let entry = entry.ok_or(ReaderError::MissingNode(NodeCoord::leaf(index)))?;
    let computed = Hash::leaf(&entry);
    if computed != leaf {
        return Err(ReaderError::WrongEntry { index: index.get(), computed, expected: leaf }.into());
    }
    Ok((entry, Receipt::new(index, proof, served)))
}
