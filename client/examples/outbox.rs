//! How many appends a second an outbox takes, beside what the bare disk does: one write of a page and one sync each.
//!
//! `cargo run --release -p cairn --example outbox -- FOLDER`, on the disk that is to be measured; the folder is made anew
//! and removed. Results depend on what a sync costs, so that the ratios tell more than the numbers.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program that measures ends with its first error")]

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn::outbox::{Event, Options, Outbox};

const TIME: Duration = Duration::from_secs(3);
const PAGE: usize = 4096;

/// Writes pages one after another into a file of zeros, each synced.
fn bare(folder: &Path) -> f64 {
    let file = OpenOptions::new().write(true).create_new(true).open(folder.join("bare")).expect("a file");
    let pages = 4_096;
    file.write_all_at(&vec![0; PAGE * pages], 0).expect("zeros");
    file.sync_all().expect("a sync");
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < TIME {
        file.write_all_at(&[1; PAGE], (count % pages * PAGE) as u64).expect("a write");
        file.sync_data().expect("a sync");
        count += 1;
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

fn appends(folder: &Path, threads: usize) -> f64 {
    let outbox = Outbox::open(&folder.join(threads.to_string()), Options::default()).expect("an outbox");
    let note = "x".repeat(1_200);
    let text = format!(
        r#"{{"object":{{"tenant":"t","module":"m","entity":"e","id":"1","operation":"create"}},
            "values":{{"whole":{{"new":{{"note":"{note}"}}}}}}}}"#
    );
    let event = Event::parse(text.as_bytes()).expect("a record");
    let (begun, count) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < TIME && count.load(Ordering::Relaxed) < 90_000 {
                    outbox.append(std::slice::from_ref(&event)).expect("an append");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

fn main() {
    let folder = std::env::args_os().nth(1).expect("a folder that is not there yet");
    let folder = Path::new(&folder);
    fs::create_dir(folder).expect("a folder");
    let (before, one) = (bare(folder), appends(folder, 1));
    fs::remove_file(folder.join("bare")).expect("the file");
    let (after, many) = (bare(folder), appends(folder, 64));
    println!("bare: {before:.0} and {after:.0} a second");
    println!("1 thread: {one:.0} appends a second, {:.2} of the bare disk", one / before);
    println!("64 threads: {many:.0} appends a second, {:.2} of the bare disk", many / after);
    fs::remove_dir_all(folder).expect("the folder");
}
