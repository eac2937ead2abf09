//! From the user's words for a machine to a `Target`.

use crate::code::Code;
use crate::options::TargetSpec;
use edgecc_ir::diag::Diagnostic;
use edgecc_ir::suggest;
use edgecc_ir::target::{AVX512, Arch, CPUS, Cpu, MATRIX_TILES, Target};
use edgecc_rt::{abi, cpu, feature};
use std::collections::BTreeSet;

/// Features that no code is made for.
const UNUSED: &[&str] = &["amx-bf16"];
/// The feature that is of use only with others, which `MATRIX_TILES` lists beside 512-bit vectors.
const INT8_TILES: &str = "amx-int8";

/// Finds the CPU and edits its features.
pub fn resolve(spec: &TargetSpec) -> Result<Target, Diagnostic> {
    let arch = arch(&spec.triple)?;
    let native = spec.cpu.as_deref() == Some("native");
    if native && Arch::name(arch) != std::env::consts::ARCH {
        return Err(Code::ForeignNative
            .error(format!("`--cpu native` cannot describe {} from this machine", arch.name())));
    }
    let cpu = if native { host_row(arch) } else { cpu_row(arch, spec.cpu.as_deref())? };
    let base = if native { host_features() } else { cpu.features().into_iter().collect() };
    let features = edit(arch, base, &spec.features)?;
    let target = Target::of(cpu, features);
    complete(&target)?;
    Ok(if native { Target { cpu: "native".to_owned(), ..target } } else { target })
}

/// The architecture of a name or triple.
fn arch(triple: &str) -> Result<Arch, Diagnostic> {
    let word = triple.split('-').next().unwrap_or_default();
    match word {
        "x86_64" | "amd64" | "x86-64" | "x64" => Ok(Arch::X86_64),
        "aarch64" | "arm64" => Ok(Arch::Aarch64),
        _ => Err(Code::UnknownTarget
            .error(format!("there is no backend for the target {triple:?}"))
            .help("use --target x86_64 or --target aarch64")),
    }
}

/// The architecture's CPU with this name; the default one without a name.
fn cpu_row(arch: Arch, name: Option<&str>) -> Result<&'static Cpu, Diagnostic> {
    let mut rows = CPUS.iter().filter(|c| c.arch == arch);
    let known = rows.clone().map(|c| c.name);
    let found = match name {
        None | Some("generic") => rows.next(),
        Some(name) => rows.find(|c| c.name == name),
    };
    found.ok_or_else(|| {
        let name = name.unwrap_or_default();
        Code::UnknownCpu
            .error(format!("unknown CPU {name:?} for {}", arch.name()))
            .help(suggest::help("CPUs", name, known.chain(["generic", "native"])))
    })
}

/// The row of this machine's core, else the one with the most features that it has.
fn host_row(arch: Arch) -> &'static Cpu {
    let features = host_features();
    let has_all = |cpu: &&Cpu| cpu.features().iter().all(|f| features.contains(f));
    let rows = || CPUS.iter().filter(|c| c.arch == arch);
    let named = rows().find(|c| Some(c.name) == cpu::host_core());
    let best = || {
        rows().filter(has_all).reduce(|best, row| {
            if row.features().len() > best.features().len() { row } else { best }
        })
    };
    named.or_else(best).or_else(|| rows().next()).expect("each architecture has a row")
}

/// The features of this machine, matrix tiles among them where the system gives them to this
/// process.
fn host_features() -> BTreeSet<&'static str> {
    cpu::enable_tiles();
    feature::names(cpu::host_features()).filter(|name| !UNUSED.contains(name)).collect()
}

/// Fails when 8-bit products on tiles lack what they need.
fn complete(target: &Target) -> Result<(), Diagnostic> {
    let has = |name: &str| target.features.iter().any(|f| f == name);
    if !has(INT8_TILES) || target.matrix_tiles {
        return Ok(());
    }
    let needed = MATRIX_TILES.iter().chain(AVX512);
    let missing: Vec<&str> = needed.copied().filter(|&name| !has(name)).collect();
    let list: Vec<String> = missing.iter().map(|name| format!("+{name}")).collect();
    Err(Code::IncompleteFeature
        .error(format!("{INT8_TILES:?} is of no use without {}", missing.join(", ")))
        .help(format!("use --cpu sapphirerapids, or add --features {}", list.join(","))))
}

/// Applies `+name` and `-name` in order.
fn edit(
    arch: Arch,
    mut features: BTreeSet<&'static str>,
    edits: &[String],
) -> Result<Vec<String>, Diagnostic> {
    for edit in edits {
        let (sign, name) = edit.split_at(usize::from(edit.starts_with(['+', '-'])));
        let row = feature::by_name(abi_arch(arch), name).ok_or_else(|| unknown(arch, name))?;
        match sign {
            "-" => features.remove(row.name()),
            _ if UNUSED.contains(&row.name()) => {
                return Err(Code::UnusedFeature.error(format!("no code is made for {name:?}")));
            }
            _ => features.insert(row.name()),
        };
    }
    Ok(features.into_iter().map(ToOwned::to_owned).collect())
}

fn unknown(arch: Arch, name: &str) -> Diagnostic {
    Code::UnknownFeature
        .error(format!("unknown feature {name:?} of {}", arch.name()))
        .help(suggest::help("features", name, features_of(arch).map(feature::Feature::name)))
}

/// The rows of the feature table for an architecture.
pub fn features_of(arch: Arch) -> impl Iterator<Item = &'static feature::Feature> {
    feature::FEATURES.iter().filter(move |f| f.arch() == abi_arch(arch))
}

fn abi_arch(arch: Arch) -> abi::Arch {
    match arch {
        Arch::X86_64 => abi::Arch::X86_64,
        Arch::Aarch64 => abi::Arch::Aarch64,
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use crate::options::TargetSpec;

    fn spec(triple: &str, cpu: &str, features: &[&str]) -> TargetSpec {
        TargetSpec {
            triple: triple.to_owned(),
            cpu: Some(cpu.to_owned()),
            features: features.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn triples_and_features_resolve() {
        let target = resolve(&spec("aarch64-unknown-linux-gnu", "cortex-a76", &["-fp16", "+i8mm"]));
        assert_eq!(target.expect("all known").features, ["dotprod", "i8mm", "neon"]);
        let target = resolve(&TargetSpec::of("x86_64")).expect("known");
        assert_eq!(target.cpu, "x86-64-v3");
        assert_eq!(resolve(&spec("x86_64", "generic", &[])), Ok(target));
    }

    #[test]
    fn features_without_code_are_refused() {
        let error = resolve(&spec("x86_64", "x86-64-v4", &["amx-bf16"])).expect_err("no code");
        assert_eq!(error.code, "unused-feature");
        assert!(resolve(&spec("x86_64", "x86-64-v4", &["-amx-bf16"])).is_ok());
    }

    #[test]
    fn tiles_want_the_vectors_that_go_with_them() {
        let error = resolve(&spec("x86_64", "x86-64-v4", &["+amx-int8"])).expect_err("incomplete");
        assert_eq!(error.code, "incomplete-feature");
        let help = "use --cpu sapphirerapids, or add --features +amx-tile,+avx512vnni";
        assert_eq!(error.help.as_deref(), Some(help));
        let edits = ["+amx-int8", "+amx-tile", "+avx512vnni"];
        let target = resolve(&spec("x86_64", "x86-64-v4", &edits)).expect("complete");
        assert!(target.matrix_tiles);
        let row = |edits: &[&str]| resolve(&spec("x86_64", "sapphirerapids", edits));
        assert!(row(&[]).expect("a row").matrix_tiles);
        assert!(!row(&["-amx-int8"]).expect("without tiles").matrix_tiles);
        assert_eq!(row(&["-avx512bw"]).expect_err("incomplete").code, "incomplete-feature");
    }

    #[test]
    fn misspelt_names_get_advice() {
        let check = |spec: TargetSpec, code: &str, help: &str| {
            let error = resolve(&spec).expect_err("misspelt");
            assert_eq!((error.code, error.help.as_deref()), (code, Some(help)));
        };
        check(spec("aarch64", "cortexa76", &[]), "unknown-cpu", "did you mean \"cortex-a76\"?");
        check(spec("x86_64", "generic", &["+avx3"]), "unknown-feature", "did you mean \"avx\"?");
        check(
            TargetSpec::of("armv7-linux"),
            "unknown-target",
            "use --target x86_64 or --target aarch64",
        );
    }
}
