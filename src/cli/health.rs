//! `kabar health`: asks the server of these settings if it is ready. For health checks of containers without
//! a shell or another client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Longest wait; more than the server needs to find that its database is unavailable.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the server at this address.
///
/// # Errors
/// If it does not answer, or is not ready.
pub async fn run(listen: SocketAddr) -> anyhow::Result<()> {
    let url = format!("http://{}/readyz", reached_at(listen));
    let client = reqwest::Client::builder().no_proxy().timeout(WAIT_TIMEOUT).build()?;
    let answer = client.get(&url).send().await.with_context(|| format!("{url} does not answer"))?;
    if !answer.status().is_success() {
        bail!("not ready: {} {}", answer.status().as_u16(), answer.text().await.unwrap_or_default());
    }
    Ok(())
}

/// Returns the address to connect to: loopback for a server that listens on every address.
const fn reached_at(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_on_this_machine() {
        for (listen, reached) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.5:9000", "10.0.0.5:9000"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reached_at(listen.parse().unwrap()).to_string(), reached);
        }
    }
}
