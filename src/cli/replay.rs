//! `kabar replay`: has a running server read webhooks again, out of files or out of its own store.
//!
//! Invariant: a webhook is sent byte for byte as the file has it, because the server knows repeated values by their
//! bytes.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use serde_json::{Deserializer, Value};

use super::api_client::ApiClient;
use super::operator::OperatorRemote;

/// `kabar replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    remote: OperatorRemote,
    /// Files of webhooks as WhatsApp sent them: one JSON object, an array of them, or one after the other, as in a
    /// log with a webhook per line.
    #[arg(required_unless_present = "stored", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read what the server has kept of a number, by Meta's id of it, instead of files or after them.
    #[arg(long, value_name = "PHONE_NUMBER_ID")]
    stored: Option<String>,
}

/// Outcome of the webhooks of one file.
#[derive(Debug, Default)]
struct ReplayCounts {
    webhooks: u64,
    items: u64,
    skipped: u64,
}

/// Runs `kabar replay`.
///
/// # Errors
/// If a file cannot be read, or the server cannot be reached or refuses a webhook. What was sent before is taken in,
/// and may be sent again.
pub async fn run_replay(args: ReplayArgs) -> anyhow::Result<()> {
    let api = args.remote.api_client();
    for file in &args.files {
        let counts = replay_file(&api, file).await?;
        let ReplayCounts { webhooks, items, skipped } = counts;
        writeln!(
            std::io::stdout(),
            "{}: {webhooks} webhooks, {items} items read, {skipped} skipped",
            file.display()
        )
        .context("cannot write to standard output")?;
    }
    if let Some(number) = &args.stored {
        let ReplayCounts { items, skipped, .. } = replay_stored(&api, number).await?;
        writeln!(std::io::stdout(), "{number}: {items} stored items read, {skipped} skipped")
            .context("cannot write to standard output")?;
    }
    Ok(())
}

/// Has all stored items of a number read, page after page.
async fn replay_stored(api: &ApiClient<'_>, number: &str) -> anyhow::Result<ReplayCounts> {
    let mut counts = ReplayCounts::default();
    let mut cursor = None::<String>;
    loop {
        let mut request = api.build_request(Method::POST, &format!("accounts/{number}/ingest"));
        if let Some(cursor) = &cursor {
            request = request.query(&[("cursor", cursor)]);
        }
        let answer = api.read_data(request).await?;
        counts.add_answer(&answer);
        cursor = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(counts);
        }
    }
}

impl ReplayCounts {
    fn add_answer(&mut self, answer: &Value) {
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.items += count("items");
        self.skipped += count("skipped");
    }
}

async fn replay_file(api: &ApiClient<'_>, file: &Path) -> anyhow::Result<ReplayCounts> {
    let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut counts = ReplayCounts::default();
    // Document by document: a log of webhooks may be larger than the memory.
    for document in Deserializer::from_reader(BufReader::new(opened)).into_iter::<Box<RawValue>>() {
        let nth = counts.webhooks + 1;
        let place = || format!("{}, webhook {nth}", file.display());
        let document = document.with_context(place)?;
        for webhook in split_array(document).with_context(place)? {
            let nth = counts.webhooks + 1;
            let answer = replay_webhook(api, webhook.get()).await;
            let answer = answer.with_context(|| format!("{}, webhook {nth}", file.display()))?;
            counts.webhooks = nth;
            counts.add_answer(&answer);
        }
    }
    Ok(counts)
}

/// Returns the elements of an array; anything else by itself.
fn split_array(document: Box<RawValue>) -> serde_json::Result<Vec<Box<RawValue>>> {
    if document.get().starts_with('[') { serde_json::from_str(document.get()) } else { Ok(vec![document]) }
}

async fn replay_webhook(api: &ApiClient<'_>, webhook: &str) -> anyhow::Result<Value> {
    let request = api.build_request(Method::POST, "ingest");
    let request = request.header(CONTENT_TYPE, "application/json").body(webhook.to_owned());
    api.read_data(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_webhooks_in_any_of_three_forms() {
        let texts = |file: &str| -> Vec<String> {
            let documents = Deserializer::from_str(file).into_iter::<Box<RawValue>>();
            let webhooks = documents.flat_map(|document| split_array(document.unwrap()).unwrap());
            webhooks.map(|webhook| webhook.get().to_owned()).collect()
        };
        let (one, two) = (r#"{"entry": [1e2]}"#, r#"{"b":2,"a":"\/"}"#);
        assert_eq!(texts(one), [one], "bytes stay as they are");
        assert_eq!(texts(&format!("{one}\n{two}\n\n{one}")), [one, two, one]);
        assert_eq!(texts(&format!(" [ {one} , {two} ] ")), [one, two]);
        assert!(texts("").is_empty());
    }
}
