//! Ids as WhatsApp makes them: of messages, of persons, and the form in which it writes a number.
//!
//! Invariants: pure; the id of a message embeds its peer and its direction, as WhatsApp's do; the id of a person
//! follows from the number alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kabar_core::domain::address::Address;
use kabar_core::domain::identity::UserId;
use kabar_core::domain::message::Direction;
use kabar_core::domain::phone::Phone;

/// Most bytes of the peer in an id.
const PEER_BYTES_MAX: usize = 127;
/// An odd number near 2^64 divided by the golden ratio: multiplying by it spreads neighbouring numbers.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Returns the text by which WhatsApp names an address: digits of a number, else the id.
pub(super) fn bare_text(address: &Address) -> &str {
    match address {
        Address::Phone(phone) => phone.as_digits(),
        Address::User(_) | Address::Group(_) | Address::Unknown => address.as_str(),
    }
}

/// Builds the id of a message: base64 of the peer, the direction, and a part of its own.
pub(super) fn wamid_of(peer: &Address, direction: Direction, part: &str) -> String {
    let peer = bare_text(peer);
    let peer = peer.get(..PEER_BYTES_MAX).unwrap_or(peer);
    let mut bytes = vec![0x1c, 0x18, u8::try_from(peer.len()).unwrap_or_default()];
    bytes.extend_from_slice(peer.as_bytes());
    // An outbound id is shorter than an inbound one, by two characters.
    let (direction, part) = match direction {
        Direction::Inbound => (0x12, format!("3A{part}")),
        Direction::Outbound => (0x11, part.to_owned()),
    };
    bytes.extend([0x15, 0x02, 0x00, direction, 0x18, u8::try_from(part.len()).unwrap_or_default()]);
    bytes.extend_from_slice(part.as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// Returns the business-scoped id of the owner of a number.
pub(super) fn user_id_of(phone: &Phone) -> Option<UserId> {
    let digits = phone.as_digits();
    let country = match digits {
        _ if digits.starts_with("44") => "GB",
        _ if digits.starts_with("62") => "ID",
        _ if digits.starts_with("55") => "BR",
        _ if digits.starts_with('1') => "US",
        _ => "ZZ",
    };
    let number: u64 = digits.parse().ok()?;
    UserId::parse(&format!("{country}.{}", number.wrapping_mul(SPREAD)))
}

/// Returns the form in which WhatsApp writes a number: without the 9 of Brazilian mobile numbers, with the 1 of
/// Mexican and the 9 of Argentine ones, and Ivorian ones without the two digits that were put before them.
pub(super) fn national_form(phone: &Phone) -> Phone {
    let digits = phone.as_digits();
    let changed = match (digits.get(..2), digits.get(..3), digits.len()) {
        (Some("55"), _, 13) if digits.get(4..5) == Some("9") => without(digits, 4, 5),
        (Some("52"), _, 12) => with(digits, 2, "1"),
        (Some("54"), _, 12) => with(digits, 2, "9"),
        (_, Some("225"), 13) => without(digits, 3, 5),
        _ => None,
    };
    changed.and_then(|digits| Phone::parse(&digits)).unwrap_or_else(|| phone.clone())
}

fn without(digits: &str, from: usize, to: usize) -> Option<String> {
    Some(format!("{}{}", digits.get(..from)?, digits.get(to..)?))
}

fn with(digits: &str, at: usize, inserted: &str) -> Option<String> {
    Some(format!("{}{inserted}{}", digits.get(..at)?, digits.get(at..)?))
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::wamid::wamid_key;

    use super::*;

    fn phone(text: &str) -> Phone {
        Phone::parse(text).unwrap()
    }

    #[test]
    fn forms_of_a_message_id_have_their_last_part_in_common() {
        let number = Address::Phone(phone("+6281214907974"));
        let wamid = wamid_of(&number, Direction::Inbound, "0123456789ABCDEF01");
        assert_eq!(&*wamid_key(&wamid), "3A0123456789ABCDEF01");
        // As in Meta's own examples.
        assert!(wamid.starts_with("wamid.HBgNNjI4MTIxNDkwNzk3NBUCABIYF"), "{wamid}");
        let user = Address::User(user_id_of(&phone("+6281214907974")).unwrap());
        assert_eq!(wamid_key(&wamid), wamid_key(&wamid_of(&user, Direction::Inbound, "0123456789ABCDEF01")));
        let sent = wamid_of(&number, Direction::Outbound, "0123456789ABCDEF01");
        assert!(sent.starts_with("wamid.HBgNNjI4MTIxNDkwNzk3NBUCABEYE"), "{sent}");
    }

    #[test]
    fn numbers_have_the_form_that_whatsapp_gives_them() {
        for (given, form) in [
            ("5541998765432", "554198765432"),
            ("525512345678", "5215512345678"),
            ("541112345678", "5491112345678"),
            ("2250701020304", "22501020304"),
            ("447700900123", "447700900123"),
            ("12025550141", "12025550141"),
        ] {
            assert_eq!(national_form(&phone(given)).as_digits(), form, "{given}");
            assert_eq!(national_form(&phone(form)).as_digits(), form, "{form} is one already");
        }
    }
}
