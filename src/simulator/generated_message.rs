//! Messages of simulated customers: mostly text, sometimes an image, a location, or a pressed button.
//!
//! Invariant: a message follows from the random numbers alone, which come from the seed.

use kabar_core::domain::time::Timestamp;
use rand::{Rng, RngExt};
use serde_json::{Map, Value, json};

use super::simulated_customers::{SimulatedCustomer, pick_one};
use super::{SimulatedNumber, meta_json};

const GREETINGS: [&str; 8] =
    ["Hi!", "Hello,", "Good morning,", "Halo kak,", "Hey there,", "Good evening,", "Hola,", "Hi again,"];
const THINGS: [&str; 12] = [
    "the blue raincoat",
    "the walnut desk",
    "the running shoes",
    "the coffee sampler",
    "the garden lamp",
    "the rice cooker",
    "the travel mug",
    "the linen shirt",
    "the bike lights",
    "the tea set",
    "the backpack",
    "the night cream",
];
const QUESTIONS: [&str; 10] = [
    "is {} still available?",
    "how much is {} with delivery?",
    "can I pick up {} today?",
    "my order with {} has not arrived yet.",
    "could you keep {} for me until Friday?",
    "do you have {} in another size?",
    "is there a discount if I take two of {}?",
    "I would like to return {}. How does that work?",
    "when will {} be back in stock?",
    "does {} come with a warranty?",
];
const ANSWERS: [&str; 10] = [
    "Thank you!",
    "Great, that works for me.",
    "Perfect 🙏",
    "Ok, I will wait.",
    "Could you check once more?",
    "Yes, please.",
    "No, thanks.",
    "Got it, see you then.",
    "That was quick, thanks!",
    "Hmm, let me think about it.",
];
const CAPTIONS: [&str; 5] =
    ["This is how it arrived.", "Do you have something like this?", "Here is the receipt.", "This one!", ""];
const PLACES: [(&str, &str, f64, f64); 4] = [
    ("Harbour Market", "12 Quay Street", -8.7467, 115.1668),
    ("Old Town Square", "3 Fountain Lane", 50.0875, 14.4213),
    ("Hilltop Café", "88 Ridge Road", -6.9147, 107.6098),
    ("Central Library", "1 Museum Park", 40.4168, -3.7038),
];
const BUTTONS: [(&str, &str); 4] = [
    ("confirm", "Confirm"),
    ("reschedule", "Another day"),
    ("agent", "Talk to a person"),
    ("cancel", "Cancel"),
];

/// One message of a customer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum GeneratedMessage {
    Text(String),
    Image { media: u32, caption: &'static str },
    Location { name: &'static str, address: &'static str, latitude: f64, longitude: f64 },
    Button { id: &'static str, title: &'static str },
}

impl GeneratedMessage {
    /// Generates a message that a customer writes unprompted.
    pub(super) fn random_opening(dice: &mut impl Rng) -> Self {
        match dice.random_range(0..20u8) {
            0 | 1 => {
                Self::Image { media: dice.random_range(1..1_000_000), caption: pick_one(&CAPTIONS, dice) }
            }
            2 => Self::random_location(dice),
            3 => Self::random_button(dice),
            _ => {
                let question = pick_one(&QUESTIONS, dice).replace("{}", pick_one(&THINGS, dice));
                Self::Text(format!("{} {question}", pick_one(&GREETINGS, dice)))
            }
        }
    }

    /// Generates a reply to a message of the business.
    pub(super) fn random_answer(dice: &mut impl Rng) -> Self {
        match dice.random_range(0..10u8) {
            0 => Self::random_button(dice),
            _ => Self::Text(pick_one(&ANSWERS, dice).to_owned()),
        }
    }

    fn random_location(dice: &mut impl Rng) -> Self {
        let (name, address, latitude, longitude) =
            PLACES.get(dice.random_range(0..PLACES.len())).copied().unwrap_or_default();
        Self::Location { name, address, latitude, longitude }
    }

    fn random_button(dice: &mut impl Rng) -> Self {
        let (id, title) = BUTTONS.get(dice.random_range(0..BUTTONS.len())).copied().unwrap_or_default();
        Self::Button { id, title }
    }

    /// Converts to Meta's message.
    pub(super) fn to_meta(
        &self,
        number: &SimulatedNumber,
        author: &SimulatedCustomer,
        wamid: &str,
        at: Timestamp,
    ) -> Value {
        let (kind, object) = self.message_content();
        let mut message = Map::new();
        if let Self::Button { .. } = self {
            // WhatsApp names the message of the pressed button; the simulator does not record it, and makes
            // up an id.
            let pressed = json!({"from": number.phone.as_digits(), "id": format!("{wamid}-asked")});
            message.insert("context".into(), pressed);
        }
        meta_json::insert_ids(&mut message, author, "from", "from_user_id");
        if let Some(group) = &author.group {
            message.insert("group_id".into(), group.as_str().into());
        }
        message.insert("id".into(), wamid.into());
        message.insert("timestamp".into(), meta_json::format_seconds(at).into());
        message.insert("type".into(), kind.into());
        message.insert(kind.into(), object);
        Value::Object(message)
    }

    /// Returns Meta's type, and its object.
    fn message_content(&self) -> (&'static str, Value) {
        match self {
            Self::Text(body) => ("text", json!({"body": body})),
            Self::Image { media, caption } => {
                let mut image = Map::new();
                if !caption.is_empty() {
                    image.insert("caption".into(), (*caption).into());
                }
                image.insert("mime_type".into(), "image/jpeg".into());
                image.insert("sha256".into(), format!("{media:064x}").into());
                image.insert("id".into(), format!("{media:010}").into());
                ("image", Value::Object(image))
            }
            Self::Location { name, address, latitude, longitude } => {
                let place =
                    json!({"name": name, "address": address, "latitude": latitude, "longitude": longitude});
                ("location", place)
            }
            Self::Button { id, title } => {
                ("interactive", json!({"type": "button_reply", "button_reply": {"id": id, "title": title}}))
            }
        }
    }
}
