//! Valid texts of settings. Pure; a refusal says what to write instead.
//!
//! Invariant: a refusal quotes a value only where it cannot hold a secret. An address may carry a
//! password, so addresses are never quoted.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::ServerMode;
use crate::domain::account::Secret;
use crate::postgres_url::PostgresUrl;

/// Shortest secret of a server in production.
const SECRET_CHARS_MIN: usize = 16;
const APP_SECRETS_MAX: usize = 2;
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Database that holds all durable state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// One file, created when it does not exist.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server. The address may hold a password.
    Postgres(Secret),
}

impl DatabaseUrl {
    /// Reads `sqlite://<path>` or `postgres://<user>:<password>@<host>:<port>/<database>`. The path is taken
    /// as written, without percent decoding. Several hosts may be given, separated by commas.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORMS: &str = "must be sqlite://<path> or postgres://<user>:<password>@<host>/<database>";
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let list = PostgresUrl::parse(text).map_err(|reason| format!("{FORMS}: {reason}"))?;
            for single in list.single_urls() {
                let url = Url::parse(&single).map_err(|error| format!("{FORMS}: {error}"))?;
                if url.fragment().is_some() {
                    return Err(format!("{FORMS}; write a # in the password as %23"));
                }
            }
            return Ok(Self::Postgres(Secret::new(text)));
        }
        let rest = text.strip_prefix("sqlite://").ok_or(FORMS)?;
        // Scripts written for other servers request the creation of the file, which kabar does in any case.
        let path = rest.strip_suffix("?mode=rwc").unwrap_or(rest);
        if path.is_empty() || path.contains('?') || path.contains(":memory:") {
            return Err("must be sqlite:// and the path of a file, without parameters".to_owned());
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }

    /// Returns the file of an embedded database.
    #[must_use]
    pub fn file_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// Returns the whole URL with its password, to open a store with. Must never be shown.
    #[must_use]
    pub fn reveal_url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => url.reveal().to_owned(),
        }
    }
}

/// Leaves out the password and the parameters.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url) => {
                let masked = PostgresUrl::parse(url.reveal()).map(|list| list.masked_url());
                f.write_str(masked.as_deref().unwrap_or("postgres://***"))
            }
        }
    }
}

/// URL of the Redis server that the nodes share. It may hold a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl(Secret);

impl RedisUrl {
    /// Reads `redis://<user>:<password>@<host>:<port>/<number>`, or the same with `rediss` for TLS. All parts
    /// but the host may be absent.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be redis://<user>:<password>@<host>:<port>/<number of the database>, \
                            or the same with rediss:// for TLS";
        let url = Url::parse(text).map_err(|error| format!("{FORM}: {error}"))?;
        if url.fragment().is_some() {
            return Err(format!("{FORM}; write a # in the password as %23"));
        }
        let number = url.path().strip_prefix('/').unwrap_or(url.path());
        let numbered = number.is_empty() || number.parse::<u16>().is_ok();
        let known = matches!(url.scheme(), "redis" | "rediss") && url.query().is_none();
        if !known || !numbered || !url.has_host() || url.host_str() == Some("") {
            return Err(FORM.to_owned());
        }
        Ok(Self(Secret::new(text)))
    }

    /// Returns the whole URL with its password. Must never be shown.
    #[must_use]
    pub fn reveal_url(&self) -> &str {
        self.0.reveal()
    }
}

/// Masks the password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(mut url) = Url::parse(self.0.reveal()) else { return f.write_str("redis://***") };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return f.write_str("redis://***");
        }
        fmt::Display::fmt(&url, f)
    }
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable text.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        [Self::Text, Self::Json]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| format!("must be text or json, got {text:?}"))
    }

    /// Returns the word used in the settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().or(Err(format!("must be an address and a port, like 127.0.0.1:8080, got {text:?}")))
}

/// Checks a secret of the server. A weak one is acceptable on a developer's machine, but not in production.
pub(super) fn secret_for(mode: ServerMode) -> impl FnOnce(&str) -> Result<(), String> {
    move |text| {
        any_secret(text)?;
        if mode == ServerMode::Dev {
            return Ok(());
        }
        if text.len() < SECRET_CHARS_MIN {
            return Err(format!("is too short: at least {SECRET_CHARS_MIN} characters"));
        }
        let mut bytes = text.bytes();
        let first = bytes.next();
        if bytes.all(|byte| Some(byte) == first) {
            return Err("repeats one character: take a random text, as openssl rand -hex 32 makes".to_owned());
        }
        Ok(())
    }
}

/// Checks a secret. Secrets travel in headers and query strings, so they must be visible ASCII.
fn any_secret(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be letters, digits and signs of ASCII, without spaces".to_owned());
    }
    Ok(())
}

/// Reads one app secret, or two that are in force together while Meta changes from one to the other.
pub(super) fn app_secrets_for(mode: ServerMode) -> impl FnOnce(&str) -> Result<Vec<Secret>, String> {
    move |text| {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if parts.len() > APP_SECRETS_MAX {
            return Err("must be one secret, or two separated by a comma".to_owned());
        }
        parts.into_iter().map(|part| secret_for(mode)(part).map(|()| Secret::new(part))).collect()
    }
}

pub(super) fn base_url(text: &str) -> Result<String, String> {
    let refusal = "must be http:// or https:// and a host, without credentials, query or fragment";
    let url = Url::parse(text).or(Err(refusal))?;
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.query().is_some() || url.fragment().is_some() || !is_web(&url) {
        return Err(refusal.to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(super) fn graph_version(text: &str) -> Result<String, String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    if fits.is_some_and(|(major, minor)| digits(major) && digits(minor)) {
        return Ok(text.to_owned());
    }
    Err(format!("must look like v23.0, got {text:?}"))
}

/// Checks the `Origin` that browsers send: scheme, host, and the port unless it is the default one.
pub(super) fn parse_origin(text: &str) -> Result<String, String> {
    let refusal = || format!("must hold origins like https://inbox.example.com, got {text:?}");
    let url = Url::parse(text).or(Err(refusal()))?;
    if is_web(&url) && url.origin().ascii_serialization() == text {
        Ok(text.to_owned())
    } else {
        Err(refusal())
    }
}

/// A level, or `target=level` directives separated by commas.
pub(super) fn parse_level(text: &str) -> Result<String, String> {
    let known = |directive: &str| {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        LEVELS.contains(&level.trim().to_ascii_lowercase().as_str())
    };
    if text.split(',').all(known) {
        return Ok(text.to_owned());
    }
    Err(format!("must be off, error, warn, info, debug or trace, or target=level pairs, got {text:?}"))
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}
