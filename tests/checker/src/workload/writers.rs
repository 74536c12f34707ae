//! Clients that write: every kind of change, at any node, some of them twice or beside each other on purpose.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::session::Client;
use super::setup::{World, phone, text, write_in};
use crate::graph_stub::REFUSED_TEXT;
use crate::history::{Entry, Register, Write};
use crate::http_client::Ask;

/// Contacts that an account has at most, so that one page shows them all.
const CONTACTS_MAX: usize = 70;

/// Writes until writing ends.
pub async fn write(mut client: Client, world: Arc<World>, per_second: f64) {
    let pause = Duration::from_secs_f64(1.0 / per_second.max(0.01));
    while client.session.is_writing() {
        let (node, account) = (client.any_node(), client.any(world.accounts.len()));
        match client.any(100) {
            0..20 => patch_conversation(&mut client, &world, node, account).await,
            20..38 => patch_contact(&mut client, &world, node, account).await,
            38..44 => create_contact(&mut client, &world, node, account).await,
            44..66 => send(&mut client, &world, node, account).await,
            66..70 => duel(&mut client, &world, account).await,
            70..84 => hear(&mut client, &world, account).await,
            84..92 => mark_read(&mut client, &world, node, account).await,
            92..97 => patch_subscription(&mut client, &world, node).await,
            _ => replay(&mut client, &world, node).await,
        }
        let share = 0.5 + client.any(100) as f64 / 100.0;
        tokio::time::sleep(pause.mul_f64(share)).await;
    }
}

fn write_on(world: &World, account: usize, op: &str, on: &str, value: &str) -> Write {
    let a = world.accounts[account].id.clone();
    Write { a, op: op.to_owned(), on: on.to_owned(), v: value.to_owned(), ..Write::default() }
}

async fn patch_conversation(client: &mut Client, world: &World, node: usize, account: usize) {
    let nth = client.any(1000);
    let conversations = world.accounts[account].conversations.lock().unwrap().clone();
    let id = conversations[nth % conversations.len()].clone();
    let status = ["open", "pending", "resolved"][client.any(3)];
    let body = match client.any(3) {
        0 => json!({"status": status}),
        1 => json!({"assigned_to": world.users[nth % world.users.len()]}),
        _ => json!({"status": status, "assigned_to": Value::Null}),
    };
    let path = format!("/v1/{}/conversations/{id}", world.accounts[account].id);
    let write = write_on(world, account, "patch_conversation", &id, &body.to_string());
    client.write(node, "PATCH", &path, &world.key, &body, write).await;
}

fn any_contact(client: &mut Client, world: &World, account: usize) -> (String, String) {
    let nth = client.any(1000);
    let contacts = world.accounts[account].contacts.lock().unwrap();
    contacts[nth % contacts.len()].clone()
}

async fn patch_contact(client: &mut Client, world: &World, node: usize, account: usize) {
    let (id, _) = any_contact(client, world, account);
    let value = format!("n{}", client.session.unique());
    let path = format!("/v1/{}/contacts/{id}", world.accounts[account].id);
    let write = write_on(world, account, "patch_contact", &id, &value);
    client.write(node, "PATCH", &path, &world.key, &json!({"name": value}), write).await;
}

/// A new contact, or one whose number wrote in first: the latter is a conflict, at once.
async fn create_contact(client: &mut Client, world: &World, node: usize, account: usize) {
    let count = world.accounts[account].contacts.lock().unwrap().len();
    let is_new = count < CONTACTS_MAX && client.chance(0.3);
    let number = if is_new {
        phone(account, 1000 + client.session.unique() as usize)
    } else {
        any_contact(client, world, account).1
    };
    let value = format!("n{}", client.session.unique());
    let path = format!("/v1/{}/contacts", world.accounts[account].id);
    let body = json!({"phone_number": format!("+{number}"), "name": value});
    let mut write = write_on(world, account, "create_contact", &number, &value);
    write.key = if client.chance(0.5) { format!("key-{value}") } else { String::new() };
    let (write, _) = client.write(node, "POST", &path, &world.key, &body, write).await;
    if write.st == 201 {
        world.accounts[account].contacts.lock().unwrap().push((write.id, number));
    }
}

fn letter(to: &str, value: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": value}})
}

async fn send(client: &mut Client, world: &World, node: usize, account: usize) {
    let (_, to) = any_contact(client, world, account);
    let unique = client.session.unique();
    let refused = world.plugin.is_some() && client.chance(0.15);
    let value = if refused { format!("{REFUSED_TEXT}{unique}") } else { format!("t{unique}") };
    let path = format!("/v1/{}/messages", world.accounts[account].id);
    let mut write = write_on(world, account, "send", &to, &value);
    write.key = if client.chance(0.6) { format!("key-{value}") } else { String::new() };
    let mut tries = if write.key.is_empty() { 1 } else { 4 };
    let mut node = node;
    // Under a key it is sent again until there is an answer, as a careful client does.
    while tries > 0 {
        let (done, _) =
            client.write(node, "POST", &path, &world.key, &letter(&to, &value), write.clone()).await;
        if done.is_acknowledged() {
            world.accounts[account].remember_message(&done.id);
        }
        if !done.is_unknown() {
            return;
        }
        tries -= 1;
        node = client.any_node();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One key, twice at the same moment: at two nodes, and at times on two accounts.
async fn duel(client: &mut Client, world: &World, account: usize) {
    let (_, to) = any_contact(client, world, account);
    let value = format!("t{}", client.session.unique());
    let other = if client.chance(0.5) { account } else { client.any(world.accounts.len()) };
    let to_other = if other == account { to.clone() } else { any_contact(client, world, other).1 };
    let nodes = [client.any_node(), client.any_node()];
    let mut second = client.session.client(client.session.unique(), client.number);
    let mut write = write_on(world, account, "send", &to, &value);
    write.key = format!("key-{value}");
    let mut write_other = write_on(world, other, "send", &to_other, &value);
    write_other.key.clone_from(&write.key);
    let (path, path_other) = (
        format!("/v1/{}/messages", world.accounts[account].id),
        format!("/v1/{}/messages", world.accounts[other].id),
    );
    let (body, body_other) = (letter(&to, &value), letter(&to_other, &value));
    tokio::join!(
        client.write(nodes[0], "POST", &path, &world.key, &body, write),
        second.write(nodes[1], "POST", &path_other, &world.key, &body_other, write_other),
    );
}

async fn hear(client: &mut Client, world: &World, account: usize) {
    let (_, from) = any_contact(client, world, account);
    let whatsapp = world.whatsapp.clone();
    if client.chance(0.4) {
        // The message and its mark go out together, so that they can meet in one commit.
        let mut marker = client.session.client(client.session.unique(), client.number);
        let value = client.session.unique() + 1;
        let account_id = world.accounts[account].id.clone();
        let mark = async {
            let node = marker.any_node();
            mark_wamid(&mut marker, &world.key, &account_id, node, &format!("wamid.IN{value}")).await;
        };
        tokio::join!(write_in(&whatsapp, client, &world.accounts[account], &from), mark);
    } else {
        write_in(&whatsapp, client, &world.accounts[account], &from).await;
    }
}

async fn mark_read(client: &mut Client, world: &World, node: usize, account: usize) {
    let nth = client.any(1000);
    let newest = {
        let inbound = world.accounts[account].inbound.lock().unwrap();
        inbound.get(nth % inbound.len().max(1)).cloned()
    };
    if let Some((wamid, _)) = newest {
        mark_wamid(client, &world.key, &world.accounts[account].id, node, &wamid).await;
    }
}

async fn mark_wamid(client: &mut Client, key: &str, account: &str, node: usize, wamid: &str) {
    let path = format!("/v1/{account}/messages");
    let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    let (a, on) = (account.to_owned(), wamid.to_owned());
    let write = Write { a, op: "mark_read".to_owned(), on, ..Write::default() };
    client.write(node, "POST", &path, key, &body, write).await;
}

/// Two owners change one row at two nodes at the same moment; then it is read at a third.
async fn patch_subscription(client: &mut Client, world: &World, node: usize) {
    let Some((id, _)) = world.subscriptions.iter().find(|(_, name)| name == "idle") else { return };
    let path = format!("/v1/webhook_subscriptions/{id}");
    let value = client.session.unique();
    let (description, url) = (format!("d{value}"), format!("{}/idle-{value}", world.receiver));
    let patch = |name: &str, value: &str| Write {
        op: "patch_subscription".to_owned(),
        on: format!("{id}/{name}"),
        v: value.to_owned(),
        ..Write::default()
    };
    let mut other = client.session.client(client.session.unique(), client.number);
    let node_other = client.any_node();
    let (body, body_other) = (json!({"description": description}), json!({"url": url}));
    tokio::join!(
        client.write(node, "PATCH", &path, &world.key, &body, patch("description", &description)),
        other.write(node_other, "PATCH", &path, &world.key, &body_other, patch("url", &url)),
    );
    let recorder = client.session.recorder.clone();
    let (n, s) = (client.any_node(), recorder.now());
    let answer = client.ask(n, &Ask { path: &path, token: &world.key, ..Ask::default() }).await;
    let e = recorder.now();
    let Some(row) = answer.filter(|answer| answer.status == 200).map(|answer| answer.data()) else { return };
    for name in ["description", "url"] {
        let (on, v) = (format!("{id}/{name}"), text(&row[name]));
        recorder.record(Entry::Register(Register { n, on, v, s, e }));
    }
}

/// Has a delivery of a moment ago brought again, at times while its attempt is under way.
async fn replay(client: &mut Client, world: &World, node: usize) {
    // One of the last may be under way.
    let back = if client.chance(0.5) { client.any(4) } else { client.any(1000) };
    let Some((_, delivery, _)) = world.deliveries.newest_delivery(back) else { return };
    let path = format!("/v1/webhook_deliveries/{delivery}/replay");
    let write = Write { op: "replay".to_owned(), on: delivery, ..Write::default() };
    client.write(node, "POST", &path, &world.key, &Value::Null, write).await;
}

/// Asks for every cold account at one node at once, so that a fault meets many of them in the middle.
pub async fn touch_cold_accounts(world: &Arc<World>, clients: Vec<Client>, node: usize, renames: bool) {
    let mut all = tokio::task::JoinSet::new();
    let count = clients.len();
    for (nth, mut client) in clients.into_iter().enumerate() {
        let world = world.clone();
        all.spawn(async move {
            for account in (nth..world.cold.len()).step_by(count) {
                if renames {
                    super::sweepers::rename(&mut client, &world, account, node).await;
                } else {
                    super::sweepers::look(&mut client, &world, account, node).await;
                }
            }
        });
    }
    while all.join_next().await.is_some() {}
}
