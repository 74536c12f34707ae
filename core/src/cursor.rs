//! Cursors as clients see them: opaque, authenticated, bound to one list.
//!
//! A cursor holds the position of the last row and a MAC over that position and the list's scope (endpoint,
//! account, filters, order). A changed byte, another list and another account therefore fail alike, and the
//! server keeps no state for it. The key lives in the database: cursors survive restarts and work on every
//! node.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::page::PagePosition;

const MAC_BYTES: usize = 16;
const TOKEN_BYTES: usize = 8 + 16 + MAC_BYTES;
/// Longer texts are refused before they are decoded.
const TEXT_CHARS: usize = TOKEN_BYTES.div_ceil(3) * 4;

/// Key that signs and verifies cursors.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey")
    }
}

impl CursorKey {
    /// Creates a key from 32 secret bytes.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn compute_mac(&self, scope: &str, place: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(place);
        mac.update(scope.as_bytes());
        Some(mac)
    }

    /// Returns the text of a cursor that continues below `position` in the list `scope`.
    #[must_use]
    pub fn sign_cursor(&self, scope: &str, position: PagePosition) -> String {
        let mut token = Vec::with_capacity(TOKEN_BYTES);
        token.extend_from_slice(&position.key.to_be_bytes());
        token.extend_from_slice(&position.id.to_be_bytes());
        if let Some(mac) = self.compute_mac(scope, &token) {
            token.extend(mac.finalize().into_bytes().into_iter().take(MAC_BYTES));
        }
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Returns the position in the list `scope`, or `None` for a text that this key did not sign for that
    /// list.
    #[must_use]
    pub fn verify_cursor(&self, scope: &str, text: &str) -> Option<PagePosition> {
        if text.len() > TEXT_CHARS {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (place, tag) = token.split_at_checked(24)?;
        if tag.len() != MAC_BYTES {
            return None;
        }
        self.compute_mac(scope, place)?.verify_truncated_left(tag).ok()?;
        let (key, id) = place.split_at_checked(8)?;
        Some(PagePosition {
            key: i64::from_be_bytes(key.try_into().ok()?),
            id: u128::from_be_bytes(id.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_round_trip_and_nothing_else_opens(key: i64, id: u128, at in 0_usize..54, flip in 1_u8..64) {
            let sealer = CursorKey::new([7; 32]);
            let position = PagePosition { key, id };
            let text = sealer.sign_cursor("conversations/a", position);
            prop_assert_eq!(sealer.verify_cursor("conversations/a", &text), Some(position));
            prop_assert_eq!(sealer.verify_cursor("conversations/b", &text), None);
            prop_assert_eq!(CursorKey::new([8; 32]).verify_cursor("conversations/a", &text), None);

            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let place = at % bytes.len();
            bytes[place] ^= flip;
            prop_assert_eq!(sealer.verify_cursor("conversations/a", &URL_SAFE_NO_PAD.encode(&bytes)), None);
        }

        #[test]
        fn junk_never_opens(junk in ".{0,80}") {
            prop_assert_eq!(CursorKey::new([7; 32]).verify_cursor("", &junk), None);
        }
    }
}
