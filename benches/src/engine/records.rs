//! Records into the engine: read, sealed and given prints by the callers, as a server's handlers do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn::load::ReferenceRecords;
use cairn_tree::checkpoint::Origin;
use cairn_tree::hash::Hash;
use cairn_tree::record::disclosure::Salt;
use cairn_tree::record::event::EventHead;
use cairn_tree::record::id::{Pseudonym, RecordId};
use cairn_tree::record::kind::Redactions;
use cairn_tree::record::open::{Evidence, Record};
use cairn_tree::record::stream::{Opening, StreamName};
use cairn_tree::record::time::Time;
use cairn_tree::size::LeafIndex;
use cairn_tree::wire::record::native::{NativeInput, parse};
use cairnd::engine::postings::PrintSecret;
use cairnd::engine::records::{Expectation, RecordError, Says, Submission, id_print, name_print};
use cairnd::engine::{AppendError, Log};

use super::{Appended, Appender, BATCH, IN_FLIGHT, Until};

/// Makes records, each of another id, dispersed over many objects.
struct Maker {
    origin: Origin,
    secret: PrintSecret,
    reference: ReferenceRecords,
}

impl Maker {
    fn make(&self, number: u64) -> anyhow::Result<Submission> {
        let body = self.reference.record(number);
        let Some(NativeInput::Plain(input)) = parse(body.as_bytes())?.pop() else { anyhow::bail!("no record") };
        let content = &input.content;
        let mut random = [0; 10];
        random.iter_mut().zip(number.to_be_bytes()).for_each(|(to, byte)| *to = byte);
        let time = Time::from_millis(1_795_330_229_123)?;
        let id = RecordId::v7(time, random);
        let mut salts = salts(number);
        let head = EventHead { log: self.origin.clone(), id, replaces: None, time, key: None, after: None };
        let sealed = content.seal(head, &mut salts)?;
        let name = StreamName::of(&content.object);
        let opening = Opening::new(&name, None, None, &mut salts)?;
        let (object, actor) = (Some(&content.object), content.actor.as_ref());
        let says = Says { object, actor, subjects: content.subjects.as_ref(), context: content.context.as_ref() };
        let (stream, id) = (name_print(&self.secret, &name), id_print(&self.secret, id));
        let prints = says.prints(&self.secret);
        let (_, event, disclosures) = sealed.into_parts();
        let (by, expected) = (Pseudonym::new([9; 16]), Expectation::default());
        let (signature, fresh_id, opening_prints) = (None, true, Vec::new());
        Ok(Submission {
            event,
            signature,
            disclosures,
            opening,
            by,
            fresh_id,
            stream,
            id,
            prints,
            opening_prints,
            expected,
        })
    }
}

/// Salts that are all different; random ones cost their source what it costs.
fn salts(number: u64) -> impl FnMut() -> Salt {
    let mut next = Hash::leaf(&number.to_be_bytes());
    let mut count = 0_u8;
    move || {
        count = count.wrapping_add(1);
        let mut salt: [u8; Salt::LEN] = next.as_bytes().first_chunk().copied().unwrap_or_default();
        if let Some(first) = salt.first_mut() {
            *first ^= count;
        }
        if count == 0 {
            next = Hash::leaf(next.as_bytes());
        }
        Salt::new(salt)
    }
}

impl Appender {
    /// Appends reference records in batches, [`IN_FLIGHT`] at a time, for a while.
    ///
    /// # Errors
    /// The first that failed.
    pub(crate) fn append_records(&self, until: Until) -> anyhow::Result<Appended> {
        let secret = self.runtime.block_on(self.log.make_print_secret([7; 16]))?;
        let maker = Arc::new(Maker {
            origin: Origin::new(self.log.info().origin.clone())?,
            secret,
            reference: ReferenceRecords::new(),
        });
        let (start, next) = (Instant::now(), Arc::new(AtomicU64::new(self.log.head().size.get())));
        let caller = |_| {
            let (log, maker, next) = (self.log.clone(), Arc::clone(&maker), Arc::clone(&next));
            self.runtime.spawn(call(log, maker, next, (start, until)))
        };
        let callers: Vec<_> = (0..IN_FLIGHT).map(caller).collect();
        let mut waits = Vec::new();
        for caller in callers {
            waits.extend(self.runtime.block_on(caller)??);
        }
        let elapsed = start.elapsed();
        waits.sort_unstable();
        Ok(Appended { entries: waits.len() as u64 * BATCH as u64, elapsed, waits })
    }
}

impl Appender {
    /// Reads and opens so many records that are dispersed over the log, and tells how long that took.
    ///
    /// # Errors
    /// The first that can't be read or is not sound.
    pub(crate) fn read_dispersed(&self, count: u64) -> anyhow::Result<Duration> {
        let head = self.log.head();
        let step = (head.size.get() / count).max(1);
        let indexes: Vec<LeafIndex> = (0..count).map(|at| LeafIndex::new(at * step)).collect::<Result<_, _>>()?;
        let log = Origin::new(self.log.info().origin.clone())?;
        let redactions = Redactions::new(log.clone());
        let begun = Instant::now();
        for record in self.log.stored_records(&head, &indexes, usize::MAX)? {
            let record = record.map_err(|unreadable| unreadable.error)?;
            let evidence = Evidence { disclosures: &record.disclosures, withheld: &[], redactions: &redactions };
            Record::open(&log, record.index, &record.leaf, evidence)?;
        }
        Ok(begun.elapsed())
    }
}

async fn call(
    log: Log,
    maker: Arc<Maker>,
    next: Arc<AtomicU64>,
    (start, until): (Instant, Until),
) -> anyhow::Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while !until.reached(start, next.load(Ordering::Relaxed)) {
        let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
        let maker = Arc::clone(&maker);
        let make = move || (first..first + BATCH as u64).map(|number| maker.make(number)).collect();
        let records: anyhow::Result<Vec<Submission>> = cairn_listen::spawn_blocking(make).await?;
        let before = Instant::now();
        match log.append_records(records?, None).await {
            Ok(_) => waits.push(before.elapsed()),
            // The indexes are built more slowly than records come.
            Err(RecordError::Append(AppendError::QueueFull)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => return Err(error).context("records"),
        }
    }
    Ok(waits)
}
