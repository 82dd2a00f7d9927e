//! What is refused, and that a refused request leaves no trace: the next one stands where it would have stood.

use super::*;

fn seq(number: u64) -> Option<Option<Seq>> {
    Some(Some(Seq::new(number).unwrap()))
}

/// Tries these, and then sees that the log is as it was: nothing is appended, and a record that comes next chains to the
/// same one as before.
fn refused(archive: &mut Archive, plans: &[Plan]) -> RecordError {
    let before = archive.log().head();
    let error = archive.try_record(plans, None).unwrap_err();
    assert_eq!(archive.log().head().size, before.size);
    archive.check();
    error
}

#[test]
fn expectations_are_compared_in_the_order_of_the_request() {
    let mut archive = Archive::new();
    let none = Expectation { seq: Some(None), prev: Some(None) };
    let first = archive.record(&[Plan { expected: none, ..Plan::new(1, 1) }]).records[0];
    let tip = |error: RecordError| match error {
        RecordError::Expectation { position, tip } => (position, tip.map(|tip| (tip.seq, tip.leaf))),
        other => panic!("{other}"),
    };
    let known = Some((first.seq, first.leaf));
    let wrong = [
        none,
        Expectation { seq: Some(None), prev: None },
        Expectation { seq: seq(1), prev: None },
        Expectation { seq: None, prev: Some(Some(Hash::leaf(b"another"))) },
        Expectation { seq: seq(0), prev: Some(None) },
    ];
    for expected in wrong {
        let plans = [Plan::new(2, 2), Plan { expected, ..Plan::new(1, 3) }];
        assert_eq!(tip(refused(&mut archive, &plans)), (1, known), "{expected:?}");
    }
    // The stream of another object has no record, and what came before in the request will not be there.
    let plans = [Plan::new(2, 2), Plan { expected: none, ..Plan::new(2, 3) }];
    assert_eq!(tip(refused(&mut archive, &plans)), (1, None));
    let chained = [
        Plan { expected: Expectation { seq: seq(0), prev: Some(Some(first.leaf)) }, ..Plan::new(1, 4) },
        Plan { expected: Expectation { seq: seq(1), prev: None }, ..Plan::new(1, 5) },
        Plan { expected: none, ..Plan::new(2, 6) },
        Plan { expected: Expectation { seq: seq(0), prev: None }, ..Plan::new(2, 7) },
    ];
    let recorded = archive.record(&chained);
    assert_eq!(recorded.records.iter().map(|one| one.seq.get()).collect::<Vec<_>>(), [1, 2, 0, 1]);
    archive.reopen();
    assert_eq!(tip(refused(&mut archive, &[Plan { expected: none, ..Plan::new(2, 8) }])).0, 0);
}

#[test]
fn a_signed_event_comes_only_where_it_wants_to() {
    let mut archive = Archive::new();
    let nothing = Plan { after: Some(After::Nothing), ..Plan::new(1, 1) };
    let first = archive.record(&[nothing]).records[0];
    let tip = Some((first.seq, first.leaf));
    let after = |seq, leaf| Some(After::Record { seq: Seq::new(seq).unwrap(), leaf });
    for (id, after) in [(2, Some(After::Nothing)), (3, after(1, first.leaf)), (4, after(0, Hash::leaf(b"another")))] {
        let error = refused(&mut archive, &[Plan { after, ..Plan::new(1, id) }]);
        let RecordError::Expectation { position: 0, tip: told } = error else { panic!("{error}") };
        assert_eq!(told.map(|tip| (tip.seq, tip.leaf)), tip);
    }
    let second = archive.record(&[Plan { after: after(0, first.leaf), ..Plan::new(1, 5) }]).records[0];
    assert_eq!(second.seq.get(), 1);
    let unsigned = archive.submissions(&[Plan { after: after(1, second.leaf), ..Plan::new(1, 6) }]);
    let unsigned = unsigned.into_iter().map(|submission| Submission { signature: None, ..submission }).collect();
    let error = archive.world.runtime.block_on(archive.log().append_records(unsigned, None)).unwrap_err();
    let error = matches!(error, RecordError::Leaf { position: 0, .. }).then_some(()).ok_or(error);
    assert_eq!(error, Ok(()), "the event names the key of a signature that is not there");
}

#[test]
fn an_id_is_one_records_for_ever() {
    let mut archive = Archive::new();
    archive.record(&[Plan::new(1, 1), Plan::new(1, 2)]);
    for reopened in [false, true] {
        if reopened {
            archive.reopen();
        }
        for other in [Plan { says: 1, ..Plan::new(1, 1) }, Plan::new(2, 1)] {
            let error = refused(&mut archive, &[Plan::new(3, 3), other]);
            assert_eq!(error, RecordError::Id { position: 1, id: id(1), index: Some(LeafIndex::ZERO) });
        }
    }
    let error = refused(&mut archive, &[Plan::new(3, 3), Plan::new(4, 3)]);
    assert_eq!(error, RecordError::Id { position: 1, id: id(3), index: None });
    archive.record(&[Plan::new(3, 3)]);
}

#[test]
fn what_is_no_record_of_this_log_is_refused() {
    let mut archive = Archive::new();
    let log = archive.log();
    let ask = |submissions| archive.world.runtime.block_on(log.append_records(submissions, None)).unwrap_err();
    assert_eq!(ask(Vec::new()), RecordError::Empty);
    let foreign = submission("example.com/logs/other", &archive.secret, &Plan::new(1, 1));
    assert!(matches!(ask(vec![foreign]), RecordError::Log { position: 0, .. }));
    let stray = Disclosures::from_texts(["AB"]).unwrap();
    let mut submissions = archive.submissions(&[Plan::new(1, 1), Plan::new(1, 2)]);
    submissions[1].disclosures = stray;
    assert!(matches!(ask(submissions), RecordError::Disclosures { position: 1, .. }));
    archive.world.create(terms("other"), 2).unwrap();
    let other = archive.world.engine.log("other").unwrap();
    let submissions = vec![submission("example.com/logs/other", &archive.secret, &Plan::new(1, 1))];
    let error = archive.world.runtime.block_on(other.append_records(submissions, None)).unwrap_err();
    assert_eq!(error, RecordError::Prints);
    archive.record(&[Plan::new(1, 1)]);
}

#[test]
fn a_log_that_takes_no_entries_takes_no_records() {
    let mut archive = Archive::new();
    archive.record(&[Plan::new(1, 1)]);
    let full = EngineOptions { disk_reserve: u64::MAX, ..options(archive.world.path()) };
    let store = archive.world.reopen_behind_with(&Gate::default(), &full);
    let error = archive.try_record(&[Plan::new(1, 2)], None).unwrap_err();
    assert!(matches!(error, RecordError::Append(AppendError::DiskReserve { .. })), "{error}");
    drop(store);
    archive.reopen();
    let successor = vec![signer("next", 3)];
    archive.world.runtime.block_on(archive.world.engine.seal("main", terms("next"), successor)).unwrap();
    let error = archive.try_record(&[Plan::new(1, 2)], None).unwrap_err();
    assert!(matches!(error, RecordError::Append(AppendError::Sealed(Some(_)))), "{error}");
    archive.check();
    archive.world.engine.close();
    let error = archive.try_record(&[Plan::new(1, 2)], None).unwrap_err();
    assert!(matches!(error, RecordError::Append(AppendError::Stopping(_))), "{error}");
}

/// Callers that draw the secret at the same time get one and the same.
#[test]
fn a_log_has_one_secret_for_ever() {
    let mut world = World::with_log("main");
    let log = world.engine.log("main").unwrap();
    assert_eq!(log.print_secret(), Ok(None));
    let drawn: Vec<_> = (0..8_u8)
        .map(|byte| {
            let log = log.clone();
            world.runtime.spawn(async move { log.make_print_secret([byte; 16]).await.unwrap() })
        })
        .collect();
    let drawn: Vec<PrintSecret> = drawn.into_iter().map(|one| world.runtime.block_on(one).unwrap()).collect();
    assert!(drawn.iter().all(|secret| *secret == drawn[0]));
    drop(log);
    world.reopen().unwrap();
    let log = world.engine.log("main").unwrap();
    assert_eq!(log.print_secret(), Ok(Some(drawn[0].clone())));
    assert_eq!(make_secret(&world, "main"), drawn[0]);
}
