//! The order in which batches go.

use super::*;

#[test]
fn a_batch_waits_for_those_before_it_in_each_of_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let take = || outbox.take().map(|(number, _)| number.0);
    for objects in [&["a"][..], &["a", "b"], &["b"], &["c"]] {
        let events: Vec<Event> = objects.iter().map(|object| event(object, "x")).collect();
        outbox.append(&events).unwrap();
    }
    assert_eq!([take(), take(), take()], [Some(1), Some(4), None]);
    let state = || outbox.0.shared.state();
    state().rest(BatchNumber(1));
    assert_eq!(take(), None, "it rests");
    state().wake(BatchNumber(1));
    assert_eq!(take(), Some(1));
    assert!(matches!(outbox.drop(outbox_id(&outbox, 1), "why"), Err(ChangeError::UnderWay)));
    note(&outbox, 1, Some(refusal()));
    settle(&outbox, 4, 1);
    assert_eq!(take(), None, "it holds what is behind it");
    assert_eq!(outbox.retry(None), Ok(1));
    assert_eq!(take(), Some(1));
    note(&outbox, 1, None);
    note(&outbox, 4, None);
    settle(&outbox, 2, 0);
    assert_eq!([take(), take()], [Some(2), None]);
    state().wake_all();
    assert_eq!(take(), Some(2), "whoever had it has gone");
}

#[test]
fn what_goes_on_and_comes_back_keeps_one_batch_of_a_stream_on_its_way() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { after_refusal: AfterRefusal::GoOn, ..options() };
    let outbox = Outbox::open(folder.path(), options()).unwrap();
    (0..3).for_each(|_| drop(outbox.append(&[event("a", "x")]).unwrap()));
    let take = || outbox.take().map(|(number, _)| number.0);
    assert_eq!(take(), Some(1));
    note(&outbox, 1, Some(refusal()));
    settle(&outbox, 3, 1);
    assert_eq!([take(), take()], [Some(2), None]);
    assert_eq!(outbox.retry(None), Ok(1));
    assert_eq!(take(), None, "one of the stream is on its way");
    outbox.0.shared.state().rest(BatchNumber(2));
    assert_eq!([take(), take()], [Some(1), None], "what comes back goes first");
    outbox.0.shared.state().wake(BatchNumber(2));
    assert_eq!(take(), None);
    note(&outbox, 1, Some(refusal()));
    settle(&outbox, 3, 1);
    // Ready, but not taken, when the first comes back.
    assert_eq!(outbox.retry(None), Ok(1));
    assert_eq!([take(), take()], [Some(1), None]);
    note(&outbox, 1, None);
    settle(&outbox, 2, 0);
    assert_eq!([take(), take()], [Some(2), None]);
    // Opened again, the same.
    drop(outbox);
    let outbox = Outbox::open(folder.path(), options()).unwrap();
    assert_eq!(outbox.take().map(|(number, _)| number.0), Some(2));
    assert!(outbox.take().is_none());
}
