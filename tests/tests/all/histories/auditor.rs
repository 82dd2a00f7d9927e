//! An auditor of generated histories: he asks for one entry at a time, verifies what he gets offline, and remembers nothing.
//! So he refuses what is not signed, not witnessed or not proven, and can't see a fork or an old head.

use cairn::auditor::{TileReader, receipt_from_tiles};
use cairn::fetch::Wanted;
use cairn_tree::receipt::Receipt;
use cairn_tree::size::LeafIndex;

use super::log::{LARGEST, Place, QUORUM};
use super::run::Run;
use super::world::{Client, Lie, Served};

impl Run<'_> {
    /// An auditor asks for an entry, from tiles and by the log's own proof, and verifies the receipts offline.
    pub(super) async fn audit(&mut self, choice: u64) -> Result<(), String> {
        let lie = self.stage.with(|world| world.view(Client::Auditor).lie);
        let index = match lie {
            Some(Lie::RewrittenEntry { index }) => index,
            _ => choice % self.plan.start,
        };
        let index = LeafIndex::new(index).unwrap();
        let remote = self.stage.remote(Client::Auditor).clone();
        self.before_audit();
        let mut reader = TileReader::new(remote.clone(), 4);
        let came = receipt_from_tiles(&remote, &mut reader, &self.trust, index).await;
        self.after_audit(index, came.map_err(|error| error.to_string()), |served| served.told)?;
        self.before_audit();
        let entry = remote.entry(index).await;
        let answer = remote.inclusion(Wanted::Index(index)).await;
        let came = match (entry, answer) {
            (Ok(entry), Ok(answer)) => {
                answer.receipt().map(|receipt| (entry, receipt)).ok_or("no checkpoint".to_owned())
            }
            (Err(error), _) | (_, Err(error)) => Err(error.to_string()),
        };
        let verified = came.and_then(|(entry, receipt)| {
            receipt.verify(&entry, &self.trust).map_err(|error| error.to_string())?;
            Ok((entry, receipt))
        });
        self.after_audit(index, verified, |served| served.told_by_proof)
    }

    fn before_audit(&self) {
        self.stage.with(|world| {
            let view = world.view(Client::Auditor);
            (view.look, view.deceived.broken) = (Served::default(), 0);
        });
    }

    /// Holds what came of a question against what was served.
    fn after_audit(
        &mut self,
        index: LeafIndex,
        came: Result<(Vec<u8>, Receipt), String>,
        told: fn(&Served) -> usize,
    ) -> Result<(), String> {
        let (served, is_broken, side, fork) = self.stage.with(|world| {
            let view = world.view(Client::Auditor);
            let (served, is_broken) = (core::mem::take(&mut view.look), view.deceived.broken > 0);
            (served, is_broken, view.side, world.log.fork())
        });
        let checkpoint = served.heads[0].as_ref();
        let lacks_quorum = self.plan.has_policy && checkpoint.is_some_and(|note| note.times.len() < QUORUM);
        // The log is down, a cache is broken or has a head of another tree, or the checkpoint does not have the entry yet.
        let is_not_to_be_had = served.refused
            || is_broken
            || checkpoint.is_none_or(|note| {
                let shown = Place { side, size: LARGEST };
                note.place.size <= index.get() || !fork.agree(note.place, shown)
            });
        *self.counts.entry("audits".to_owned()).or_default() += 1;
        match came {
            Ok(_) if told(&served) > 0 || lacks_quorum => Err(format!("an auditor took entry {index}: {served:?}")),
            Ok((entry, receipt)) => self.verify_offline(index, &entry, &receipt),
            Err(_) if told(&served) > 0 || lacks_quorum => {
                self.refused += 1;
                *self.counts.entry("refused by auditors".to_owned()).or_default() += 1;
                Ok(())
            }
            Err(_) if is_not_to_be_had => Ok(()),
            Err(error) => Err(format!("an auditor refused entry {index}: {error}")),
        }
    }

    /// A receipt is kept as a file, proves this entry for ever, and nothing else.
    fn verify_offline(&mut self, index: LeafIndex, entry: &[u8], receipt: &Receipt) -> Result<(), String> {
        let side = self.stage.with(|world| world.view(Client::Auditor).side);
        let is_the_entry = self.stage.with(|world| world.log.model(side).entry(index) == Some(entry));
        let mut text = receipt.to_string().into_bytes();
        let read = Receipt::parse(&text).map_err(|error| error.to_string())?;
        let proves = |receipt: &Receipt, entry: &[u8]| receipt.verify(entry, &self.trust).is_ok();
        if !is_the_entry || read.index() != index || !proves(&read, entry) {
            return Err(format!("the receipt of entry {index} does not prove it"));
        }
        let mut other = entry.to_vec();
        other[0] ^= 1;
        if proves(&read, &other) {
            return Err(format!("the receipt of entry {index} proves another entry"));
        }
        // A cosignature beyond the quorum, or an unknown key's, may be missing: what is before the signatures may not.
        let signed = receipt.to_string().find("\n\n\u{2014}").unwrap_or(0);
        let place = self.random.below(signed.max(1));
        text[place] ^= 1 << self.random.below(7);
        match Receipt::parse(&text) {
            Ok(changed) if proves(&changed, entry) && changed.index() == index && changed != read => {
                Err(format!("a receipt that was changed at byte {place} still proves entry {index}"))
            }
            _ => Ok(()),
        }
    }
}
