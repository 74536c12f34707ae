//! The world that clients act in: an organisation, its accounts, contacts, subscriptions and a hook.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};

use super::WorkloadOptions;
use super::session::{Client, Session};
use crate::cluster::Cluster;
use crate::history::{InboundItem, Write};
use crate::http_client::{Answer, Ask};
use crate::kabar_server::OPERATOR_TOKEN;
use crate::webhook_receiver::WebhookReceiver;
use crate::whatsapp_client::WhatsAppClient;

/// An account that everything happens in.
#[derive(Debug, Default)]
pub struct HotAccount {
    /// Its `phone_number_id`.
    pub id: String,
    /// Contacts: id, number.
    pub contacts: Mutex<Vec<(String, String)>>,
    /// Conversations.
    pub conversations: Mutex<Vec<String>>,
    /// Newest messages.
    pub messages: Mutex<VecDeque<String>>,
    /// Newest messages that came in: wamid, number.
    pub inbound: Mutex<VecDeque<(String, String)>>,
}

impl HotAccount {
    /// Remembers a message for those who read single ones.
    pub fn remember_message(&self, id: &str) {
        let mut messages = self.messages.lock().unwrap();
        messages.push_back(id.to_owned());
        if messages.len() > 12 {
            messages.pop_front();
        }
    }
}

/// An account that is asked for now and then.
#[derive(Debug)]
pub struct ColdAccount {
    /// Its `phone_number_id`.
    pub id: String,
    /// Its one contact.
    pub contact: String,
}

/// What clients act in.
#[derive(Debug)]
pub struct World {
    /// The organisation.
    pub organisation: String,
    /// Its key.
    pub key: String,
    /// Users to assign conversations to.
    pub users: Vec<String>,
    /// Hot accounts.
    pub accounts: Vec<HotAccount>,
    /// Cold accounts.
    pub cold: Vec<ColdAccount>,
    /// Webhook subscriptions: id, name in their address.
    pub subscriptions: Vec<(String, String)>,
    /// Where the receiver is reached.
    pub receiver: String,
    /// What came there.
    pub deliveries: WebhookReceiver,
    /// The hook's plugin, if there is one.
    pub plugin: Option<String>,
    /// WhatsApp.
    pub whatsapp: WhatsAppClient,
}

/// Contacts of each hot account in the beginning.
const CONTACTS: usize = 10;

/// The number of a contact.
pub fn phone(account: usize, nth: usize) -> String {
    format!("62812{account:02}{nth:06}")
}

impl World {
    /// Makes it. Operators and owners meet no fault yet, so each step must succeed.
    pub async fn set_up(
        cluster: &Cluster,
        session: &Session,
        options: &WorkloadOptions,
        hook: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut client = session.client(options.seed, 0);
        let body = json!({"name": "Checker", "tier": "enterprise", "write_per_minute": 10_000_000,
            "read_per_minute": 10_000_000});
        let organisation = created(&mut client, OPERATOR_TOKEN, "/admin/v1/organizations", &body).await?;
        let organisation = text(&organisation["id"]);
        let root = format!("/admin/v1/organizations/{organisation}");
        let key =
            created(&mut client, OPERATOR_TOKEN, &format!("{root}/api_keys"), &json!({"label": "k"})).await?;
        let key = text(&key["key"]);
        let mut users = Vec::new();
        for nth in 0..3 {
            let body = json!({"name": format!("U{nth}")});
            users.push(text(
                &created(&mut client, OPERATOR_TOKEN, &format!("{root}/users"), &body).await?["id"],
            ));
        }
        let mut world = Self {
            organisation,
            key,
            users,
            accounts: Vec::new(),
            cold: Vec::new(),
            subscriptions: Vec::new(),
            receiver: format!("http://{}", cluster.receiver_address),
            deliveries: cluster.receiver.clone(),
            plugin: None,
            whatsapp: cluster.whatsapp.clone(),
        };
        for nth in 0..options.accounts + options.cold_accounts {
            let id = format!("1002003004{nth:05}");
            let body = json!({"phone_number_id": id, "phone_number": format!("+1202556{nth:04}"),
                "access_token": "EAAG"});
            created(&mut client, OPERATOR_TOKEN, &format!("{root}/accounts"), &body).await?;
            if nth < options.accounts {
                world.accounts.push(HotAccount { id, ..HotAccount::default() });
            } else {
                world.cold.push(ColdAccount { id, contact: String::new() });
            }
        }
        world.subscribe(cluster, &mut client).await?;
        world.fill_accounts(&mut client).await?;
        if let Some(hook) = hook {
            world.plugin = Some(world.deploy_hook(&mut client, hook).await?);
        }
        Ok(world)
    }

    async fn subscribe(&mut self, cluster: &Cluster, client: &mut Client) -> anyhow::Result<()> {
        let all = [
            "message.received",
            "message.created",
            "message.sent",
            "message.status",
            "message.status_reported",
            "conversation.created",
            "conversation.assigned",
            "conversation.closed",
            "conversation.updated",
            "contact.created",
            "contact.updated",
        ];
        let body = json!({"url": format!("{}/all", self.receiver), "events": all});
        let made = created(client, &self.key, "/v1/webhook_subscriptions", &body).await?;
        cluster.receiver.add_secret("all", &text(&made["initial_secret"]));
        self.subscriptions.push((text(&made["id"]), "all".to_owned()));
        // One that gets nothing, whose row two owners change at two nodes.
        let body = json!({"url": format!("{}/idle", self.receiver), "events": ["message.received"]});
        let made = created(client, &self.key, "/v1/webhook_subscriptions", &body).await?;
        let idle = text(&made["id"]);
        let path = format!("/v1/webhook_subscriptions/{idle}");
        let paused = json!({"status": "paused", "description": "d0"});
        succeeds(client, "PATCH", &path, &self.key, &paused).await?;
        self.subscriptions.push((idle, "idle".to_owned()));
        Ok(())
    }

    async fn fill_accounts(&mut self, client: &mut Client) -> anyhow::Result<()> {
        for (nth, account) in self.accounts.iter().enumerate() {
            for contact in 0..CONTACTS {
                write_in(&self.whatsapp, client, account, &phone(nth, contact)).await;
            }
            let rows = list(client, &self.key, &account.id, "conversations?limit=100").await?;
            for row in &rows {
                account.conversations.lock().unwrap().push(text(&row["id"]));
                let number = text(&row["contact"]["phone_number"]).trim_start_matches('+').to_owned();
                account.contacts.lock().unwrap().push((text(&row["contact"]["id"]), number));
            }
        }
        let mut cold = std::mem::take(&mut self.cold);
        for (nth, account) in cold.iter_mut().enumerate() {
            let path = format!("/v1/{}/contacts", account.id);
            let (value, number) = (format!("c{}", client.session.unique()), phone(99, nth));
            let body = json!({"phone_number": format!("+{number}"), "name": value});
            let write = Write {
                a: account.id.clone(),
                op: "create_contact".into(),
                on: number,
                v: value,
                ..Write::default()
            };
            let (write, _) = client.write(0, "POST", &path, &self.key, &body, write).await;
            anyhow::ensure!(write.st == 201, "{write:?}");
            account.contact = write.id;
        }
        self.cold = cold;
        Ok(())
    }

    async fn deploy_hook(&self, client: &mut Client, component: &Path) -> anyhow::Result<String> {
        let body = json!({"name": "fallback", "events": ["message.status"],
            "config": {"template": "hello_world", "language": "en_US"}});
        let plugin = text(&created(client, &self.key, "/v1/plugins", &body).await?["id"]);
        let component = std::fs::read(component).with_context(|| component.display().to_string())?;
        let ask = Ask {
            method: "POST",
            path: &format!("/v1/plugins/{plugin}/versions"),
            token: &self.key,
            headers: &[("Content-Type", "application/wasm")],
            body: Some(Bytes::from(component)),
        };
        let answer = client.ask(0, &ask).await.context("no answer to the upload")?;
        let version = checked(&answer)?;
        let body = json!({"version_id": version["id"]});
        succeeds(client, "POST", &format!("/v1/plugins/{plugin}/activate"), &self.key, &body).await?;
        Ok(plugin)
    }
}

/// A contact writes; the message is remembered.
pub async fn write_in(
    whatsapp: &WhatsAppClient,
    client: &mut Client,
    account: &HotAccount,
    from: &str,
) -> bool {
    let value = client.session.unique();
    let wamid = format!("wamid.IN{value}");
    let item = InboundItem {
        a: account.id.clone(),
        what: "message".to_owned(),
        wamid: wamid.clone(),
        from: from.to_owned(),
        text: format!("i{value}"),
        ..InboundItem::default()
    };
    let node = client.any_node();
    whatsapp.add_open();
    let taken = whatsapp.deliver(&item, node).await;
    let mut inbound = account.inbound.lock().unwrap();
    inbound.push_back((wamid, from.to_owned()));
    if inbound.len() > 30 {
        inbound.pop_front();
    }
    taken
}

async fn list(client: &mut Client, key: &str, account: &str, query: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/v1/{account}/{query}");
    let answer = client.ask(0, &Ask { path: &path, token: key, ..Ask::default() }).await;
    let data = checked(&answer.context("no answer")?)?;
    Ok(data.as_array().cloned().unwrap_or_default())
}

async fn created(client: &mut Client, token: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    succeeds(client, "POST", path, token, body).await
}

async fn succeeds(
    client: &mut Client,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> anyhow::Result<Value> {
    let body = Some(Bytes::from(body.to_string()));
    let answer = client.ask(0, &Ask { method, path, token, body, ..Ask::default() }).await;
    checked(&answer.with_context(|| format!("no answer to {method} {path}"))?)
}

fn checked(answer: &Answer) -> anyhow::Result<Value> {
    let text = String::from_utf8_lossy(&answer.body);
    anyhow::ensure!((200..300).contains(&answer.status), "{}: {text}", answer.status);
    Ok(answer.data())
}

/// The text of a value, or nothing.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
