//! Libraries that are preloaded into a program under test, and stand between it and the operating system.
//!
//! `disk.c` keeps beside a folder what a disk would hold of it if the power failed; `calls.c` makes calls fail, ends the
//! process at one of them, and moves its clock. They are compiled, when they are first wanted, by the C compiler that
//! compiles RocksDB.

mod calls;
mod disk;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use calls::{Calls, Class, Deed};
pub use disk::{Disk, Forgotten};

use crate::server::run;

/// A library beside its source in this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    Disk,
    Calls,
}

impl Library {
    /// The compiled library.
    ///
    /// # Panics
    /// If there is no C compiler.
    #[expect(clippy::expect_used, reason = "support for tests: it fails by panicking")]
    fn path(self) -> PathBuf {
        static COMPILED: OnceLock<tempfile::TempDir> = OnceLock::new();
        let folder = COMPILED.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder");
            for library in [Self::Disk, Self::Calls] {
                library.compile(folder.path());
            }
            folder
        });
        folder.path().join(self.name()).with_extension("so")
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Calls => "calls",
        }
    }

    fn compile(self, folder: &Path) {
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/preload").join(self.name()).with_extension("c");
        let mut command = Command::new(compiler);
        command
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-o"])
            .arg(folder.join(self.name()).with_extension("so"))
            .arg(source)
            .arg("-ldl");
        let compiled = run(&mut command);
        assert_eq!(compiled.code, Some(0), "{compiled:?}");
    }
}
