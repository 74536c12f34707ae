//! Occasions in the traffic besides plain messages: edits, reactions, calls, echoes, notices and news.
//!
//! Invariants: an occasion follows from the random numbers alone, which come from the seed; its shapes are those
//! of Meta's documentation ("Webhooks"). None of them makes a server refuse the account: only a script does that.

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::UserId;
use kabar_core::domain::message::Direction;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

use super::SimulatedNumber;
use super::meta_json::{self, ItemContent};
use super::recent_messages::RecentMessages;
use super::simulated_customers;
use super::simulated_customers::SimulatedCustomer;
use super::whatsapp_ids;

/// Age of messages of the history.
const PAST_SECONDS: i64 = 40 * 24 * 3600;
/// Groups that customers write in.
const GROUPS: [&str; 2] = ["Y2FwaV9ncm91cDoxMjAzNjMwMDAwMDAwMDE", "Y2FwaV9ncm91cDoxMjAzNjMwMDAwMDAwMDI"];
const EMOJI: [&str; 4] = ["👍", "❤️", "🙏", "😂"];

/// Kind of an occasion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OccasionKind {
    AdClick,
    Forwarded,
    Order,
    RequestWelcome,
    GroupMessage,
    Reaction,
    ReactionRemoval,
    Edit,
    Revoke,
    MissedCall,
    AnsweredCall,
    AppEcho,
    Standby,
    History,
    AddressBook,
    NumberChange,
    UserIdChange,
    MarketingChoice,
    TemplateNews,
    AccountNews,
}

impl OccasionKind {
    pub(super) const ALL: [Self; 20] = [
        Self::AdClick,
        Self::Forwarded,
        Self::Order,
        Self::RequestWelcome,
        Self::GroupMessage,
        Self::Reaction,
        Self::ReactionRemoval,
        Self::Edit,
        Self::Revoke,
        Self::MissedCall,
        Self::AnsweredCall,
        Self::AppEcho,
        Self::Standby,
        Self::History,
        Self::AddressBook,
        Self::NumberChange,
        Self::UserIdChange,
        Self::MarketingChoice,
        Self::TemplateNews,
        Self::AccountNews,
    ];

    /// Draws a kind; all are equally frequent.
    pub(super) fn draw(dice: &mut impl Rng) -> Self {
        Self::ALL.get(dice.random_range(0..Self::ALL.len())).copied().unwrap_or(Self::AdClick)
    }
}

/// Parts from which an occasion is built.
pub(super) struct OccasionScene<'a> {
    pub(super) number: &'a SimulatedNumber,
    pub(super) customer: &'a SimulatedCustomer,
    pub(super) at: Timestamp,
    pub(super) recent: RecentMessages,
    /// Makes the id of a message to or from this peer.
    pub(super) next_wamid: &'a dyn Fn(&Address, Direction) -> String,
}

/// A customer's identifiers after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CustomerChange {
    Number(Phone),
    UserId(UserId),
}

impl OccasionScene<'_> {
    /// Builds the items of an occasion, in order; none when it has nothing to be about.
    pub(super) fn build(&self, kind: OccasionKind, dice: &mut impl Rng) -> Vec<ItemContent> {
        match kind {
            OccasionKind::AdClick => vec![self.ad_click(dice)],
            OccasionKind::Forwarded => {
                vec![self.text_with("Have you seen this?", "context", json!({"forwarded": true}))]
            }
            OccasionKind::Order => vec![self.order(dice)],
            OccasionKind::RequestWelcome => vec![self.message(json!({"type": "request_welcome"}))],
            OccasionKind::GroupMessage => {
                let group = simulated_customers::pick_one(&GROUPS, dice);
                vec![self.text_with("Hello everybody", "group_id", group.into())]
            }
            OccasionKind::Reaction => {
                self.reaction(Some(simulated_customers::pick_one(&EMOJI, dice))).into_iter().collect()
            }
            OccasionKind::ReactionRemoval => self.reaction(None).into_iter().collect(),
            OccasionKind::Edit => self.edit().into_iter().collect(),
            OccasionKind::Revoke => self.revocation().into_iter().collect(),
            OccasionKind::MissedCall => self.call(None),
            OccasionKind::AnsweredCall => self.call(Some(dice.random_range(5..600))),
            OccasionKind::AppEcho => vec![self.echo()],
            OccasionKind::Standby => self.standby(),
            OccasionKind::History => self.history().into_iter().collect(),
            OccasionKind::AddressBook => self.address_book().into_iter().collect(),
            OccasionKind::MarketingChoice => vec![self.marketing_choice(dice.random_range(0..2u8) == 0)],
            OccasionKind::TemplateNews => vec![template_news(dice.random_range(0..3u8), self.at)],
            OccasionKind::AccountNews => vec![self.account_news(dice.random_range(0..3u8))],
            // These change the customer: `change_notice` builds them.
            OccasionKind::NumberChange | OccasionKind::UserIdChange => Vec::new(),
        }
    }

    fn card(&self) -> Value {
        meta_json::contact_card(self.customer)
    }

    /// The members that every item of the customer has, with these.
    fn item(&self, members: Value) -> Value {
        let mut item = Map::new();
        meta_json::insert_ids(&mut item, self.customer, "from", "from_user_id");
        let wamid = (self.next_wamid)(&self.customer.address(), Direction::Inbound);
        item.insert("id".into(), wamid.into());
        item.insert("timestamp".into(), meta_json::format_seconds(self.at).into());
        if let Value::Object(members) = members {
            item.extend(members);
        }
        Value::Object(item)
    }

    fn message(&self, members: Value) -> ItemContent {
        ItemContent::Message { card: Some(self.card()), message: self.item(members) }
    }

    fn field(&self, field: &str, members: Value) -> ItemContent {
        let value = meta_json::number_value(self.number, members);
        ItemContent::Field { field: field.to_owned(), value, at: self.at }
    }

    fn text_with(&self, body: &str, name: &str, value: Value) -> ItemContent {
        let mut members = Map::new();
        members.insert("type".into(), "text".into());
        members.insert("text".into(), json!({"body": body}));
        members.insert(name.into(), value);
        self.message(members.into())
    }

    fn ad_click(&self, dice: &mut impl Rng) -> ItemContent {
        let referral = json!({"source_url": "https://fb.me/x1y2", "source_id": "120219990001",
            "source_type": "ad", "headline": "November sale", "body": "Everything must go",
            "media_type": "image", "image_url": "https://example.com/ad.jpg",
            "ctwa_clid": format!("AR{:016x}", dice.random::<u64>())});
        self.text_with("Hi, what about the sale?", "referral", referral)
    }

    fn order(&self, dice: &mut impl Rng) -> ItemContent {
        let item = json!({"product_retailer_id": "tea-set", "quantity": dice.random_range(1..4),
            "item_price": 39.5, "currency": "USD"});
        self.message(json!({"type": "order", "order": {"catalog_id": "194836987003835",
            "text": "Gift wrapped, please", "product_items": [item]}}))
    }

    /// Builds a reaction to the newest message, or its removal.
    fn reaction(&self, emoji: Option<&str>) -> Option<ItemContent> {
        let target = self.recent.outbound.as_deref().or(self.recent.inbound.as_deref())?;
        let mut reaction = Map::new();
        reaction.insert("message_id".into(), target.into());
        reaction.extend(emoji.map(|emoji| ("emoji".to_owned(), emoji.into())));
        Some(self.message(json!({"type": "reaction", "reaction": reaction})))
    }

    fn edit(&self) -> Option<ItemContent> {
        let inner = json!({"type": "text", "text": {"body": "Sorry, I meant tomorrow."}});
        let target = self.recent.inbound.as_deref()?;
        let edit = json!({"original_message_id": target, "message": inner});
        Some(self.message(json!({"type": "edit", "edit": edit})))
    }

    fn revocation(&self) -> Option<ItemContent> {
        let target = self.recent.inbound.as_deref()?;
        Some(self.message(json!({"type": "revoke", "revoke": {"original_message_id": target}})))
    }

    fn call(&self, seconds: Option<u32>) -> Vec<ItemContent> {
        let id =
            (self.next_wamid)(&self.customer.address(), Direction::Inbound).replacen("wamid", "wacid", 1);
        let event = |word: &str, more: Value| {
            let mut call = self.item(json!({"to": self.number.phone.as_digits(), "id": id, "event": word,
                "direction": "USER_INITIATED"}));
            if let (Some(call), Value::Object(more)) = (call.as_object_mut(), more) {
                call.extend(more);
            }
            self.field("calls", json!({"contacts": [self.card()], "calls": [call]}))
        };
        let offer = json!({"session": {"sdp_type": "offer", "sdp": "v=0"}});
        let end = match seconds {
            Some(seconds) => json!({"status": "COMPLETED", "duration": seconds}),
            None => json!({"status": "FAILED"}),
        };
        vec![event("connect", offer), event("terminate", end)]
    }

    /// Builds a message to the customer from the business's phone.
    fn echo(&self) -> ItemContent {
        let mut echo = self.outbound("On its way, it arrives this afternoon.");
        meta_json::insert_ids(&mut echo, self.customer, "to", "to_user_id");
        let card = meta_json::recipient_card(self.customer);
        self.field("smb_message_echoes", json!({"contacts": [card], "message_echoes": [echo]}))
    }

    fn outbound(&self, body: &str) -> Map<String, Value> {
        let wamid = (self.next_wamid)(&self.customer.address(), Direction::Outbound);
        let mut message = Map::new();
        message.insert("from".into(), self.number.phone.as_digits().into());
        message.insert("id".into(), wamid.into());
        message.insert("timestamp".into(), meta_json::format_seconds(self.at).into());
        message.insert("type".into(), "text".into());
        message.insert("text".into(), json!({"body": body}));
        message
    }

    /// Builds a question that Meta's agent answers.
    fn standby(&self) -> Vec<ItemContent> {
        let asked = self.item(json!({"type": "text", "text": {"body": "When do you open?"}}));
        let mut inner = Map::new();
        inner.insert("messaging_product".into(), "whatsapp".into());
        meta_json::insert_ids(&mut inner, self.customer, "to", "to_user_id");
        inner.insert("type".into(), "text".into());
        inner.insert("text".into(), json!({"body": "At eight o'clock."}));
        let answer = json!({"id": (self.next_wamid)(&self.customer.address(), Direction::Outbound),
            "timestamp": meta_json::format_seconds(self.at), "message": inner});
        vec![
            self.field("standby", json!({"standby": {"contacts": [self.card()], "messages": [asked]}})),
            self.field("standby", json!({"standby": {"message_echoes": [answer]}})),
        ]
    }

    /// Builds a thread from before the number was connected.
    fn history(&self) -> Option<ItemContent> {
        let phone = self.customer.wa_id.as_ref()?;
        let past = |seconds: i64| (self.at.millis() / 1000 - PAST_SECONDS + seconds).to_string();
        let mut asked = self.item(json!({"type": "text", "text": {"body": "Do you ship abroad?"},
            "timestamp": past(0), "history_context": {"status": "READ"}}));
        if let Some(members) = asked.as_object_mut() {
            members.shift_remove("from_user_id");
        }
        let mut answer = self.outbound("Yes, within a week.");
        answer.insert("to".into(), phone.as_digits().into());
        answer.insert("timestamp".into(), past(60).into());
        answer.insert("history_context".into(), json!({"status": "READ"}));
        let context = meta_json::recipient_card(self.customer);
        let thread = json!({"id": phone.as_digits(), "context": context, "messages": [asked, answer]});
        let metadata = json!({"phase": 1, "chunk_order": 1, "progress": 100});
        Some(self.field("history", json!({"history": [{"metadata": metadata, "threads": [thread]}]})))
    }

    fn address_book(&self) -> Option<ItemContent> {
        let phone = self.customer.wa_id.as_ref()?;
        let first = self.customer.name.split(' ').next();
        let contact = json!({"full_name": self.customer.name, "first_name": first,
            "phone_number": phone.as_digits()});
        let entry = json!({"type": "contact", "contact": contact, "action": "add",
            "metadata": {"timestamp": meta_json::format_seconds(self.at)}});
        Some(self.field("smb_app_state_sync", json!({"state_sync": [entry]})))
    }

    fn marketing_choice(&self, stop: bool) -> ItemContent {
        let mut choice = Map::new();
        meta_json::insert_ids(&mut choice, self.customer, "wa_id", "user_id");
        choice.insert("detail".into(), "preference changed".into());
        choice.insert("category".into(), "marketing_messages".into());
        choice.insert("value".into(), if stop { "stop" } else { "resume" }.into());
        choice.insert("timestamp".into(), (self.at.millis() / 1000).into());
        self.field("user_preferences", json!({"contacts": [self.card()], "user_preferences": [choice]}))
    }

    fn account_news(&self, which: u8) -> ItemContent {
        let digits = self.number.phone.as_digits();
        let (field, value) = match which {
            0 => ("account_update", json!({"phone_number": digits, "event": "VERIFIED_ACCOUNT"})),
            1 => (
                "phone_number_quality_update",
                json!({"display_phone_number": digits, "event": "THROUGHPUT_UPGRADE",
                    "max_daily_conversations_per_business": "TIER_2K"}),
            ),
            _ => (
                "phone_number_name_update",
                json!({"display_phone_number": digits, "decision": "APPROVED",
                    "requested_verified_name": "Sandbox"}),
            ),
        };
        ItemContent::Field { field: field.to_owned(), value, at: self.at }
    }

    /// Builds WhatsApp's notice that an identifier of the customer has changed.
    pub(super) fn change_notice(&self, new: &CustomerChange) -> ItemContent {
        let (name, before) = (&self.customer.name, self.customer.user_id.as_ref().map(UserId::as_str));
        let system = match new {
            CustomerChange::Number(phone) => {
                let old = self.customer.wa_id.as_ref().map_or("", Phone::as_digits);
                let user_id = whatsapp_ids::user_id_of(phone);
                json!({"body": format!("User {name} changed from {old} to {}", phone.as_digits()),
                    "wa_id": phone.as_digits(), "type": "user_changed_number", "previous_user_id": before,
                    "user_id": user_id.as_ref().map(UserId::as_str)})
            }
            CustomerChange::UserId(id) => json!({
                "body": format!("User {name} changed from {} to {}", before.unwrap_or(""), id.as_str()),
                "type": "user_changed_user_id", "previous_user_id": before, "user_id": id.as_str()}),
        };
        // Such a notice comes without a card.
        ItemContent::Message { card: None, message: self.item(json!({"type": "system", "system": system})) }
    }
}

fn template_news(which: u8, at: Timestamp) -> ItemContent {
    let template = |more: Value| {
        let mut value = json!({"message_template_id": 5_550_001, "message_template_name": "order_shipped",
            "message_template_language": "en_US"});
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        value
    };
    let (field, value) = match which {
        0 => ("message_template_status_update", template(json!({"event": "APPROVED", "reason": "NONE"}))),
        1 => (
            "message_template_quality_update",
            template(json!({"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"})),
        ),
        _ => (
            "template_category_update",
            template(json!({"previous_category": "UTILITY", "new_category": "MARKETING"})),
        ),
    };
    ItemContent::Field { field: field.to_owned(), value, at }
}
