//! Instructions that tests of several steps are made of.

pub(super) const RET: u32 = 0xd65f_03c0;

/// `add v<to>.4s, v<n>.4s, v<m>.4s`
pub(super) fn add(to: u32, n: u32, m: u32) -> u32 {
    0x4ea0_8400 | m << 16 | n << 5 | to
}

/// `smull v<to>.4s, v<n>.4h, v<m>.4h`
pub(super) fn product(to: u32, n: u32, m: u32) -> u32 {
    0x0e60_c000 | m << 16 | n << 5 | to
}

/// `str q<register>, [x0, #offset]`
pub(super) fn store(register: u32, offset: u32) -> u32 {
    0x3d80_0000 | (offset / 16) << 10 | register
}
