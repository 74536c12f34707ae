//! Bodies of a plugin and its versions; the types have no member for secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::allowed_hosts::HostPattern;
use kabar_core::domain::event::EventType;
use kabar_core::domain::plugin::{Capability, Plugin, PluginState, PluginVersion};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{PluginId, PluginVersionId};
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::rest::principal::PrincipalBody;
use crate::rest::text::{FreeObject, TextValue, nouns};

nouns! {
    /// `object` of a plugin.
    PluginNoun = "plugin";
    /// `object` of a version of a plugin.
    PluginVersionNoun = "plugin_version";
}

/// A component of yours that gets events.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Plugin", example)]
pub(crate) struct PluginBody {
    /// `plg_…`.
    pub(crate) id: TextValue<PluginId>,
    /// Always `plugin`.
    pub(crate) object: TextValue<PluginNoun>,
    /// Your name for it.
    pub(crate) name: TextValue<Arc<str>>,
    /// Purpose of the plugin.
    pub(crate) description: Option<TextValue<Arc<str>>>,
    /// Types of events that it gets.
    pub(crate) events: Vec<TextValue<EventType>>,
    /// Numbers that it gets events of, by WhatsApp's ids of them; null: all of the organization's.
    pub(crate) accounts: Option<Vec<TextValue<PhoneNumberId>>>,
    /// Texts that its component may read.
    pub(crate) config: FreeObject,
    /// Names of its secrets; the secrets themselves are never shown.
    pub(crate) secrets: Vec<TextValue<Arc<str>>>,
    /// Hosts that its component may call.
    pub(crate) allowed_hosts: Vec<TextValue<HostPattern>>,
    /// Interfaces that its component may import; null: everything.
    pub(crate) capabilities: Option<Vec<TextValue<Capability>>>,
    /// `true` unless you stopped it.
    pub(crate) enabled: bool,
    /// `paused` is tried with one run each minute; `disabled` is not tried at all.
    pub(crate) status: TextValue<PluginState>,
    /// Reason for a status other than `active`.
    pub(crate) status_reason: Option<TextValue<Arc<str>>>,
    /// Time since which it has this status.
    pub(crate) status_since: TextValue<Timestamp>,
    /// The version that runs; null until one is activated.
    pub(crate) active_version_id: Option<TextValue<PluginVersionId>>,
    /// The version that ran before: activate it to go back.
    pub(crate) previous_version_id: Option<TextValue<PluginVersionId>>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
    /// Time of the last change.
    pub(crate) updated_at: TextValue<Timestamp>,
}

impl PluginBody {
    /// Builds the body of a plugin.
    #[must_use]
    pub(crate) fn from_plugin(row: &Plugin) -> Self {
        let config: BTreeMap<&str, &str> = row.config.iter().map(|(key, value)| (&**key, &**value)).collect();
        // Texts only, which serde always writes.
        let config = serde_json::to_string(&config).unwrap_or_default();
        Self {
            id: TextValue(row.id),
            object: TextValue(PluginNoun),
            name: TextValue(row.name.clone()),
            description: row.description.clone().map(TextValue),
            events: row.events.iter().map(TextValue).collect(),
            accounts: row.accounts.as_ref().map(|named| named.iter().cloned().map(TextValue).collect()),
            config: FreeObject(config.into()),
            secrets: row.secrets.keys().cloned().map(TextValue).collect(),
            allowed_hosts: row.allowed_hosts.iter().cloned().map(TextValue).collect(),
            capabilities: row.capabilities.map(|some| some.iter().map(TextValue).collect()),
            enabled: row.enabled,
            status: TextValue(row.standing.state),
            status_reason: row.standing.reason.clone().map(TextValue),
            status_since: TextValue(row.standing.since),
            active_version_id: row.active_version.map(TextValue),
            previous_version_id: row.previous_version.map(TextValue),
            created_at: TextValue(row.created_at),
            created_by: PrincipalBody::from_principal(&row.created_by),
            updated_at: TextValue(row.updated_at),
        }
    }
}

impl Example for PluginBody {
    fn example() -> Self {
        Self::from_plugin(&crate::spec::example_rows::example_plugin())
    }
}

/// A component, uploaded for a plugin.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginVersion", example)]
pub(crate) struct PluginVersionBody {
    /// `plv_…`.
    pub(crate) id: TextValue<PluginVersionId>,
    /// Always `plugin_version`.
    pub(crate) object: TextValue<PluginVersionNoun>,
    /// The plugin.
    pub(crate) plugin_id: TextValue<PluginId>,
    /// SHA-256 of the component, in hexadecimal.
    pub(crate) sha256: String,
    /// Bytes of the component.
    pub(crate) size: u64,
    /// Imported interfaces.
    pub(crate) imports: Vec<TextValue<Arc<str>>>,
    /// Exported interfaces.
    pub(crate) exports: Vec<TextValue<Arc<str>>>,
    /// Time that compiling took, in milliseconds.
    pub(crate) compile_ms: u64,
    /// Upload time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
}

impl PluginVersionBody {
    /// Builds the body of a version.
    #[must_use]
    pub(crate) fn from_version(row: &PluginVersion) -> Self {
        Self {
            id: TextValue(row.id),
            object: TextValue(PluginVersionNoun),
            plugin_id: TextValue(row.plugin_id),
            sha256: crate::rest::text::hex_of(&row.sha256),
            size: row.size,
            imports: row.imports.iter().cloned().map(TextValue).collect(),
            exports: row.exports.iter().cloned().map(TextValue).collect(),
            compile_ms: row.compile_ms,
            created_at: TextValue(row.created_at),
            created_by: PrincipalBody::from_principal(&row.created_by),
        }
    }
}

impl Example for PluginVersionBody {
    fn example() -> Self {
        Self::from_version(&crate::spec::example_rows::plugin_version())
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON;

    use super::*;

    #[test]
    fn secrets_are_named_and_not_shown() {
        let row = crate::spec::example_rows::example_plugin();
        let json = PluginBody::from_plugin(&row).to_json().unwrap();
        assert_eq!(json["secrets"], serde_json::json!(["CRM_TOKEN"]));
        assert_eq!(json["config"]["TEMPLATE"], "delivery_failed");
        let (_, secret) = row.secrets.iter().next().unwrap();
        assert!(!json.to_string().contains(secret.reveal()));
        assert!(!format!("{row:?}").contains(secret.reveal()));
    }
}
