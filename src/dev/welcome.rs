//! The welcome text of `kabar dev`, and the first simulated messages.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use kabar_core::domain::account::Secret;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::sandbox::{DevSandbox, PHONE, PHONE_NUMBER_ID};
use crate::simulator::WhatsAppSimulator;

/// Messages a minute while the empty inbox is filled, and the number of those messages.
const RUSH_PER_MINUTE: u32 = 1200;
const RUSH_MESSAGES: u64 = 12;
/// Longest time for which the inbox is filled.
const RUSH_TIME: Duration = Duration::from_secs(5);

/// Prints the addresses and keys, and three commands to copy.
pub(super) fn print_welcome(
    address: SocketAddr,
    sandbox: &DevSandbox,
    operator: &Secret,
    traffic: u32,
) -> anyhow::Result<()> {
    let base = format!("http://{address}");
    let (key, id) = (sandbox.api_key(), PHONE_NUMBER_ID);
    // Shown on purpose: the developer on this machine needs it.
    let operator = operator.reveal();
    let phone = PHONE;
    let life = match traffic {
        0 => "no simulated customers write in (dev.traffic_per_minute = 0)".to_owned(),
        n => format!("simulated customers write in, about {n} messages a minute"),
    };
    let text = format!(
        r#"
kabar {version} is running; {life}.

  Swagger UI       {base}/docs
  API key          {key}
  Operator token   {operator}
  Sandbox number   {phone} (phone_number_id {id})

List conversations; asked again with the ETag it answers 304, free of charge:

  curl -s -i -H 'Authorization: Bearer {key}' '{base}/v1/{id}/conversations?limit=3'

Send a message and watch it become sent, delivered, read:

  curl -s -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{"messaging_product":"whatsapp","to":"+15550100123","type":"template","template":{{"name":"hello_world","language":{{"code":"en_US"}}}}}}' '{base}/v1/{id}/messages'

Wait for the next change instead of asking again and again:

  curl -s -H 'Authorization: Bearer {key}' -H 'Prefer: wait=30' '{base}/v1/{id}/conversations?updated_since={now}'

Ctrl-C stops. Everything is kept under the data folder and found again.
"#,
        version = env!("CARGO_PKG_VERSION"),
        now = kabar_core::clock::Clock::system_clock().read_now(),
    );
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Fills an empty inbox within a second, then goes on at the configured rate.
pub(super) fn bring_life(
    simulator: &WhatsAppSimulator,
    traffic: u32,
    tasks: &TaskTracker,
    quiet: &CancellationToken,
) {
    if traffic == 0 {
        return;
    }
    let (simulator, quiet) = (simulator.clone(), quiet.clone());
    tasks.spawn(async move {
        let mut counts = simulator.counts();
        simulator.set_traffic(RUSH_PER_MINUTE);
        tokio::select! {
            _enough = counts.wait_for(|counts| counts.inbound >= RUSH_MESSAGES) => {}
            () = tokio::time::sleep(RUSH_TIME) => {}
            () = quiet.cancelled() => return,
        }
        simulator.set_traffic(traffic);
    });
}
