//! Bodies of webhook subscriptions; only the response that creates a secret has a member for it.

use std::sync::Arc;

use kabar_actors::ReplayedLog;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::event::EventType;
use kabar_core::domain::subscription::{SigningSecret, Subscription, SubscriptionStatus, WebhookFormat};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{SigningSecretId, SubscriptionId};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use serde::Serialize;

use crate::rest::principal::PrincipalBody;
use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of a webhook subscription.
    WebhookSubscriptionNoun = "webhook_subscription";
    /// `object` of a secret that signs webhooks.
    WebhookSecretNoun = "webhook_secret";
}

/// A webhook subscription.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "WebhookSubscription", example)]
pub(crate) struct WebhookSubscriptionBody {
    /// `wbs_…`.
    pub(crate) id: TextValue<SubscriptionId>,
    /// Always `webhook_subscription`.
    pub(crate) object: TextValue<WebhookSubscriptionNoun>,
    /// URL that events are sent to.
    pub(crate) url: TextValue<Arc<str>>,
    /// Types of events that are sent.
    pub(crate) events: Vec<TextValue<EventType>>,
    /// Form of the requests. `kabar`: the events as the log shows them. `meta`: `message.received` and
    /// `message.status` as Meta's own webhooks, other events with the members of Kirimdev's.
    pub(crate) format: TextValue<WebhookFormat>,
    /// Text for people.
    pub(crate) description: Option<TextValue<Arc<str>>>,
    /// `paused`: stopped by you, or because the receiver answered 410. `disabled`: 24 deliveries in a row
    /// were given up; set it `active` when the receiver works again.
    pub(crate) status: TextValue<SubscriptionStatus>,
    /// Secrets that sign now, the oldest first.
    pub(crate) secrets: Vec<WebhookSecretBody>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
    /// Time of the last change.
    pub(crate) updated_at: TextValue<Timestamp>,
}

/// A signing secret, without its value.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "WebhookSecret", example)]
pub(crate) struct WebhookSecretBody {
    /// `sec_…`.
    pub(crate) id: TextValue<SigningSecretId>,
    /// Always `webhook_secret`.
    pub(crate) object: TextValue<WebhookSecretNoun>,
    /// Expiry; null while there is no newer secret.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
}

/// A webhook subscription that was just made, with its secret.
#[derive(Clone, Serialize, Object)]
#[oai(rename = "CreatedWebhookSubscription", example)]
pub(crate) struct CreatedWebhookSubscriptionBody {
    /// `wbs_…`.
    pub(crate) id: TextValue<SubscriptionId>,
    /// Always `webhook_subscription`.
    pub(crate) object: TextValue<WebhookSubscriptionNoun>,
    /// URL that events are sent to.
    pub(crate) url: TextValue<Arc<str>>,
    /// Types of events that are sent.
    pub(crate) events: Vec<TextValue<EventType>>,
    /// Form of the requests. `kabar`: the events as the log shows them. `meta`: `message.received` and
    /// `message.status` as Meta's own webhooks, other events with the members of Kirimdev's.
    pub(crate) format: TextValue<WebhookFormat>,
    /// Text for people.
    pub(crate) description: Option<TextValue<Arc<str>>>,
    /// Always `active`.
    pub(crate) status: TextValue<SubscriptionStatus>,
    /// Secrets that sign now: one.
    pub(crate) secrets: Vec<WebhookSecretBody>,
    /// Signs the requests; shown here and never again.
    pub(crate) initial_secret: String,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
    /// Time of the last change.
    pub(crate) updated_at: TextValue<Timestamp>,
}

/// A newly created secret.
#[derive(Clone, Serialize, Object)]
#[oai(rename = "CreatedWebhookSecret", example)]
pub(crate) struct CreatedWebhookSecretBody {
    /// `sec_…`.
    pub(crate) id: TextValue<SigningSecretId>,
    /// Always `webhook_secret`.
    pub(crate) object: TextValue<WebhookSecretNoun>,
    /// Signs the requests; shown here and never again.
    pub(crate) secret: String,
    /// Always null: the secret is in force until there is a newer one.
    pub(crate) expires_at: Option<TextValue<Timestamp>>,
    /// Creation time.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Its creator, as it was then.
    pub(crate) created_by: PrincipalBody,
}

/// A webhook subscription to create.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct CreateWebhookSubscription {
    /// URL that events are sent to: https, without a user name, at most 2 048 characters.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub(crate) url: String,
    /// Types of events that are sent.
    #[oai(validator(min_items = 1, max_items = 17))]
    pub(crate) events: Vec<TextValue<EventType>>,
    /// Form of the requests: `kabar`, the events as the log shows them, or `meta`: `message.received` and
    /// `message.status` as Meta's own webhooks, other events with the members of Kirimdev's. `kabar` when
    /// absent.
    pub(crate) format: Option<NewWebhookFormat>,
    /// Text for people.
    #[oai(validator(max_length = 500))]
    pub(crate) description: Option<String>,
}

/// Form of the requests of a webhook subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "NewWebhookFormat", rename_all = "lowercase")]
pub(crate) enum NewWebhookFormat {
    /// Events as the log shows them.
    Kabar,
    /// Meta's own form.
    Meta,
}

/// New status of a webhook subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "NewWebhookSubscriptionStatus", rename_all = "lowercase")]
pub(crate) enum NewSubscriptionStatus {
    /// Events are sent.
    Active,
    /// Events wait.
    Paused,
}

/// Changes of a webhook subscription.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct UpdateWebhookSubscription {
    /// URL that events are sent to.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub(crate) url: Option<String>,
    /// Types of events that are sent.
    #[oai(validator(min_items = 1, max_items = 17))]
    pub(crate) events: Option<Vec<TextValue<EventType>>>,
    /// Form of the requests: `kabar`, the events as the log shows them, or `meta`: `message.received` and
    /// `message.status` as Meta's own webhooks, other events with the members of Kirimdev's. It holds for
    /// deliveries that are still open too.
    pub(crate) format: Option<NewWebhookFormat>,
    /// Text for people; null clears it.
    #[oai(validator(max_length = 500))]
    pub(crate) description: Option<String>,
    /// `paused` to stop it, `active` to resume it.
    pub(crate) status: Option<NewSubscriptionStatus>,
}

/// A secret to create.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct CreateWebhookSecret {
    /// Hours after which the older secrets expire; 24 when absent. 0: at once.
    #[oai(validator(minimum(value = "0"), maximum(value = "168")))]
    pub(crate) expires_in_hours: Option<u32>,
}

/// A part of a log.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct ReplayWebhookEvents {
    /// Account with the log, by WhatsApp's id of the number.
    pub(crate) phone_number_id: TextValue<PhoneNumberId>,
    /// The first event's number; 0 for the oldest that is kept.
    #[oai(validator(minimum(value = "0")))]
    pub(crate) from_sequence: i64,
    /// The last event's number; the newest when absent.
    #[oai(validator(minimum(value = "0")))]
    pub(crate) to_sequence: Option<i64>,
}

/// Result of a replay of a part of a log.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "ReplayedWebhookEvents", example)]
pub(crate) struct ReplayedEventsBody {
    /// Number of events that are sent again.
    pub(crate) enqueued: u64,
    /// `true` when there are more events.
    pub(crate) capped: bool,
    /// Number of the last event that was considered.
    pub(crate) last_sequence: i64,
}

impl WebhookSecretBody {
    fn from_secret(secret: &SigningSecret) -> Self {
        Self {
            id: TextValue(secret.id),
            object: TextValue(WebhookSecretNoun),
            expires_at: secret.expires_at.map(TextValue),
            created_at: TextValue(secret.created_at),
            created_by: PrincipalBody::from_principal(&secret.created_by),
        }
    }
}

impl WebhookSubscriptionBody {
    /// Builds the body of a subscription at this instant.
    #[must_use]
    pub(crate) fn from_subscription(row: &Subscription, now: Timestamp) -> Self {
        let mut secrets: Vec<_> = row.signing_at(now).map(WebhookSecretBody::from_secret).collect();
        secrets.reverse();
        Self {
            id: TextValue(row.id),
            object: TextValue(WebhookSubscriptionNoun),
            url: TextValue(row.url.clone()),
            events: row.events.iter().map(TextValue).collect(),
            format: TextValue(row.format),
            description: row.description.clone().map(TextValue),
            status: TextValue(row.status),
            secrets,
            created_at: TextValue(row.created_at),
            created_by: PrincipalBody::from_principal(&row.created_by),
            updated_at: TextValue(row.updated_at),
        }
    }
}

impl CreatedWebhookSubscriptionBody {
    /// Builds the body of a new subscription.
    #[must_use]
    pub(crate) fn from_subscription(row: &Subscription) -> Self {
        let WebhookSubscriptionBody {
            id,
            object,
            url,
            events,
            format,
            description,
            status,
            secrets,
            created_at,
            created_by,
            updated_at,
        } = WebhookSubscriptionBody::from_subscription(row, row.created_at);
        // Shown to its creator, once.
        let initial_secret = row.secrets.first().map(|one| one.secret.reveal().to_owned());
        let initial_secret = initial_secret.unwrap_or_default();
        Self {
            id,
            object,
            url,
            events,
            format,
            description,
            status,
            secrets,
            initial_secret,
            created_at,
            created_by,
            updated_at,
        }
    }
}

impl CreatedWebhookSecretBody {
    /// Builds the body of a new secret.
    #[must_use]
    pub(crate) fn from_secret(one: &SigningSecret) -> Self {
        let WebhookSecretBody { id, object, expires_at, created_at, created_by } =
            WebhookSecretBody::from_secret(one);
        // Shown to its creator, once.
        Self { id, object, secret: one.secret.reveal().to_owned(), expires_at, created_at, created_by }
    }
}

impl ReplayedEventsBody {
    /// Builds the body of a replay's result.
    #[must_use]
    pub(crate) fn from_replayed(replayed: ReplayedLog) -> Self {
        let ReplayedLog { enqueued, capped, last_sequence } = replayed;
        Self { enqueued: u64::try_from(enqueued).unwrap_or(u64::MAX), capped, last_sequence }
    }
}

impl Example for WebhookSubscriptionBody {
    fn example() -> Self {
        let row = crate::spec::example_rows::example_subscription();
        Self::from_subscription(&row, row.created_at)
    }
}

impl Example for WebhookSecretBody {
    fn example() -> Self {
        Self::from_secret(&crate::spec::example_rows::signing_secret())
    }
}

impl Example for CreatedWebhookSubscriptionBody {
    fn example() -> Self {
        Self::from_subscription(&crate::spec::example_rows::example_subscription())
    }
}

impl Example for CreatedWebhookSecretBody {
    fn example() -> Self {
        Self::from_secret(&crate::spec::example_rows::signing_secret())
    }
}

impl Example for CreateWebhookSubscription {
    fn example() -> Self {
        let WebhookSubscriptionBody { url, events, description, .. } = WebhookSubscriptionBody::example();
        let description = description.map(|text| text.0.to_string());
        Self { url: url.0.to_string(), events, format: None, description }
    }
}

impl Example for UpdateWebhookSubscription {
    fn example() -> Self {
        Self {
            url: None,
            events: None,
            format: None,
            description: None,
            status: Some(NewSubscriptionStatus::Active),
        }
    }
}

impl Example for CreateWebhookSecret {
    fn example() -> Self {
        Self { expires_in_hours: Some(24) }
    }
}

impl Example for ReplayWebhookEvents {
    fn example() -> Self {
        let phone_number_id = TextValue(crate::spec::example_rows::example_account().phone_number_id);
        Self { phone_number_id, from_sequence: 1001, to_sequence: Some(1042) }
    }
}

impl Example for ReplayedEventsBody {
    fn example() -> Self {
        Self::from_replayed(ReplayedLog { enqueued: 17, capped: false, last_sequence: 1042 })
    }
}
