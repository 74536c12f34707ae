//! `kabar org|key|operator-token|account`: a thin client of the operator API. It prints the JSON of the response.

use std::io::Write as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::api_client::ApiClient;

/// Address of the server, and the credential of its operator API.
#[derive(Debug, Args)]
pub(super) struct OperatorRemote {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// Operator token of the server.
    #[arg(long, env = "KABAR_OPERATOR_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
}

/// `kabar org`.
#[derive(Debug, Args)]
pub struct OrgArgs {
    #[command(flatten)]
    remote: OperatorRemote,
    #[command(subcommand)]
    command: OrgCommand,
}

#[derive(Debug, Subcommand)]
enum OrgCommand {
    /// List organisations.
    List,
    /// Create an organisation.
    Create {
        /// Its name.
        name: String,
        /// free, pro or enterprise.
        #[arg(long, default_value = "free")]
        tier: String,
        /// Its keys are test keys.
        #[arg(long)]
        sandbox: bool,
    },
    /// Stop an organisation: every call of it is refused, and its webhooks, hooks and sends stand still.
    Suspend {
        /// `org_…`.
        id: String,
    },
    /// Let a suspended organisation go on.
    Resume {
        /// `org_…`.
        id: String,
    },
}

/// `kabar key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    remote: OperatorRemote,
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// List an organisation's keys.
    List {
        /// `org_…`.
        org: String,
    },
    /// Create a key; its secret is shown only now.
    Create {
        /// `org_…`.
        org: String,
        /// Purpose of the key.
        label: String,
        /// read, write, plugins or webhooks; may be given several times. All of them when absent.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// RFC 3339 instant from which it is refused.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Revoke a key, for its very next request.
    Revoke {
        /// `key_…`.
        key: String,
    },
}

/// `kabar operator-token`.
#[derive(Debug, Args)]
pub struct OperatorTokenArgs {
    #[command(flatten)]
    remote: OperatorRemote,
    #[command(subcommand)]
    command: OperatorTokenCommand,
}

#[derive(Debug, Subcommand)]
enum OperatorTokenCommand {
    /// List the operator's named tokens.
    List,
    /// Create a token; its secret is shown only now.
    Create {
        /// Name of the person or program that gets it.
        name: String,
        /// read, manage or secrets; may be given several times.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<String>,
        /// RFC 3339 instant from which it is refused.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Revoke a token, for its very next request.
    Revoke {
        /// `opt_…`.
        id: String,
    },
}

/// `kabar account`.
#[derive(Debug, Args)]
pub struct AccountArgs {
    #[command(flatten)]
    remote: OperatorRemote,
    #[command(subcommand)]
    command: AccountSubcommand,
}

#[derive(Debug, Subcommand)]
enum AccountSubcommand {
    /// Connect a WhatsApp number to an organisation.
    Connect {
        /// `org_…`.
        org: String,
        /// Meta's id of the number.
        phone_number_id: String,
        /// The number, e.g. +6281234567890.
        phone_number: String,
        /// Display name.
        #[arg(long)]
        name: Option<String>,
        /// Meta's id of the WhatsApp Business Account that the number belongs to.
        #[arg(long, value_name = "ID")]
        waba_id: Option<String>,
        /// Token for Meta's API.
        #[arg(long, env = "WHATSAPP_ACCESS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
        access_token: String,
        /// Signature key of its webhooks, where it differs from the server's.
        #[arg(long, env = "WHATSAPP_APP_SECRET", hide_env_values = true, value_name = "SECRET")]
        app_secret: Option<String>,
    },
    /// Change a connected number.
    Set {
        /// Meta's id of the number.
        phone_number_id: String,
        /// connected or disconnected.
        #[arg(long)]
        status: Option<String>,
        /// New token for Meta's API.
        #[arg(long, env = "WHATSAPP_ACCESS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
        access_token: Option<String>,
        /// Send rate, in messages a second.
        #[arg(long, value_name = "N")]
        messages_per_second: Option<u32>,
    },
    /// List accounts in memory, with their state and load.
    Actors,
}

/// Leaves absent values out, so that the server's defaults hold.
fn without_nulls(body: Value) -> Value {
    match body {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => body,
    }
}

impl OperatorRemote {
    pub(super) fn api_client(&self) -> ApiClient<'_> {
        ApiClient::new(&self.url, "admin/v1", &self.token)
    }

    async fn call_api(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<()> {
        let api = self.api_client();
        let mut request = api.build_request(method, path);
        if let Some(body) = body {
            request = request.json(&without_nulls(body));
        }
        // A 204 has no data.
        let data = api.read_data(request).await?;
        if data.is_null() { Ok(()) } else { print_answer(&data) }
    }

    /// Prints a whole list, page after page.
    async fn list_all(&self, path: &str) -> anyhow::Result<()> {
        let api = self.api_client();
        let mut cursor = None::<String>;
        loop {
            let page = api.read_page(path, cursor.as_deref()).await?;
            page.rows.iter().try_for_each(print_answer)?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }
}

fn print_answer(answer: &Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{answer:#}").context("cannot write to standard output")
}

/// Runs `kabar org`.
///
/// # Errors
/// If the server cannot be reached or refuses.
pub async fn run_org(args: OrgArgs) -> anyhow::Result<()> {
    let remote = args.remote;
    match args.command {
        OrgCommand::List => remote.list_all("organizations").await,
        OrgCommand::Create { name, tier, sandbox } => {
            let body = json!({"name": name, "tier": tier, "sandbox": sandbox});
            remote.call_api(Method::POST, "organizations", Some(body)).await
        }
        OrgCommand::Suspend { id } => {
            remote
                .call_api(Method::PATCH, &format!("organizations/{id}"), Some(json!({"suspended": true})))
                .await
        }
        OrgCommand::Resume { id } => {
            remote
                .call_api(Method::PATCH, &format!("organizations/{id}"), Some(json!({"suspended": false})))
                .await
        }
    }
}

/// Runs `kabar key`.
///
/// # Errors
/// If the server cannot be reached or refuses.
pub async fn run_key(args: KeyArgs) -> anyhow::Result<()> {
    let remote = args.remote;
    match args.command {
        KeyCommand::List { org } => remote.list_all(&format!("organizations/{org}/api_keys")).await,
        KeyCommand::Create { org, label, scopes, expires_at } => {
            let scopes = (!scopes.is_empty()).then_some(scopes);
            let body = json!({"label": label, "scopes": scopes, "expires_at": expires_at});
            remote.call_api(Method::POST, &format!("organizations/{org}/api_keys"), Some(body)).await
        }
        KeyCommand::Revoke { key } => remote.call_api(Method::DELETE, &format!("api_keys/{key}"), None).await,
    }
}

/// Runs `kabar operator-token`.
///
/// # Errors
/// If the server cannot be reached or refuses.
pub async fn run_operator_token(args: OperatorTokenArgs) -> anyhow::Result<()> {
    let remote = args.remote;
    match args.command {
        OperatorTokenCommand::List => remote.list_all("operator_tokens").await,
        OperatorTokenCommand::Create { name, scopes, expires_at } => {
            let body = json!({"name": name, "scopes": scopes, "expires_at": expires_at});
            remote.call_api(Method::POST, "operator_tokens", Some(body)).await
        }
        OperatorTokenCommand::Revoke { id } => {
            remote.call_api(Method::DELETE, &format!("operator_tokens/{id}"), None).await
        }
    }
}

/// Runs `kabar account`.
///
/// # Errors
/// If the server cannot be reached or refuses.
pub async fn run_account(args: AccountArgs) -> anyhow::Result<()> {
    let remote = args.remote;
    match args.command {
        AccountSubcommand::Connect {
            org,
            phone_number_id,
            phone_number,
            name,
            waba_id,
            access_token,
            app_secret,
        } => {
            let body = json!({
                "phone_number_id": phone_number_id, "phone_number": phone_number, "name": name,
                "waba_id": waba_id, "access_token": access_token, "app_secret": app_secret,
            });
            remote.call_api(Method::POST, &format!("organizations/{org}/accounts"), Some(body)).await
        }
        AccountSubcommand::Set { phone_number_id, status, access_token, messages_per_second } => {
            let body = json!({
                "status": status, "access_token": access_token, "messages_per_second": messages_per_second,
            });
            remote.call_api(Method::PATCH, &format!("accounts/{phone_number_id}"), Some(body)).await
        }
        AccountSubcommand::Actors => remote.list_all("actors").await,
    }
}
