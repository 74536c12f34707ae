//! Scrubs a closed SQLite file of what erasures leave behind.
//!
//! With `secure_delete` SQLite overwrites rows that are deleted, and pages that become free. When it balances a tree it
//! moves rows between pages, and leaves copies of them in the unused space of a page, between the array of its cells
//! and their content; those are not overwritten when the rows are deleted later.
//! So, once the file is closed, that space is overwritten with zeros (<https://www.sqlite.org/fileformat2.html>, 1.6).
//!
//! Invariants: only unused bytes are written, so a crash in the middle harms nothing. A file without erasures since
//! the last time is not read.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Notes in the file's header that an erasure has removed rows.
pub(in crate::store) const NOTE_REMNANTS: &str = "PRAGMA user_version = 1";
/// Reads the note.
pub(super) const READ_NOTE: &str = "PRAGMA user_version";
/// Clears the note.
pub(super) const CLEAR_NOTE: &str = "PRAGMA user_version = 0";

/// Bytes of the header of the file, which is on its first page.
const FILE_HEADER: usize = 100;
/// Pages of one read.
const READ_PAGES: usize = 256;

fn read_u16(page: &[u8], place: usize) -> Option<usize> {
    let bytes: [u8; 2] = page.get(place..place.checked_add(2)?)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(bytes)))
}

/// Returns the unused space of a page of a tree; `None` for other pages. `first` is set for the first page of the
/// file. The first byte of an overflow page, and of one in the list of free pages, is that of a page number, which is
/// zero in files of less than 64 GiB, and not one of the four types of a page of a tree in smaller ones than 128 GiB.
fn unused_space(page: &[u8], first: bool) -> Option<std::ops::Range<usize>> {
    let head = if first { FILE_HEADER } else { 0 };
    let header_bytes = match page.get(head)? {
        0x0a | 0x0d => 8,
        0x02 | 0x05 => 12,
        _ => return None,
    };
    let cells = read_u16(page, head.checked_add(3)?)?;
    let content = match read_u16(page, head.checked_add(5)?)? {
        0 => 65_536,
        start => start,
    };
    let begin = head.checked_add(header_bytes)?.checked_add(cells.checked_mul(2)?)?;
    (begin <= content && content <= page.len()).then_some(begin..content)
}

/// Overwrites the unused space of every page.
pub(super) fn scrub_pages(path: &Path) -> std::io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut header = [0; FILE_HEADER];
    file.read_exact(&mut header)?;
    let page_bytes = match read_u16(&header, 16) {
        Some(1) => 65_536,
        Some(bytes) if bytes >= 512 => bytes,
        Some(_) | None => return Err(std::io::Error::other("this is no SQLite file")),
    };
    let mut buffer = vec![0; page_bytes.saturating_mul(READ_PAGES)];
    let mut place = 0_u64;
    loop {
        file.seek(SeekFrom::Start(place))?;
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let read = file.read(rest)?;
            if read == 0 {
                break;
            }
            filled = filled.saturating_add(read);
        }
        let pages = buffer.get(..filled).unwrap_or_default().chunks_exact(page_bytes);
        if pages.len() == 0 {
            break;
        }
        for page in pages {
            if let Some(space) = unused_space(page, place == 0)
                && let Some(bytes) = page.get(space.clone())
                && bytes.iter().any(|byte| *byte != 0)
            {
                file.seek(SeekFrom::Start(place.saturating_add(u64::try_from(space.start).unwrap_or(0))))?;
                file.write_all(&vec![0; space.len()])?;
            }
            place = place.saturating_add(u64::try_from(page_bytes).unwrap_or(0));
        }
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(cells: u16, content: u16) -> Vec<u8> {
        let mut page = vec![7; 512];
        page[0] = 0x0d;
        page[3..5].copy_from_slice(&cells.to_be_bytes());
        page[5..7].copy_from_slice(&content.to_be_bytes());
        page
    }

    #[test]
    fn unused_space_lies_between_the_cells_array_and_their_content() {
        assert_eq!(unused_space(&leaf(3, 400), false), Some(14..400));
        assert_eq!(unused_space(&leaf(0, 512), false), Some(8..512));
        let mut interior = leaf(3, 400);
        interior[0] = 0x02;
        assert_eq!(unused_space(&interior, false), Some(18..400));
        let mut first = vec![0; FILE_HEADER];
        first.extend(leaf(1, 400).drain(..412));
        assert_eq!(unused_space(&first, true), Some(110..400));
        // Neither another kind of page nor one that is not plausible is touched.
        for page in [vec![0; 512], leaf(200, 300), leaf(1, 600)] {
            assert_eq!(unused_space(&page, false), None);
        }
    }
}
