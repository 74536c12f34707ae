//! `kabar secrets`: the keys under which a running server stores secrets, by its operator API.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::operator::OperatorRemote;

/// `kabar secrets`.
#[derive(Debug, Args)]
pub struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// Have all stored secrets encrypted anew under a new key, while the server serves.
    ///
    /// A key file that the server made gets the new key as its first line by itself. To a file of `secrets.key_file`
    /// and to a systemd credential, add the line first, on every node. A rotation that was cut off goes on.
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    remote: OperatorRemote,
    /// File whose first line is the new key (openssl rand -base64 32) instead of a key that the server makes.
    /// Where the operator keeps the key file, it must begin with the same line.
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
}

/// Runs `kabar secrets`.
///
/// # Errors
/// If the file cannot be read, or the server cannot be reached or refuses.
pub async fn run_secrets(args: SecretsArgs) -> anyhow::Result<()> {
    let SecretsCommand::Rotate(args) = args.command;
    let new_key = args.new_key_file.as_deref().map(read_first_line).transpose()?;
    let api = args.remote.api_client();
    let body = new_key.map_or_else(|| json!({}), |key| json!({"new_key": key}));
    let rotated = api.read_data(api.build_request(Method::POST, "secrets/rotate").json(&body)).await?;
    let text = |name: &str| rotated.get(name).and_then(Value::as_str).unwrap_or_default();
    let values = rotated.get("values").and_then(Value::as_u64).unwrap_or_default();
    let older = rotated.get("older_key_ids").and_then(Value::as_array).map_or(0, Vec::len);
    let mut out = std::io::stdout();
    writeln!(out, "All secrets are encrypted under the key {}; {values} values were encrypted anew.", text("key_id"))
        .and_then(|()| writeln!(out, "Back up {} now, apart from the database.", text("key_file")))
        .and_then(|()| match older {
            0 => Ok(()),
            _ => writeln!(
                out,
                "Its older lines ({older}) are needed only for older backups of the database; remove them when there \
                 are none."
            ),
        })
        .context("cannot write to standard output")
}

fn read_first_line(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(line.with_context(|| format!("{} is empty", file.display()))?.to_owned())
}
