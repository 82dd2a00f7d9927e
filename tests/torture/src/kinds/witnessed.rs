//! kill -9 of whoever has a part in a head: the server, the signer that has its keys, and the witness that cosigns it, one
//! after the other or all at once. What was cosigned never contradicts what was signed, acknowledged or cosigned before, and
//! whoever comes back goes on.

use std::time::Duration;

use super::Setting;
use crate::parties::{Parties, Party, absence};
use crate::tally::{Finding, Tally};
use crate::world::{self, World, wait_for_answers};

const WORK: Duration = Duration::from_secs(20);
/// Most kills of others before that of the server.
const MOST: usize = 3;

pub(super) fn run(setting: &Setting<'_>, world: &mut World, tally: &mut Tally) -> Result<(), Finding> {
    world.join_parties()?;
    let mut done = 0;
    while setting.goes_on(done) {
        done += 1;
        world.begin();
        tally.cycles += 1;
        let mut up = world.up()?;
        let Some(mut parties) = world.parties.take() else { return Err(Finding::failed("the harness: no parties")) };
        let process = &mut up.process;
        let random = &mut world.random;
        let count = random.below(MOST + 1);
        let before: Vec<_> = (0..count).map(|_| random.one_of(&Party::ALL)).collect();
        // The server dies alone, or after those without whom it can't go on, or before them.
        let (after, with) = (random.one_in(2), Party::ALL.map(|party| (party, random.one_in(2))));
        let with: Vec<_> = with.into_iter().filter_map(|(party, dies)| dies.then_some(party)).collect();
        tally.chose(format!("{before:?}, and {with:?} {} the server", if after { "after" } else { "before" }));
        let mut killed = Vec::new();
        let worked = world.work(up.address, tally, |signals, random| {
            for party in before {
                wait_for_answers(signals, 1 + random.below(8) as u64, WORK)?;
                kill(&mut parties, party, &mut killed)?;
                // Nothing is waited for: while it is away, the others work.
                std::thread::sleep(absence(random));
                parties.start()?;
            }
            wait_for_answers(signals, 1 + random.below(8) as u64, WORK)?;
            std::thread::sleep(Duration::from_micros(random.below(1_500) as u64));
            let mut kill_all =
                |dies: &[Party]| dies.iter().try_for_each(|party| kill(&mut parties, *party, &mut killed));
            let (sooner, later) = if after { (&[][..], &*with) } else { (&*with, &[][..]) };
            kill_all(sooner)?;
            process.kill();
            kill_all(later)
        });
        world.parties = Some(parties);
        worked?;
        world::killed(&up.process.ended(), "the server")?;
        killed.push("a kill of the server");
        tally.fired += killed.len() as u64;
        killed.into_iter().for_each(|what| tally.note(what));
    }
    world.finish(tally, true)
}

fn kill(parties: &mut Parties, party: Party, killed: &mut Vec<&'static str>) -> Result<(), Finding> {
    if parties.kill(party)? {
        killed.push(match party {
            Party::Signer => "a kill of the signer",
            Party::Witness => "a kill of the witness",
        });
    }
    Ok(())
}
