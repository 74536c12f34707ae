//! Typed resource ids: `<prefix>_` and 26 characters of Crockford base32, a ULID inside.
//!
//! Invariant: an id's text sorts as its 128 bits do, and its first 48 bits are the instant
//! (milliseconds) at which it was made. So "newest first" is "id descending", and a time bound is
//! an id bound. Clients must treat ids as opaque.

use std::fmt;

use ::ulid::{ULID_LEN, Ulid};

/// The text of 128 set bits.
const MAX_TEXT: &str = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";

/// Error of a text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `{prefix}_` followed by 26 characters of 0-9 and A-Z without I, L, O, U")]
pub struct MalformedId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

fn decode(text: &str) -> Option<u128> {
    let bits = Ulid::from_string(text).ok()?.0;
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    // 26 digits hold 130 bits. A text above 128 bits is well-formed, yet no id of ours can have
    // it, so it becomes the nil id, which nothing carries.
    Some(if text > MAX_TEXT { 0 } else { bits })
}

/// 128 bits made of an instant (milliseconds since the epoch) and 80 further bits.
#[must_use]
pub fn ulid(at_ms: i64, random: u128) -> u128 {
    Ulid::from_parts(u64::try_from(at_ms).unwrap_or(0), random).0
}

/// Writes the 26 characters of `bits`.
#[must_use]
pub fn text_of(bits: u128) -> [u8; ULID_LEN] {
    let mut out = [0; ULID_LEN];
    Ulid(bits).array_to_str(&mut out);
    out
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The nil id, which nothing carries.
            pub const NONE: Self = Self(0);

            /// An id of these 128 bits; see [`ulid()`].
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits.
            #[must_use]
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// Returns the instant at which the id was made, in milliseconds since the epoch.
            #[must_use]
            pub fn made_at_ms(self) -> i64 {
                i64::try_from(Ulid(self.0).timestamp_ms()).unwrap_or(i64::MAX)
            }

            /// Reads `prefix_XXXXXXXXXXXXXXXXXXXXXXXXXX`.
            ///
            /// # Errors
            /// [`MalformedId`] when the text has another shape.
            pub fn parse(text: &str) -> Result<Self, MalformedId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(MalformedId { prefix: $prefix })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = text_of(self.0);
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

typed_ids! {
    /// An organisation, the tenant.
    OrganisationId = "org";
    /// An API key (not its secret).
    ApiKeyId = "key";
    /// A connected WhatsApp number.
    AccountId = "wba";
    /// A named token of the operator (not its secret).
    OperatorTokenId = "opt";
    /// An entry of the audit log.
    AuditEntryId = "aud";
    /// A person that conversations are assigned to.
    UserId = "usr";
    /// A contact of one account.
    ContactId = "ctc";
    /// A conversation with one contact.
    ConversationId = "cnv";
    /// A message, inbound or outbound.
    MessageId = "msg";
    /// A message template of one account.
    TemplateId = "tmpl";
    /// An entry of an account's event log.
    EventId = "evt";
    /// One HTTP request.
    RequestId = "req";
    /// A webhook subscription.
    SubscriptionId = "wbs";
    /// A delivery of one event to a webhook subscription.
    DeliveryId = "wbd";
    /// A secret that signs deliveries (not its text).
    SigningSecretId = "sec";
    /// A tenant's plugin.
    PluginId = "plg";
    /// An uploaded component of a plugin.
    PluginVersionId = "plv";
    /// A run: the delivery of one event to a plugin.
    RunId = "run";
    /// The log of one attempt at a run.
    RunLogId = "rlg";
    /// One run of a server. Internal: no client sees it.
    NodeId = "node";
}

/// Source of ids. Ids of one source are strictly ascending within one instant.
pub trait IdSource: Send + Sync {
    /// 128 bits for an id made at this instant.
    fn next_bits(&mut self, at_ms: i64) -> u128;
}

/// Ids of one writer: random, but ascending within one millisecond, so that rows of one commit keep their
/// order.
pub struct MonotonicIds<R> {
    random: R,
    last: u128,
}

impl<R: rand::Rng + Send> MonotonicIds<R> {
    /// A source over this generator.
    pub const fn new(random: R) -> Self {
        Self { random, last: 0 }
    }
}

impl<R: rand::Rng + Send + Sync> IdSource for MonotonicIds<R> {
    fn next_bits(&mut self, at_ms: i64) -> u128 {
        // The top random bit stays clear, so counting up cannot run into the next millisecond.
        let noise = (u128::from(self.random.next_u64()) << 15) | u128::from(self.random.next_u32() & 0x7fff);
        let fresh = ulid(at_ms, noise);
        self.last =
            if Ulid(self.last).timestamp_ms() == Ulid(fresh).timestamp_ms() { self.last + 1 } else { fresh };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct FixedBits;
    impl IdSource for FixedBits {
        fn next_bits(&mut self, at_ms: i64) -> u128 {
            ulid(at_ms, 7)
        }
    }

    proptest! {
        #[test]
        fn text_round_trips_and_sorts_as_bits(a: u128, b: u128) {
            let (x, y) = (MessageId::from_bits(a), MessageId::from_bits(b));
            prop_assert_eq!(MessageId::parse(&x.to_string()), Ok(x));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
        }
    }

    #[test]
    fn malformed_ids_are_refused_and_impossible_ones_are_nobodys() {
        for text in [
            "",
            "msg_",
            "msg_0",
            "cnv_0000000000000000000000000A",
            "msg_0000000000000000000000000I",
            "msg_0000000000000000000000000a",
            "msg_00000000000000000000000000A",
            "msg_000000000000000000000000\u{e9}",
        ] {
            assert!(MessageId::parse(text).is_err(), "{text}");
        }
        let beyond = MessageId::parse("msg_ZZZZZZZZZZZZZZZZZZZZZZZZZZ").unwrap();
        assert_eq!(beyond.bits(), 0);
        assert_ne!(FixedBits.next_bits(1), 0);
    }
}
