//! The typed route of a request: its path, parsed once.
//!
//! Invariants: this table is the only place beside the operations' own attributes that knows a path, and a test
//! compares the two. A row without one of its columns does not compile. Nothing else in this crate compares
//! paths, and the actors never see one. A path that the table does not have keeps the access class of its root,
//! so an unknown path below `/v1` needs a key. Parsing allocates nothing.

use kabar_actors::PageKind;
use kabar_core::domain::account::PhoneNumberId;

use super::access::{AccessClass, ScopeRule};
use crate::app::BodyLimits;

/// Paths that a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SurfaceScope {
    /// All of them.
    Everything,
    /// Liveness, readiness and metrics.
    Health,
}

/// Limit of the request bodies of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLimit {
    /// Limit of the API.
    Json,
    /// Limit of WhatsApp's webhooks.
    Webhook,
    /// Limit of uploaded components.
    Component,
}

impl BodyLimit {
    /// Returns the limit in bytes.
    pub(crate) const fn bytes_max(self, limits: &BodyLimits) -> usize {
        match self {
            Self::Json => limits.json_bytes,
            Self::Webhook => limits.ingress_bytes,
            Self::Component => limits.component_bytes,
        }
    }
}

/// Origin of a resource's responses. It decides what the gateway does before the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseOrigin {
    /// A page of the site, out of the binary. There is no operation.
    Site,
    /// Pages of rows of this kind, which the account caches. A repeated GET needs no operation.
    CachedPages(PageKind),
    /// The directory. A change made at one node is visible in the next request, whichever node gets it.
    Directory,
    /// The operation alone.
    Operation,
}

/// Most segments of a known path.
const SEGMENTS_MAX: usize = 6;

macro_rules! segment_text {
    ({$parameter:ident}) => {
        concat!("/{", stringify!($parameter), "}")
    };
    ($literal:literal) => {
        concat!("/", $literal)
    };
}

macro_rules! segment_pattern {
    ({$parameter:ident}) => {
        _
    };
    ($literal:literal) => {
        $literal
    };
}

macro_rules! names_account {
    ({phone_number_id}) => {
        true
    };
    ($other:tt) => {
        false
    };
}

macro_rules! resources {
    ($($name:ident: $access:ident, $scopes:ident, $limit:ident, $origin:expr, [$($segment:tt)+];)+) => {
        /// Every path that this server knows. The methods of one path are one resource.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Resource {
            $($name,)+
        }

        impl Resource {
            /// Every resource.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the path with its parameters in braces, as the document has it.
            pub(crate) const fn path_template(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($(segment_text!($segment)),+),)+
                }
            }

            /// Returns the credential that the resource requires.
            pub(crate) const fn access(self) -> AccessClass {
                match self {
                    $(Self::$name => AccessClass::$access,)+
                }
            }

            /// Returns the scopes that the resource's operations require.
            pub(crate) const fn scope_rule(self) -> ScopeRule {
                match self {
                    $(Self::$name => ScopeRule::$scopes,)+
                }
            }

            /// Returns the limit of the resource's request bodies.
            pub(crate) const fn body_limit(self) -> BodyLimit {
                match self {
                    $(Self::$name => BodyLimit::$limit,)+
                }
            }

            /// Returns the origin of the resource's responses.
            pub(crate) const fn response_origin(self) -> ResponseOrigin {
                match self {
                    $(Self::$name => $origin,)+
                }
            }

            /// Returns the position of the segment that names an account.
            fn account_segment(self) -> Option<usize> {
                let named: &[bool] = match self {
                    $(Self::$name => &[$(names_account!($segment)),+],)+
                };
                named.iter().position(|names| *names)
            }

            /// Returns the first resource with these segments.
            fn from_segments(segments: &[&str]) -> Option<Self> {
                match segments {
                    $([$(segment_pattern!($segment)),+] => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

// Resource, access class, scopes, body limit, origin of the responses, path. Requests for a resource whose path has a
// `{phone_number_id}` are forwarded to the node that owns this account. The first row that matches wins.
resources! {
    StartPage: Open, Free, Json, ResponseOrigin::Site, [""];
    DocsPage: Open, Free, Json, ResponseOrigin::Site, ["docs"];
    SandboxKeys: Open, Free, Json, ResponseOrigin::Site, ["docs" "sandbox"];
    GuidePage: Open, Free, Json, ResponseOrigin::Site, ["guides" {guide}];
    JsonDocument: Open, Free, Json, ResponseOrigin::Site, ["v1" "openapi.json"];
    Json31Document: Open, Free, Json, ResponseOrigin::Site, ["v1" "openapi-3.1.json"];
    YamlDocument: Open, Free, Json, ResponseOrigin::Site, ["v1" "openapi.yaml"];

    Health: Open, Free, Json, ResponseOrigin::Operation, ["v1" "health"];
    Readiness: Open, Free, Json, ResponseOrigin::Operation, ["readyz"];
    Metrics: Open, Free, Json, ResponseOrigin::Operation, ["metrics"];
    WhatsAppWebhook: Open, Free, Webhook, ResponseOrigin::Operation, ["webhooks" "whatsapp"];

    Me: Tenant, Free, Json, ResponseOrigin::Operation, ["v1" "me"];
    Users: Tenant, Inbox, Json, ResponseOrigin::Operation, ["v1" "users"];
    Audit: Tenant, Inbox, Json, ResponseOrigin::Operation, ["v1" "audit"];
    Accounts: Tenant, Inbox, Json, ResponseOrigin::Operation, ["v1" "accounts"];

    Plugins: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins"];
    Plugin: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id}];
    PluginVersions: Tenant, Plugins, Component, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "versions"];
    PluginActivation: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "activate"];
    PluginTest: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "test"];
    PluginLogs: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "logs"];
    PluginReplay: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "replay"];
    PluginRuns: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "runs"];
    PluginRun: Tenant, Plugins, Json, ResponseOrigin::Directory, ["v1" "plugins" {plugin_id} "runs" {run_id}];
    PluginRunReplay: Tenant, Plugins, Json, ResponseOrigin::Directory,
        ["v1" "plugins" {plugin_id} "runs" {run_id} "replay"];

    Subscriptions: Tenant, Webhooks, Json, ResponseOrigin::Directory, ["v1" "webhook_subscriptions"];
    Subscription: Tenant, Webhooks, Json, ResponseOrigin::Directory, ["v1" "webhook_subscriptions" {subscription_id}];
    SubscriptionSecrets: Tenant, Webhooks, Json, ResponseOrigin::Directory,
        ["v1" "webhook_subscriptions" {subscription_id} "secrets"];
    SubscriptionReplay: Tenant, Webhooks, Json, ResponseOrigin::Directory,
        ["v1" "webhook_subscriptions" {subscription_id} "replay"];

    Deliveries: Tenant, Webhooks, Json, ResponseOrigin::Directory, ["v1" "webhook_deliveries"];
    DeliveryBulkReplay: Tenant, Webhooks, Json, ResponseOrigin::Directory, ["v1" "webhook_deliveries" "bulk_replay"];
    Delivery: Tenant, Webhooks, Json, ResponseOrigin::Directory, ["v1" "webhook_deliveries" {delivery_id}];
    DeliveryReplay: Tenant, Webhooks, Json, ResponseOrigin::Directory,
        ["v1" "webhook_deliveries" {delivery_id} "replay"];

    Conversations: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Conversations),
        ["v1" {phone_number_id} "conversations"];
    Conversation: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Conversations),
        ["v1" {phone_number_id} "conversations" {conversation_id}];
    Messages: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Messages), ["v1" {phone_number_id} "messages"];
    Message: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::SingleMessages),
        ["v1" {phone_number_id} "messages" {message_id}];
    RawMessage: Tenant, Inbox, Json, ResponseOrigin::Operation, ["v1" {phone_number_id} "messages" {message_id} "raw"];
    Contacts: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Contacts), ["v1" {phone_number_id} "contacts"];
    Contact: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Contacts),
        ["v1" {phone_number_id} "contacts" {contact_id}];
    ContactExport: Tenant, Inbox, Json, ResponseOrigin::Operation,
        ["v1" {phone_number_id} "contacts" {contact_id} "export"];
    Templates: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Templates),
        ["v1" {phone_number_id} "templates"];
    TemplateSync: Tenant, Inbox, Json, ResponseOrigin::Operation, ["v1" {phone_number_id} "templates" "sync"];
    Template: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Templates),
        ["v1" {phone_number_id} "templates" {name}];
    Events: Tenant, Inbox, Json, ResponseOrigin::CachedPages(PageKind::Events), ["v1" {phone_number_id} "events"];
    EventStream: Tenant, Inbox, Json, ResponseOrigin::Operation, ["v1" {phone_number_id} "events" "stream"];

    Organisations: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "organizations"];
    Organisation: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "organizations" {org_id}];
    OrganisationKeys: Operator, Secret, Json, ResponseOrigin::Directory,
        ["admin" "v1" "organizations" {org_id} "api_keys"];
    OrganisationUsers: Operator, Managed, Json, ResponseOrigin::Directory,
        ["admin" "v1" "organizations" {org_id} "users"];
    OrganisationAccounts: Operator, Secret, Json, ResponseOrigin::Directory,
        ["admin" "v1" "organizations" {org_id} "accounts"];
    ApiKey: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "api_keys" {key_id}];
    ConnectedAccount: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "accounts" {phone_number_id}];
    StoredIngest: Operator, Managed, Json, ResponseOrigin::Directory,
        ["admin" "v1" "accounts" {phone_number_id} "ingest"];
    Ingest: Operator, Managed, Webhook, ResponseOrigin::Directory, ["admin" "v1" "ingest"];
    OperatorTokens: Operator, Secret, Json, ResponseOrigin::Directory, ["admin" "v1" "operator_tokens"];
    OperatorToken: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "operator_tokens" {token_id}];
    AuditLog: Operator, Managed, Json, ResponseOrigin::Operation, ["admin" "v1" "audit"];
    Actors: Operator, Managed, Json, ResponseOrigin::Operation, ["admin" "v1" "actors"];
    AllPlugins: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "plugins"];
    SecretRotation: Operator, Secret, Json, ResponseOrigin::Operation, ["admin" "v1" "secrets" "rotate"];
    DisabledPlugin: Operator, Managed, Json, ResponseOrigin::Directory, ["admin" "v1" "plugins" {plugin_id} "disable"];
}

impl Resource {
    /// Finds the resource of a path, or of a path's template.
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let mut segments = [""; SEGMENTS_MAX];
        Self::from_segments(split_path(path, &mut segments)?)
    }

    /// Returns the path with this value in place of its parameter.
    pub(crate) fn path_with(self, value: &str) -> String {
        let template = self.path_template();
        template.split_once('{').map_or(template, |(before, _)| before).to_owned() + value
    }
}

/// Splits a path into its segments; `None` for too many of them, and for empty ones.
fn split_path<'p, 's>(path: &'p str, segments: &'s mut [&'p str; SEGMENTS_MAX]) -> Option<&'s [&'p str]> {
    let rest = path.strip_prefix('/')?;
    let mut count = 0;
    for segment in rest.split('/') {
        if segment.is_empty() && !rest.is_empty() {
            return None;
        }
        *segments.get_mut(count)? = segment;
        count += 1;
    }
    segments.get(..count)
}

/// A request's path, parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// The resource; `None` for an unknown path.
    pub(crate) resource: Option<Resource>,
    /// The credential that the path requires.
    pub(crate) access: AccessClass,
    /// Beginning and end of the account's name in the path.
    account: Option<(usize, usize)>,
}

impl Route {
    /// Parses a path.
    pub(crate) fn parse_path(path: &str) -> Self {
        let mut segments = [""; SEGMENTS_MAX];
        let Some(segments) = split_path(path, &mut segments) else { return Self::unknown(path) };
        let Some(resource) = Resource::from_segments(segments) else { return Self::unknown(path) };
        let account = resource.account_segment().and_then(|position| {
            let name = segments.get(position).filter(|name| PhoneNumberId::is_valid(name))?;
            let before = segments.iter().take(position).map(|segment| segment.len() + 1);
            let start = before.sum::<usize>() + 1;
            Some((start, start + name.len()))
        });
        Self { resource: Some(resource), access: resource.access(), account }
    }

    /// Returns the route of a path that the table does not have.
    fn unknown(path: &str) -> Self {
        let is_below =
            |root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let access = if is_below("/admin") {
            AccessClass::Operator
        } else if is_below("/v1") {
            AccessClass::Tenant
        } else {
            AccessClass::Open
        };
        Self { resource: None, access, account: None }
    }

    /// Returns the account that the path names, by WhatsApp's id. `path` is the path that was parsed.
    pub(crate) fn account_in(self, path: &str) -> Option<&str> {
        let (start, end) = self.account?;
        path.get(start..end)
    }

    /// Returns `true` for what a listener for health checks serves.
    pub(crate) const fn is_health(self) -> bool {
        matches!(self.resource, Some(Resource::Health | Resource::Readiness | Resource::Metrics))
    }

    /// Returns the scopes that the operation requires; an unknown path requires none.
    pub(crate) fn scope_rule(self) -> ScopeRule {
        self.resource.map_or(ScopeRule::Free, Resource::scope_rule)
    }

    /// Returns the limit of the request's body.
    pub(crate) fn body_limit(self) -> BodyLimit {
        self.resource.map_or(BodyLimit::Json, Resource::body_limit)
    }

    /// Returns the origin of the response; an unknown path has none but the operations' router.
    pub(crate) fn response_origin(self) -> ResponseOrigin {
        self.resource.map_or(ResponseOrigin::Operation, Resource::response_origin)
    }
}

#[cfg(test)]
mod tests;
