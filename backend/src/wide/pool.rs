//! Constants of a function, behind its code.

/// Bytes that instructions read by their distance from the instruction.
#[derive(Debug, Default)]
pub(super) struct Pool {
    entries: Vec<(Vec<u8>, usize)>,
    len: usize,
}

impl Pool {
    /// The offset of `bytes`; equal constants are stored once. Each is aligned to its length, a
    /// power of two.
    pub(super) fn place(&mut self, bytes: &[u8]) -> i32 {
        if let Some(&(_, offset)) = self.entries.iter().find(|(entry, _)| entry == bytes) {
            return offset as i32;
        }
        let offset = self.len.next_multiple_of(bytes.len());
        self.len = offset + bytes.len();
        self.entries.push((bytes.to_vec(), offset));
        offset as i32
    }

    /// The bytes of all constants.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut all = vec![0; self.len];
        for (bytes, offset) in &self.entries {
            all[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn constants_are_stored_once_and_aligned() {
        let mut pool = Pool::default();
        let places = [&[1, 2, 3, 4][..], &[5; 16], &[1, 2, 3, 4], &[6; 8]].map(|c| pool.place(c));
        assert_eq!(places, [0, 16, 0, 32]);
        assert_eq!(pool.bytes().len(), 40);
        assert_eq!(pool.bytes()[..4], [1, 2, 3, 4]);
    }
}
