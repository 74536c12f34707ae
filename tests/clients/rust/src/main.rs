//! The loop of an integrator, with the client that progenitor makes.
//!
//! Progenitor counts 304 among the answers that have no type: `UnexpectedResponse` with the answer in it.

#[allow(warnings, clippy::all, reason = "generated")]
mod kabar {
    progenitor::generate_api!(spec = "openapi.json", interface = Builder);
}

use chrono::{DateTime, Utc};
use kabar::types::{
    ActivateVersion, ConversationPage, CreatePlugin, Message, MessageStatus, SendMessageBody, SendTemplate,
    SendTemplateMessage, TemplateLanguage,
};
use kabar::{Client, Error};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

struct Inbox {
    client: Client,
    number: String,
    sends: std::cell::Cell<u32>,
}

fn tag(headers: &reqwest::header::HeaderMap) -> Outcome<String> {
    Ok(headers.get("ETag").ok_or("no tag")?.to_str()?.to_owned())
}

impl Inbox {
    async fn send(&self, to: &str) -> Outcome<Message> {
        let language: TemplateLanguage = TemplateLanguage::builder().code("en_US").try_into()?;
        let template: SendTemplate = SendTemplate::builder().name("hello_world").language(language).try_into()?;
        let body: SendTemplateMessage = SendTemplateMessage::builder()
            .messaging_product(kabar::types::MessagingProduct::Whatsapp)
            .to(Some(to.to_owned()))
            .type_("template".parse::<kabar::types::SendTemplateMessageType>()?)
            .template(template)
            .try_into()?;
        self.sends.set(self.sends.get() + 1);
        let key = format!("rust-{}-{}", std::process::id(), self.sends.get());
        let call = self.client.send_message().phone_number_id(self.number.as_str()).idempotency_key(key);
        Ok(call.body(SendMessageBody::from(body)).send().await?.into_inner().data)
    }

    async fn page(&self, limit: u32, cursor: Option<String>) -> Outcome<ConversationPage> {
        let mut call = self.client.list_conversations().phone_number_id(self.number.as_str()).limit(limit);
        if let Some(cursor) = cursor {
            call = call.cursor(cursor);
        }
        Ok(call.send().await?.into_inner())
    }

    async fn since(&self, instant: DateTime<Utc>) -> Outcome<ConversationPage> {
        let call = self.client.list_conversations().phone_number_id(self.number.as_str()).updated_since(instant);
        Ok(call.send().await?.into_inner())
    }

    /// Follows a message until it has arrived.
    async fn awaited(&self, id: &str) -> Outcome<Message> {
        let first = self.client.get_message().phone_number_id(self.number.as_str()).message_id(id).send().await?;
        let (mut known, mut message) = (tag(first.headers())?, first.into_inner().data);
        while !matches!(message.status, MessageStatus::Delivered | MessageStatus::Read) {
            assert_ne!(message.status, MessageStatus::Failed);
            let call = self.client.get_message().phone_number_id(self.number.as_str()).message_id(id);
            match call.if_none_match(&known).prefer("wait=20").send().await {
                Ok(changed) => (known, message) = (tag(changed.headers())?, changed.into_inner().data),
                Err(Error::UnexpectedResponse(answer)) if answer.status() == 304 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(message)
    }
}

/// Makes a plugin of a component, lets it run, and takes it away.
async fn upload(client: &Client, component: Vec<u8>) -> Outcome<()> {
    let named: CreatePlugin = CreatePlugin::builder().name("rust").try_into()?;
    let plugin = client.create_plugin().body(named).send().await?.into_inner().data.id;
    let size = component.len();
    let call = client.upload_plugin_version().plugin_id(plugin.as_str()).body(component);
    let version = call.send().await?.into_inner().data;
    assert_eq!(u64::try_from(version.size)?, u64::try_from(size)?);
    let which: ActivateVersion = ActivateVersion::builder().version_id(version.id.as_str()).try_into()?;
    let active = client.activate_plugin_version().plugin_id(plugin.as_str()).body(which).send().await?;
    let active = active.into_inner().data.active_version_id;
    assert_eq!(active.map(|id| id.to_string()), Some(version.id.to_string()));
    client.delete_plugin().plugin_id(plugin.as_str()).send().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let var = |name: &str| std::env::var(name);
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("Authorization", format!("Bearer {}", var("KABAR_KEY")?).parse()?);
    let http = reqwest::Client::builder().default_headers(headers).build()?;
    let client = Client::new_with_client(&var("KABAR_URL")?, http);
    let inbox = Inbox { client, number: var("KABAR_NUMBER")?, sends: 0.into() };
    let recipients = var("KABAR_RECIPIENTS")?;
    let recipients: Vec<&str> = recipients.split(',').collect();

    for to in &recipients {
        assert_eq!(inbox.send(to).await?.status, MessageStatus::Pending);
    }
    println!("ok send");

    let mut page = inbox.page(2, None).await?;
    assert!(page.data.len() == 2 && page.has_more && page.request_id.starts_with("req_"));
    println!("ok list");

    let mut rows = page.data;
    while let Some(cursor) = page.next_cursor.take() {
        page = inbox.page(2, Some(cursor.to_string())).await?;
        rows.append(&mut page.data);
    }
    let ids: std::collections::HashSet<_> = rows.iter().map(|row| row.id.to_string()).collect();
    assert!(ids.len() == rows.len() && rows.len() >= recipients.len());
    println!("ok page");

    let newest = rows.iter().map(|row| row.updated_at).max().ok_or("no rows")?;
    assert!(inbox.since(newest).await?.data.is_empty());
    let again = inbox.send(recipients[0]).await?;
    let delta = inbox.since(newest).await?.data;
    assert!(delta.len() == 1 && delta[0].id.to_string() == again.conversation_id.to_string());
    println!("ok delta");

    inbox.awaited(&again.id).await?;
    println!("ok status");

    let get = || {
        let call = inbox.client.get_conversation().phone_number_id(inbox.number.as_str());
        call.conversation_id(again.conversation_id.as_str())
    };
    let known = tag(get().send().await?.headers())?;
    match get().if_none_match(known).send().await {
        Err(Error::UnexpectedResponse(answer)) => assert_eq!(answer.status(), 304),
        other => return Err(format!("not 304: {other:?}").into()),
    }
    println!("ok unchanged");

    let unknown = inbox.client.get_message().phone_number_id(inbox.number.as_str());
    match unknown.message_id("msg_00000000000000000000000000").send().await {
        Err(Error::ErrorResponse(refusal)) => {
            assert_eq!((refusal.status().as_u16(), refusal.error.code.as_str()), (404, "resource_not_found"));
            let id = refusal.headers().get("X-Request-Id").ok_or("no id")?;
            assert_eq!(id.to_str()?, refusal.error.request_id);
        }
        other => return Err(format!("no refusal: {other:?}").into()),
    }
    println!("ok error");

    upload(&inbox.client, std::fs::read(var("KABAR_COMPONENT")?)?).await?;
    println!("ok upload");
    Ok(())
}
