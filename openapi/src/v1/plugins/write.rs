//! Bodies that create and change plugins.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use kabar_actors::{NewPlugin, PluginPatch};
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::allowed_hosts::{AllowedHosts, HostPattern};
use kabar_core::domain::event::{EventType, EventTypes};
use kabar_core::domain::plugin::{
    ACCOUNTS_MAX, Capabilities, Capability, DESCRIPTION_CHARS, HOSTS_MAX, NAME_CHARS, PluginEntries,
};
use kabar_core::ids::OrganisationId;
use poem_openapi::Object;
use poem_openapi::types::{Any, Example};
use serde_json::Value;

use super::entries;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::body_fields::{BodyFields, FieldChange, FieldError};
use crate::rest::error::ApiError;

/// Texts by name.
type TextMap = Any<BTreeMap<String, Option<String>>>;

/// A plugin to create.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct CreatePlugin {
    /// Your name for it.
    #[oai(validator(min_length = 1, max_length = 100))]
    pub(crate) name: String,
    /// Purpose of the plugin.
    #[oai(validator(min_length = 1, max_length = 1000))]
    pub(crate) description: Option<String>,
    /// Types of events that it gets; `message.status` when absent.
    pub(crate) events: Option<Vec<String>>,
    /// Numbers that it gets events of, by WhatsApp's ids of them; all when absent.
    pub(crate) accounts: Option<Vec<String>>,
    /// Texts that its component may read: at most 64 and 32 KiB.
    pub(crate) config: Option<TextMap>,
    /// Texts that only its component may read: at most 64 and 32 KiB.
    pub(crate) secrets: Option<TextMap>,
    /// Hosts that its component may call: `name`, `*.domain`, either with a port; none when absent.
    pub(crate) allowed_hosts: Option<Vec<String>>,
    /// Restricts the interfaces that its component may import; everything when absent.
    pub(crate) capabilities: Option<Vec<String>>,
    /// `true` to run it once a version is activated; true when absent.
    pub(crate) enabled: Option<bool>,
}

/// Changes of a plugin. Absent fields stay unchanged.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct UpdatePlugin {
    /// Your name for it.
    #[oai(validator(min_length = 1, max_length = 100))]
    pub(crate) name: Option<String>,
    /// Purpose of the plugin; null clears.
    #[oai(validator(min_length = 1, max_length = 1000))]
    pub(crate) description: Option<String>,
    /// Types of events that it gets.
    pub(crate) events: Option<Vec<String>>,
    /// Numbers that it gets events of; null: all.
    pub(crate) accounts: Option<Vec<String>>,
    /// Replaces all texts that its component may read.
    pub(crate) config: Option<TextMap>,
    /// Sets each one that is given; null removes it. Others stay.
    pub(crate) secrets: Option<TextMap>,
    /// Replaces all hosts that its component may call.
    pub(crate) allowed_hosts: Option<Vec<String>>,
    /// Restricts the interfaces that its component may import; null: everything.
    pub(crate) capabilities: Option<Vec<String>>,
    /// `true` to run it, `false` to stop it.
    pub(crate) enabled: Option<bool>,
}

fn example_texts(pairs: &[(&str, &str)]) -> TextMap {
    Any(pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect())
}

impl Example for CreatePlugin {
    fn example() -> Self {
        Self {
            name: "Fallback template".to_owned(),
            description: Some("Sends a template when a message fails".to_owned()),
            events: Some(vec!["message.status".to_owned()]),
            accounts: None,
            config: Some(example_texts(&[("TEMPLATE", "delivery_failed")])),
            secrets: Some(example_texts(&[("CRM_TOKEN", "c2VjcmV0")])),
            allowed_hosts: Some(vec!["crm.example.com".to_owned()]),
            capabilities: None,
            enabled: Some(true),
        }
    }
}

impl Example for UpdatePlugin {
    fn example() -> Self {
        Self {
            name: None,
            description: None,
            events: None,
            accounts: None,
            config: Some(example_texts(&[("TEMPLATE", "delivery_failed_v2")])),
            secrets: None,
            allowed_hosts: None,
            capabilities: None,
            enabled: Some(true),
        }
    }
}

/// Reads a list of distinct words that `parse` accepts.
fn read_list<T>(
    fields: &BodyFields<'_>,
    key: &str,
    most: usize,
    expected: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, FieldError> {
    let Some(value) = fields.get(key) else { return Ok(None) };
    let refused = || fields.invalid(key, expected);
    let elements = value.as_array().filter(|elements| elements.len() <= most).ok_or_else(refused)?;
    let mut seen = HashSet::new();
    let read = |element: &Value| {
        let text = element.as_str()?;
        seen.insert(text.to_owned()).then(|| parse(text))?
    };
    elements.iter().map(read).collect::<Option<Vec<T>>>().map(Some).ok_or_else(refused)
}

fn read_events(fields: &BodyFields<'_>) -> Result<Option<EventTypes>, FieldError> {
    const EXPECTED: &str = "a list of at least one type of event, each once, such as message.status";
    let read = read_list(fields, "events", EventType::ALL.len(), EXPECTED, EventType::parse)?;
    match read {
        Some(some) if some.is_empty() => Err(fields.invalid("events", EXPECTED)),
        other => Ok(other.map(|some| some.into_iter().collect())),
    }
}

/// Reads numbers, each of which must be one of the tenant's.
fn read_accounts(
    app: &AppState,
    organisation: OrganisationId,
    fields: &BodyFields<'_>,
) -> Result<Option<Arc<[PhoneNumberId]>>, ApiError> {
    let expected = format!("a list of 1 to {ACCOUNTS_MAX} phone_number_ids, each once");
    let read = read_list(fields, "accounts", ACCOUNTS_MAX, &expected, PhoneNumberId::parse)?;
    let Some(named) = read else { return Ok(None) };
    if named.is_empty() {
        return Err(fields.invalid("accounts", &expected).into());
    }
    if named.iter().any(|number| app.directory.find_account(organisation, number.as_str()).is_none()) {
        return Err(ApiError::not_found("account", "accounts"));
    }
    Ok(Some(named.into()))
}

fn read_hosts(fields: &BodyFields<'_>) -> Result<Option<AllowedHosts>, FieldError> {
    let expected =
        format!("a list of at most {HOSTS_MAX} hosts such as api.example.com, *.example.com or host:8443");
    let read = read_list(fields, "allowed_hosts", HOSTS_MAX, &expected, HostPattern::parse)?;
    Ok(read.map(|some| some.into_iter().collect()))
}

fn read_capabilities(fields: &BodyFields<'_>) -> Result<Option<Capabilities>, FieldError> {
    let words: Vec<&str> = Capability::ALL.iter().map(|one| one.as_str()).collect();
    let expected = format!("a list of {}, each once", words.join(", "));
    let read = read_list(fields, "capabilities", Capability::ALL.len(), &expected, Capability::parse)?;
    Ok(read.map(|some| some.into_iter().collect()))
}

fn read_config(fields: &BodyFields<'_>) -> Result<Option<PluginEntries<Arc<str>>>, FieldError> {
    let read = entries::read_entries(fields, "config")?;
    Ok(read.map(|some| some.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()))
}

fn read_secrets(fields: &BodyFields<'_>) -> Result<PluginEntries<Option<Secret>>, FieldError> {
    let read = entries::read_entries(fields, "secrets")?.unwrap_or_default();
    Ok(read.into_iter().map(|(key, value)| (key, value.map(|value| Secret::new(&value)))).collect())
}

/// Reads a new plugin.
pub(super) fn read_new(app: &AppState, tenant: &TenantCaller, body: &Value) -> Result<NewPlugin, ApiError> {
    let fields = BodyFields::of_body(body)?;
    let name = fields.text("name", &NAME_CHARS)?.into();
    let secrets = read_secrets(&fields)?;
    Ok(NewPlugin {
        name,
        description: fields.optional_text("description", &DESCRIPTION_CHARS)?.map(Into::into),
        events: read_events(&fields)?.unwrap_or_else(|| [EventType::MessageStatus].into_iter().collect()),
        accounts: read_accounts(app, tenant.key.organisation_id, &fields)?,
        config: read_config(&fields)?.unwrap_or_default(),
        secrets: secrets.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        allowed_hosts: read_hosts(&fields)?.unwrap_or_default(),
        capabilities: read_capabilities(&fields)?,
        enabled: fields.optional_flag("enabled")?.unwrap_or(true),
        created_by: tenant.principal(),
    })
}

/// Reads the changes of a plugin.
pub(super) fn read_patch(
    app: &AppState,
    organisation: OrganisationId,
    body: &Value,
) -> Result<PluginPatch, ApiError> {
    let fields = BodyFields::of_body(body)?;
    let cleared = |key: &str| body.get(key).is_some_and(Value::is_null);
    let description = match fields.change_text("description", &DESCRIPTION_CHARS)? {
        FieldChange::Keep => None,
        FieldChange::Clear => Some(None),
        FieldChange::Set(text) => Some(Some(text.into())),
    };
    Ok(PluginPatch {
        name: fields.optional_text("name", &NAME_CHARS)?.map(Into::into),
        description,
        events: read_events(&fields)?,
        accounts: if cleared("accounts") {
            Some(None)
        } else {
            read_accounts(app, organisation, &fields)?.map(Some)
        },
        config: read_config(&fields)?,
        secrets: read_secrets(&fields)?,
        allowed_hosts: read_hosts(&fields)?,
        capabilities: if cleared("capabilities") {
            Some(None)
        } else {
            read_capabilities(&fields)?.map(Some)
        },
        enabled: fields.optional_flag("enabled")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_hold_different_known_words() {
        let of = |body: Value| {
            read_events(&BodyFields::of_body(&body).unwrap()).map(|some| some.map(|some| some.iter().count()))
        };
        assert_eq!(of(json!({"events": ["message.status", "contact.created"]})), Ok(Some(2)));
        assert_eq!(of(json!({})), Ok(None));
        for wrong in [
            json!([]),
            json!(["message"]),
            json!(["message.status", "message.status"]),
            json!("message.status"),
            json!([1]),
        ] {
            assert!(of(json!({"events": wrong})).is_err(), "{wrong}");
        }
        let of = |hosts_given: Value| {
            read_hosts(&BodyFields::of_body(&json!({"allowed_hosts": hosts_given})).unwrap())
        };
        let hosts = of(json!(["API.example.com"])).unwrap().unwrap();
        assert_eq!(hosts.iter().map(HostPattern::as_str).collect::<Vec<_>>(), ["api.example.com"]);
        assert!(of(json!(["https://api.example.com"])).is_err());
        let of =
            |some: Value| read_capabilities(&BodyFields::of_body(&json!({"capabilities": some})).unwrap());
        assert_eq!(of(json!([])).unwrap().unwrap().iter().count(), 0);
        assert!(of(json!(["files"])).is_err());
    }
}
