//! Equal inputs give equal bytes: in another process, another folder, another locale, under load.

use crate::support::{ARCHS, bundled, folder};
use std::fs;
use std::hint;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Everything that a compilation writes.
const EXTENSIONS: [&str; 4] = ["o", "h", "rs", "json"];

#[test]
fn compilation_depends_on_nothing_but_the_model_and_the_options() {
    let root = folder("determinism");
    let (plain, odd) = (root.join("plain"), root.join("odd place"));
    fs::create_dir_all(&plain).and_then(|()| fs::create_dir_all(&odd)).expect("writable");
    let moved = odd.join("cifar_dscnn.onnx");
    fs::copy(bundled(), &moved).expect("writable");
    for arch in ARCHS {
        let first = compile(command(&plain, arch).arg(bundled()), &plain);
        let second = under_load(|| {
            let mut again = command(&odd, arch);
            again.envs([("LC_ALL", "tr_TR.UTF-8"), ("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo")]);
            compile(again.env_remove("HOME").arg(&moved), &odd)
        });
        for (extension, (first, second)) in EXTENSIONS.iter().zip(first.iter().zip(&second)) {
            assert!(first == second, "{arch}: m.{extension} differs");
        }
    }
}

fn command(folder: &Path, arch: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgecc"));
    command.current_dir(folder).args(["--target", arch, "-o", "m.o", "--quiet"]);
    command
}

fn compile(command: &mut Command, folder: &Path) -> [Vec<u8>; 4] {
    let status = command.status().expect("the compiler starts");
    assert!(status.success(), "{command:?}");
    EXTENSIONS.map(|e| fs::read(folder.join("m").with_extension(e)).expect("it was written"))
}

/// Runs `body` while every processor is busy.
fn under_load<T>(body: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    let threads = thread::available_parallelism().map_or(2, Into::into);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| spin_until(&done));
        }
        let _end = SetOnDrop(&done);
        body()
    })
}

fn spin_until(done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        hint::spin_loop();
    }
}

/// Ends the load also when the body fails, or the scope would wait for ever.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
