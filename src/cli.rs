//! The command line: its arguments, and the entry point of each command.

mod api_client;
mod health;
mod operator;
mod plugin;
mod replay;
mod secrets;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::simulator::SimulateArgs;

/// Self-hosted WhatsApp Business messaging server: polling that costs next to nothing.
///
/// Without a command it runs `kabar dev`: everything on this machine, nothing to prepare.
///
/// Settings come from kabar.toml, then the environment (KABAR_ and the upper-case path, `__` between
/// levels, e.g. `KABAR_WHATSAPP__APP_SECRET`), then flags; the last one wins. docs/configuration.md
/// lists them all.
#[derive(Debug, Parser)]
#[command(name = "kabar", version, max_term_width = 100)]
pub struct CliArgs {
    /// Settings file; without it, kabar.toml of this folder, if there is one.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one setting, e.g. `--set listen=127.0.0.1:9000`. May be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
    /// Command; `dev` when absent.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

/// Versions of OpenAPI in which the document is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OpenApiVersion {
    /// 3.0.3, which every generator reads.
    #[value(name = "3.0")]
    V30,
    /// 3.1.0.
    #[value(name = "3.1")]
    V31,
}

/// Commands of kabar.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run on this machine with a simulated WhatsApp: SQLite under ./data, a sandbox organisation, a key and
    /// a number made on the first start, and simulated customers.
    Dev,
    /// Run in production. Needs `database_url`, `operator_token`, `whatsapp.app_secret` and
    /// `whatsapp.verify_token`; names the missing ones and exits 2.
    Serve,
    /// Apply the database migrations and exit. `serve` does it too.
    Migrate,
    /// Print the OpenAPI document.
    Openapi {
        /// Version of OpenAPI.
        #[arg(long, value_enum, default_value = "3.0")]
        spec: OpenApiVersion,
        /// YAML instead of JSON.
        #[arg(long)]
        yaml: bool,
    },
    /// Ask the server of these settings if it is ready; exits 0 if it is, else 1. For health checks of containers.
    Health,
    /// Print the settings that `serve` would use, secrets masked; exits 2 if it could not.
    CheckConfig,
    /// Stand in for WhatsApp's Cloud API: takes sends, posts signed webhooks, simulates customers.
    Simulate(SimulateArgs),
    /// Organisations of a running server, by its operator API.
    Org(operator::OrgArgs),
    /// API keys of a running server, by its operator API.
    Key(operator::KeyArgs),
    /// Named tokens of the operator of a running server, by its operator API.
    OperatorToken(operator::OperatorTokenArgs),
    /// WhatsApp numbers of a running server, by its operator API.
    Account(operator::AccountArgs),
    /// Have a running server read webhooks again, by its operator API.
    Replay(replay::ReplayArgs),
    /// Keys under which a running server stores secrets, by its operator API.
    Secrets(secrets::SecretsArgs),
    /// Hooks: create one, build it, test it.
    Plugin(plugin::PluginArgs),
}

impl CliArgs {
    /// Returns `true` for the command of [`run_compiler`], which is run without a runtime.
    #[must_use]
    pub const fn is_compiler(&self) -> bool {
        matches!(&self.command, Some(CliCommand::Plugin(args)) if args.is_compiler())
    }
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

pub use health::run as run_health;
pub use operator::{run_account, run_key, run_operator_token, run_org};
pub use plugin::{COMPILER_ARGUMENTS, run as run_plugin, run_compiler};
pub use replay::run_replay;
pub use secrets::run_secrets;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        CliArgs::command().debug_assert();
        assert!(CliArgs::try_parse_from(["kabar"]).unwrap().command.is_none());
        let cli = CliArgs::try_parse_from(["kabar", "serve", "--set", "listen=127.0.0.1:0"]).unwrap();
        assert_eq!(cli.settings, [("listen".to_owned(), "127.0.0.1:0".to_owned())]);
        assert!(CliArgs::try_parse_from(["kabar", "serve", "--set", "listen"]).is_err());
        let line =
            ["kabar", "plugin", "test", "hook.wasm", "--setting", "a=b", "--secret", "c=d", "--kv", "e=f"];
        assert!(CliArgs::try_parse_from(line).is_ok());
    }
}
