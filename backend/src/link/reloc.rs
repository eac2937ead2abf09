//! The relocations that this backend's objects contain (psABIs of AMD64 and AArch64).

use cranelift_object::object::Architecture;
use cranelift_object::object::elf::{
    R_AARCH64_ADD_ABS_LO12_NC, R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_CALL26, R_X86_64_PC32,
    R_X86_64_PLT32,
};

/// Patches the instruction at `code[at]`, which will run at address `place`, to reach `target`
/// (the symbol plus the addend).
pub(super) fn apply(
    architecture: Architecture,
    kind: u32,
    code: &mut [u8],
    at: usize,
    place: u64,
    target: u64,
) -> Result<(), String> {
    let field = code.get_mut(at..at + 4).ok_or("a relocation outside the code")?;
    let old = u32::from_le_bytes(field.try_into().expect("4 bytes"));
    let distance = target.wrapping_sub(place) as i64;
    let new = match (architecture, kind) {
        (Architecture::X86_64, R_X86_64_PC32 | R_X86_64_PLT32) => {
            i32::try_from(distance).ok().map(|d| d as u32)
        }
        (Architecture::Aarch64, R_AARCH64_CALL26) => branch(old, distance),
        (Architecture::Aarch64, R_AARCH64_ADR_PREL_PG_HI21) => {
            page(old, (target >> 12) as i64 - (place >> 12) as i64)
        }
        (Architecture::Aarch64, R_AARCH64_ADD_ABS_LO12_NC) => {
            Some(old & !(0xfff << 10) | (target as u32 & 0xfff) << 10)
        }
        _ => return Err(format!("relocation type {kind}")),
    };
    let new = new.ok_or("a relocation out of reach")?;
    field.copy_from_slice(&new.to_le_bytes());
    Ok(())
}

/// `bl`: a signed distance of 26 bits in words.
fn branch(instruction: u32, distance: i64) -> Option<u32> {
    let reach = -(1 << 27)..1 << 27;
    reach
        .contains(&distance)
        .then_some(instruction & !0x3ff_ffff | (distance >> 2) as u32 & 0x3ff_ffff)
}

/// `adrp`: a signed distance of 21 bits in pages, its low two bits apart from the others.
fn page(instruction: u32, pages: i64) -> Option<u32> {
    let (low, high) = (pages as u32 & 3, (pages >> 2) as u32 & 0x7_ffff);
    let reach = -(1 << 20)..1 << 20;
    reach
        .contains(&pages)
        .then_some(instruction & !(3 << 29 | 0x7_ffff << 5) | low << 29 | high << 5)
}

#[cfg(test)]
mod tests {
    use super::apply;
    use cranelift_object::object::Architecture;
    use cranelift_object::object::elf::{R_AARCH64_ADR_PREL_PG_HI21, R_AARCH64_CALL26};

    #[test]
    fn aarch64_fields_hold_signed_distances() {
        let patched = |kind, old: u32, place, target| {
            let mut code = old.to_le_bytes();
            apply(Architecture::Aarch64, kind, &mut code, 0, place, target).map(|()| code)
        };
        let bl = patched(R_AARCH64_CALL26, 0x9400_0000, 0x1000, 0x0ffc);
        assert_eq!(bl, Ok(0x97ff_ffffu32.to_le_bytes()));
        let adrp = patched(R_AARCH64_ADR_PREL_PG_HI21, 0x9000_0000, 0x5004, 0x2abc);
        assert_eq!(adrp, Ok(0xb0ff_ffe0u32.to_le_bytes()));
        assert!(patched(R_AARCH64_CALL26, 0, 0, 1 << 30).is_err());
    }
}
