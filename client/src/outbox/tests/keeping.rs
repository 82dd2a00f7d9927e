//! What is appended stays until it was delivered, and is nobody else's.

use super::*;

#[test]
fn what_is_appended_by_many_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    assert!(matches!(open(folder.path()), Err(StoreError::File(_))), "one process has it open");
    let tickets: Vec<Ticket> = std::thread::scope(|scope| {
        let works: Vec<_> = (0..16)
            .map(|object| {
                let outbox = &outbox;
                let one = move |number: usize| outbox.append(&[event(&object.to_string(), &number.to_string())]);
                scope.spawn(move || (0..20).map(|number| one(number).unwrap()).collect::<Vec<_>>())
            })
            .collect();
        works.into_iter().flat_map(|work| work.join().unwrap()).collect()
    });
    let there = contents(&outbox);
    drop(outbox);
    let outbox = open(folder.path()).unwrap();
    assert_eq!(contents(&outbox), there);
    let mut expected: Vec<(u64, Vec<RecordId>)> = tickets.into_iter().map(|one| (one.number, one.ids)).collect();
    expected.sort();
    assert_eq!(there.into_iter().map(|(number, ids, ..)| (number, ids)).collect::<Vec<_>>(), expected);
    // A task gets its answer too.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let appended = runtime.block_on(async { outbox.append_async(&[event("task", "x")]).await });
    assert_eq!(appended.unwrap().number, 321);
}

#[test]
fn what_was_delivered_leaves_the_disk_and_what_waits_stays() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), Options { sweep_after: Duration::ZERO, ..options() }).unwrap();
    let words = "nowhere else".repeat(100);
    for number in 0..60 {
        outbox.append(&[event(&number.to_string(), &words)]).unwrap();
    }
    note(&outbox, 3, Some(refusal()));
    (1..=60).filter(|number| ![3, 17].contains(number)).for_each(|number| note(&outbox, number, None));
    settle(&outbox, 2, 1);
    let there = contents(&outbox);
    assert_eq!(there.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [3, 17]);
    drop(outbox);
    let bytes: Vec<u8> = save(folder.path()).into_iter().flat_map(|(_, bytes)| bytes).collect();
    // A commit's sectors cut it now and then, but never twice in so few bytes.
    let count = bytes.windows(24).filter(|window| *window == "nowhere elsenowhere else".as_bytes()).count();
    assert!((100..250).contains(&count), "{count} remains of two records");
    let outbox = open(folder.path()).unwrap();
    assert_eq!(contents(&outbox), there);
    // Numbers are never used again.
    assert_eq!(outbox.append(&[event("1", "x")]).unwrap().number, 61);
}

#[test]
fn a_row_of_segments_does_not_grow_behind_what_is_held() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let held = outbox.append(&[event("held", "x")]).unwrap();
    note(&outbox, held.number, Some(refusal()));
    for _ in 0..600 {
        let ticket = outbox.append(&[event("1", &"x".repeat(2_000))]).unwrap();
        note(&outbox, ticket.number, None);
    }
    settle(&outbox, 1, 1);
    let segments = files(folder.path()).len() - 2;
    assert!(segments <= bounds::SPARE_SEGMENTS + 4, "{segments} segments");
    assert_eq!(outbox.status().refusals[0].ids, [held.ids[0].to_string()]);
}

#[test]
fn a_folder_that_others_may_enter_is_closed_to_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let outbox = open(folder.path()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    drop(outbox);
    assert!(files(folder.path()).iter().all(|path| mode(path) == 0o600));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    drop(open(folder.path()).unwrap());
    assert_eq!(mode(folder.path()), 0o700);
    // What is no outbox stays as it is.
    let other = tempfile::tempdir().unwrap();
    fs::set_permissions(other.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(other.path().join("somebody's"), b"").unwrap();
    assert!(matches!(open(other.path()), Err(StoreError::NotOne(_))));
    assert_eq!(mode(other.path()), 0o755);
}

#[test]
fn trouble_ends_with_what_was_in_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path()).unwrap();
    let ticket = outbox.append(&[event("a", "x")]).unwrap();
    outbox.0.shared.set_trouble(Some("no connection".into()));
    let dropped = outbox.drop(ticket.ids[0], "why").unwrap();
    assert!(outbox.status().trouble.is_some(), "the record of the drop waits");
    outbox.drop(dropped.records[0], "why").unwrap();
    assert_eq!((outbox.status().batches, outbox.status().trouble), (0, None));
}
