//! The command line: what each command prints, and how it ends, as transcripts that people can read.
//!
//! A transcript is a file in `transcripts/`. A line that begins with `$ ` is done; what follows is what was said:
//! results after `> `, everything else after `2> `, and the exit code after `? ` if it is not 0. `$URL`,
//! `$SERVER`, `$KEY` and `$DIR` stand for the log's address, its server's, its key and a folder of the test. Beside `cairn` there are commands that set the
//! scene:
//!
//! - `put FILE TEXT`: writes a file; `\n` in the text is a newline.
//! - `fill FILE COUNT`: writes a file of so many bytes.
//! - `grow SIZE [FLAVOUR]`, `cut SIZE`: change the log behind the reader's back.
//! - `show SIZE`, `show all`: the size whose head is shown.
//! - `bring JSON`: appends an audit record behind the reader's back.
//! - `redact INDEX CLASS`: erases the fields of a class of a record, and puts that on record.
//! - `reader CLASS`: the reader's token is good for values up to this class.
//! - `flip PATH OFFSET`, `repent`: lies about a resource, and the truth again.
//!
//! `<<< TEXT` at the end of a command is its standard input. With `UPDATE_TRANSCRIPTS=1` in the environment the files
//! are written anew; look at the difference.

mod load;
mod origins;
mod sources;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cairn_tests::command::cairn_with_input;
use cairn_tests::lying::{Lie, LyingLog};
use cairn_tree::record::class::Class;
use cairn_tree::size::LeafIndex;

/// What has happened in one transcript so far.
struct Stage {
    log: LyingLog,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let log = LyingLog::of_size(0);
        Self { log, folder: tempfile::tempdir().unwrap() }
    }

    /// Does one line and returns what was said.
    fn act(&self, line: &str) -> String {
        let (line, input) = line.split_once(" <<< ").unwrap_or((line, ""));
        let input = input.replace("\\n", "\n");
        let words: Vec<String> = line.split(' ').map(|word| self.fill_in(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match &words[..] {
            ["cairn", arguments @ ..] => return self.run(arguments, &input),
            ["put", file, text @ ..] => std::fs::write(file, text.join(" ").replace("\\n", "\n")).unwrap(),
            ["fill", file, count] => std::fs::write(file, vec![b'x'; count.parse().unwrap()]).unwrap(),
            ["grow", size] => self.log.change(|model| model.grow(size.parse().unwrap(), "entry")),
            ["grow", size, flavour] => self.log.change(|model| model.grow(size.parse().unwrap(), flavour)),
            ["cut", size] => self.log.change(|model| *model = model.cut(size.parse().unwrap())),
            ["show", "all"] => self.log.show(None),
            ["show", size] => self.log.show(Some(size.parse().unwrap())),
            ["bring", record @ ..] => drop(self.log.record(&record.join(" "))),
            ["redact", index, class] => {
                let (index, class) = (LeafIndex::parse(index).unwrap(), Class::from_name(class).unwrap());
                self.log.trail(|trail, model| _ = trail.redact(model, index, class));
            }
            ["reader", class] => {
                let class = Class::from_name(class).unwrap();
                self.log.trail(|trail, _| trail.show_up_to(class));
            }
            ["flip", path, offset] => self.log.lie(path, Lie::FlipBit(offset.parse().unwrap())),
            ["repent"] => self.log.repent(),
            _ => panic!("no such command: {line}"),
        }
        String::new()
    }

    fn run(&self, arguments: &[&str], input: &str) -> String {
        let ran = cairn_with_input(arguments, input.as_bytes());
        let mut said = String::new();
        for (mark, words) in [(">", &ran.stdout), ("2>", &ran.stderr)] {
            words.lines().for_each(|line| writeln!(said, "{}", format!("{mark} {line}").trim_end()).unwrap());
        }
        if ran.code != 0 {
            writeln!(said, "? {}", ran.code).unwrap();
        }
        self.leave_out(&said)
    }

    fn names(&self) -> [(&'static str, String); 4] {
        let (folder, url) = (self.folder.path().to_str().unwrap().to_owned(), self.log.url());
        let server = url.strip_suffix("/logs/lying").unwrap().to_owned();
        [("$URL", url), ("$SERVER", server), ("$KEY", self.log.vkey()), ("$DIR", folder)]
    }

    fn fill_in(&self, word: &str) -> String {
        self.names().iter().fold(word.to_owned(), |word, (name, value)| word.replace(name, value))
    }

    fn leave_out(&self, said: &str) -> String {
        self.names().iter().fold(said.to_owned(), |said, (name, value)| said.replace(value, name))
    }
}

/// Plays a transcript and returns it as it went.
fn play(transcript: &str) -> String {
    let stage = Stage::new();
    let mut played = String::new();
    for line in transcript.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            writeln!(played, "{line}").unwrap();
            played.push_str(&stage.act(command));
        } else if line.is_empty() || line.starts_with("# ") {
            writeln!(played, "{line}").unwrap();
        }
    }
    played
}

fn transcripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/cli/transcripts")
}

fn check(name: &str) {
    let path = transcripts().join(name);
    let written = std::fs::read_to_string(&path).unwrap();
    let played = play(&written);
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        std::fs::write(path, played).unwrap();
    } else {
        assert_eq!(played, written, "{name}");
    }
}

#[test]
fn append_and_verify() {
    check("append-and-verify.txt");
}

#[test]
fn prove_and_consistency() {
    check("prove-and-consistency.txt");
}

#[test]
fn watch_and_evidence() {
    check("watch-and-evidence.txt");
}

#[test]
fn fsck() {
    check("fsck.txt");
}

#[test]
fn record_and_verify_record() {
    check("record-and-verify-record.txt");
}

#[test]
fn search() {
    check("search.txt");
}

#[test]
fn history() {
    check("history.txt");
}

#[test]
fn replay_and_diff() {
    check("replay-and-diff.txt");
}

#[test]
fn mistakes() {
    check("mistakes.txt");
}

#[test]
fn every_transcript_is_played() {
    let source = include_str!("mod.rs");
    for file in std::fs::read_dir(transcripts()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("check(\"{name}\")")), "{name}");
    }
}
