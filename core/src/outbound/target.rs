//! Target of a request: a URL that has been checked and may be called on behalf of a tenant.
//!
//! Invariants: the holder of an [`OutboundTarget`] need not check the text again. Texts that the parser would
//! correct (odd spellings of addresses, white space, backslashes) are refused, so that a human and this
//! server read the same URL. A name that resolves to a closed address is detected only by its resolution, at
//! every attempt.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::uri::PathAndQuery;
use reqwest::Url;

use super::closed_addresses;

/// Characters of a URL, at most, as browsers and proxies accept.
const CHARS_MAX: usize = 2048;
/// Ports above 1023 at which no browser expects HTTP, because another protocol uses them (WHATWG Fetch, "bad
/// port"). Below 1024 only 80 and 443 are open.
const OTHER_PROTOCOLS: [u16; 18] = [
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6697,
    10080,
];
/// Names of cloud metadata services, and suffixes that belong to no public zone (RFC 6761, 6762, 8375).
const PRIVATE_SUFFIXES: [&str; 7] =
    ["internal", "local", "localdomain", "home.arpa", "lan", "intranet", "onion"];

/// Reason for which a URL cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetRefusal {
    /// Not a URL, or one that would have to be guessed.
    #[error("must be a complete URL of at most {CHARS_MAX} characters, without spaces or backslashes")]
    Malformed,
    /// Not https.
    #[error("must begin with https://")]
    Scheme,
    /// A name or a password before the host.
    #[error("must not hold a user name or a password")]
    Credentials,
    /// Text after a `#`.
    #[error("must not have a fragment")]
    Fragment,
    /// A port of another protocol.
    #[error("must use port 443, 80, or one from 1024 on at which no other protocol lives")]
    Port,
    /// An address that must not be called, or in an unusual spelling.
    #[error("must not lead to an address that is {0}")]
    Address(&'static str),
    /// A name of no public zone.
    #[error("must have a host that is known in the public DNS")]
    Name,
}

/// The host of a [`OutboundTarget`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum TargetHost {
    Name(Arc<str>),
    Address(IpAddr),
}

/// A checked URL: scheme, host, port and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundTarget {
    pub(super) secure: bool,
    pub(super) host: TargetHost,
    pub(super) port: u16,
    /// As sent in the `Host` header.
    pub(super) authority: Arc<str>,
    pub(super) path: PathAndQuery,
}

impl OutboundTarget {
    /// Parses a URL. With `allow_loopback`, http and the machine itself are allowed too.
    ///
    /// # Errors
    /// [`TargetRefusal`].
    pub fn parse(text: &str, allow_loopback: bool) -> Result<Self, TargetRefusal> {
        if text.len() > CHARS_MAX
            || text.chars().any(|sign| sign.is_control() || sign.is_whitespace() || sign == '\\')
        {
            return Err(TargetRefusal::Malformed);
        }
        let url = Url::parse(text).or(Err(TargetRefusal::Malformed))?;
        let secure = url.scheme() == "https";
        if !(secure || allow_loopback && url.scheme() == "http") {
            return Err(TargetRefusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() || authority_of(text)?.contains('@') {
            return Err(TargetRefusal::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetRefusal::Fragment);
        }
        let port = url.port_or_known_default().unwrap_or(443);
        if !(port == 80 || port == 443 || port >= 1024) || OTHER_PROTOCOLS.contains(&port) {
            return Err(TargetRefusal::Port);
        }
        let name = url.host_str().ok_or(TargetRefusal::Malformed)?;
        let host = host_of(name, authority_of(text)?, allow_loopback)?;
        let authority = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let path = path.parse().or(Err(TargetRefusal::Malformed))?;
        Ok(Self { secure, host, port, authority: authority.into(), path })
    }

    /// Returns the name or the address, in lower case; an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            TargetHost::Name(name) => name.to_string(),
            TargetHost::Address(address) => address.to_string(),
        }
    }

    /// Returns the port, given or implied.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns `true` for https.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }
}

/// Leaves out path and query, which may hold a secret.
impl fmt::Display for OutboundTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

/// Returns the text between `://` and the path, as it was written.
fn authority_of(text: &str) -> Result<&str, TargetRefusal> {
    let (_, rest) = text.split_once("://").ok_or(TargetRefusal::Malformed)?;
    Ok(rest.split(['/', '?', '#']).next().unwrap_or_default())
}

fn host_of(name: &str, written: &str, allow_loopback: bool) -> Result<TargetHost, TargetRefusal> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        if let Some(what) = closed_addresses::closed_reason(address, allow_loopback) {
            return Err(TargetRefusal::Address(what));
        }
        // 2130706433, 0x7f.1 and 0177.0.0.1 are spellings that circumvent filters.
        let as_written =
            written.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
        if address.is_ipv4() && !as_written {
            return Err(TargetRefusal::Address("oddly spelt"));
        }
        return Ok(TargetHost::Address(address));
    }
    let plain = name.strip_suffix('.').unwrap_or(name);
    let under =
        |zone: &str| plain.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_local = under("localhost");
    if is_local && !allow_loopback {
        return Err(TargetRefusal::Address("loopback"));
    }
    let is_dns = plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let labels = plain.split('.').all(|label| (1..=63).contains(&label.len()));
    if !is_dns || !labels || plain.len() > 253 {
        return Err(TargetRefusal::Name);
    }
    if !is_local && (!plain.contains('.') || PRIVATE_SUFFIXES.iter().any(|zone| under(zone))) {
        return Err(TargetRefusal::Name);
    }
    Ok(TargetHost::Name(plain.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Option<TargetRefusal> {
        OutboundTarget::parse(text, false).err()
    }

    #[test]
    fn ordinary_urls_are_taken_as_they_are() {
        for (text, shown, path) in [
            ("https://example.com", "https://example.com", "/"),
            ("https://EXAMPLE.com/Hook?a=b%20c", "https://example.com", "/Hook?a=b%20c"),
            ("https://example.com:8443/x", "https://example.com:8443", "/x"),
            ("https://example.com:443/x", "https://example.com", "/x"),
            ("https://1.1.1.1/x", "https://1.1.1.1", "/x"),
            ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443", "/"),
            ("https://bücher.example/ü", "https://xn--bcher-kva.example", "/%C3%BC"),
            ("https://a_b.example.com./", "https://a_b.example.com.", "/"),
        ] {
            let target = OutboundTarget::parse(text, false).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((target.to_string().as_str(), target.path.as_str()), (shown, path));
        }
        assert_eq!(OutboundTarget::parse("https://a.example.com./", false).unwrap().host(), "a.example.com");
    }

    #[test]
    fn what_is_no_plain_https_url_is_refused() {
        use TargetRefusal::{Credentials, Fragment, Malformed, Name, Port, Scheme};
        let long = format!("https://example.com/{}", "a".repeat(CHARS_MAX));
        for (text, why) in [
            ("", Malformed),
            ("example.com", Malformed),
            ("/hook", Malformed),
            ("https://", Malformed),
            ("https:///x", Malformed),
            ("https:example.com", Malformed),
            ("https://exa mple.com", Malformed),
            (" https://example.com", Malformed),
            ("https://example.com\n", Malformed),
            ("https://example.com\\@evil.example", Malformed),
            ("https://[::1", Malformed),
            (long.as_str(), Malformed),
            ("http://example.com", Scheme),
            ("ftp://example.com", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://example.com", Scheme),
            ("javascript:alert(1)", Scheme),
            ("https://user@example.com", Credentials),
            ("https://user:pass@example.com", Credentials),
            ("https://:pass@example.com", Credentials),
            ("https://@example.com", Credentials),
            ("https://example.com/#x", Fragment),
            ("https://example.com:0/", Port),
            ("https://example.com:22/", Port),
            ("https://example.com:25/", Port),
            ("https://example.com:6667/", Port),
            ("https://intranet/", Name),
            ("https://metadata/", Name),
            ("https://metadata.google.internal/", Name),
            ("https://METADATA.google.internal./", Name),
            ("https://printer.local/", Name),
            ("https://a..example.com/", Name),
        ] {
            assert!(
                refusal(text) == Some(why) || why == Malformed && refusal(text).is_some(),
                "{text}: {:?}",
                refusal(text)
            );
        }
    }

    #[test]
    fn closed_addresses_are_refused_however_they_are_spelt() {
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://017700000001/",
            "https://127.0.0.1./",
            "https://0/",
            "https://10.0.0.1/",
            "https://192.168.1.1:8443/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00:ec2::254]/",
            "https://[fe80::1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://a.localhost/",
            "https://①②⑦.⓪.⓪.①/",
            "https://127%2e0%2e0%2e1/",
            "https://１２７.0.0.1/",
            // Open, but spelt so that nobody sees what it is.
            "https://134744072/",
            "https://0x08080808/",
            "https://8.8.2056/",
            "https://010.8.8.8/",
        ] {
            assert!(matches!(refusal(text), Some(TargetRefusal::Address(_))), "{text}: {:?}", refusal(text));
        }
    }

    #[test]
    fn the_setting_opens_http_and_loopback() {
        for text in
            ["http://127.0.0.1:9000/x", "http://localhost:9000", "https://[::1]:9000", "http://example.com/"]
        {
            assert!(OutboundTarget::parse(text, true).is_ok(), "{text}");
        }
        for text in [
            "http://10.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://metadata.google.internal/",
            "http://2130706433/",
            "http://u@localhost/",
            "ftp://localhost/",
            "http://169.254.169.254/",
        ] {
            assert!(OutboundTarget::parse(text, true).is_err(), "{text}");
        }
    }
}
