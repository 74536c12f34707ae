//! Whom a hook may call: names of hosts, or of everything below a domain.

use std::sync::Arc;

/// Hosts that a hook may call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Arc<str>>);

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a host: give a name such as hooks.example.com, *.example.com, or host:port")]
pub struct NotAHost {
    /// What was given.
    pub text: Arc<str>,
}

const NAME_BYTES_MAX: usize = 253;

fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = match name.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        Some(_) => return false,
        None => name,
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_label)
}

impl AllowedHosts {
    /// Reads names of hosts: `hooks.example.com`, `*.example.com` for everything below it, either
    /// with `:port` where that is not the scheme's own.
    ///
    /// # Errors
    /// The first text that is none.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NotAHost> {
        let read = |text: T| {
            let text = text.as_ref();
            if is_host(text) {
                Ok(text.to_ascii_lowercase().into())
            } else {
                Err(NotAHost { text: text.into() })
            }
        };
        texts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether nobody may be called.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether this host may be called; `authority` is a URL's, without user or password.
    #[must_use]
    pub fn permit(&self, authority: &str) -> bool {
        let authority = authority.to_ascii_lowercase();
        self.iter().any(|known| match known.strip_prefix('*') {
            Some(domain) => authority.strip_suffix(domain).is_some_and(|label| !label.is_empty()),
            None => authority == known,
        })
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
            assert!(hosts.permit(one), "{one}");
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
            assert!(!hosts.permit(one), "{one}");
        }
        for text in [
            "",
            "*",
            "*.",
            "https://a.example",
            "a.example/x",
            "a b",
            "a.example:",
            "a.example:99999",
            "a..b",
        ] {
            assert!(AllowedHosts::parse([text]).is_err(), "{text}");
        }
    }
}
