//! What the library of faults in calls (`calls.c`) counts: a fault that happened, and nothing else. Tried with programs that
//! every system has.

use std::fs;
use std::path::Path;
use std::process::Command;

use cairn_tests::preload::{Calls, Class, Deed};

/// How often it happened to a program in a folder, whether that succeeded, and where it happened last.
fn tried(folder: &Path, fault: (Class, Deed), command: &[&str]) -> (u64, bool, String) {
    let control = folder.with_file_name("control");
    let calls = Calls::new(folder, &control, fault).unwrap();
    calls.arm(1, 1).unwrap();
    let [program, arguments @ ..] = command else { panic!("no program") };
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).envs(calls.environment(&[])).output().unwrap();
    (calls.fired().unwrap(), output.status.success(), calls.place().unwrap())
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().canonicalize().unwrap().join("folder");
    fs::create_dir(&folder).unwrap();
    (place, folder)
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn only_what_was_cut_short_counts_as_cut_short() {
    let (_place, folder) = folder();
    let read = |length: usize, size: &str| {
        fs::write(folder.join("file"), vec![b'x'; length]).unwrap();
        tried(&folder, (Class::Read, Deed::Short), &["dd", "if=file", "of=/dev/null", size, "count=1"])
    };
    // Half of 1,024 is more than there is, and half of 8 just all there is: both get what they would have got without it.
    assert_eq!(read(10, "bs=1024"), (0, true, String::new()));
    assert_eq!(read(4, "bs=8"), (0, true, String::new()));
    assert_eq!(read(5, "bs=8"), (1, true, "short read of file".to_owned()));
    // The halves of 8, 4 and 2 bytes; one alone can't be cut.
    fs::write(folder.join("file"), b"12345678").unwrap();
    let wrote = tried(&folder, (Class::Write, Deed::Short), &["dd", "if=file", "of=copy", "bs=8"]);
    assert_eq!(wrote, (3, true, "short write of copy".to_owned()));
    assert_eq!(fs::read(folder.join("copy")).unwrap(), b"12345678");
}

#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn folders_links_and_names_below_an_open_folder_count() {
    let (_place, folder) = folder();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(folder.join("old/inner")).unwrap();
    fs::write(folder.join("file"), b"x").unwrap();
    for (class, command, place) in [
        (Class::Folder, vec!["mkdir".to_owned(), path("new")], "EIO folder of new"),
        (Class::Link, vec!["ln".to_owned(), path("file"), path("link")], "EIO link of link"),
        (Class::Remove, vec!["rm".to_owned(), "-r".to_owned(), path("old")], "EIO remove of old/inner"),
    ] {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let (fired, succeeded, told) = tried(&folder, (class, Deed::Fail("EIO")), &command);
        assert!(fired > 0 && !succeeded && told == place, "{command:?}: {fired} {succeeded} {told:?}");
    }
    assert!(!folder.join("new").exists() && !folder.join("link").exists() && folder.join("old/inner").exists());
}

/// What is asked before anything is read: it fails where it is to, of that folder's files alone.
#[test]
#[cfg_attr(not(has_cc), ignore = "there is no C compiler here")]
fn questions_about_files_can_fail() {
    let (place, folder) = folder();
    fs::create_dir(folder.join("inner")).unwrap();
    fs::write(folder.join("inner/file"), b"x").unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (inner, file) = (path("inner"), path("inner/file"));
    for (class, errno, command, told) in [
        (Class::OpenRead, "EMFILE", ["cat", &file], "EMFILE openread of inner/file"),
        (Class::Look, "EIO", ["stat", &file], "EIO look of inner/file"),
        (Class::List, "EIO", ["ls", &inner], "EIO list of inner"),
    ] {
        assert_eq!(tried(&folder, (class, Deed::Fail(errno)), &command), (1, false, told.to_owned()), "{command:?}");
        assert_eq!(tried(&folder, (Class::Change, Deed::Fail(errno)), &command), (0, true, String::new()));
    }
    // Half-way through a folder: what it says of itself is an error, not its end.
    let control = folder.with_file_name("control");
    let calls = Calls::new(&folder, &control, (Class::List, Deed::Fail("EIO"))).unwrap();
    calls.arm(3, 0).unwrap();
    let output = Command::new("ls").arg(&inner).envs(calls.environment(&[])).output().unwrap();
    assert!(calls.fired().unwrap() == 1 && !output.status.success(), "{output:?}");
    let elsewhere = place.path().to_str().unwrap();
    assert_eq!(tried(&folder, (Class::List, Deed::Fail("EIO")), &["ls", elsewhere]), (0, true, String::new()));
}
