//! What each client is shown: the log's answers, caches on the way, outages, and the lies, told to each client alone. What
//! was really served is kept for the oracle.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use cairn::gossip::Board;
use cairn_tests::lying::Model;
use cairn_tree::checkpoint::{Checkpoint, SignedCheckpoint};
use cairn_tree::hash::Hash;
use cairn_tree::note::SignedNote;
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{Entries, TilePath};
use cairn_tree::wire::read::InclusionAnswer;

use super::log::{LARGEST, Log, Note, ORIGIN, Place, QUORUM, Shown, Side};

/// A log of as many other entries.
static ALIEN: LazyLock<Model> = LazyLock::new(|| {
    let mut model = Model::new(ORIGIN, 1);
    model.grow(LARGEST, "alien");
    model
});
/// A log of the same name and another key.
pub(super) static STRANGER: LazyLock<Model> = LazyLock::new(|| Model::new(ORIGIN, 9));

/// Who asks the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    MonitorA,
    MonitorB,
    Auditor,
}

/// What a client is told that is not so. Forks, rollbacks and withheld heads are no such answers: those clients are shown
/// another tree, or an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// The log signs a root that belongs to nothing, once it is larger than this.
    ForgedRoot { past: u64 },
    /// Another key signs the heads: the checkpoint, the other head, or both.
    WrongKey { on: [bool; 2] },
    /// The text is another than the one that was signed.
    BadSignature { on: [bool; 2] },
    /// The checkpoint comes without its cosignatures.
    NoQuorum,
    /// The checkpoint comes with the cosignatures of an older one.
    StolenCosignatures,
    /// An entry's bytes are others than were signed.
    RewrittenEntry { index: u64 },
    /// Tiles and bundles lack their last byte.
    ShortTiles,
    /// Tiles and bundles are another log's.
    AlienTiles,
    /// A proof is for the entry beside the one that was asked for.
    WrongLeaf,
}

impl Lie {
    /// The same lie about what comes after a size.
    pub(super) const fn from(self, size: u64) -> Self {
        match self {
            Self::ForgedRoot { .. } => Self::ForgedRoot { past: size },
            Self::RewrittenEntry { .. } => Self::RewrittenEntry { index: size },
            other => other,
        }
    }
}

/// What one client is shown.
pub(super) struct View {
    pub(super) side: Side,
    /// This and nothing newer, past caches too, before this second.
    pub(super) held: Option<(Shown, u64)>,
    /// A cache shows this to those who let it, before this second.
    pub(super) cached: Option<(Shown, u64)>,
    /// A cache breaks tiles and bundles before this second.
    pub(super) broken: u64,
    pub(super) lie: Option<Lie>,
    /// How often the lie was told, and what was held or cached was shown.
    pub(super) told: usize,
    pub(super) deceived: Deceived,
    pub(super) look: Served,
}

/// How often something honest that looks odd was served.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deceived {
    pub(super) held: usize,
    pub(super) cached: usize,
    pub(super) broken: usize,
}

/// What was served in one look.
#[derive(Debug, Clone, Default)]
pub(super) struct Served {
    /// The last `checkpoint` and the last `head`, as the log has them: what was made of them stands in `bent`.
    pub(super) heads: [Option<Note>; 2],
    /// Whether the last ones were lies.
    pub(super) bent: [bool; 2],
    /// How often the lie was told by heads, tiles and bundles.
    pub(super) told: usize,
    /// How often it was told by an entry or a proof. Answers that nobody waits for any more may be late, but are then of
    /// the other sort.
    pub(super) told_by_proof: usize,
    /// Nothing was answered.
    pub(super) refused: bool,
}

/// Everything outside of the clients.
pub(super) struct World {
    pub(super) log: Log,
    pub(super) now: u64,
    /// Nothing is answered before this second.
    pub(super) outage: u64,
    pub(super) views: [View; 3],
    pub(super) boards: BTreeMap<&'static str, Arc<Board>>,
    /// What a peer shows that has nothing good to show.
    pub(super) noise: Vec<u8>,
    /// The log has no `head`, as logs other than Cairn's.
    pub(super) is_plain: bool,
}

/// A request of one client.
pub(super) struct Asked<'a> {
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) past_caches: bool,
}

/// A status and a body.
pub(super) type Answer = (u16, Bytes);

impl World {
    pub(super) fn new(log: Log) -> Self {
        let view = || View {
            side: Side::One,
            held: None,
            cached: None,
            broken: 0,
            lie: None,
            told: 0,
            deceived: Deceived::default(),
            look: Served::default(),
        };
        let views = [view(), view(), view()];
        Self { log, now: 0, outage: 0, views, boards: BTreeMap::new(), noise: Vec::new(), is_plain: false }
    }

    pub(super) const fn view(&mut self, client: Client) -> &mut View {
        &mut self.views[client as usize]
    }

    /// What a peer of this name shows.
    pub(super) fn peer(&self, name: &str, path: &str) -> Answer {
        match self.boards.get(name) {
            Some(board) => board.get(path).map_or_else(absent, |note| (200, note)),
            None => (200, self.noise.clone().into()),
        }
    }

    /// What the log, or a cache before it, answers to a client.
    pub(super) fn answer(&mut self, client: Client, asked: &Asked<'_>) -> Answer {
        let now = self.now;
        let view = &mut self.views[client as usize];
        if now < self.outage {
            view.look.refused = true;
            // Whoever takes the log down says so; who waits for it would wait by the wall's clock.
            return (503, Bytes::new());
        }
        let mut shown = self.log.shown(view.side).clone();
        let mut limit = shown.head.place.size;
        if let Some((held, until)) = &view.held
            && now < *until
        {
            shown = held.clone();
            limit = held.head.place.size;
            view.deceived.held += 1;
        } else if let Some((cached, until)) = &view.cached
            && now < *until
            && !asked.past_caches
        {
            shown = cached.clone();
            view.deceived.cached += usize::from(matches!(asked.path, "checkpoint" | "head"));
        }
        match asked.path {
            "checkpoint" => self.head(client, 0, shown.checkpoint),
            "head" if self.is_plain => absent(),
            "head" => self.head(client, 1, shown.head),
            "proof/inclusion" => self.inclusion(client, shown.checkpoint, asked.query),
            path => {
                let honest = self.content(client, path, limit);
                let (bytes, told) = self.bend(client, path, honest, asked.past_caches);
                let view = self.view(client);
                view.told += usize::from(told);
                let is_entry = path.starts_with("entries/");
                view.look.told += usize::from(told && !is_entry);
                view.look.told_by_proof += usize::from(told && is_entry);
                bytes.map_or_else(absent, |bytes| (200, bytes.into()))
            }
        }
    }

    fn head(&mut self, client: Client, resource: usize, note: Note) -> Answer {
        let (bent, text) = self.bend_head(client, resource, &note);
        let view = self.view(client);
        view.told += usize::from(bent);
        view.look.told += usize::from(bent);
        view.look.bent[resource] = bent;
        view.look.heads[resource] = Some(note);
        (200, text.into())
    }

    /// The text of a head as this client is shown it, and whether it is a lie.
    fn bend_head(&self, client: Client, resource: usize, note: &Note) -> (bool, String) {
        let Note { place, signed, .. } = note;
        let honest = signed.encode();
        let lie = self.views[client as usize].lie;
        let bent = match lie {
            Some(Lie::ForgedRoot { past }) if place.size > past => {
                Some(self.log.sign(&self.log.forged(*place), self.now).encode())
            }
            Some(Lie::WrongKey { on }) if on[resource] => Some(STRANGER.sign(signed.unverified())),
            Some(Lie::BadSignature { on }) if on[resource] => {
                let text = self.log.forged(*place).text();
                let lines = signed.note().signatures().to_vec();
                Some(SignedNote::new(text, lines).unwrap().encode())
            }
            Some(Lie::NoQuorum) if resource == 0 => Some(self.without_cosignatures(signed)),
            Some(Lie::StolenCosignatures) if resource == 0 => Some(self.with_stolen(note)),
            _ => None,
        };
        bent.map_or((false, honest), |bent| (true, bent))
    }

    fn without_cosignatures(&self, signed: &SignedCheckpoint) -> String {
        let keys = self.log.known_keys().as_slice();
        let lines = signed.note().signatures().iter();
        let own = lines.filter(|line| keys.iter().any(|key| line.claims(key))).cloned().collect();
        SignedNote::new(signed.unverified().text(), own).unwrap().encode()
    }

    fn with_stolen(&self, note: &Note) -> String {
        let keys = self.log.known_keys().as_slice();
        let own = SignedCheckpoint::parse(self.without_cosignatures(&note.signed).as_bytes()).unwrap();
        let mut past = self.log.past(note.place.side).iter().map(|shown| &shown.checkpoint);
        let older = past.rfind(|old| old.place.size < note.place.size && old.times.len() >= QUORUM);
        let lines = older.iter().flat_map(|old| old.signed.note().signatures());
        let stolen = lines.filter(|line| !keys.iter().any(|key| line.claims(key)));
        stolen.fold(own, |signed, line| signed.with_signature(line.clone()).unwrap()).encode()
    }

    /// Tiles, bundles and entries, none beyond the head that is shown.
    fn content(&self, client: Client, path: &str, limit: u64) -> Option<Vec<u8>> {
        let view = &self.views[client as usize];
        let is_alien = view.lie == Some(Lie::AlienTiles);
        let model = if is_alien { &ALIEN } else { self.log.model(view.side) };
        if let Some(index) = path.strip_prefix("entries/") {
            let index = LeafIndex::parse(index).ok().filter(|index| index.get() < limit)?;
            return model.entry(index).map(<[u8]>::to_vec);
        }
        match path.parse().ok()? {
            TilePath::Tile(tile) if tile.end() <= limit => model.tile(tile),
            TilePath::Entries(bundle) if bundle.end() <= limit => model.bundle(bundle),
            _ => None,
        }
    }

    /// What becomes of content on its way, and whether that is a lie of the log.
    fn bend(
        &mut self,
        client: Client,
        path: &str,
        honest: Option<Vec<u8>>,
        past_caches: bool,
    ) -> (Option<Vec<u8>>, bool) {
        let now = self.now;
        let view = self.view(client);
        let Some(mut bytes) = honest else { return (None, false) };
        let is_entry = path.starts_with("entries/");
        // A cache that breaks what nobody reads could hide a lie for good.
        if now < view.broken && !past_caches && !is_entry && view.lie.is_none() {
            view.deceived.broken += 1;
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            return (Some(bytes), false);
        }
        match view.lie {
            Some(Lie::RewrittenEntry { index }) => {
                let told = rewrite(path, index, &mut bytes);
                (Some(bytes), told)
            }
            Some(Lie::ShortTiles) if !is_entry => {
                bytes.pop();
                (Some(bytes), true)
            }
            Some(Lie::AlienTiles) => (Some(bytes), true),
            _ => (Some(bytes), false),
        }
    }

    fn inclusion(&mut self, client: Client, note: Note, query: &str) -> Answer {
        let index = query.split('&').find_map(|pair| pair.strip_prefix("index=")).unwrap_or_default();
        let (size, side) = (note.place.size, note.place.side);
        let Some(asked) = LeafIndex::parse(index).ok().filter(|index| index.get() < size) else { return absent() };
        let wrong_leaf = self.views[client as usize].lie == Some(Lie::WrongLeaf);
        let proven = if wrong_leaf { beside(asked, size) } else { asked };
        let (bent, text) = self.bend_head(client, 0, &note);
        let told = usize::from(bent || proven != asked);
        let model = self.log.model(side);
        let answer = InclusionAnswer {
            index: asked,
            leaf_hash: Hash::leaf(model.entry(asked).unwrap()),
            size: TreeSize::new(size).unwrap(),
            proof: model.inclusion(proven, size).unwrap(),
            checkpoint: SignedCheckpoint::parse(text.as_bytes()).ok(),
        };
        let body = serde_json::to_vec(&answer).unwrap();
        let view = self.view(client);
        view.told += told;
        view.look.told_by_proof += told;
        view.look.heads[0] = Some(note);
        (200, body.into())
    }

    /// Where a head that somebody verified stands; `None` for one that was forged.
    pub(super) fn place_of(&self, head: &Checkpoint) -> Option<Place> {
        self.log.place_of(head)
    }
}

fn absent() -> Answer {
    (404, Bytes::new())
}

/// The entry beside this one, if there is one.
fn beside(index: LeafIndex, size: u64) -> LeafIndex {
    let other = if index.get() > 0 { index.get() - 1 } else { (index.get() + 1).min(size - 1) };
    LeafIndex::new(other).unwrap()
}

/// Changes an entry's bytes, if they are in here.
fn rewrite(path: &str, index: u64, bytes: &mut Vec<u8>) -> bool {
    if let Some(asked) = path.strip_prefix("entries/") {
        let told = asked.parse() == Ok(index);
        if told {
            bytes[0] ^= 1;
        }
        return told;
    }
    let Ok(TilePath::Entries(bundle)) = path.parse() else { return false };
    if !(bundle.start()..bundle.end()).contains(&index) {
        return false;
    }
    let place = usize::try_from(index - bundle.start()).unwrap();
    let entries: Vec<Vec<u8>> =
        Entries::parse_bundle(bytes, bundle.width()).unwrap().into_iter().map(<[u8]>::to_vec).collect();
    bytes.clear();
    for (number, mut entry) in entries.into_iter().enumerate() {
        if number == place {
            entry[0] ^= 1;
        }
        Entries::encode(&entry, bytes).unwrap();
    }
    true
}
