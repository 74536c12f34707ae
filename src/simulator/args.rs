//! Arguments of `kabar simulate`, and its run.
//!
//! Invariant: every flag sets a field of [`SimulatorOptions`].

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    NetworkFaults, ScriptError, SimulatedNumber, SimulatorCounts, SimulatorOptions, SimulatorScript,
    StatusDelays, WhatsAppSimulator,
};

const RESERVED: &str = "\
Reserved values, to provoke errors:
  A recipient whose last six digits are one of these error numbers fails with it.
    in the answer:          080007 130429 131000 131016 131056 132000 132001 132012 132015 132016
    by a `failed` status:   131026 131047 131049 131050 131052 131053
    e.g. +12025131026 is not on WhatsApp.
  An access token that begins with `expired` is refused with 190.

Configure the server with base URL http://<listen>, the same app secret, and any other token.
Customers have numbers of the range +44 7700 900000 to 900999, which is reserved for fiction.";

/// Run a simulator of WhatsApp's Cloud API.
#[derive(Debug, Args)]
#[command(after_help = RESERVED)]
pub struct SimulateArgs {
    /// Address that the simulator listens on.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: SocketAddr,
    /// URL that webhooks are posted to.
    #[arg(long, default_value = "http://127.0.0.1:8080/webhooks/whatsapp")]
    pub webhook_url: String,
    /// Signature key of the webhooks.
    #[arg(long, value_parser = parse_secret)]
    pub app_secret: Secret,
    /// A business number, as `PHONE_NUMBER_ID:PHONE`; may be repeated.
    #[arg(long = "number", value_parser = parse_number, value_name = "ID:PHONE")]
    pub numbers: Vec<SimulatedNumber>,
    /// Messages that customers write per minute; 0 for none.
    #[arg(long, default_value_t = 12)]
    pub traffic_per_minute: u32,
    /// Share of messages that a customer replies to, in percent.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub reply_percent: u8,
    /// Share of the traffic that is something else than a plain message, in percent: edits, reactions, calls,
    /// echoes of the phone app, notices, news of templates and of the account.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub occasion_percent: u8,
    /// Seed of everything random: 1, or the script's seed, when absent.
    #[arg(long)]
    pub seed: Option<u64>,
    /// A script of timed changes, in TOML (docs/simulator.md).
    #[arg(long, value_name = "FILE", value_parser = load_script)]
    pub script: Option<SimulatorScript>,
    /// Milliseconds from a send to its `sent` status.
    #[arg(long, default_value_t = 150)]
    pub sent_delay_ms: u64,
    /// Milliseconds from `sent` to `delivered`.
    #[arg(long, default_value_t = 600)]
    pub delivered_delay_ms: u64,
    /// Milliseconds from `delivered` to `read`.
    #[arg(long, default_value_t = 3000)]
    pub read_delay_ms: u64,
    /// Treat the last digits of recipients as a plain part of the number, never as an error number.
    #[arg(long)]
    pub no_reserved_recipients: bool,
    /// Network faults.
    #[command(flatten)]
    pub faults: FaultArgs,
}

/// Network faults.
#[derive(Debug, Args)]
pub struct FaultArgs {
    /// Percentage of webhook items that come twice.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub duplicate_percent: u8,
    /// Percentage of webhook items that later ones overtake.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub reorder_percent: u8,
    /// Percentage of accepted sends with a response that breaks off.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub drop_answer_percent: u8,
    /// Percentage of accepted sends with a first status before the response.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub early_status_percent: u8,
    /// Percentage of accepted sends with a late response.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub late_answer_percent: u8,
    /// Milliseconds from the acceptance of a send to its late response.
    #[arg(long, default_value_t = 2000)]
    pub answer_delay_ms: u64,
    /// Items of one webhook at most (a body stays within 3 MB).
    #[arg(long, default_value_t = 1)]
    pub batch_items: usize,
}

impl SimulateArgs {
    fn build_options(&self) -> SimulatorOptions {
        let faults = &self.faults;
        let options = SimulatorOptions {
            traffic_per_minute: self.traffic_per_minute,
            reply_percent: self.reply_percent,
            occasion_percent: self.occasion_percent,
            numbers: self.numbers.clone(),
            status_delay: StatusDelays {
                sent: Duration::from_millis(self.sent_delay_ms),
                delivered: Duration::from_millis(self.delivered_delay_ms),
                read: Duration::from_millis(self.read_delay_ms),
            },
            reserved_recipients: !self.no_reserved_recipients,
            faults: NetworkFaults {
                duplicate_percent: faults.duplicate_percent,
                reorder_percent: faults.reorder_percent,
                drop_answer_percent: faults.drop_answer_percent,
                early_status_percent: faults.early_status_percent,
                late_answer_percent: faults.late_answer_percent,
                answer_delay: Duration::from_millis(faults.answer_delay_ms),
                batch_items_max: faults.batch_items,
            },
            ..SimulatorOptions::new(&self.webhook_url, self.app_secret.clone())
        };
        let options = match &self.script {
            Some(script) => options.with_script(script.clone()),
            None => options,
        };
        SimulatorOptions { seed: self.seed.unwrap_or(options.seed), ..options }
    }
}

/// Runs the simulator until it is stopped, or its script ends.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn run_simulator(args: SimulateArgs, stop: CancellationToken) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let tasks = TaskTracker::new();
    let simulator = WhatsAppSimulator::start(listener, args.build_options(), &tasks, stop.clone())?;
    tracing::info!(base_url = simulator.base_url(), numbers = args.numbers.len(), "WhatsApp is simulated");
    tokio::select! {
        () = stop.cancelled() => {}
        () = simulator.ended() => {
            tracing::info!("the script has ended");
            stop.cancel();
        }
    }
    tasks.close();
    tasks.wait().await;
    let SimulatorCounts { received, accepted, refused, inbound, delivered, given_up, .. } =
        *simulator.counts().borrow();
    tracing::info!(received, accepted, refused, inbound, delivered, given_up, "what was done");
    Ok(())
}

fn parse_secret(text: &str) -> Result<Secret, &'static str> {
    if text.is_empty() { Err("must not be empty: anybody could sign with it") } else { Ok(Secret::new(text)) }
}

fn load_script(path: &str) -> Result<SimulatorScript, ScriptError> {
    SimulatorScript::load_file(Path::new(path))
}

fn parse_number(text: &str) -> Result<SimulatedNumber, String> {
    let (id, phone) = text.split_once(':').ok_or("must be <phone number id>:<phone>")?;
    let phone_number_id = PhoneNumberId::parse(id).ok_or("the phone number id must be 6 to 20 digits")?;
    let phone = Phone::parse(phone).ok_or("the phone must have 7 to 15 digits")?;
    // A business account per number is enough for the simulation.
    Ok(SimulatedNumber { waba_id: format!("9{id}"), phone_number_id, phone })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::meta_errors;
    use super::*;

    #[derive(Parser)]
    enum Cli {
        Simulate(SimulateArgs),
    }

    fn parse(flags: &[&str]) -> Result<SimulateArgs, clap::Error> {
        let Cli::Simulate(args) = Cli::try_parse_from(["kabar", "simulate"].iter().chain(flags))?;
        Ok(args)
    }

    #[test]
    fn flags_become_options() {
        let flags = ["--app-secret", "s3cret", "--number", "100200300400501:+12025550100", "--seed", "9"];
        let args = parse(&flags).unwrap();
        assert!(!format!("{args:?}").contains("s3cret"));
        let options = args.build_options();
        assert_eq!((options.seed, options.numbers.len(), options.reserved_recipients), (9, 1, true));
        assert_eq!(options.numbers[0].phone.as_digits(), "12025550100");
        assert_eq!(
            (options.faults, options.status_delay),
            (NetworkFaults::default(), StatusDelays::default())
        );
    }

    #[test]
    fn unusable_flags_are_refused() {
        for flags in [
            &[][..],
            &["--app-secret", ""],
            &["--app-secret", "s", "--number", "100200300400501"],
            &["--app-secret", "s", "--number", "12:+12025550100"],
            &["--app-secret", "s", "--number", "100200300400501:12"],
            &["--app-secret", "s", "--duplicate-percent", "101"],
        ] {
            assert!(parse(flags).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn the_help_names_every_reserved_number() {
        Cli::command().debug_assert();
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("simulate").unwrap().render_long_help().to_string();
        for known in meta_errors::KNOWN {
            assert!(help.contains(&format!("{:06}", known.code)), "{}", known.code);
        }
    }
}
