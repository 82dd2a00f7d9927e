//! A log's head row: its size and root as committed, and whether it may go on.

use cairn_tree::hash::Hash;
use cairn_tree::size::TreeSize;
use cairn_tree::store::{Key, Kind, LogId};

use super::RowError;
use super::fields::Fields;

const ROW: &str = "head";
/// Without the perfect nodes.
const SHORT: u8 = 1;
/// With them.
const LONG: u8 = 2;

const OPEN: u8 = 0;
const HALTED: u8 = 1;
const SEALED: u8 = 2;
/// Halted because what is stored is damaged, and for no other reason.
const DAMAGED: u8 = 3;

/// Whether a log takes appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogState {
    /// It does.
    Open,
    /// Its stored bytes did not match what was to be signed, or a witness holds a history that they contradict; for good,
    /// until an operator repairs it. Good data is read.
    Halted(String),
    /// It has ended with a final head.
    Sealed,
}

/// Written by every commit that touches the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct HeadRow {
    /// The commit that wrote this row.
    pub commit: u64,
    /// Whether the log takes appends.
    pub state: LogState,
    /// The number of committed entries.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
    /// When this head was made, in milliseconds since the epoch; never less than the head before.
    pub time_ms: u64,
    /// Pieces of a bundle that has since been written whole: first indexes in this half-open range are to be deleted
    /// by the log's next commit. They outlive the bundle's own commit, so that the bytes under the last signed head
    /// stay readable should that commit turn out damaged.
    pub stale: (u64, u64),
    /// The perfect nodes over all full bundles, largest first: with the entries of the unfinished one they give the root,
    /// so that a start reads no tiles. Rows of older versions, and of logs that were halted, have none.
    pub nodes: Option<Vec<Hash>>,
    /// Of a halted log: whether it may go on once everything in it was verified. Not so where somebody holds a history that
    /// contradicts it, or where its tail was lost: that is for good.
    pub mendable: bool,
}

impl HeadRow {
    /// The key of `log`'s head.
    #[must_use]
    pub(in crate::engine) fn key(log: LogId) -> Key {
        Key::numbered(log, Kind::Head, 0)
    }

    /// The bytes: version, commit, state, size, root, time, stale range, the count of nodes and the nodes if there are any,
    /// and a halted log's reason.
    #[must_use]
    pub(in crate::engine) fn encode(&self) -> Vec<u8> {
        let (code, reason) = match &self.state {
            LogState::Open => (OPEN, ""),
            LogState::Halted(reason) if self.mendable => (DAMAGED, reason.as_str()),
            LogState::Halted(reason) => (HALTED, reason.as_str()),
            LogState::Sealed => (SEALED, ""),
        };
        let mut bytes = vec![if self.nodes.is_some() { LONG } else { SHORT }];
        bytes.extend_from_slice(&self.commit.to_be_bytes());
        bytes.push(code);
        bytes.extend_from_slice(&self.size.get().to_be_bytes());
        bytes.extend_from_slice(self.root.as_bytes());
        bytes.extend_from_slice(&self.time_ms.to_be_bytes());
        bytes.extend_from_slice(&self.stale.0.to_be_bytes());
        bytes.extend_from_slice(&self.stale.1.to_be_bytes());
        if let Some(nodes) = &self.nodes {
            // A tree has at most 63.
            bytes.push(nodes.len() as u8);
            nodes.iter().for_each(|node| bytes.extend_from_slice(node.as_bytes()));
        }
        bytes.extend_from_slice(reason.as_bytes());
        bytes
    }

    /// Reads what [`HeadRow::encode`] wrote.
    ///
    /// # Errors
    /// [`RowError`] for anything else.
    pub(in crate::engine) fn decode(bytes: &[u8]) -> Result<Self, RowError> {
        let (mut fields, version) = Fields::open_any(ROW, &[SHORT, LONG], bytes)?;
        let commit = fields.u64()?;
        let code = fields.u8()?;
        let size = TreeSize::new(fields.u64()?).map_err(|error| fields.error(format!("size: {error}")))?;
        let root = Hash::new(fields.array()?);
        let time_ms = fields.u64()?;
        let stale = (fields.u64()?, fields.u64()?);
        let nodes = if version == LONG {
            let count = fields.u8()?;
            Some((0..count).map(|_| Ok(Hash::new(fields.array()?))).collect::<Result<Vec<_>, RowError>>()?)
        } else {
            None
        };
        let state = match code {
            OPEN => LogState::Open,
            SEALED => LogState::Sealed,
            HALTED | DAMAGED => {
                let reason =
                    core::str::from_utf8(fields.rest()).map_err(|_| RowError::new(ROW, "reason is not text"))?;
                let state = LogState::Halted(reason.to_owned());
                return Ok(Self { commit, state, size, root, time_ms, stale, nodes, mendable: code == DAMAGED });
            }
            other => return Err(fields.error(format!("unknown state {other}"))),
        };
        fields.end()?;
        Ok(Self { commit, state, size, root, time_ms, stale, nodes, mendable: false })
    }
}
