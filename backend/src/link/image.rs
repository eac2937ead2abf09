//! The bytes of a minimal ELF shared library: three segments, a symbol table with a one-bucket
//! hash, no section headers.

use cranelift_object::object::elf::{
    DT_HASH, DT_NULL, DT_STRSZ, DT_STRTAB, DT_SYMENT, DT_SYMTAB, ELFCLASS64, ELFDATA2LSB, ET_DYN,
    EV_CURRENT, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_LOAD, STB_GLOBAL, STT_FUNC,
    STT_OBJECT,
};

/// Segments never share a page, whatever the page size of the machine.
const PAGE: usize = 0x1_0000;
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PROGRAM_HEADERS: usize = 5;
const SYMBOL: usize = 24;
const DYNAMIC_ENTRIES: usize = 6;
const DYNAMIC: usize = 16 * DYNAMIC_ENTRIES;
const DATA_ALIGN: usize = 64;

/// A symbol that the library exports.
pub(super) struct Export<'a> {
    pub(super) name: &'a str,
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) function: bool,
}

/// A library under construction. File offsets of the parts; each segment's addresses are its
/// offsets plus its number of pages, so that the file needs no padding between them.
pub(super) struct Image {
    machine: u16,
    hash: usize,
    symbols: usize,
    strings: usize,
    rodata: usize,
    text: usize,
    dynamic: usize,
    symbol_table: Vec<u8>,
    string_table: Vec<u8>,
}

impl Image {
    /// Places the parts of a library that will export these names.
    pub(super) fn new(machine: u16, names: &[&str], rodata: usize, text: usize) -> Image {
        let count = names.len() + 1;
        let hash = HEADER + PROGRAM_HEADERS * PROGRAM_HEADER;
        let symbols = (hash + 4 * (3 + count)).next_multiple_of(8);
        let strings = symbols + count * SYMBOL;
        let string_bytes = 1 + names.iter().map(|name| name.len() + 1).sum::<usize>();
        let rodata_at = (strings + string_bytes).next_multiple_of(DATA_ALIGN);
        let text_at = (rodata_at + rodata).next_multiple_of(DATA_ALIGN);
        Image {
            machine,
            hash,
            symbols,
            strings,
            rodata: rodata_at,
            text: text_at,
            dynamic: (text_at + text).next_multiple_of(16),
            symbol_table: vec![0; SYMBOL],
            string_table: vec![0],
        }
    }

    /// Where the read-only data will be.
    pub(super) fn rodata_address(&self) -> u64 {
        self.rodata as u64
    }

    /// Where the code will be.
    pub(super) fn text_address(&self) -> u64 {
        (self.text + PAGE) as u64
    }

    /// Adds a symbol; its name was announced to `new`.
    pub(super) fn export(&mut self, export: &Export<'_>) {
        let kind = if export.function { STT_FUNC } else { STT_OBJECT };
        let name = self.string_table.len() as u32;
        let table = &mut self.symbol_table;
        table.extend(name.to_le_bytes());
        // Any section but the undefined one will do where there are none.
        table.extend([STB_GLOBAL << 4 | kind, 0, 1, 0]);
        table.extend(export.address.to_le_bytes());
        table.extend(export.size.to_le_bytes());
        self.string_table.extend_from_slice(export.name.as_bytes());
        self.string_table.push(0);
    }

    /// The file.
    pub(super) fn finish(&self, rodata: &[u8], text: &[u8]) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.dynamic + DYNAMIC);
        self.header(&mut file);
        self.program_headers(&mut file);
        self.hash_table(&mut file);
        place(&mut file, self.symbols, &self.symbol_table);
        place(&mut file, self.strings, &self.string_table);
        place(&mut file, self.rodata, rodata);
        place(&mut file, self.text, text);
        place(&mut file, self.dynamic, &self.dynamic_table());
        file
    }

    fn header(&self, file: &mut Vec<u8>) {
        file.extend([0x7f, b'E', b'L', b'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0]);
        file.extend([0; 8]);
        file.extend(ET_DYN.to_le_bytes());
        file.extend(self.machine.to_le_bytes());
        file.extend(u32::from(EV_CURRENT).to_le_bytes());
        let (entry, sections) = (0u64, 0u64);
        file.extend([entry, HEADER as u64, sections].iter().flat_map(|v| v.to_le_bytes()));
        file.extend(0u32.to_le_bytes());
        let sizes = [HEADER, PROGRAM_HEADER, PROGRAM_HEADERS, 64, 0, 0];
        file.extend(sizes.iter().flat_map(|&v| (v as u16).to_le_bytes()));
    }

    fn program_headers(&self, file: &mut Vec<u8>) {
        let end = self.dynamic + DYNAMIC;
        segment(file, PT_LOAD, PF_R, 0..self.text, 0);
        segment(file, PT_LOAD, PF_R | PF_X, self.text..self.dynamic, PAGE);
        // The dynamic linker of older C libraries writes to its table.
        segment(file, PT_LOAD, PF_R | PF_W, self.dynamic..end, 2 * PAGE);
        segment(file, PT_DYNAMIC, PF_R | PF_W, self.dynamic..end, 2 * PAGE);
        segment(file, PT_GNU_STACK, PF_R | PF_W, 0..0, 0);
    }

    /// One bucket that chains all symbols (System V hash table).
    fn hash_table(&self, file: &mut Vec<u8>) {
        let count = (self.symbol_table.len() / SYMBOL) as u32;
        let first = u32::from(count > 1);
        let mut table = vec![1, count, first, 0];
        table.extend((1..count).map(|symbol| if symbol + 1 < count { symbol + 1 } else { 0 }));
        let bytes: Vec<u8> = table.iter().flat_map(|v: &u32| v.to_le_bytes()).collect();
        place(file, self.hash, &bytes);
    }

    fn dynamic_table(&self) -> Vec<u8> {
        let entries: [(i64, usize); DYNAMIC_ENTRIES] = [
            (DT_HASH, self.hash),
            (DT_SYMTAB, self.symbols),
            (DT_STRTAB, self.strings),
            (DT_STRSZ, self.string_table.len()),
            (DT_SYMENT, SYMBOL),
            (DT_NULL, 0),
        ];
        entries
            .iter()
            .flat_map(|&(tag, v)| [tag as u64, v as u64])
            .flat_map(u64::to_le_bytes)
            .collect()
    }
}

/// Appends bytes at an offset at or behind the end.
fn place(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    debug_assert!(file.len() <= at, "parts are placed in order");
    file.resize(at, 0);
    file.extend_from_slice(bytes);
}

fn segment(file: &mut Vec<u8>, kind: u32, flags: u32, range: std::ops::Range<usize>, shift: usize) {
    file.extend(kind.to_le_bytes());
    file.extend(flags.to_le_bytes());
    let (offset, address, size) = (range.start, range.start + shift, range.len());
    let align = if kind == PT_LOAD { PAGE } else { 16 };
    let fields = [offset, address, address, size, size, align];
    file.extend(fields.iter().flat_map(|&v| (v as u64).to_le_bytes()));
}
