//! A relocatable object → a shared library, in memory, so that a compiled model can be loaded
//! where no linker is installed.
//!
//! Covers what this backend emits: one `.text`, one `.rodata`, relocations between them that need
//! no table, no undefined symbols.

mod image;
mod reloc;

use crate::error::Code;
use cranelift_object::object::elf::{EM_AARCH64, EM_X86_64};
use cranelift_object::object::read::elf::{ElfFile64, ElfSection64};
use cranelift_object::object::{
    Architecture, Endianness, Object, ObjectSection, ObjectSymbol, RelocationFlags,
    RelocationTarget, SectionIndex, SymbolKind,
};
use edgecc_ir::diag::Diagnostic;
use image::{Export, Image};

type Elf<'a> = ElfFile64<'a, Endianness>;

/// Links an object of this backend.
pub fn shared_object(object: &[u8]) -> Result<Vec<u8>, Vec<Diagnostic>> {
    let linked = Elf::parse(object).map_err(|why| why.to_string()).and_then(|elf| link(&elf));
    linked.map_err(|why| vec![Code::NotLinkable.error(format!("cannot link the object: {why}"))])
}

fn link(elf: &Elf<'_>) -> Result<Vec<u8>, String> {
    let machine = match elf.architecture() {
        Architecture::X86_64 => EM_X86_64,
        Architecture::Aarch64 => EM_AARCH64,
        other => return Err(format!("architecture {other:?}")),
    };
    let text = elf.section_by_name(".text").ok_or("no .text")?;
    let rodata = elf.section_by_name(".rodata").ok_or("no .rodata")?;
    let code = text.data().map_err(|why| why.to_string())?;
    let data = rodata.data().map_err(|why| why.to_string())?;
    let exports: Vec<_> = elf.symbols().filter(|s| s.is_global()).collect();
    let names: Vec<&str> = exports.iter().filter_map(|s| s.name().ok()).collect();
    let mut image = Image::new(machine, &names, data.len(), code.len());

    let sections = [(text.index(), image.text_address()), (rodata.index(), image.rodata_address())];
    let mut code = code.to_vec();
    apply_relocations(elf, &text, &sections, &mut code)?;
    for (symbol, name) in exports.iter().zip(names) {
        let function = symbol.kind() == SymbolKind::Text;
        let address = address_of(symbol, &sections)?;
        image.export(&Export { name, address, size: symbol.size(), function });
    }
    Ok(image.finish(data, &code))
}

fn apply_relocations<'a>(
    elf: &Elf<'a>,
    text: &ElfSection64<'a, '_, Endianness>,
    sections: &[(SectionIndex, u64); 2],
    code: &mut [u8],
) -> Result<(), String> {
    for (offset, relocation) in text.relocations() {
        let RelocationFlags::Elf { r_type } = relocation.flags() else {
            return Err("a relocation that is not ELF's".to_owned());
        };
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            return Err("a relocation without a symbol".to_owned());
        };
        let symbol = elf.symbol_by_index(symbol).map_err(|why| why.to_string())?;
        let target = address_of(&symbol, sections)?.wrapping_add_signed(relocation.addend());
        let place = sections[0].1 + offset;
        reloc::apply(elf.architecture(), r_type, code, offset as usize, place, target)?;
    }
    Ok(())
}

fn address_of<'a>(
    symbol: &impl ObjectSymbol<'a>,
    sections: &[(SectionIndex, u64); 2],
) -> Result<u64, String> {
    let section = symbol.section_index();
    let base = sections.iter().find(|(index, _)| Some(*index) == section);
    let (_, base) = base.ok_or_else(|| format!("undefined symbol {:?}", symbol.name()))?;
    Ok(base + symbol.address())
}
