//! Finds out what this machine lets tests do. Those that can't run here are then ignored, with the reason, instead of
//! passing without having tried anything.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    for (name, has) in [("has_cc", has_cc()), ("can_mount", can_mount()), ("has_strace", has_strace())] {
        println!("cargo::rustc-check-cfg=cfg({name})");
        if has {
            println!("cargo::rustc-cfg={name}");
        }
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

fn has_cc() -> bool {
    succeeds(Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into())).arg("--version"))
}

/// It may be there and not be allowed to trace.
fn has_strace() -> bool {
    succeeds(Command::new("strace").args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=rename:signal=KILL:when=9",
        "true",
    ]))
}

/// Root is not enough: in a container it may lack the right.
fn can_mount() -> bool {
    let Some(folder) = env::var_os("OUT_DIR").map(|out| PathBuf::from(out).join("mount")) else { return false };
    fs::create_dir_all(&folder).is_ok()
        && succeeds(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&folder))
        && succeeds(Command::new("umount").arg(&folder))
}
