//! Every constant and layout of `edgecc.h` is that of the Rust definitions.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;

use edgecc_rt::abi::{
    ABI_VERSION, Arch, Call, Elem, Event, Field, MAX_RANK, ModelV1, Services, TensorV1,
};
use edgecc_rt::feature::FEATURES;
use edgecc_rt::status::Status;

use crate::compiler::{compile, folder};

const HEADER: &str = include_str!("../../include/edgecc.h");

/// A struct's name in C, its size and its fields.
type Layout = (&'static str, usize, &'static [Field]);

const LAYOUTS: [Layout; 4] = [
    ("edgecc_model_v1", size_of::<ModelV1>(), ModelV1::FIELDS),
    ("edgecc_tensor_v1", size_of::<TensorV1>(), TensorV1::FIELDS),
    ("edgecc_call", size_of::<Call>(), Call::FIELDS),
    ("edgecc_services", size_of::<Services>(), Services::FIELDS),
];

/// Every constant that the header must define, and no other.
fn constants() -> BTreeMap<String, i128> {
    let mut all = BTreeMap::from([
        ("EDGECC_ABI_VERSION".to_owned(), ABI_VERSION.into()),
        ("EDGECC_MAX_RANK".to_owned(), MAX_RANK as i128),
        ("EDGECC_PROFILE_BEGIN".to_owned(), Event::Begin.code().into()),
        ("EDGECC_PROFILE_END".to_owned(), Event::End.code().into()),
    ]);
    let upper = |name: &str| format!("EDGECC_{}", name.to_uppercase());
    all.extend(Status::ALL.iter().map(|s| (s.c_name().to_owned(), s.code().into())));
    all.extend(Elem::ALL.iter().map(|e| (upper(e.name()), e.code().into())));
    all.extend(Arch::ALL.iter().map(|a| (upper(&format!("arch_{}", a.name())), a.code().into())));
    all.extend(FEATURES.iter().map(|f| (upper(f.constant), f.mask().into())));
    all
}

/// The `#define NAME value` lines of the header.
fn defined() -> BTreeMap<String, i128> {
    let lines = HEADER.lines().filter_map(|line| line.strip_prefix("#define "));
    let pairs = lines.filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, text)| Some((name.to_owned(), value(text)?))).collect()
}

/// `12u`, `(-3)` or `(UINT64_C(1) << 4)`.
fn value(text: &str) -> Option<i128> {
    let inner = text.trim_matches(['(', ')', 'u']);
    match inner.strip_prefix("UINT64_C(1) << ") {
        Some(bit) => Some(1 << bit.parse::<u32>().ok()?),
        None => inner.parse().ok(),
    }
}

#[test]
fn constants_are_the_same() {
    assert_eq!(defined(), constants());
}

/// Name and size of each field that the header declares in a struct.
fn declared(name: &str) -> Vec<(String, usize)> {
    let start = format!("typedef struct {name} {{");
    let body = HEADER.split_once(&start).expect(name).1.split_once('}').expect(name).0;
    body.lines().map(str::trim).filter(|line| !line.is_empty()).map(field).collect()
}

/// Reads a declaration such as `uint64_t dims[8];`.
fn field(line: &str) -> (String, usize) {
    let (ty, name) = line.trim_end_matches(';').rsplit_once(' ').expect(line);
    let (base, length) = name.trim_end_matches(']').split_once('[').unwrap_or((name, "1"));
    let size = match ty {
        "uint8_t" => 1,
        "uint32_t" | "int32_t" | "float" => 4,
        _ if base.starts_with('*') => 8,
        "uint64_t" | "size_t" | "edgecc_parallel_for" | "edgecc_profile" => 8,
        other => panic!("unknown type {other}"),
    };
    (base.trim_start_matches('*').to_owned(), size * length.parse::<usize>().expect(line))
}

#[test]
fn fields_are_the_same() {
    for (name, _, fields) in LAYOUTS {
        let rust: Vec<_> = fields.iter().map(|f| (f.name.to_owned(), f.size)).collect();
        assert_eq!(declared(name), rust, "{name}");
    }
}

/// C source that compiles only if sizes, offsets and constants hold. An array of negative length
/// is the assertion that C99 and C++ share.
fn assertions() -> String {
    let mut source = String::from("#include \"edgecc.h\"\n");
    let mut count = 0;
    let mut claim = |condition: String| {
        count += 1;
        writeln!(source, "typedef char claim_{count}[({condition}) ? 1 : -1];").expect("a string");
    };
    for (name, size, fields) in LAYOUTS {
        claim(format!("sizeof({name}) == {size}"));
        for field in fields {
            claim(format!("offsetof({name}, {}) == {}", field.name, field.offset));
            claim(format!("sizeof((({name} *)0)->{}) == {}", field.name, field.size));
        }
    }
    for (name, value) in constants() {
        claim(format!("{name} == {value}"));
    }
    source
}

#[test]
fn compilers_agree() {
    let folder = folder("header");
    let compilers = [
        ("cc", "-std=c99", "c"),
        ("c++", "-std=c++17", "cpp"),
        ("aarch64-linux-gnu-gcc", "-std=c99", "c"),
    ];
    for (tool, standard, extension) in compilers {
        let source = folder.join(format!("{tool}.{extension}"));
        fs::write(&source, assertions()).expect("the folder is writable");
        let object = folder.join(format!("{tool}.o"));
        let args = ["-c", standard, "-o"].map(OsStr::new);
        compile(tool, &[&args[..], &[object.as_os_str(), source.as_os_str()]].concat());
    }
}
