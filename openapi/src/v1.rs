//! The operations of tenants, one module for each noun.
//!
//! Invariant: a module translates between the wire and the actors; it holds no state.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod contacts;
pub(crate) mod conversations;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod me;
pub(crate) mod messages;
pub(crate) mod plugins;
pub(crate) mod send;
pub(crate) mod templates;
pub(crate) mod users;
pub(crate) mod webhook_deliveries;
pub(crate) mod webhook_subscriptions;

use std::sync::Arc;

use self::accounts::AccountsApi;
use self::audit::AuditApi;
use self::contacts::ContactsApi;
use self::conversations::ConversationsApi;
use self::events::EventsApi;
use self::health::HealthApi;
use self::me::MeApi;
use self::messages::MessagesApi;
use self::plugins::PluginsApi;
use self::plugins::dry_run::DryRunApi;
use self::plugins::runs::RunsApi;
use self::plugins::versions::VersionsApi;
use self::templates::TemplatesApi;
use self::users::UsersApi;
use self::webhook_deliveries::WebhookDeliveriesApi;
use self::webhook_subscriptions::WebhookSubscriptionsApi;
use crate::app::AppState;

/// All operations of tenants, and those on the server itself, in the order of the document.
pub(crate) type TenantApi = (
    ConversationsApi,
    MessagesApi,
    (ContactsApi, TemplatesApi),
    EventsApi,
    WebhookSubscriptionsApi,
    WebhookDeliveriesApi,
    (PluginsApi, VersionsApi, RunsApi, DryRunApi),
    AccountsApi,
    MeApi,
    (UsersApi, AuditApi),
    HealthApi,
);

/// Returns the operations of tenants over these facades.
#[must_use]
pub(crate) fn tenant_api(app: &Arc<AppState>) -> TenantApi {
    (
        ConversationsApi(app.clone()),
        MessagesApi(app.clone()),
        (ContactsApi(app.clone()), TemplatesApi(app.clone())),
        EventsApi(app.clone()),
        WebhookSubscriptionsApi(app.clone()),
        WebhookDeliveriesApi(app.clone()),
        (PluginsApi(app.clone()), VersionsApi(app.clone()), RunsApi(app.clone()), DryRunApi(app.clone())),
        AccountsApi(app.clone()),
        MeApi,
        (UsersApi(app.clone()), AuditApi(app.clone())),
        HealthApi::new(app),
    )
}
