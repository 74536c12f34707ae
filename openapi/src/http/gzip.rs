//! A page in gzip, compressed once and completed for each request.
//!
//! The head of a page is compressed when it is first requested and kept with the page. An empty block ends it
//! at a byte boundary (RFC 1951, 3.2.4). The part that differs per request, some forty bytes, follows as a
//! stored block, then checksum and length of the whole (RFC 1952, 2.3.1). A cache hit thus costs a copy,
//! compressed or not.

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};
use kabar_actors::{CompressedHead, RenderedPage};

use crate::rest::envelope::CLOSING;

/// Gzip header: deflate, no name, no time, unknown system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// First byte of a stored block that is the last one, at a byte boundary.
const LAST_STORED: u8 = 1;

/// Builds the whole body of a response from a page.
pub(super) fn close_page(page: &RenderedPage, request_id: &[u8]) -> Bytes {
    let head = page.compressed.get_or_init(|| compress_head(&page.head));
    let tail = [request_id, CLOSING].concat();
    // An id and a few characters: far below the 65 535 bytes that a stored block can hold.
    let length = u16::try_from(tail.len()).unwrap_or(u16::MAX);
    let total = page.head.len().wrapping_add(tail.len());
    let mut checksum =
        Hasher::new_with_initial_len(head.checksum, u64::try_from(page.head.len()).unwrap_or(0));
    checksum.update(&tail);

    let mut body = Vec::with_capacity(HEADER.len() + head.bytes.len() + tail.len() + 16);
    body.extend_from_slice(&HEADER);
    body.extend_from_slice(&head.bytes);
    body.push(LAST_STORED);
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(&(!length).to_le_bytes());
    body.extend_from_slice(&tail);
    body.extend_from_slice(&checksum.finalize().to_le_bytes());
    // The length is kept modulo 2^32.
    body.extend_from_slice(&u32::try_from(total & 0xffff_ffff).unwrap_or(0).to_le_bytes());
    body.into()
}

fn compress_head(head: &[u8]) -> CompressedHead {
    let mut deflate = Compress::new(Compression::default(), false);
    let mut bytes = Vec::with_capacity(head.len() / 4 + 64);
    loop {
        let done = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = head.get(done..).unwrap_or_default();
        let status = deflate.compress_vec(rest, &mut bytes, FlushCompress::Sync);
        let all_read = usize::try_from(deflate.total_in()).is_ok_and(|read| read >= head.len());
        // Spare capacity after the whole input was read means that the flush is complete.
        if all_read && bytes.len() < bytes.capacity() || !matches!(status, Ok(Status::Ok | Status::BufError))
        {
            break;
        }
        bytes.reserve(bytes.capacity().max(1024));
    }
    CompressedHead { bytes: bytes.into(), checksum: crc32fast::hash(head) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read as _;
    use std::sync::OnceLock;

    fn page(head: Vec<u8>) -> RenderedPage {
        RenderedPage {
            etag: Bytes::new(),
            head: head.into(),
            rows: 1,
            reach: None,
            compressed: OnceLock::new(),
        }
    }

    fn open_cursor(body: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut reader = flate2::bufread::GzDecoder::new(body);
        reader.read_to_end(&mut plain).unwrap();
        assert!(reader.into_inner().is_empty(), "nothing follows the one member");
        plain
    }

    proptest! {
        /// Every page opens to itself and the request's id, however often it is closed.
        #[test]
        fn what_is_closed_opens(
            head in proptest::collection::vec(any::<u8>(), 0..20_000),
            letters in proptest::collection::vec(97_u8..101, 0..20_000),
            id in "req_[0-9A-Z]{26}",
        ) {
            for head in [head, letters] {
                let page = page(head.clone());
                for _ in 0..2 {
                    let expected = [&head, id.as_bytes(), CLOSING].concat();
                    prop_assert_eq!(open_cursor(&close_page(&page, id.as_bytes())), expected);
                }
            }
        }
    }

    #[test]
    fn a_page_shrinks() {
        let page = page(br#"{"object":"conversation","status":"open"},"#.repeat(300));
        assert!(close_page(&page, b"req_1").len() * 10 < page.head.len());
    }
}
