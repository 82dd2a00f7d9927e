//! An honest log in memory, of any past size: what the lies are told about.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_tree::checkpoint::{Checkpoint, Origin, SignedCheckpoint};
use cairn_tree::cosignature::{Timestamp, cosign};
use cairn_tree::hash::Hash;
use cairn_tree::merkle::{ConsistencyProof, Frontier, Growth, InclusionProof, NodeCoord, ProofPlan, RootPlan};
use cairn_tree::note::{KeyName, SignatureType, SignedNote, SignerKey, VerifierKey};
use cairn_tree::size::{LeafIndex, TreeSize};
use cairn_tree::tile::{BundleCoord, Entries, TileCoord};

/// The time of all signatures that carry one.
const TIME: u64 = 1_700_000_000;

/// A log's entries, the nodes of its tree, its keys and its witnesses.
#[derive(Clone)]
pub struct Model {
    origin: Origin,
    /// At least one; all of them sign each head.
    keys: Vec<Arc<SignerKey>>,
    witnesses: Vec<Arc<SignerKey>>,
    entries: Vec<Vec<u8>>,
    frontier: Frontier,
    nodes: HashMap<NodeCoord, Hash>,
}

impl Model {
    /// An empty log.
    #[must_use]
    pub fn new(origin: &str, seed: u8) -> Self {
        Self {
            origin: Origin::new(origin).expect("an origin"),
            keys: vec![key(origin, SignatureType::ED25519, seed)],
            witnesses: Vec::new(),
            entries: Vec::new(),
            frontier: Frontier::new(),
            nodes: HashMap::new(),
        }
    }

    /// The usual log, of so many entries.
    #[must_use]
    pub fn of_size(size: u64) -> Self {
        let mut model = Self::new("lying.example/log", 1);
        model.grow(size, "entry");
        model
    }

    /// From now on signs with the keys of these types, made from these seeds, and no others.
    pub fn sign_with(&mut self, keys: &[(SignatureType, u8)]) {
        let origin = self.origin.as_str();
        self.keys = keys.iter().map(|&(kind, seed)| key(origin, kind, seed)).collect();
    }

    /// From now on shows heads that these witnesses have cosigned, with keys of these types.
    pub fn witnessed_by(&mut self, witnesses: &[(&str, SignatureType)]) {
        self.witnesses = witnesses.iter().map(|&(name, kind)| key(name, kind, 100)).collect();
    }

    /// The log's first key, as its readers know it.
    #[must_use]
    pub fn vkey(&self) -> &VerifierKey {
        self.keys.first().expect("a log has a key").verifier_key()
    }

    /// The log's origin.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// All keys that sign.
    #[must_use]
    pub fn vkeys(&self) -> Vec<VerifierKey> {
        self.keys.iter().map(|key| key.verifier_key().clone()).collect()
    }

    /// The keys of the witnesses.
    #[must_use]
    pub fn witnesses(&self) -> Vec<VerifierKey> {
        self.witnesses.iter().map(|key| key.verifier_key().clone()).collect()
    }

    /// How many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Appends an entry and returns its index.
    pub fn push(&mut self, entry: &[u8]) -> LeafIndex {
        self.entries.push(entry.to_vec());
        let nodes = &mut self.nodes;
        let leaf = Hash::leaf(entry);
        self.frontier.push(leaf, &mut |node, hash| _ = nodes.insert(node, hash)).expect("room for another entry")
    }

    /// Appends entries with the numbers `from` up to `to`, all different from each other and from another `flavour`'s.
    pub fn grow(&mut self, to: u64, flavour: &str) {
        for number in self.size()..to {
            self.push(format!("{flavour} {number}").as_bytes());
        }
    }

    /// The same log when it was smaller.
    #[must_use]
    pub fn cut(&self, size: u64) -> Self {
        let mut model = Self { entries: Vec::new(), frontier: Frontier::new(), nodes: HashMap::new(), ..self.clone() };
        self.entries.iter().take(usize::try_from(size).expect("a small size")).for_each(|entry| _ = model.push(entry));
        model
    }

    /// The signed head at a size that the log has reached.
    #[must_use]
    pub fn head(&self, size: u64) -> String {
        self.sign(&self.checkpoint(size))
    }

    /// The head at a size that the log has reached, rightly signed by the log's first key, and wrongly by all others.
    #[must_use]
    pub fn spoiled_head(&self, size: u64) -> String {
        let head = self.checkpoint(size);
        let other = Checkpoint::new(self.origin.clone(), head.size(), Hash::leaf(head.root().as_bytes()));
        let lines = |text: String| SignedNote::parse(text.as_bytes()).expect("our own head").signatures().to_vec();
        let right = lines(self.sign(&head)).into_iter().take(1);
        let wrong = lines(self.sign(&other)).into_iter().take(self.keys.len()).skip(1);
        SignedNote::new(head.text(), right.chain(wrong).collect()).expect("a note").encode()
    }

    /// The head at a size that the log has reached, for whoever signs it.
    #[must_use]
    pub fn checkpoint(&self, size: u64) -> Checkpoint {
        let size = TreeSize::new(size).expect("a size");
        let plan = RootPlan::tree(size);
        let root = plan.fold(&self.hashes(plan.nodes()).expect("a size that was reached")).expect("all nodes");
        Checkpoint::new(self.origin.clone(), size, root)
    }

    /// Signs any head, honest or not.
    #[must_use]
    pub fn sign(&self, head: &Checkpoint) -> String {
        let time = Timestamp::new(TIME).expect("a time");
        let keys: Vec<&SignerKey> = self.keys.iter().map(AsRef::as_ref).collect();
        let signed = head.sign_all(&keys, time).expect("a head of this log");
        let verified = signed.verify(&[self.vkey().clone()]).expect("the log's own signature");
        let cosign = |key: &Arc<SignerKey>| cosign(&verified, key, time).expect("a witness's key");
        let cosigned = self.witnesses.iter().map(cosign).try_fold(signed, SignedCheckpoint::with_signature);
        cosigned.expect("room for the witnesses").encode()
    }

    /// A tile; `None` if the log has not reached it.
    #[must_use]
    pub fn tile(&self, tile: TileCoord) -> Option<Vec<u8>> {
        let nodes: Vec<NodeCoord> = (0..=255).map_while(|offset| tile.node(offset)).collect();
        Some(self.hashes(&nodes)?.iter().flat_map(|hash| *hash.as_bytes()).collect())
    }

    /// A bundle; `None` if the log has not reached it.
    #[must_use]
    pub fn bundle(&self, bundle: BundleCoord) -> Option<Vec<u8>> {
        let start = usize::try_from(bundle.start()).ok()?;
        let entries = self.entries.get(start..start + bundle.width().get())?;
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| Entries::encode(entry, &mut bytes).expect("an entry that fits"));
        Some(bytes)
    }

    /// An entry's bytes.
    #[must_use]
    pub fn entry(&self, index: LeafIndex) -> Option<&[u8]> {
        self.entries.get(usize::try_from(index.get()).ok()?).map(Vec::as_slice)
    }

    /// The first entry with this leaf hash.
    #[must_use]
    pub fn find(&self, leaf: Hash) -> Option<LeafIndex> {
        let index = self.entries.iter().position(|entry| Hash::leaf(entry) == leaf)?;
        LeafIndex::new(index as u64).ok()
    }

    /// An inclusion proof in the tree of a size.
    #[must_use]
    pub fn inclusion(&self, index: LeafIndex, size: u64) -> Option<InclusionProof> {
        let plan = ProofPlan::inclusion(index, TreeSize::new(size).ok()?).ok()?;
        InclusionProof::from_hashes(plan.fold(&self.hashes(plan.nodes())?).ok()?).ok()
    }

    /// A consistency proof between two sizes.
    #[must_use]
    pub fn consistency(&self, from: u64, to: u64) -> Option<ConsistencyProof> {
        let growth = Growth { from: TreeSize::new(from).ok()?, to: TreeSize::new(to).ok()? };
        let plan = ProofPlan::consistency(growth).ok()?;
        ConsistencyProof::from_hashes(plan.fold(&self.hashes(plan.nodes())?).ok()?).ok()
    }

    fn hashes(&self, nodes: &[NodeCoord]) -> Option<Vec<Hash>> {
        nodes.iter().map(|node| self.nodes.get(node).copied()).collect()
    }
}

fn key(name: &str, kind: SignatureType, seed: u8) -> Arc<SignerKey> {
    let name = KeyName::new(name).expect("a key name");
    Arc::new(SignerKey::from_seed(name, kind, &[seed; 32]).expect("a type with a seed"))
}
