//! WhatsApp's ids of messages, compared by the part that is the same in every form of an id.
//!
//! A `wamid.` embeds the peer, so one message is named differently by number and by user id. The text after
//! `wamid.` is base64 of a Thrift structure (compact protocol): the peer, the direction, and the id proper.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

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
/// Characters of the part that every form shares, at least. Shorter ones are not told apart safely.
const PART_CHARS_MIN: usize = 8;

/// Returns the key of a message id: equal for all forms of one message's id. An id that cannot be decoded is
/// its own key.
#[must_use]
pub fn wamid_key(wamid: &str) -> Arc<str> {
    shared_part(wamid).map_or_else(|| wamid.into(), Arc::from)
}

fn shared_part(wamid: &str) -> Option<String> {
    let bytes = BASE64.decode(wamid.strip_prefix("wamid.")?).ok()?;
    let rest = bytes.strip_prefix(&[PEER_HEADER, TEXT_HEADER])?;
    let (peer_len, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(*peer_len)..)?;
    let text = rest.iter().position(|byte| *byte == TEXT_HEADER)?;
    let (part_len, rest) = rest.get(text + 1..)?.split_first()?;
    let (part, end) = rest.split_at_checked(usize::from(*part_len))?;
    let readable = part.len() >= PART_CHARS_MIN && part.iter().all(u8::is_ascii_alphanumeric);
    let ended = end.iter().all(|byte| *byte == 0);
    (readable && ended).then(|| String::from_utf8_lossy(part).into_owned())
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
