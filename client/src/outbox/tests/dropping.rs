//! Batches that are given up, and what tells of them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What is given up while it rests is either on its way, and then not given up, or it is never sent.
#[test]
fn what_is_being_dropped_is_not_sent_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let (mut dropped, mut sent) = (0, 0);
    for round in 0..200 {
        let ticket = outbox.append(&[event(&round.to_string(), "x")]).unwrap();
        let number = BatchNumber(ticket.number);
        assert_eq!(outbox.take().map(|(number, _)| number), Some(number));
        let state = || outbox.0.shared.state();
        state().rest(number);
        let over = AtomicBool::new(false);
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| {
                let mut taken = false;
                while !over.load(Ordering::SeqCst) && !taken {
                    state().wake(number);
                    // The record of the drop may be the first that can go.
                    taken = outbox.take().is_some_and(|(found, _)| found == number);
                }
                taken
            });
            let result = outbox.drop(ticket.ids[0], "why");
            over.store(true, Ordering::SeqCst);
            let taken = taking.join().unwrap();
            match result {
                Ok(_) => assert!(!taken, "round {round}: it was sent and dropped"),
                Err(ChangeError::UnderWay) => assert!(taken, "round {round}"),
                Err(other) => panic!("{other}"),
            }
            taken
        });
        sent += u64::from(taken);
        dropped += u64::from(!taken);
        // Nothing is left for the next round.
        let all: Vec<u64> = state().batches().keys().map(|number| number.0).collect();
        all.iter().for_each(|number| note(&outbox, *number, None));
        settle(&outbox, 0, 0);
    }
    assert_eq!(dropped + sent, 200);
}

#[test]
fn the_largest_batch_can_be_dropped_and_is_told_of_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), Options::default()).unwrap();
    let reason = "r".repeat(4_096);
    for (objects, told) in [(10_000, bounds::DROP_STREAMS), (3, 3), (100, 100)] {
        let events: Vec<Event> = (0..10_000).map(|number| event(&(number % objects).to_string(), "x")).collect();
        let events = if objects == 100 { &events[..100] } else { &events };
        let ticket = outbox.append(events).unwrap();
        note(&outbox, ticket.number, Some(Refusal { words: "\u{1F4A9}".repeat(bounds::ANSWER_CHARS), ..refusal() }));
        settle(&outbox, 1, 1);
        let dropped = outbox.drop(ticket.ids[ticket.ids.len() - 1], &reason).unwrap();
        assert_eq!((dropped.ids.len(), dropped.records.len()), (events.len(), told));
        let (number, _, body, _) = contents(&outbox).pop().unwrap();
        let text = String::from_utf8(body).unwrap();
        if events.len() > bounds::DROP_RECORDS {
            assert!(text.contains("\"outbox-batch-count\":\"10000\""), "{objects}");
            let of_stream = 10_000_usize.div_ceil(objects);
            assert!(text.contains(&format!("\"outbox-count\":\"{of_stream}\"")), "{objects}");
        } else {
            assert!(text.contains(&format!("\"outbox-record\":\"{}\"", ticket.ids[99])));
        }
        note(&outbox, number, None);
        settle(&outbox, 0, 0);
    }
}
