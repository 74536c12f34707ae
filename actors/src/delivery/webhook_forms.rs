//! Forms of the requests of webhook subscriptions: which form an event has, and the bodies in Meta's form.
//!
//! Invariants: a subscription in kabar's own form costs no statement. Of a page of deliveries in Meta's form, what
//! their bodies show is read with one statement per kind, and a body is written with its delivery, so that every
//! attempt sends the same bytes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::delivery::{Delivery, RenderedBody};
use kabar_core::domain::event::{Event, EventKind, EventType};
use kabar_core::domain::inbound::RawItem;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::domain::subscription::WebhookFormat;
use kabar_core::ids::{ContactId, DeliveryId};
use kabar_core::meta::webhook_form::{FormFacts, MetaForm, MetaItem};
use kabar_core::ports::RequestForm;
use kabar_core::store::StoreError;

use super::context::DeliveryContext;
use super::lanes::QueuedDelivery;

/// Returns the form that an event has for a subscriber; `None` for the form of the log.
fn meta_form<'a>(subscriber: &Subscriber, kind: &'a EventKind) -> Option<MetaForm<'a>> {
    let Subscriber::Webhook(subscription) = subscriber else { return None };
    match subscription.format {
        WebhookFormat::Meta => Some(MetaForm::of_event(kind)),
        // It was taken in for Meta's form, and is not of the subscription's types.
        WebhookFormat::Kabar
            if kind.event_type() == EventType::MessageStatusReported
                && !subscription.events.contains_type(kind.event_type()) =>
        {
            Some(MetaForm::Hidden)
        }
        WebhookFormat::Kabar => None,
    }
}

fn meta_item<'a>(subscriber: &Subscriber, kind: &'a EventKind) -> Option<MetaItem<'a>> {
    match meta_form(subscriber, kind) {
        Some(MetaForm::Item(item)) => Some(item),
        Some(MetaForm::Hidden | MetaForm::Other) | None => None,
    }
}

/// Returns `true` when the subscriber's form has a place for an event.
pub(super) fn is_shown(subscriber: &Subscriber, kind: &EventKind) -> bool {
    meta_form(subscriber, kind) != Some(MetaForm::Hidden) && is_told(subscriber, kind)
}

/// Returns `true` unless the data of the event was erased and the subscriber is a hook, which needs data to run on.
pub(super) const fn is_told(subscriber: &Subscriber, kind: &EventKind) -> bool {
    !matches!((subscriber, kind), (Subscriber::Hook(_), EventKind::Erased(_)))
}

/// Returns the form of a request about an event; `body` is the one in Meta's form.
pub(super) fn request_form(
    subscriber: &Subscriber,
    kind: &EventKind,
    body: Option<&Arc<str>>,
) -> RequestForm {
    match (meta_form(subscriber, kind), body) {
        (Some(MetaForm::Item(item)), Some(body)) => RequestForm::Meta {
            event_id: item.event_id().into(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        },
        (Some(MetaForm::Hidden), _) => RequestForm::Hidden,
        (Some(MetaForm::Other), _) => RequestForm::Kirimdev,
        // Every item has a body when its attempt begins.
        (Some(MetaForm::Item(_)), None) | (None, _) => RequestForm::Event,
    }
}

/// Rows that the bodies of a page show besides their events.
struct ShownRows {
    /// By the key of their message, in the order in which they came.
    raw: HashMap<Arc<str>, Vec<RawItem>>,
    contacts: HashMap<ContactId, Arc<Contact>>,
}

async fn read_shown_rows(
    context: &DeliveryContext,
    account: i64,
    items: &[(DeliveryId, MetaItem<'_>)],
) -> Result<ShownRows, StoreError> {
    let keys: BTreeSet<Arc<str>> = items.iter().filter_map(|(_, item)| item.raw_key()).collect();
    let kept =
        if keys.is_empty() { Vec::new() } else { context.store.find_raw_items(account, &keys).await? };
    let mut raw = HashMap::<_, Vec<RawItem>>::new();
    for item in kept {
        raw.entry(item.wamid_key.clone()).or_default().push(item);
    }
    let ids: BTreeSet<ContactId> = items.iter().map(|(_, item)| item.message().contact_id).collect();
    let contacts = context.store.find_contacts(account, ids).await?;
    Ok(ShownRows { raw, contacts: contacts.into_iter().map(|contact| (contact.id, contact)).collect() })
}

/// Renders the bodies of those of these deliveries that are in Meta's form.
pub(super) async fn render_bodies<'a>(
    context: &DeliveryContext,
    account: &Account,
    subscriber: &Subscriber,
    deliveries: impl Iterator<Item = (&'a Delivery, &'a Event)> + Send,
) -> Result<HashMap<DeliveryId, RenderedBody>, StoreError> {
    let items: Vec<(DeliveryId, MetaItem<'_>)> = deliveries
        .filter_map(|(delivery, event)| Some((delivery.id, meta_item(subscriber, &event.kind)?)))
        .collect();
    if items.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = read_shown_rows(context, account.number, &items).await?;
    let render = |(delivery_id, item): (DeliveryId, MetaItem<'_>)| {
        let kept = item.raw_key().and_then(|key| rows.raw.get(&key)).map(Vec::as_slice).unwrap_or_default();
        let message = item.message();
        let facts = FormFacts {
            account,
            contact: rows.contacts.get(&message.contact_id).map(|contact| &**contact),
            raw: item.find_raw(kept),
            delivery_id,
            public_url: context.public_url.as_deref(),
        };
        let json = item.render(&facts).into();
        (delivery_id, RenderedBody { message_id: message.id, json })
    };
    Ok(items.into_iter().map(render).collect())
}

/// Gives deliveries in Meta's form their bodies: as they are stored, or else rendered now.
pub(super) async fn load_bodies(
    context: &DeliveryContext,
    account: &Account,
    subscriber: &Subscriber,
    departing: &mut [QueuedDelivery],
) -> Result<(), StoreError> {
    let lacks = |load: &&QueuedDelivery| {
        let event = load.event.as_ref().filter(|_| load.body.is_none());
        event.is_some_and(|event| meta_item(subscriber, &event.kind).is_some())
    };
    let ids: Vec<DeliveryId> = departing.iter().filter(lacks).map(|load| load.delivery.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let mut bodies = context.store.delivery_bodies(subscriber.subscriber_id(), &ids).await?;
    let rest = departing.iter().filter(|load| ids.contains(&load.delivery.id));
    let rest = rest.filter(|load| !bodies.contains_key(&load.delivery.id));
    let rest: Vec<(&Delivery, &Event)> =
        rest.filter_map(|load| Some((&load.delivery, &**load.event.as_ref()?))).collect();
    let rendered = render_bodies(context, account, subscriber, rest.into_iter()).await?;
    bodies.extend(rendered.into_iter().map(|(id, body)| (id, body.json)));
    for load in departing {
        if load.body.is_none() {
            load.body = bodies.remove(&load.delivery.id);
        }
    }
    Ok(())
}
