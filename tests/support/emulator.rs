//! An emulated x86-64 machine (Bochs) without an operating system, for instructions that the
//! processor here does not have.

use super::{repository, run};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The variable that names the emulator's folder: `bochs`, `BIOS` and `VGABIOS` (CONTRIBUTING.md).
const FOLDER: &str = "EDGECC_BOCHS";

/// The processor, which has AMX.
const PROCESSOR: &str = "sapphire_rapids";

/// How to compile for it: nothing but the sources, which no loop becomes a call of.
const FLAGS: [&str; 10] = [
    "-std=c11",
    "-O2",
    "-ffreestanding",
    "-fno-tree-loop-distribute-patterns",
    "-fno-stack-protector",
    "-fno-pic",
    "-mno-red-zone",
    "-static",
    "-no-pie",
    "-nostdlib",
];

/// The emulator of this machine.
pub(crate) struct Emulator {
    folder: PathBuf,
}

impl Emulator {
    /// The one that the variable names. Without it a test says that it did not run.
    pub(crate) fn named(test: &str) -> Option<Emulator> {
        let folder = env::var_os(FOLDER).map(PathBuf::from);
        if folder.is_none() {
            eprintln!("{test}: not run, it needs an emulator in the folder {FOLDER}");
        }
        folder.map(|folder| Emulator { folder })
    }

    /// Links a program of `tests/c/bare` with objects beside their headers, runs it in a folder and
    /// gives what it printed, without the status, which is 0.
    pub(crate) fn run(&self, source: &str, flags: &[&str], object: &Path, folder: &Path) -> String {
        let image = self.image(source, flags, object, folder);
        let serial = folder.join("serial");
        let settings = folder.join("bochsrc");
        fs::write(&settings, self.settings(&image, &serial, folder)).expect("writable");
        // It ends with an error when a program switches it off.
        let started = Command::new(self.folder.join("bochs")).arg("-qf").arg(&settings).output();
        started.unwrap_or_else(|why| panic!("cannot start bochs: {why}"));
        let text = fs::read_to_string(&serial).expect("the emulator prints").replace('\r', "");
        let printed = text.trim_end().strip_suffix("status 0");
        printed.unwrap_or_else(|| panic!("the emulated program failed: {text}")).trim().to_owned()
    }

    /// An image that boots into the program.
    fn image(&self, source: &str, flags: &[&str], object: &Path, folder: &Path) -> PathBuf {
        let boot = folder.join("image/boot");
        fs::create_dir_all(boot.join("grub")).expect("writable");
        let menu = "set timeout=0\nmenuentry program { multiboot2 /boot/program\n boot }\n";
        fs::write(boot.join("grub/grub.cfg"), menu).expect("writable");
        let bare = |name: &str| repository("tests/c/bare").join(name);
        let include = format!("-I{}", folder.display());
        let script = format!("-Wl,-n,--build-id=none,-T,{}", bare("link.ld").display());
        let words = FLAGS.iter().chain(flags).map(PathBuf::from);
        let own = ["start.S", "machine.c", "data.S", source].map(bare);
        let rest = [include.into(), script.into(), object.to_owned(), "-o".into()];
        run("gcc", words.chain(own).chain(rest).chain([boot.join("program")]));
        let image = folder.join("image.iso");
        let from = folder.join("image");
        run("grub-mkrescue", [Path::new("-o"), &image, &from]);
        image
    }

    fn settings(&self, image: &Path, serial: &Path, folder: &Path) -> String {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut text = String::new();
        for line in [
            format!("cpu: model={PROCESSOR}, ips=100000000, reset_on_triple_fault=0"),
            "memory: guest=1024, host=1024".to_owned(),
            format!("romimage: file={}, options=fastboot", at("BIOS")),
            format!("vgaromimage: file={}", at("VGABIOS")),
            format!("ata0-master: type=cdrom, path={}, status=inserted", image.display()),
            format!("com1: enabled=1, mode=file, dev={}", serial.display()),
            format!("log: {}", folder.join("log").display()),
            "boot: cdrom".to_owned(),
            "display_library: nogui".to_owned(),
            "panic: action=fatal".to_owned(),
            "clock: sync=none".to_owned(),
        ] {
            writeln!(text, "{line}").expect("text is written");
        }
        text
    }
}
