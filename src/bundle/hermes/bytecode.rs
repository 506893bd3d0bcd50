//! The header of a bytecode file: `BytecodeFileHeader` in Hermes'
//! `include/hermes/BCGen/HBC/BytecodeFileFormat.h`. Its beginning has been the
//! same in every version.

/// `MAGIC`, little endian: "Ἑρμῆ" in UTF-16.
const MAGIC: [u8; 8] = 0x1F19_03C1_03BC_1FC6_u64.to_le_bytes();

/// What the header of a bytecode file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the format. Apps load only the one that their Hermes was made for.
    pub(super) version: u32,
    /// The SHA-1 of the JavaScript.
    pub(super) source: [u8; 20],
    /// Bytes of the whole file.
    pub(super) length: u32,
}

impl Header {
    /// `None` when `bytes` do not begin a bytecode file.
    #[must_use]
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (length, _) = rest.split_first_chunk()?;
        (*magic == MAGIC).then(|| Self {
            version: u32::from_le_bytes(*version),
            source: *source,
            length: u32::from_le_bytes(*length),
        })
    }

    /// Why a file of `size` bytes with this header is not the bytecode of that
    /// JavaScript; `None` when nothing speaks against it.
    #[must_use]
    pub(super) fn objection(&self, size: u64, source: &[u8; 20]) -> Option<&'static str> {
        if u64::from(self.length) != size {
            Some("its header names another size")
        } else if self.source != *source {
            Some("its header names another source")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Hermes 1.0 wrote for `print(1+1)`.
    const BEGINNING: &str = "c61fbc03c103191f620000007f86\
        8b39742d89abc58286b376097dc8721ccfa63301000000000000";

    #[test]
    fn a_header_is_read_and_held_to_the_file() {
        let bytes = data_encoding::HEXLOWER
            .decode(BEGINNING.as_bytes())
            .unwrap();
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.version, header.length), (98, 307));
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, b"print(1+1)");
        let source = digest.as_ref().try_into().unwrap();
        assert_eq!(header.objection(307, &source), None);
        assert!(header.objection(306, &source).is_some());
        assert!(header.objection(307, &[0; 20]).is_some());
    }

    #[test]
    fn other_files_have_no_header() {
        assert_eq!(Header::read(b""), None);
        assert_eq!(Header::read(&MAGIC), None);
        assert_eq!(Header::read(&[b'v'; 64]), None);
    }
}
