//! Finds out whether there is a C compiler, which the faults in the operating system's calls need. Without one the test is
//! ignored, with the reason.

use std::env;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    println!("cargo::rustc-check-cfg=cfg(has_cc)");
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(compiler).arg("--version").stdin(Stdio::null()).output();
    if output.is_ok_and(|output| output.status.success()) {
        println!("cargo::rustc-cfg=has_cc");
    }
}
