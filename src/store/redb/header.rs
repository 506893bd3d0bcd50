//! The first bytes of a redb file, as far as they tell its length. The format is
//! redb's file format 3 (`docs/design.md` there); numbers are little endian.

/// Bytes of the header.
pub(super) const LENGTH: u64 = 64;

const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
const PAGE_SIZE: usize = 12;
const REGION_HEADER_PAGES: usize = 16;
const REGION_DATA_PAGES: usize = 20;
const FULL_REGIONS: usize = 24;
const LAST_REGION_DATA_PAGES: usize = 28;

/// How long the file was when the header was written; `None` for what is no
/// such header.
pub(super) fn recorded_length(head: &[u8]) -> Option<u64> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    let number = |at: usize| {
        let bytes = head.get(at..at + size_of::<u32>())?;
        Some(u64::from(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    let of_header = number(REGION_HEADER_PAGES)?;
    let full = number(FULL_REGIONS)?.checked_mul(of_header + number(REGION_DATA_PAGES)?)?;
    let last = match number(LAST_REGION_DATA_PAGES)? {
        0 => 0,
        pages => of_header + pages,
    };
    // One page is the header's own.
    (1 + last)
        .checked_add(full)?
        .checked_mul(number(PAGE_SIZE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: redb::TableDefinition<'static, u64, &[u8]> = redb::TableDefinition::new("table");

    /// The header of a file of any age, open or closed, tells its length.
    #[test]
    fn a_file_is_as_long_as_its_header_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.redb");
        let db = redb::Database::create(&path).unwrap();
        for round in 0..40 {
            let mut txn = db.begin_write().unwrap();
            txn.set_two_phase_commit(true);
            let mut table = txn.open_table(TABLE).unwrap();
            for row in 0..10 {
                let value = vec![7; 10_000];
                table.insert(round * 10 + row, value.as_slice()).unwrap();
            }
            drop(table);
            txn.commit().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(recorded_length(&bytes), Some(bytes.len() as u64));
        }
        db.close().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(recorded_length(&bytes), Some(bytes.len() as u64));

        // Three whole regions of 100 pages with a page of their own each, and
        // one of 5: 1 + 3 * 101 + 6 pages.
        let mut head = bytes[..64].to_vec();
        for (at, number) in [(16, 1_u32), (20, 100), (24, 3), (28, 5)] {
            head[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        assert_eq!(recorded_length(&head), Some(310 * 4096));
    }

    #[test]
    fn something_else_has_no_length() {
        assert_eq!(recorded_length(b""), None);
        assert_eq!(
            recorded_length(b"this is a diary, and not a database"),
            None
        );
        assert_eq!(recorded_length(&MAGIC.repeat(2)), None);
    }
}
