//! Debian packages: the tools that build and run programs for aarch64.

use crate::Outcome;
use crate::command::{command, find, show};
use std::path::Path;

/// One tool: what proves that it is there, and the package that has it.
struct Tool {
    present: fn() -> bool,
    package: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool { present: || find("qemu-aarch64").is_some(), package: "qemu-user" },
    Tool { present: || find("aarch64-linux-gnu-gcc").is_some(), package: "gcc-aarch64-linux-gnu" },
    Tool {
        present: || Path::new("/usr/aarch64-linux-gnu/include/stdio.h").exists(),
        package: "libc6-dev-arm64-cross",
    },
    Tool { present: || find("npm").is_some(), package: "npm" },
];

/// Installs the packages of the tools that are missing.
pub(super) fn install() -> Outcome {
    let missing: Vec<_> = TOOLS.iter().filter(|t| !(t.present)()).map(|t| t.package).collect();
    if missing.is_empty() {
        println!("cross tools: present");
        return Ok(());
    }
    println!("cross tools: installing {}", missing.join(" "));
    apt(&["update"]).and_then(|()| apt(&install_words(&missing))).map_err(|why| {
        format!("{why}\ninstall these packages by hand, then run again: {}", missing.join(" "))
    })
}

fn install_words<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    [&["install", "--yes", "--no-install-recommends"], packages].concat()
}

/// Runs apt-get as root, through sudo where this user is not root and sudo asks no password.
fn apt(args: &[&str]) -> Outcome {
    let root = command("id", ["-u"]).output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    let mut words =
        if root { vec!["apt-get"] } else { vec!["sudo", "--non-interactive", "apt-get"] };
    words.extend(args);
    show(command(words[0], &words[1..]).env("DEBIAN_FRONTEND", "noninteractive"))
}
