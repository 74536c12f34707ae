//! What an item of WhatsApp's does to its conversation: the one table, by kind and origin.
//!
//! | kind | unread | reopens | opens the window |
//! |---|---|---|---|
//! | what a contact writes or taps, also unsupported and unknown | yes | yes | yes |
//! | reaction | no | no | yes |
//! | system | no | no | no |
//! | `request_welcome` | no | yes | yes |
//! | call by the contact | missed ones | missed ones | yes |
//! | standby | no | no | yes |
//! | outbound, history | no | no | no |

use super::message::{Direction, MessageKind};
use super::message_details::MessageSource;

/// Effects of one item on its conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ItemEffects {
    /// Adds one to `unread_count`.
    pub unread: bool,
    /// Reopens a resolved conversation.
    pub reopens: bool,
    /// Opens the 24-hour window.
    pub opens_window: bool,
}

impl ItemEffects {
    const fn new(unread: bool, reopens: bool, opens_window: bool) -> Self {
        Self { unread, reopens, opens_window }
    }

    /// Looks up the effects of an item. `missed` counts for calls only: ended without a duration.
    #[must_use]
    pub const fn of_item(
        kind: MessageKind,
        direction: Direction,
        source: MessageSource,
        standby: bool,
        missed: bool,
    ) -> Self {
        if matches!(direction, Direction::Outbound) || matches!(source, MessageSource::History) {
            return Self::new(false, false, false);
        }
        let counts = !standby;
        match kind {
            MessageKind::System => Self::new(false, false, false),
            MessageKind::Reaction => Self::new(false, false, true),
            MessageKind::RequestWelcome => Self::new(false, counts, true),
            MessageKind::Call => Self::new(counts && missed, counts && missed, true),
            MessageKind::Text
            | MessageKind::Image
            | MessageKind::Video
            | MessageKind::Audio
            | MessageKind::Document
            | MessageKind::Sticker
            | MessageKind::Template
            | MessageKind::Interactive
            | MessageKind::Location
            | MessageKind::Contacts
            | MessageKind::Button
            | MessageKind::Order
            | MessageKind::Unsupported => Self::new(counts, counts, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(kind: MessageKind, standby: bool, missed: bool) -> (bool, bool, bool) {
        let of = ItemEffects::of_item(kind, Direction::Inbound, MessageSource::Inbound, standby, missed);
        (of.unread, of.reopens, of.opens_window)
    }

    #[test]
    fn every_cell_of_the_table_holds() {
        for kind in MessageKind::ALL {
            let expected = match kind {
                MessageKind::System => (false, false, false),
                MessageKind::Reaction | MessageKind::Call => (false, false, true),
                MessageKind::RequestWelcome => (false, true, true),
                MessageKind::Text
                | MessageKind::Image
                | MessageKind::Video
                | MessageKind::Audio
                | MessageKind::Document
                | MessageKind::Sticker
                | MessageKind::Template
                | MessageKind::Interactive
                | MessageKind::Location
                | MessageKind::Contacts
                | MessageKind::Button
                | MessageKind::Order
                | MessageKind::Unsupported => (true, true, true),
            };
            assert_eq!(effects(*kind, false, false), expected, "{kind:?}");
            let standby = (false, false, *kind != MessageKind::System);
            assert_eq!(effects(*kind, true, true), standby, "{kind:?} in standby");
            for source in MessageSource::ALL {
                let out = ItemEffects::of_item(*kind, Direction::Outbound, source, false, true);
                assert_eq!(out, ItemEffects::default(), "{kind:?} outbound");
            }
            let history =
                ItemEffects::of_item(*kind, Direction::Inbound, MessageSource::History, false, true);
            assert_eq!(history, ItemEffects::default(), "{kind:?} from the history");
        }
        assert_eq!(effects(MessageKind::Call, false, true), (true, true, true), "a missed call");
    }
}
