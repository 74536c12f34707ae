//! Renders settings in the format of the settings file, with secrets masked, and compares two of them.
//!
//! Invariant: the text is valid TOML, names every key, and holds no secret.

use std::fmt::Write as _;

use super::keys::SETTINGS;
use super::{ChangedSetting, HookExceptions, HookSettings, Settings};
use crate::domain::account::Secret;
use crate::domain::organisation::PriceTier;
use crate::encryption::KeySource;

/// Value of a key in the rendered text.
#[derive(PartialEq, Eq)]
enum MaskedValue {
    Text(String),
    Bare(String),
    List(Vec<String>),
    Masked,
    InFile,
    Absent,
}

pub(super) fn render_toml(settings: &Settings) -> String {
    let mut out = String::new();
    let mut open_table = "";
    for known in SETTINGS {
        let (table, name) = known.key.split_once('.').unwrap_or(("", known.key));
        if table != open_table {
            open_table = table;
            push_value(&mut out, format_args!("\n[{table}]\n"));
        }
        match render_value(settings, known.key) {
            MaskedValue::Text(text) => push_value(&mut out, format_args!("{name} = {}\n", quote_text(&text))),
            MaskedValue::Bare(text) => push_value(&mut out, format_args!("{name} = {text}\n")),
            MaskedValue::List(items) => {
                let items: Vec<String> = items.iter().map(|item| quote_text(item)).collect();
                push_value(&mut out, format_args!("{name} = [{}]\n", items.join(", ")));
            }
            MaskedValue::Masked => push_value(&mut out, format_args!("{name} = \"***\"\n")),
            MaskedValue::InFile => push_value(&mut out, format_args!("# {name} is in its file\n")),
            MaskedValue::Absent => push_value(&mut out, format_args!("# {name} is not set\n")),
        }
    }
    out
}

/// Returns the settings whose values differ.
pub(super) fn changed_keys(before: &Settings, after: &Settings) -> Vec<ChangedSetting> {
    let changed = SETTINGS.iter().filter(|known| {
        render_value(before, known.key) != render_value(after, known.key)
            || secrets_differ(before, after, known.key)
    });
    changed.map(|known| ChangedSetting { key: known.key, reloads: known.reloads }).collect()
}

fn secrets_differ(before: &Settings, after: &Settings, key: &str) -> bool {
    match key {
        "database_url" => before.database_url != after.database_url,
        "redis_url" => before.redis_url != after.redis_url,
        "operator_token" => before.operator_token != after.operator_token,
        "whatsapp.app_secret" => before.whatsapp.app_secrets != after.whatsapp.app_secrets,
        "whatsapp.verify_token" => before.whatsapp.verify_token != after.whatsapp.verify_token,
        _ => false,
    }
}

/// Renders a setting; a secret that lies in a file by its place alone.
fn render_value(settings: &Settings, key: &str) -> MaskedValue {
    if settings.secret_files.contains_key(key) {
        return MaskedValue::InFile;
    }
    if let Some(secret) = SETTINGS.iter().find(|known| known.key == key).and_then(|known| known.file_of) {
        let file = settings.secret_files.get(secret);
        return file.map_or(MaskedValue::Absent, |path| MaskedValue::Text(path.display().to_string()));
    }
    render_given(settings, key)
}

fn render_given(settings: &Settings, key: &str) -> MaskedValue {
    let hooks = &settings.hooks;
    match key {
        "listen" => MaskedValue::Text(settings.listen.to_string()),
        "public_url" => settings.public_url.clone().map_or(MaskedValue::Absent, MaskedValue::Text),
        "health_listen" => {
            settings.health_listen.map_or(MaskedValue::Absent, |at| MaskedValue::Text(at.to_string()))
        }
        "database_url" => MaskedValue::Text(settings.database_url.to_string()),
        "redis_url" => {
            settings.redis_url.as_ref().map_or(MaskedValue::Absent, |url| MaskedValue::Text(url.to_string()))
        }
        "operator_token" => mask_secret(settings.operator_token.as_ref()),
        "whatsapp.app_secret" => mask_secret(settings.whatsapp.app_secrets.first()),
        "whatsapp.verify_token" => mask_secret(settings.whatsapp.verify_token.as_ref()),
        "whatsapp.base_url" => {
            settings.whatsapp.base_url.clone().map_or(MaskedValue::Absent, MaskedValue::Text)
        }
        "whatsapp.version" => MaskedValue::Text(settings.whatsapp.version.clone()),
        "whatsapp.settle_seconds" => MaskedValue::Bare(settings.whatsapp.settle.as_secs().to_string()),
        "secrets.key_file" => match &settings.keys {
            Some(KeySource::Given(path)) => MaskedValue::Text(path.display().to_string()),
            Some(KeySource::Own(_)) | None => MaskedValue::Absent,
        },
        "cluster.address" => settings.cluster.address.clone().map_or(MaskedValue::Absent, MaskedValue::Text),
        "cluster.alone_lease_seconds" => {
            MaskedValue::Bare(settings.cluster.alone_lease.as_secs().to_string())
        }
        "cluster.lease_seconds" => MaskedValue::Bare(settings.cluster.lease.as_secs().to_string()),
        "dev.traffic_per_minute" => MaskedValue::Bare(settings.dev.traffic_per_minute.to_string()),
        "outbound.allow_loopback" => MaskedValue::Bare(settings.outbound.allow_loopback.to_string()),
        // Its value is shown under the present name.
        "events.retention_days" => MaskedValue::Absent,
        "retention.events_days" => {
            MaskedValue::Bare((settings.retention.events.as_secs() / 86_400).to_string())
        }
        "retention.messages_days" => settings
            .retention
            .messages
            .map_or(MaskedValue::Absent, |kept| MaskedValue::Bare((kept.as_secs() / 86_400).to_string())),
        "retention.raw_days" => MaskedValue::Bare((settings.retention.raw.as_secs() / 86_400).to_string()),
        "retention.audit_days" => settings
            .retention
            .audit
            .map_or(MaskedValue::Absent, |kept| MaskedValue::Bare((kept.as_secs() / 86_400).to_string())),
        "hooks.threads" => MaskedValue::Bare(hooks.threads.to_string()),
        "hooks.concurrent_runs" => MaskedValue::Bare(hooks.concurrent_runs.to_string()),
        "hooks.component_bytes" => MaskedValue::Bare(hooks.component_bytes.to_string()),
        "hooks.cache_folder" => hooks
            .cache_folder
            .as_ref()
            .map_or(MaskedValue::Absent, |folder| MaskedValue::Text(folder.display().to_string())),
        "cors.allowed_origins" => MaskedValue::List(settings.cors.allowed_origins.clone()),
        "log.format" => MaskedValue::Text(settings.log.format.as_str().to_owned()),
        "log.level" => MaskedValue::Text(settings.log.level.clone()),
        _ => render_limit(settings, key),
    }
}

fn render_limit(settings: &Settings, key: &str) -> MaskedValue {
    let limits = &settings.limits;
    match key {
        "limits.database_readers" => MaskedValue::Bare(limits.database_readers.to_string()),
        "limits.resident_conversations" => MaskedValue::Bare(limits.resident_conversations.to_string()),
        "limits.idle_seconds" => MaskedValue::Bare(limits.idle.as_secs().to_string()),
        "limits.waiting_polls" => MaskedValue::Bare(limits.waiting_polls.to_string()),
        "limits.event_streams" => MaskedValue::Bare(limits.event_streams.to_string()),
        "limits.event_streams_per_organization" => MaskedValue::Bare(limits.tenant_event_streams.to_string()),
        "limits.webhook_subscriptions_per_organization" => {
            MaskedValue::Bare(limits.tenant_subscriptions.to_string())
        }
        "limits.component_bytes_per_organization" => {
            MaskedValue::Bare(limits.tenant_component_bytes.to_string())
        }
        "limits.queued_commands" => MaskedValue::Bare(limits.queued_commands.to_string()),
        "limits.body_bytes" => MaskedValue::Bare(limits.body_bytes.to_string()),
        "limits.ingress_bytes" => MaskedValue::Bare(limits.ingress_bytes.to_string()),
        "limits.unauthenticated_bytes" => MaskedValue::Bare(limits.unauthenticated_bytes.to_string()),
        "limits.connections" => MaskedValue::Bare(limits.connections.to_string()),
        "limits.connections_per_address" => MaskedValue::Bare(limits.address_connections.to_string()),
        "limits.head_seconds" => MaskedValue::Bare(limits.head.as_secs().to_string()),
        "limits.connection_idle_seconds" => MaskedValue::Bare(limits.connection_idle.as_secs().to_string()),
        _ => hook_limit(&settings.hooks, key),
    }
}

/// A limit of runs: the common one, or that of a tier, which may be absent.
fn hook_limit(hooks: &HookSettings, key: &str) -> MaskedValue {
    let all = HookExceptions {
        cpu: Some(hooks.limits.cpu),
        wall: Some(hooks.limits.wall),
        memory_bytes: Some(hooks.limits.memory_bytes),
        log_bytes: Some(hooks.limits.log_bytes),
        compiled_bytes: Some(hooks.limits.compiled_bytes),
    };
    let name = key.strip_prefix("hooks.").unwrap_or(key);
    let (limits, name) = match name.split_once('.') {
        None => (Some(&all), name),
        Some((tier, name)) => {
            let place = PriceTier::ALL.iter().position(|known| known.as_str() == tier);
            (place.and_then(|place| hooks.tiers.get(place)), name)
        }
    };
    let figure = limits.and_then(|limits| match name {
        "cpu_ms" => limits.cpu.map(|time| time.as_millis().to_string()),
        "wall_ms" => limits.wall.map(|time| time.as_millis().to_string()),
        "memory_mib" => limits.memory_bytes.map(|bytes| (bytes >> 20).to_string()),
        "log_kib" => limits.log_bytes.map(|bytes| (bytes >> 10).to_string()),
        "compiled_mib" => limits.compiled_bytes.map(|bytes| (bytes >> 20).to_string()),
        // A test compares this match with the table of keys, so no other key occurs.
        _ => None,
    });
    figure.map_or(MaskedValue::Absent, MaskedValue::Bare)
}

fn mask_secret(value: Option<&Secret>) -> MaskedValue {
    if value.is_some() { MaskedValue::Masked } else { MaskedValue::Absent }
}

/// A basic string of TOML.
fn quote_text(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            sign if sign.is_control() => push_value(&mut out, format_args!("\\u{:04X}", u32::from(sign))),
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}

/// Writing to a `String` cannot fail.
fn push_value(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
