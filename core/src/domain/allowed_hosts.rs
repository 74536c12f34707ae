//! Allowlist of hosts that a hook may call: host names, or all names below a domain.

use std::sync::Arc;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 253;
/// Bytes between two dots of a name.
const LABEL_BYTES: std::ops::RangeInclusive<usize> = 1..=63;

/// A host as a plugin names it, in lower case: a name or an address, or `*.` and a domain for all names below
/// it. A port follows unless it is the scheme's default.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern(Arc<str>);

impl HostPattern {
    /// Reads `hooks.example.com`, `*.example.com`, `127.0.0.1:9000`; the case does not matter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let name = match name.rsplit_once(':') {
            Some((name, port)) => port.parse::<u16>().is_ok().then_some(name)?,
            None => name,
        };
        let sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let label = |label: &str| LABEL_BYTES.contains(&label.len()) && label.bytes().all(sign);
        (name.len() <= NAME_BYTES_MAX && name.split('.').all(label)).then(|| Self(text.into()))
    }

    /// Returns the pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` when the pattern matches this host. `authority` is a URL's in lower case, without user
    /// or password.
    fn matches_host(&self, authority: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(domain) => authority.strip_suffix(domain).is_some_and(|label| !label.is_empty()),
            None => *authority == *self.0,
        }
    }
}

/// Hosts that a hook may call. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Arc<[HostPattern]>);

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a host: give a name such as hooks.example.com, *.example.com, or host:port")]
pub struct NotAHost {
    /// The text that was given.
    pub text: Arc<str>,
}

impl FromIterator<HostPattern> for AllowedHosts {
    fn from_iter<I: IntoIterator<Item = HostPattern>>(hosts: I) -> Self {
        Self(hosts.into_iter().collect())
    }
}

impl AllowedHosts {
    /// Parses each text as [`HostPattern::parse`] does.
    ///
    /// # Errors
    /// The first text that names no host.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NotAHost> {
        let read = |text: T| {
            let text = text.as_ref();
            HostPattern::parse(text).ok_or_else(|| NotAHost { text: text.into() })
        };
        texts.into_iter().map(read).collect()
    }

    /// Returns `true` when no host may be called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each pattern, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &HostPattern> {
        self.0.iter()
    }

    /// Returns `true` when this host may be called. `authority` is a URL's, without user or password.
    #[must_use]
    pub fn permits_host(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        self.iter().any(|known| known.matches_host(&authority))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_exactly_or_by_their_domain() {
        let hosts = AllowedHosts::parse(["Hooks.example.com", "*.chat.example", "127.0.0.1:9000"]).unwrap();
        for one in
            ["hooks.example.com", "HOOKS.EXAMPLE.COM", "a.chat.example", "a.b.chat.example", "127.0.0.1:9000"]
        {
            assert!(hosts.permits_host(one), "{one}");
        }
        for one in [
            "example.com",
            "chat.example",
            ".chat.example",
            "evilchat.example",
            "hooks.example.com:8443",
            "hooks.example.com.evil.example",
            "127.0.0.1",
            "",
        ] {
            assert!(!hosts.permits_host(one), "{one}");
        }
        let long = "a".repeat(64);
        for text in [
            "",
            ".",
            "*",
            "*.",
            "https://a.example",
            "a.example/x",
            "a b",
            "a.example:",
            "a.example:99999",
            "a..b",
            "a_b",
            "é.example",
            &*long,
        ] {
            assert!(AllowedHosts::parse([text]).is_err(), "{text}");
        }
    }
}
