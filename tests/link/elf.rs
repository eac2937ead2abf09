//! Reads what the tests need of a 64-bit little-endian ELF object.

/// The sections and symbols of an object.
pub(super) struct Object {
    pub(super) sections: Vec<Section>,
    pub(super) symbols: Vec<Symbol>,
}

pub(super) struct Section {
    pub(super) name: String,
    kind: u32,
    flags: u64,
    data: Vec<u8>,
    link: usize,
}

pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) is_global: bool,
    pub(super) is_undefined: bool,
}

const SYMBOL_TABLE: u32 = 2;
const NO_DATA: u32 = 8;
const SYMBOL_SIZE: usize = 24;
const WRITABLE: u64 = 1;
const ALLOCATED: u64 = 2;
const EXECUTABLE: u64 = 4;

impl Section {
    /// Whether it is writable memory at run time.
    pub(super) fn is_writable(&self) -> bool {
        self.flags & (WRITABLE | ALLOCATED) == WRITABLE | ALLOCATED
    }

    /// Whether it holds instructions, or asks for an executable stack.
    pub(super) fn is_executable(&self) -> bool {
        self.flags & EXECUTABLE != 0
    }
}

/// Parses an object.
pub(super) fn parse(bytes: &[u8]) -> Object {
    assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
    let (table, count, names) =
        (u64_at(bytes, 40) as usize, u16_at(bytes, 60), usize::from(u16_at(bytes, 62)));
    let headers: Vec<&[u8]> =
        (0..usize::from(count)).map(|i| &bytes[table + 64 * i..table + 64 * (i + 1)]).collect();
    let names = data(bytes, headers[names]);
    let sections: Vec<_> = headers.iter().map(|header| section(bytes, header, names)).collect();
    let symbols = sections.iter().find(|s| s.kind == SYMBOL_TABLE).map(|s| symbols(s, &sections));
    Object { symbols: symbols.unwrap_or_default(), sections }
}

fn section(bytes: &[u8], header: &[u8], names: &[u8]) -> Section {
    Section {
        name: name_at(names, u32_at(header, 0)),
        kind: u32_at(header, 4),
        flags: u64_at(header, 8),
        data: data(bytes, header).to_vec(),
        link: u32_at(header, 40) as usize,
    }
}

fn data<'a>(bytes: &'a [u8], header: &[u8]) -> &'a [u8] {
    let (start, size) = (u64_at(header, 24) as usize, u64_at(header, 32) as usize);
    if u32_at(header, 4) == NO_DATA { &[] } else { &bytes[start..start + size] }
}

fn symbols(table: &Section, sections: &[Section]) -> Vec<Symbol> {
    let names = &sections[table.link].data;
    // The first symbol is always empty.
    table.data.chunks_exact(SYMBOL_SIZE).skip(1).map(|entry| symbol(entry, names)).collect()
}

fn symbol(entry: &[u8], names: &[u8]) -> Symbol {
    Symbol {
        name: name_at(names, u32_at(entry, 0)),
        is_global: entry[4] >> 4 != 0,
        is_undefined: u16_at(entry, 6) == 0,
    }
}

fn name_at(names: &[u8], at: u32) -> String {
    let name = names[at as usize..].split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}
