//! The quarantine on a real disk: what it keeps, for how long, and what it makes of damage.

use std::os::unix::fs::PermissionsExt as _;

use super::super::unmapped::Reason;
use super::*;

fn id(number: u8) -> Id {
    Id::of(&[number; 32])
}

fn coming(number: u8, token: &str, body: &[u8]) -> Coming {
    Coming {
        id: id(number),
        topic: Some("save-it".into()),
        why: Unmapped::of(Reason::NoMapping).at("here"),
        received_ms: u64::from(number),
        token: token.parse().unwrap(),
        tenants: "pb,pb.*".parse().unwrap(),
        key: None,
        body: body.to_vec(),
    }
}

const ONE: &str = "000000000001";
const TWO: &str = "000000000002";

#[test]
fn what_is_kept_is_there_after_a_restart_for_its_owner_alone() {
    let data = tempfile::tempdir().unwrap();
    let open = || Quarantine::open(data.path(), Room { messages: 10, bytes: 10_000 }).unwrap();
    let quarantine = open();
    let line = quarantine.keep(coming(2, ONE, b"{\n}")).unwrap();
    quarantine.keep(coming(1, ONE, b"")).unwrap();
    let again = quarantine.keep(Coming { received_ms: 9, ..coming(2, TWO, b"{\n}") }).unwrap();
    assert_eq!(again, line, "a second delivery changes nothing");
    let folder = data.path().join(FOLDER_NAME);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    fs::write(folder.join("0123.message.new"), b"torn").unwrap();
    fs::write(folder.join("notes.txt"), b"not ours").unwrap();
    let quarantine = open();
    let order: Vec<Id> = quarantine.list().into_iter().map(|listed| listed.id).collect();
    assert_eq!(order, [id(1), id(2)]);
    assert_eq!(quarantine.read(id(2)).unwrap(), (line.clone(), b"{\n}".to_vec()));
    assert!(!folder.join("0123.message.new").exists() && folder.join("notes.txt").exists());
    let other = quarantine.keep_again(line.id, &Unmapped::of(Reason::Refused)).unwrap();
    assert_eq!((other.reason.as_str(), other.received_ms), ("refused", 2));
    quarantine.remove(line.id).unwrap();
    quarantine.remove(line.id).unwrap();
    assert!(matches!(quarantine.read(line.id), Err(QuarantineError::Absent(_))));
    assert_eq!(open().list().len(), 1);
}

#[test]
fn a_full_quarantine_refuses_and_no_credential_fills_it_alone() {
    let data = tempfile::tempdir().unwrap();
    let quarantine = Quarantine::open(data.path(), Room { messages: 4, bytes: 4_000 }).unwrap();
    quarantine.keep(coming(1, ONE, b"1")).unwrap();
    quarantine.keep(coming(2, ONE, b"2")).unwrap();
    let full = |coming| matches!(quarantine.keep(coming), Err(QuarantineError::Full(_)));
    assert!(full(coming(3, ONE, b"3")));
    assert!(full(coming(3, TWO, &[b'x'; 2_000])));
    quarantine.keep(coming(3, TWO, b"3")).unwrap();
    quarantine.keep(coming(4, TWO, b"4")).unwrap();
    assert!(full(coming(5, "000000000003", b"5")));
    quarantine.remove(id(1)).unwrap();
    quarantine.keep(coming(5, ONE, b"5")).unwrap();
}

#[test]
fn damage_is_told_and_can_be_dropped() {
    let data = tempfile::tempdir().unwrap();
    let room = Room { messages: 4, bytes: 4_000 };
    let line = Quarantine::open(data.path(), room).unwrap().keep(coming(1, ONE, b"body")).unwrap();
    let path = data.path().join(FOLDER_NAME).join(format!("{}.message", line.id));
    let whole = fs::read(&path).unwrap();
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();
        let quarantine = Quarantine::open(data.path(), room).unwrap();
        let read = quarantine.read(line.id);
        assert!(matches!(read, Err(QuarantineError::Damaged { .. })), "bit {bit}: {read:?}");
        assert_eq!(quarantine.list().len(), 1);
    }
    let quarantine = Quarantine::open(data.path(), room).unwrap();
    quarantine.remove(line.id).unwrap();
    assert_eq!(quarantine.size(), (0, 0));
}

#[test]
fn what_the_log_was_not_told_is_known_after_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let open = || Quarantine::open(data.path(), Room { messages: 10, bytes: 10_000 }).unwrap();
    let quarantine = open();
    for number in 1..=3 {
        quarantine.keep(coming(number, ONE, b"body")).unwrap();
    }
    quarantine.told(id(1));
    let owed = |number| (id(number), Note::Quarantined);
    assert_eq!((quarantine.owed(), open().owed()), (vec![owed(2), owed(3)], vec![owed(2), owed(3)]));
    assert_eq!(quarantine.leave(id(1), Note::Dropped).unwrap(), Note::Dropped);
    // What was decided first holds, after a crash too.
    let quarantine = open();
    assert_eq!(quarantine.leave(id(1), Note::Released).unwrap(), Note::Dropped);
    assert_eq!(quarantine.owed(), [(id(1), Note::Dropped), owed(2), owed(3)]);
    assert_eq!(quarantine.list().len(), 3, "it is here until the log knows");
    quarantine.remove(id(1)).unwrap();
    quarantine.leave(id(2), Note::Released).unwrap();
    quarantine.remove(id(2)).unwrap();
    assert_eq!((quarantine.owed(), open().owed()), (vec![owed(3)], vec![owed(3)]));
    // A crash before the message was there, or after it was gone.
    let folder = data.path().join(FOLDER_NAME);
    for note in Note::ALL {
        fs::write(folder.join(note.name(id(9))), b"").unwrap();
    }
    assert_eq!(open().owed(), [owed(3)]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    assert!(matches!(quarantine.keep_again(id(1), &Unmapped::of(Reason::Work)), Err(QuarantineError::Absent(_))));
}

#[test]
fn a_message_that_is_leaving_is_not_kept_again_until_it_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let open = || Quarantine::open(data.path(), Room { messages: 10, bytes: 10_000 }).unwrap();
    let quarantine = open();
    for (number, why) in [(1, Note::Dropped), (2, Note::Released)] {
        quarantine.keep(coming(number, ONE, b"body")).unwrap();
        quarantine.leave(id(number), why).unwrap();
        for quarantine in [&quarantine, &open()] {
            let again = quarantine.keep(coming(number, TWO, b"body"));
            assert!(matches!(again, Err(QuarantineError::Leaving)), "{why:?}: {again:?}");
        }
        quarantine.remove(id(number)).unwrap();
        quarantine.keep(coming(number, TWO, b"body")).unwrap();
        assert_eq!(open().read(id(number)).unwrap().1, b"body");
    }
}
