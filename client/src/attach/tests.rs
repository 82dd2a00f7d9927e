//! Data sets on a disk: what is recorded of them, and how it is told later what became of them.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use cairn_tree::hash::Hash;

use super::*;

fn how(links: Links) -> How<'static> {
    How { links, hashed: &|_| {} }
}

/// What would be recorded, with no place for a listing.
fn digests_of(paths: &[PathBuf]) -> Result<Vec<Attached>, AttachError> {
    data_set(paths, None, how(Links::Refuse)).map(|set| set.attached)
}

fn named(attached: &[Attached]) -> Vec<(&str, u64)> {
    attached.iter().map(|one| (one.name.as_str(), one.size)).collect()
}

fn compare(recorded: &[Attached], place: &Place, paths: &[PathBuf]) -> Comparison {
    check(paths, Against { recorded, listings: &[], place }, how(Links::Refuse)).unwrap()
}

/// A folder with more files than a record has digests, with names that take care; and where its listing is kept.
fn many() -> (tempfile::TempDir, PathBuf, Place) {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("scans");
    fs::create_dir_all(set.join("a/deep")).unwrap();
    (0..MAX_EXTERNAL).for_each(|number| fs::write(set.join(format!("a/{number}")), number.to_string()).unwrap());
    for name in ["a-b", "a.b", "a/deep/c", "line\nfeed", "back\\slash", "return\r", " space ", "ä", "*"] {
        fs::write(set.join(name), name).unwrap();
    }
    fs::write(set.join(std::ffi::OsStr::from_bytes(b"\xff")), "no text").unwrap();
    let place = Place::Beside(folder.path().join("saved.json"));
    (folder, set, place)
}

const MANY: u64 = MAX_EXTERNAL as u64 + 10;

#[test]
fn what_changed_is_missing_or_new_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("set/deep")).unwrap();
    for (name, bytes) in [("set/a", "1"), ("set/b", "22"), ("set/deep/c", ""), ("other", "x")] {
        fs::write(root.join(name), bytes).unwrap();
    }
    let (paths, place) = ([root.join("set"), root.join("other")], Place::Within(root.to_owned()));
    let recorded = digests_of(&paths).unwrap();
    assert_eq!(named(&recorded), [("a", 1), ("b", 2), ("deep/c", 0), ("other", 1)]);
    // SHA-256 of nothing.
    assert_eq!(recorded[2].sha256[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    assert!(compare(&recorded, &place, &paths).is_same());

    fs::write(root.join("set/a"), "2").unwrap();
    fs::remove_file(root.join("set/deep/c")).unwrap();
    fs::write(root.join("set/deep/d"), "").unwrap();
    let found = compare(&recorded, &place, &paths);
    let expected = Comparison {
        same: 2,
        changed: vec!["a".into()],
        missing: vec!["deep/c".into()],
        new: vec!["deep/d".into()],
        ..Comparison::default()
    };
    assert_eq!((found.is_same(), found), (false, expected));
}

#[test]
fn what_can_not_be_said_of_all_of_a_data_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(matches!(digests_of(&[root.to_owned()]), Err(AttachError::Empty(_))));
    assert!(matches!(digests_of(&[root.join("none")]), Err(AttachError::Io { .. })));
    fs::write(root.join("a"), "1").unwrap();
    assert!(matches!(digests_of(&[root.to_owned(), root.join("a")]), Err(AttachError::Twice(name)) if name == "a"));
    fs::write(root.join("a\nb"), "1").unwrap();
    assert!(matches!(digests_of(&[root.to_owned()]), Err(AttachError::Name(_))));
    fs::remove_file(root.join("a\nb")).unwrap();
    let pipe = Command::new("mkfifo").arg(root.join("pipe")).status().unwrap();
    assert!(pipe.success() && matches!(digests_of(&[root.to_owned()]), Err(AttachError::Kind(_))));
    fs::remove_file(root.join("pipe")).unwrap();
    (0..MAX_EXTERNAL).for_each(|number| fs::write(root.join(number.to_string()), "").unwrap());
    assert!(matches!(digests_of(&[root.to_owned()]), Err(AttachError::NoPlace)));
    // A listing can't be among the files that it lists.
    let within = Place::Beside(root.join("saved.json"));
    let refused = data_set(&[root.to_owned()], Some(&within), how(Links::Refuse));
    assert!(matches!(refused, Err(AttachError::Inside(_))), "{refused:?}");
    // Nor among those of another folder, and nothing is written there before that is known.
    let [other, long] = ["other".to_owned(), "n".repeat(250)].map(|name| root.join(name));
    [&other, &long].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
    fs::write(other.join("a"), "").unwrap();
    (0..=MAX_EXTERNAL).for_each(|number| fs::write(long.join(number.to_string()), "").unwrap());
    let refused = data_set(&[long.clone(), other.clone()], Some(&Place::Within(other.clone())), how(Links::Refuse));
    assert!(matches!(refused, Err(AttachError::Inside(_))), "{refused:?}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    // A folder's name may leave no room in that of its listing.
    let listings = tempfile::tempdir().unwrap();
    let place = Place::Within(listings.path().to_owned());
    let listed = data_set(std::slice::from_ref(&long), Some(&place), how(Links::Refuse)).unwrap();
    assert!(listed.listings[0].exists() && listed.attached[0].name.as_str().len() == 251);
    [other, long].into_iter().for_each(|folder| fs::remove_dir_all(folder).unwrap());
    // As many files without a folder have no listing.
    let elsewhere = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..MAX_EXTERNAL).map(|number| root.join(number.to_string())).collect();
    let place = Place::Within(elsewhere.path().to_owned());
    let set = |files: &[PathBuf]| data_set(files, Some(&place), how(Links::Refuse)).map(|set| set.attached.len());
    assert_eq!(set(&files).unwrap(), MAX_EXTERNAL);
    assert!(matches!(set(&[files, vec![root.join("a")]].concat()), Err(AttachError::TooMany)));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_large_folder_has_one_digest_of_a_listing_that_coreutils_checks() {
    let (folder, set, place) = many();
    let DataSet { attached, listings, left_out } =
        data_set(std::slice::from_ref(&set), Some(&place), how(Links::Refuse)).unwrap();
    let size = fs::read_dir(set.join("a")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let size: u64 = size.map(|path| path.metadata().unwrap().len()).sum();
    let others = ["a-b", "a.b", "a/deep/c", "line\nfeed", "back\\slash", "return\r", " space ", "ä", "*", "no text"];
    let size = size + others.map(str::len).iter().sum::<usize>() as u64;
    assert_eq!((named(&attached), left_out.count), (vec![("scans/", size)], 0));
    let [listing] = &listings[..] else { panic!("{listings:?}") };
    let text = fs::read(listing).unwrap();
    let whole: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&text).into();
    assert_eq!((attached[0].sha256, attached[0].is_listing), (whole, true));
    let part = &Hash::new(whole).to_string()[..16];
    assert_eq!(listing, &folder.path().join(format!("saved.json.{part}.sha256")));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else was left there");
    // Another program agrees on every file; and on how each is written, in the order of bytes.
    let checking = ["--check", "--strict", "--quiet"];
    let checked = Command::new("sha256sum").args(checking).arg(listing).current_dir(&set).output().unwrap();
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len() as u64, MANY);
    let names: Vec<_> = lines.iter().filter(|line| line[0] != b'\\').map(|line| &line[66..line.len() - 1]).collect();
    assert!(names.is_sorted() && names.contains(&&b"\xff"[..]));
    let of = |name: &[u8]| names.iter().position(|one| *one == name).unwrap();
    assert!(of(b"a-b") < of(b"a.b") && of(b"a.b") < of(b"a/0") && of(b"a/99") < of(b"a/deep/c"));
}

#[test]
fn of_a_large_folder_it_is_named_what_changed_is_missing_or_new() {
    let (folder, set, place) = many();
    let recorded = data_set(std::slice::from_ref(&set), Some(&place), how(Links::Refuse)).unwrap().attached;
    let all = Comparison { same: MANY, ..Comparison::default() };
    assert_eq!(compare(&recorded, &place, std::slice::from_ref(&set)), all);
    // A copy under another name is as good, with or without the listing.
    let copy = folder.path().join("copy");
    fs::rename(&set, &copy).unwrap();
    let nowhere = Place::Beside(folder.path().join("other.json"));
    assert_eq!(compare(&recorded, &place, std::slice::from_ref(&copy)), all);
    assert_eq!(compare(&recorded, &nowhere, std::slice::from_ref(&copy)), all);

    fs::write(copy.join("line\nfeed"), "other").unwrap();
    fs::remove_file(copy.join("a/7")).unwrap();
    fs::write(copy.join("z"), "").unwrap();
    fs::write(copy.join("a/deep/b"), "").unwrap();
    let found = compare(&recorded, &place, std::slice::from_ref(&copy));
    let expected = Comparison {
        same: MANY - 2,
        changed: vec!["scans/line\nfeed".into()],
        missing: vec!["scans/a/7".into()],
        new: vec!["scans/a/deep/b".into(), "scans/z".into()],
        ..Comparison::default()
    };
    assert_eq!((found.is_same(), found), (false, expected.clone()));

    // Without its listing, and with one that is not the recorded one any more, only that something did.
    let [listing] = &listings_in(folder.path())[..] else { panic!() };
    let text = fs::read(listing).unwrap();
    fs::write(listing, [&text[..], b"\n"].concat()).unwrap();
    for place in [&place, &nowhere] {
        let found = compare(&recorded, place, std::slice::from_ref(&copy));
        assert_eq!((found.same, &found.changed, found.unlisted.len()), (0, &vec!["scans/".to_owned()], 1));
    }
    // One that is given is looked at wherever it is, and must be there.
    let kept = folder.path().join("kept");
    let given = |listings: &[PathBuf]| {
        let against = Against { recorded: &recorded, listings, place: &nowhere };
        check(std::slice::from_ref(&copy), against, how(Links::Refuse))
    };
    assert!(matches!(given(std::slice::from_ref(&kept)), Err(AttachError::Io { .. })));
    fs::write(&kept, &text).unwrap();
    assert_eq!(given(&[listing.clone(), kept]).unwrap(), expected);
    // A folder that is not given is missing, as a file is.
    let found = compare(&recorded, &place, &[folder.path().join("kept")]);
    assert_eq!((found.missing, found.new), (vec!["scans/".to_owned()], vec!["kept".to_owned()]));
}

fn listings_in(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "sha256")).collect()
}

#[test]
fn a_record_that_says_another_size_than_its_listing_has_is_told() {
    let (_folder, set, place) = many();
    let mut recorded = data_set(std::slice::from_ref(&set), Some(&place), how(Links::Refuse)).unwrap().attached;
    recorded[0].size += 1;
    let found = compare(&recorded, &place, &[set]);
    assert_eq!((found.same, found.changed), (MANY, vec!["scans/".to_owned()]));
}

#[test]
fn a_listing_that_no_listing_looks_like_is_refused_with_its_line() {
    let (folder, set, place) = many();
    let mut recorded = data_set(std::slice::from_ref(&set), Some(&place), how(Links::Refuse)).unwrap().attached;
    let line = |name: &str| format!("{}  {name}\n", "ab".repeat(32));
    for (text, wrong) in [
        (line("b") + &line("a"), 2),
        (line("a") + &line("a"), 2),
        ("b\n".to_owned(), 1),
        (line("a").trim_end().to_owned(), 1),
        (line(&"a".repeat(20_000)), 1),
    ] {
        let path = folder.path().join("listing");
        fs::write(&path, &text).unwrap();
        recorded[0].sha256 = <sha2::Sha256 as sha2::Digest>::digest(&text).into();
        let against = Against { recorded: &recorded, listings: &[path], place: &place };
        let refused = check(std::slice::from_ref(&set), against, how(Links::Refuse));
        assert!(matches!(&refused, Err(AttachError::Listing { line, .. }) if *line == wrong), "{refused:?}");
    }
}

#[test]
fn no_link_is_passed_over_in_silence() {
    let (folder, set, place) = many();
    let paths = std::slice::from_ref(&set);
    let read = |links| data_set(paths, Some(&place), how(links));
    let other = folder.path().join("elsewhere");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("far"), "far").unwrap();
    symlink("a/1", set.join("link")).unwrap();
    symlink(&other, set.join("linked")).unwrap();
    assert!(matches!(read(Links::Refuse), Err(AttachError::Link(_))));
    let skipped = read(Links::Skip).unwrap();
    assert_eq!((skipped.left_out.count, skipped.left_out.first.len()), (2, 2));
    let followed = read(Links::Follow).unwrap();
    assert_eq!((followed.left_out.count, followed.attached[0].size), (0, skipped.attached[0].size + 4));
    let against = Against { recorded: &followed.attached, listings: &[], place: &place };
    assert_eq!(check(paths, against, how(Links::Follow)).unwrap().same, MANY + 2);
    let without = check(paths, against, how(Links::Skip)).unwrap();
    assert_eq!((without.missing, without.left_out.count), (vec!["scans/link".into(), "scans/linked/far".into()], 2));

    // What leads nowhere, or in a circle, is told.
    symlink("..", set.join("a/up")).unwrap();
    assert!(matches!(read(Links::Follow), Err(AttachError::Circle(_))));
    fs::remove_file(set.join("a/up")).unwrap();
    symlink("nowhere", set.join("dangling")).unwrap();
    assert!(matches!(read(Links::Follow), Err(AttachError::Io { .. })));
    // A link that is given itself is not left out.
    for links in [Links::Refuse, Links::Skip] {
        assert!(matches!(data_set(&[set.join("link")], None, how(links)), Err(AttachError::Link(_))));
    }
    let alone = data_set(&[set.join("link")], None, how(Links::Follow)).unwrap();
    assert_eq!(named(&alone.attached), [("link", 1)]);
}
