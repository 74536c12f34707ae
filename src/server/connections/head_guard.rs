//! Follows the heads of the requests on a connection, byte by byte, before hyper reads them.
//!
//! Invariants: tells whether a head is incomplete, for its deadline. A line of an HTTP/1 head that ends without a carriage
//! return (RFC 9112, 2.2 lets a server accept it; proxies disagree, which is how requests are smuggled), or whose framing
//! cannot be followed, is spoilt with a byte that no head may have, so that hyper answers 400 and closes. Requests
//! are otherwise left as they are: hyper judges them. Allocates nothing.

/// A byte that neither a request line nor a header may hold.
const SPOILT: u8 = 0;
/// The end of a head. hyper judges a head only once it has this, so a spoilt one gets it.
pub(super) const HEAD_END: &[u8] = b"\r\n\r\n";
/// Bytes of a line that are kept when it comes in pieces: enough for the headers that frame a body.
const LINE_BYTES: usize = 128;
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0";
/// Bytes of HTTP/2's preface after its first line (RFC 9113, 3.4).
const PREFACE_REST: u64 = 8;

/// Part of the head to which the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WirePart {
    /// A line of a head, or the time between requests.
    Head,
    /// A body with this many bytes to come.
    Body(u64),
    /// The line before a chunk.
    ChunkSize,
    /// A chunk and the end of its line, with this many bytes to come.
    Chunk(u64),
    /// A line after the last chunk.
    Trailer,
    /// The rest of HTTP/2's preface, with this many bytes to come.
    Preface(u64),
    /// Nothing that this guard follows: HTTP/2 frames.
    Frames,
    /// Bytes behind a line that was spoilt; `true` until the end of the head is added.
    Spoilt(bool),
}

/// Length of a body, as the head announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct BodyFraming {
    length: u64,
    chunked: bool,
}

/// Guard of one connection.
#[derive(Debug)]
pub(super) struct HeadGuard {
    part: WirePart,
    framing: BodyFraming,
    /// `true` once the head has a line.
    begun: bool,
    /// `true` once a head ended, until it is told.
    ended: bool,
    line: PartialLine,
}

/// A line that is incomplete, as far as it is kept.
#[derive(Debug, Clone, Copy)]
struct PartialLine {
    bytes: [u8; LINE_BYTES],
    len: usize,
    /// `true` when the line has more bytes than are kept.
    cut: bool,
    /// `true` when the last byte of the line was a carriage return.
    ends_in_cr: bool,
}

impl PartialLine {
    const EMPTY: Self = Self { bytes: [0; LINE_BYTES], len: 0, cut: false, ends_in_cr: false };

    /// Keeps a piece whose end has not come.
    fn keep_piece(&mut self, piece: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let kept = room.len().min(piece.len());
        room.iter_mut().zip(piece).for_each(|(slot, byte)| *slot = *byte);
        self.len += kept;
        self.cut |= kept < piece.len();
        if let Some(last) = piece.last() {
            self.ends_in_cr = *last == b'\r';
        }
    }

    const fn clear(&mut self) {
        (self.len, self.cut, self.ends_in_cr) = (0, false, false);
    }
}

impl HeadGuard {
    pub(super) const fn new() -> Self {
        Self {
            part: WirePart::Head,
            framing: BodyFraming { length: 0, chunked: false },
            begun: false,
            ended: false,
            line: PartialLine::EMPTY,
        }
    }

    /// Returns `true` while a head has begun and is not complete.
    pub(super) const fn is_incomplete(&self) -> bool {
        match self.part {
            WirePart::Head => self.begun || self.line.len > 0,
            WirePart::Preface(_) => true,
            WirePart::Body(_)
            | WirePart::ChunkSize
            | WirePart::Chunk(_)
            | WirePart::Trailer
            | WirePart::Frames
            | WirePart::Spoilt(_) => false,
        }
    }

    /// Returns `true` while bytes may come that no request takes: in a body, and behind a line that was spoilt.
    pub(super) const fn has_bytes_to_come(&self) -> bool {
        match self.part {
            WirePart::Body(_)
            | WirePart::ChunkSize
            | WirePart::Chunk(_)
            | WirePart::Trailer
            | WirePart::Spoilt(_) => true,
            WirePart::Head | WirePart::Preface(_) | WirePart::Frames => false,
        }
    }

    /// Returns `true` once when a head was spoilt, and its end is to be added.
    pub(super) const fn take_spoilt(&mut self) -> bool {
        let is_new = matches!(self.part, WirePart::Spoilt(true));
        if is_new {
            self.part = WirePart::Spoilt(false);
        }
        is_new
    }

    /// Follows bytes that came. Returns `true` when a head ended among them.
    pub(super) fn follow_bytes(&mut self, bytes: &mut [u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.part {
                WirePart::Frames | WirePart::Spoilt(_) => break,
                WirePart::Head | WirePart::ChunkSize | WirePart::Trailer => self.follow_line(rest),
                WirePart::Body(left) | WirePart::Chunk(left) | WirePart::Preface(left) => {
                    self.follow_counted(left, rest.len())
                }
            };
            rest = rest.split_at_mut(used).1;
        }
        std::mem::take(&mut self.ended)
    }

    /// Follows bytes of a part whose length is known. Returns the number that belong to it.
    fn follow_counted(&mut self, left: u64, available: usize) -> usize {
        let used = usize::try_from(left).map_or(available, |left| left.min(available));
        let left = left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
        self.part = match self.part {
            WirePart::Chunk(_) if left == 0 => WirePart::ChunkSize,
            WirePart::Chunk(_) => WirePart::Chunk(left),
            WirePart::Preface(_) if left == 0 => {
                self.ended = true;
                WirePart::Frames
            }
            WirePart::Preface(_) => WirePart::Preface(left),
            WirePart::Body(_) if left > 0 => WirePart::Body(left),
            WirePart::Body(_)
            | WirePart::Head
            | WirePart::ChunkSize
            | WirePart::Trailer
            | WirePart::Frames
            | WirePart::Spoilt(_) => WirePart::Head,
        };
        used
    }

    /// Follows bytes of a line. Returns the number that belong to it.
    fn follow_line(&mut self, bytes: &mut [u8]) -> usize {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            self.line.keep_piece(bytes);
            return bytes.len();
        };
        let (piece, rest) = bytes.split_at_mut(end);
        let ends_in_cr = piece.last().map_or(self.line.ends_in_cr, |last| *last == b'\r');
        let followed = ends_in_cr && self.end_line(piece);
        if !followed && let Some(newline) = rest.first_mut() {
            *newline = SPOILT;
            self.part = WirePart::Spoilt(true);
        }
        self.line.clear();
        end + 1
    }

    /// Ends a line. Returns `false` when it cannot be followed.
    fn end_line(&mut self, piece: &[u8]) -> bool {
        if self.line.len == 0 {
            return self.read_line(piece.strip_suffix(b"\r").unwrap_or(piece), false);
        }
        self.line.keep_piece(piece);
        let kept = self.line;
        let line = kept.bytes.get(..kept.len).unwrap_or_default();
        self.read_line(line.strip_suffix(b"\r").unwrap_or(line), kept.cut)
    }

    /// Reads a whole line, or its beginning when it was cut.
    fn read_line(&mut self, line: &[u8], cut: bool) -> bool {
        match self.part {
            WirePart::Head if line.is_empty() && !self.begun => true,
            WirePart::Head if line.is_empty() => {
                self.part = match self.framing {
                    BodyFraming { chunked: true, .. } => WirePart::ChunkSize,
                    BodyFraming { length: 0, .. } => WirePart::Head,
                    BodyFraming { length, .. } => WirePart::Body(length),
                };
                self.framing = BodyFraming::default();
                (self.begun, self.ended) = (false, true);
                true
            }
            WirePart::Head if !self.begun => {
                self.begun = true;
                if line == PREFACE_LINE {
                    self.part = WirePart::Preface(PREFACE_REST);
                }
                true
            }
            WirePart::Head => self.read_header(line, cut),
            WirePart::ChunkSize => {
                let digits =
                    line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
                let size =
                    std::str::from_utf8(digits).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
                self.part = match size {
                    Some(0) => WirePart::Trailer,
                    // The chunk's own line ends with two bytes more.
                    Some(size) => WirePart::Chunk(size.saturating_add(2)),
                    None => return false,
                };
                true
            }
            WirePart::Trailer => {
                if line.is_empty() {
                    self.part = WirePart::Head;
                }
                true
            }
            WirePart::Body(_)
            | WirePart::Chunk(_)
            | WirePart::Preface(_)
            | WirePart::Frames
            | WirePart::Spoilt(_) => true,
        }
    }

    /// Reads a header, if it frames the body.
    fn read_header(&mut self, line: &[u8], cut: bool) -> bool {
        // Few headers begin with these letters, so most cost one look.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return true;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return true };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.framing.chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let Some(length) = length.filter(|_| !cut) else { return false };
            self.framing.length = length;
        }
        true
    }
}

#[cfg(test)]
mod tests;
