//! `kabar plugin deploy|logs|runs|rollback`: thin clients of the API, with an organisation's key.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::api_client::ApiClient;

/// Address of the server, and the key of the organisation with the plugins.
#[derive(Debug, Args)]
pub(super) struct PluginRemote {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// API key of the organisation.
    #[arg(long, env = "KABAR_API_KEY", hide_env_values = true, value_name = "KEY")]
    key: String,
}

/// Upload a component and let it run.
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    #[command(flatten)]
    remote: PluginRemote,
    /// The component, as `kabar plugin build` leaves it.
    component: PathBuf,
    /// Name of the plugin, which is created if it does not exist; the component's file name when absent.
    #[arg(long)]
    name: Option<String>,
    /// Types of events that it gets, separated by commas.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    events: Option<Vec<String>>,
    /// A setting, e.g. `--setting template=sorry`. Given once or more, they replace all.
    #[arg(long = "setting", value_name = "KEY=VALUE", value_parser = parse_pair)]
    entries: Vec<(String, String)>,
    /// A secret; others stay.
    #[arg(long = "secret", value_name = "KEY=VALUE", value_parser = parse_pair)]
    secrets: Vec<(String, String)>,
    /// A host that it may call. Given once or more, they replace all.
    #[arg(long = "allow-host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Upload only; activate it later.
    #[arg(long)]
    no_activate: bool,
}

/// Show log lines of a plugin, oldest first.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    remote: PluginRemote,
    /// Name or id (`plg_…`) of the plugin.
    plugin: String,
    /// Only of this run (`run_…`).
    #[arg(long)]
    run: Option<String>,
    /// Number of attempts to show, 1 to 100.
    #[arg(long, default_value_t = 25)]
    limit: u8,
}

/// Show runs of a plugin with their outcomes, newest first.
#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    #[command(flatten)]
    remote: PluginRemote,
    /// Name or id (`plg_…`) of the plugin.
    plugin: String,
    /// Only pending, succeeded, failed or dead ones.
    #[arg(long)]
    status: Option<String>,
    /// Runs to show, 1 to 100.
    #[arg(long, default_value_t = 25)]
    limit: u8,
}

/// Activate the previous version again.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    remote: PluginRemote,
    /// Name or id (`plg_…`) of the plugin.
    plugin: String,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn print_line(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

fn text_member<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

impl PluginRemote {
    fn api_client(&self) -> ApiClient<'_> {
        ApiClient::new(&self.url, "v1", &self.key)
    }
}

/// Finds the plugin of this name or id.
async fn find_plugin(api: &ApiClient<'_>, named: &str) -> anyhow::Result<Option<Value>> {
    let mut cursor = None::<String>;
    loop {
        let page = api.read_page("plugins", cursor.as_deref()).await?;
        let is_named = |row: &&Value| text_member(row, "id") == named || text_member(row, "name") == named;
        let found: Vec<&Value> = page.rows.iter().filter(is_named).collect();
        match (found.as_slice(), page.next) {
            ([one], _) => return Ok(Some((*one).clone())),
            ([_, _, ..], _) => bail!("several plugins are called {named}; name one by its id"),
            ([], Some(next)) => cursor = Some(next),
            ([], None) => return Ok(None),
        }
    }
}

async fn require_plugin(api: &ApiClient<'_>, named: &str) -> anyhow::Result<Value> {
    find_plugin(api, named).await?.with_context(|| format!("there is no plugin {named}"))
}

async fn activate_version(api: &ApiClient<'_>, plugin: &str, version: &str) -> anyhow::Result<Value> {
    let path = format!("plugins/{plugin}/activate");
    api.read_data(api.build_request(Method::POST, &path).json(&json!({"version_id": version}))).await
}

/// Returns the plugin's fields that the arguments set.
fn given_fields(args: &DeployArgs) -> Map<String, Value> {
    let texts = |pairs: &[(String, String)]| -> Value {
        pairs
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect::<Map<_, _>>()
            .into()
    };
    let mut told = Map::new();
    if let Some(events) = &args.events {
        told.insert("events".to_owned(), json!(events));
    }
    for (key, pairs) in [("config", &args.entries), ("secrets", &args.secrets)] {
        if !pairs.is_empty() {
            told.insert(key.to_owned(), texts(pairs));
        }
    }
    if !args.hosts.is_empty() {
        told.insert("allowed_hosts".to_owned(), json!(args.hosts));
    }
    told
}

/// Runs `kabar plugin deploy`.
///
/// # Errors
/// If the component cannot be read, or the server cannot be reached or refuses.
pub(super) async fn deploy_component(args: DeployArgs) -> anyhow::Result<()> {
    let file = &args.component;
    let wasm = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("plugin");
    let name = args.name.clone().unwrap_or_else(|| stem.to_owned());
    let api = &args.remote.api_client();
    let mut body = given_fields(&args);
    let plugin = match find_plugin(api, &name).await? {
        Some(known) if body.is_empty() => known,
        Some(known) => {
            let path = format!("plugins/{}", text_member(&known, "id"));
            api.read_data(api.build_request(Method::PATCH, &path).json(&body)).await?
        }
        None => {
            body.insert("name".to_owned(), name.clone().into());
            api.read_data(api.build_request(Method::POST, "plugins").json(&body)).await?
        }
    };
    let id = text_member(&plugin, "id");
    let path = format!("plugins/{id}/versions");
    let upload = api.build_request(Method::POST, &path).header("Content-Type", "application/wasm").body(wasm);
    let version = api.read_data(upload).await?;
    let version_id = text_member(&version, "id");
    let compiled = version.get("compile_ms").and_then(Value::as_u64).unwrap_or(0);
    print_line(&format!("{name} ({id}): {version_id} uploaded, compiled in {compiled} ms"))?;
    if args.no_activate {
        return Ok(());
    }
    activate_version(api, id, version_id).await?;
    print_line(&format!(
        "{name} runs {version_id}; see `kabar plugin runs {id}` and `kabar plugin logs {id}`"
    ))
}

/// Runs `kabar plugin logs`.
///
/// # Errors
/// If the server cannot be reached or refuses.
pub(super) async fn print_logs(args: LogsArgs) -> anyhow::Result<()> {
    let api = &args.remote.api_client();
    let plugin = require_plugin(api, &args.plugin).await?;
    let path = format!("plugins/{}/logs", text_member(&plugin, "id"));
    let mut request = api.build_request(Method::GET, &path).query(&[("limit", args.limit)]);
    if let Some(run) = &args.run {
        request = request.query(&[("run_id", run)]);
    }
    let page = api.read_data(request).await?;
    for row in page.as_array().into_iter().flatten().rev() {
        for line in row.get("lines").and_then(Value::as_array).into_iter().flatten() {
            let (at, level, message) =
                (text_member(line, "at"), text_member(line, "level"), text_member(line, "message"));
            print_line(&format!("{at} {level:5} {} {message}", text_member(row, "run_id")))?;
        }
    }
    Ok(())
}

/// Runs `kabar plugin runs`.
///
/// # Errors
/// If the server cannot be reached or refuses.
pub(super) async fn print_runs(args: RunsArgs) -> anyhow::Result<()> {
    let api = &args.remote.api_client();
    let plugin = require_plugin(api, &args.plugin).await?;
    let path = format!("plugins/{}/runs", text_member(&plugin, "id"));
    let mut request = api.build_request(Method::GET, &path).query(&[("limit", args.limit)]);
    if let Some(status) = &args.status {
        request = request.query(&[("status", status)]);
    }
    let (state, reason) = (text_member(&plugin, "status"), text_member(&plugin, "status_reason"));
    if state != "active" {
        print_line(&format!("the plugin is {state}: {reason}"))?;
    }
    for run in api.read_data(request).await?.as_array().into_iter().flatten() {
        let attempt = run.get("attempt").and_then(Value::as_u64).unwrap_or(0);
        let took = run.get("duration_ms").and_then(Value::as_u64).unwrap_or(0);
        let (at, id, status) =
            (text_member(run, "updated_at"), text_member(run, "id"), text_member(run, "status"));
        let (event, error) = (text_member(run, "event_type"), text_member(run, "error"));
        print_line(&format!("{at} {id} {status:9} {event} attempt {attempt}, {took} ms, {error}"))?;
    }
    Ok(())
}

/// Runs `kabar plugin rollback`.
///
/// # Errors
/// If there is no previous version, or the server cannot be reached or refuses.
pub(super) async fn roll_back(args: RollbackArgs) -> anyhow::Result<()> {
    let api = &args.remote.api_client();
    let plugin = require_plugin(api, &args.plugin).await?;
    let id = text_member(&plugin, "id");
    let Some(previous) = plugin.get("previous_version_id").and_then(Value::as_str) else {
        bail!("no version of {} ran before", args.plugin);
    };
    activate_version(api, id, previous).await?;
    print_line(&format!("{} runs {previous} again", text_member(&plugin, "name")))
}
