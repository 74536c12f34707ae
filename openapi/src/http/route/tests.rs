//! The table of routes: every row, and the paths that are none.

use super::*;

const NUMBER: &str = "106540352242922";

/// Returns a path of this resource, with values in place of its parameters.
fn path_of(resource: Resource) -> String {
    let segments = resource.path_template().split('/').map(|segment| match segment {
        "{phone_number_id}" => NUMBER,
        parameter if parameter.starts_with('{') => "x_1",
        literal => literal,
    });
    segments.collect::<Vec<_>>().join("/")
}

#[test]
fn every_row_is_found_by_its_own_path() {
    for resource in Resource::ALL {
        let path = path_of(*resource);
        let route = Route::parse_path(&path);
        assert_eq!(route.resource, Some(*resource), "{path}");
        assert_eq!(Resource::from_path(resource.path_template()), Some(*resource), "{path}");
        assert_eq!(route.access, resource.access(), "{path}");
        assert_eq!(route.scope_rule(), resource.scope_rule(), "{path}");
        assert_eq!(route.body_limit(), resource.body_limit(), "{path}");
        assert_eq!(route.response_origin(), resource.response_origin(), "{path}");
        let named = resource.path_template().contains("{phone_number_id}").then_some(NUMBER);
        assert_eq!(route.account_in(&path), named, "{path}");
        for other in [format!("{path}/"), format!("{path}/x/y"), format!("/{path}"), format!("{path}x/")] {
            assert_ne!(Route::parse_path(&other).resource, Some(*resource), "{other}");
        }
    }
}

const DOCUMENTS: [&str; 3] = ["/v1/openapi.json", "/v1/openapi-3.1.json", "/v1/openapi.yaml"];

/// The rows once more, by what they must be: a change of a column is seen here.
#[test]
fn every_row_has_the_columns_of_its_root() {
    for resource in Resource::ALL {
        let template = resource.path_template();
        let open = template == "/v1/health" || DOCUMENTS.contains(&template);
        let access = if template.starts_with("/admin/v1/") {
            AccessClass::Operator
        } else if template.starts_with("/v1/") && !open {
            AccessClass::Tenant
        } else {
            AccessClass::Open
        };
        assert_eq!(resource.access(), access, "{template}");
        let secret = [
            "/admin/v1/organizations/{org_id}/api_keys",
            "/admin/v1/organizations/{org_id}/accounts",
            "/admin/v1/operator_tokens",
            "/admin/v1/secrets/rotate",
        ];
        let scopes = match access {
            AccessClass::Open => ScopeRule::Free,
            AccessClass::Operator if secret.contains(&template) => ScopeRule::Secret,
            AccessClass::Operator => ScopeRule::Managed,
            AccessClass::Tenant if template == "/v1/me" => ScopeRule::Free,
            AccessClass::Tenant if template.starts_with("/v1/plugins") => ScopeRule::Plugins,
            AccessClass::Tenant if template.starts_with("/v1/webhook_") => ScopeRule::Webhooks,
            AccessClass::Tenant => ScopeRule::Inbox,
        };
        assert_eq!(resource.scope_rule(), scopes, "{template}");
        let limit = match template {
            "/webhooks/whatsapp" | "/admin/v1/ingest" => BodyLimit::Webhook,
            "/v1/plugins/{plugin_id}/versions" => BodyLimit::Component,
            _ => BodyLimit::Json,
        };
        assert_eq!(resource.body_limit(), limit, "{template}");
        let cached = match template.strip_prefix("/v1/{phone_number_id}/") {
            Some("conversations" | "conversations/{conversation_id}") => Some(PageKind::Conversations),
            Some("messages") => Some(PageKind::Messages),
            Some("messages/{message_id}") => Some(PageKind::SingleMessages),
            Some("contacts" | "contacts/{contact_id}") => Some(PageKind::Contacts),
            Some("templates" | "templates/{name}") => Some(PageKind::Templates),
            Some("events") => Some(PageKind::Events),
            _ => None,
        };
        let directory = [
            "/admin/v1/accounts",
            "/admin/v1/api_keys",
            "/admin/v1/ingest",
            "/admin/v1/operator_tokens",
            "/admin/v1/organizations",
            "/admin/v1/plugins",
            "/v1/plugins",
            "/v1/webhook_deliveries",
            "/v1/webhook_subscriptions",
        ];
        let site = [&["/", "/docs", "/docs/sandbox", "/guides/{guide}"][..], &DOCUMENTS].concat();
        let origin = match cached {
            Some(kind) => ResponseOrigin::CachedPages(kind),
            None if site.contains(&template) => ResponseOrigin::Site,
            None if directory.iter().any(|root| template.starts_with(root)) => ResponseOrigin::Directory,
            None => ResponseOrigin::Operation,
        };
        assert_eq!(resource.response_origin(), origin, "{template}");
    }
}

#[test]
fn every_path_has_its_access_class() {
    let cases = [
        ("/", AccessClass::Open),
        ("/docs", AccessClass::Open),
        ("/v1/health", AccessClass::Open),
        ("/v1/openapi.yaml", AccessClass::Open),
        ("/webhooks/whatsapp", AccessClass::Open),
        ("/v11", AccessClass::Open),
        ("/v1", AccessClass::Tenant),
        ("/v1/", AccessClass::Tenant),
        ("/v1//health", AccessClass::Tenant),
        ("/v1/health/", AccessClass::Tenant),
        ("/v1/healthy", AccessClass::Tenant),
        ("/v1/nothing", AccessClass::Tenant),
        ("/v1/1/2/3/4/5/6/7/8", AccessClass::Tenant),
        ("/admin/v1/organizations", AccessClass::Operator),
        ("/admin/v1//organizations", AccessClass::Operator),
        ("/admin", AccessClass::Operator),
    ];
    for (path, access) in cases {
        assert_eq!(Route::parse_path(path).access, access, "{path}");
    }
}

#[test]
fn polls_go_to_an_account() {
    let polled = |path: &str| {
        let route = Route::parse_path(path);
        let cached = matches!(route.response_origin(), ResponseOrigin::CachedPages(_));
        route.account_in(path).filter(|_| cached).map(str::to_owned)
    };
    for path in ["/v1/123456/conversations", "/v1/123456/messages/msg_1", "/v1/123456/contacts"] {
        assert_eq!(polled(path).as_deref(), Some("123456"), "{path}");
    }
    for path in [
        "/v1/12345/conversations",
        "/v1/123456",
        "/v1/123456/conversationsx",
        "/v1/123456/events/stream",
        "/v1/me",
        "/",
    ] {
        assert_eq!(polled(path), None, "{path}");
    }
}

#[test]
fn paths_name_their_account() {
    for (path, number) in [
        ("/v1/123456/conversations", Some("123456")),
        ("/v1/123456/events/stream", Some("123456")),
        ("/v1/123456", None),
        ("/v1/%31234567/conversations", None),
        ("/v1/plugins/plg_1", None),
        ("/v1/plugins/conversations", None),
        ("/v1/me", None),
        ("/admin/v1/accounts/123456", Some("123456")),
        ("/admin/v1/organizations/123456", None),
        ("/admin/v1/actors", None),
        ("/webhooks/whatsapp", None),
    ] {
        assert_eq!(Route::parse_path(path).account_in(path), number, "{path}");
    }
}

#[test]
fn uploads_have_one_path() {
    let is_upload = |path| Route::parse_path(path).body_limit() == BodyLimit::Component;
    assert!(is_upload("/v1/plugins/plg_1/versions"));
    for path in [
        "/v1/plugins/versions",
        "/v1/plugins//versions",
        "/v1/plugins/a/b/versions",
        "/v1/plugins/a/versions/x",
        "/v1/plugins",
    ] {
        assert!(!is_upload(path), "{path}");
    }
}

#[test]
fn the_more_literal_row_wins() {
    for (path, resource) in [
        ("/v1/webhook_deliveries/bulk_replay", Resource::DeliveryBulkReplay),
        ("/v1/webhook_deliveries/wbd_1", Resource::Delivery),
        ("/v1/plugins/conversations", Resource::Plugin),
        ("/v1/accounts/conversations", Resource::Conversations),
    ] {
        assert_eq!(Resource::from_path(path), Some(resource), "{path}");
    }
    assert_eq!(Resource::GuidePage.path_with("polling"), "/guides/polling");
    assert_eq!(Resource::DocsPage.path_with(""), "/docs");
}
