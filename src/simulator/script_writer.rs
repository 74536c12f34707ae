//! Items that a script writes: Meta's own, with what they lack filled in.
//!
//! Invariant: a member that the script gives is never replaced.

use kabar_core::domain::identity::UserId;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use serde_json::{Map, Value};

use super::SimulatedNumber;
use super::meta_json;
use super::simulated_customers;
use super::simulated_customers::SimulatedCustomer;

/// Fields of the account and its templates, whose values have no `metadata`.
const ACCOUNT_FIELDS: [&str; 8] = [
    "account_",
    "business_",
    "message_template_",
    "messaging_handovers",
    "partner_solutions",
    "phone_number_",
    "security",
    "template_",
];

/// Customer that writes, as the script names them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WriterWords {
    pub(super) phone: Option<Phone>,
    pub(super) user_id: Option<UserId>,
    pub(super) username: Option<String>,
    pub(super) name: Option<String>,
}

impl WriterWords {
    /// The customer: only what the script names is named by WhatsApp.
    pub(super) fn to_customer(&self, seed: u64) -> SimulatedCustomer {
        let identifier = self.phone.as_ref().map(Phone::as_digits);
        let identifier = identifier.or_else(|| self.user_id.as_ref().map(UserId::as_str));
        let made_up = || simulated_customers::name_of(seed, identifier.unwrap_or_default());
        SimulatedCustomer {
            name: self.name.clone().unwrap_or_else(made_up),
            wa_id: self.phone.clone(),
            user_id: self.user_id.clone(),
            username: self.username.clone(),
            group: None,
        }
    }
}

/// Fills in what a message of the script lacks.
pub(super) fn complete_message(
    message: &mut Map<String, Value>,
    author: &SimulatedCustomer,
    wamid: String,
    now: Timestamp,
) {
    let mut defaults = Map::new();
    meta_json::insert_ids(&mut defaults, author, "from", "from_user_id");
    defaults.insert("id".into(), wamid.into());
    defaults.insert("timestamp".into(), meta_json::format_seconds(now).into());
    for (key, value) in defaults {
        message.entry(key).or_insert(value);
    }
}

/// Builds the value of a field of the script: the members that every value about a number has, and the times of
/// items without one.
pub(super) fn complete_value(
    field: &str,
    number: &SimulatedNumber,
    value: Map<String, Value>,
    now: Timestamp,
) -> Value {
    let mut value = Value::Object(value);
    fill_times(&mut value, &meta_json::format_seconds(now).into());
    let of_account = ACCOUNT_FIELDS.iter().any(|known| field.starts_with(known));
    if of_account { value } else { meta_json::number_value(number, value) }
}

/// Gives a `timestamp` to each element with an `id` in the lists of a value.
fn fill_times(value: &mut Value, now: &Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| fill_times(member, now)),
        Value::Array(elements) => {
            for element in elements {
                if let Some(item) = element.as_object_mut().filter(|item| item.contains_key("id"))
                    && !item.contains_key("messages")
                {
                    item.entry("timestamp").or_insert_with(|| now.clone());
                }
                fill_times(element, now);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::account::PhoneNumberId;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_value_lacks_is_filled_in() {
        let number = SimulatedNumber {
            phone_number_id: PhoneNumberId::parse("100200300400501").unwrap(),
            phone: Phone::parse("+12025550100").unwrap(),
            waba_id: "900800700".into(),
        };
        let build = |field: &str, value: Value| {
            let Value::Object(value) = value else { panic!() };
            complete_value(field, &number, value, Timestamp::from_seconds(1_781_866_800))
        };
        let echo = build("smb_message_echoes", json!({"message_echoes": [{"id": "wamid.1"}]}));
        assert_eq!(echo["metadata"]["phone_number_id"], "100200300400501");
        assert_eq!(echo["message_echoes"][0]["timestamp"], "1781866800");
        let thread = json!({"id": "12025550141", "messages": [{"id": "wamid.2", "timestamp": "7"}]});
        let history = build("history", json!({"history": [{"threads": [thread.clone()]}]}));
        assert_eq!(history["history"][0]["threads"][0], thread);
        assert_eq!(
            build("account_update", json!({"event": "DISABLED_UPDATE"})),
            json!({"event": "DISABLED_UPDATE"})
        );
    }
}
