//! WhatsApp's ids of messages, compared by the part that is the same in every form of an id.
//!
//! A `wamid.` embeds the peer, so one message is named differently by number and by user id. The text after
//! `wamid.` is base64 of a Thrift structure (compact protocol): the peer, the direction, and the id proper.

use std::sync::Arc;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeSliceError, Engine as _};

/// Meta pads some ids and not others.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Type and field number of the inner structure.
const PEER_HEADER: u8 = 0x1c;
/// Type and field number of a text.
const TEXT_HEADER: u8 = 0x18;
/// Bytes of a decoded id, of most ids at least.
const DECODED_SHORT: usize = 96;
/// Characters of the part that every form shares, at least. Shorter ones are not told apart safely.
const PART_CHARS_MIN: usize = 8;

/// Returns the key of a message id: equal for all forms of one message's id. An id that cannot be decoded is
/// its own key.
#[must_use]
pub fn wamid_key(wamid: &str) -> Arc<str> {
    // Asked several times for each status of a webhook: most ids are decoded without an allocation.
    let encoded = wamid.strip_prefix("wamid.").unwrap_or_default();
    let (mut short, mut long) = ([0; DECODED_SHORT], Vec::new());
    let bytes = match BASE64.decode_slice(encoded, &mut short) {
        Ok(count) => short.get(..count),
        Err(DecodeSliceError::OutputSliceTooSmall) => {
            BASE64.decode_vec(encoded, &mut long).ok().and(Some(&*long))
        }
        Err(DecodeSliceError::DecodeError(_)) => None,
    };
    bytes.and_then(shared_part).unwrap_or(wamid).into()
}

/// Returns the part of a decoded id that is the same in all of its forms.
fn shared_part(bytes: &[u8]) -> Option<&str> {
    let rest = bytes.strip_prefix(&[PEER_HEADER, TEXT_HEADER])?;
    let (peer_len, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(*peer_len)..)?;
    let text = rest.iter().position(|byte| *byte == TEXT_HEADER)?;
    let (part_len, rest) = rest.get(text + 1..)?.split_first()?;
    let (part, end) = rest.split_at_checked(usize::from(*part_len))?;
    let readable = part.len() >= PART_CHARS_MIN && part.iter().all(u8::is_ascii_alphanumeric);
    let ended = end.iter().all(|byte| *byte == 0);
    if readable && ended { std::str::from_utf8(part).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_id_share_a_key() {
        let by_number = "wamid.HBgNNjI4MTI0MzQwMjY2MBUCABIYFDNFQjBDMEZGRUUxMjM0NTY3ODkwAA==";
        let by_user = "wamid.HBgNSUQuOTk4ODc3NjY1NRUCABIYFDNFQjBDMEZGRUUxMjM0NTY3ODkwAA==";
        assert_eq!(&*wamid_key(by_number), "3EB0C0FFEE1234567890");
        assert_eq!(wamid_key(by_number), wamid_key(by_user));
        assert_eq!(
            &*wamid_key("wamid.HBgMNTU0MTk4NzY1NDMyFQIAERgSMkU3OUYxRDU2QzcyRjNGNThGAA=="),
            "2E79F1D56C72F3F58F"
        );
        // Padding makes no difference.
        assert_eq!(wamid_key(by_number.trim_end_matches('=')), wamid_key(by_number));
    }

    #[test]
    fn long_ids_are_read_like_short_ones() {
        for peer in [13, 90, 200] {
            let mut bytes = vec![PEER_HEADER, TEXT_HEADER, u8::try_from(peer).unwrap()];
            bytes.extend(std::iter::repeat_n(b'1', peer));
            bytes.extend(b"\x15\x02\x00\x12\x18\x143EB0C0FFEE1234567890\x00");
            let id = format!("wamid.{}", BASE64.encode(bytes));
            assert_eq!(&*wamid_key(&id), "3EB0C0FFEE1234567890", "a peer of {peer} characters");
        }
    }

    #[test]
    fn an_id_that_cannot_be_decoded_is_its_own_key() {
        for id in [
            "",
            "wamid.",
            "wamid.P1",
            "wamid.STANDBYIN1",
            "wacid.HBgMNjI4",
            "wamid.HBg",
            "wamid.HBgNNjI4MTI0MzQwMjY2MBUC",
        ] {
            assert_eq!(&*wamid_key(id), id);
        }
    }
}
