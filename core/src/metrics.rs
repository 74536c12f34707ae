//! Metrics of the server, in Prometheus' text format.
//!
//! Counters carry no tenant's identity: a label per account would grow without bound. The same holds for what
//! others choose: a field of a webhook is a label only when it is among [`WEBHOOK_FIELDS`].

mod shared_bounds;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use self::shared_bounds::SharedBoundMetrics;
use crate::domain::account::AccountStatus;
use crate::fair_bound::FairBound;

/// Fields of WhatsApp's webhooks that Meta documents, and members of its values that are told like fields.
pub const WEBHOOK_FIELDS: [&str; 35] = [
    "account_alerts",
    "account_review_update",
    "account_settings_update",
    "account_update",
    "automatic_events",
    "business_capability_update",
    "business_status_update",
    "calls",
    "errors",
    "flows",
    "group_lifecycle_update",
    "group_participants_update",
    "group_settings_update",
    "group_status_update",
    "history",
    "message_echoes",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "messages",
    "messaging_handovers",
    "partner_solutions",
    "payment_configuration_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "smb_app_state_sync",
    "smb_message_echoes",
    "standby",
    "template_category_update",
    "template_correct_category_detection",
    "tracking_events",
    "user_actions",
    "user_id_update",
    "user_preferences",
];

/// Label of every other field.
const OTHER_FIELD: &str = "other";

macro_rules! metrics {
    (counters { $($(#[$cdoc:meta])* $counter:ident = $cname:literal, $chelp:literal;)* }
     gauges { $($(#[$gdoc:meta])* $gauge:ident = $gname:literal, $ghelp:literal;)* }
     histograms { $($(#[$hdoc:meta])* $histogram:ident = $hname:literal, $hhelp:literal, $buckets:expr;)* }) => {
        /// Every metric of the server. Cheap to update; read by `encode`.
        pub struct Metrics {
            registry: Registry,
            accounts: Family<[(&'static str, &'static str); 1], Gauge>,
            items_skipped: Family<[(&'static str, &'static str); 2], Counter>,
            shared_bounds: SharedBoundMetrics,
            $(#[doc = $chelp] pub $counter: Counter,)*
            $(#[doc = $ghelp] pub $gauge: Gauge,)*
            $(#[doc = $hhelp] pub $histogram: Histogram,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("kabar");
                let accounts = Family::default();
                registry.register("accounts", "Accounts of all tenants by status", accounts.clone());
                let items_skipped = Family::default();
                let help = "Items of WhatsApp's webhooks that were left out, by reason and field";
                registry.register("whatsapp_items_skipped", help, items_skipped.clone());
                $(let $counter = Counter::default(); registry.register($cname, $chelp, $counter.clone());)*
                $(let $gauge = Gauge::default(); registry.register($gname, $ghelp, $gauge.clone());)*
                $(let $histogram = Histogram::new($buckets); registry.register($hname, $hhelp, $histogram.clone());)*
                let shared_bounds = SharedBoundMetrics::register(&mut registry);
                Self { registry, accounts, items_skipped, shared_bounds, $($counter,)* $($gauge,)* $($histogram,)* }
            }
        }
    };
}

metrics! {
    counters {
        requests = "http_requests", "HTTP requests answered";
        not_modified = "http_not_modified", "Answers 304";
        errors = "http_errors", "Answers 5xx";
        refused_budget = "http_rate_limited", "Answers 429";
        page_hits = "page_hits", "Polls answered from a page that was rendered before";
        page_misses = "page_misses", "Polls for which a page was rendered";
        page_sql = "page_sql_reads", "Pages that lay below the horizon or are not resident, read by SQL";
        commits = "commits", "Commits of accounts";
        commands = "commands", "Commands carried out by accounts";
        commit_failures = "commit_failures", "Commits that failed";
        activations = "account_activations", "Accounts loaded into memory";
        retirements = "account_retirements", "Idle accounts dropped from memory";
        crashes = "account_crashes", "Account actors that died and were started again";
        overloads = "overloads", "Commands refused because an account's queue was full";
        forwards = "forwarded_requests", "Requests handed on to the node that serves their account";
        forward_failures = "forward_failures", "Requests that could not be handed on";
        forward_refusals = "forwarded_header_refused", "Requests with the header of a forwarded request that no node made";
        streamed_events = "streamed_events", "Events sent to streams";
        slow_readers = "slow_readers", "Connections ended because the client did not read what it was sent";
        overdue_connections = "overdue_connections", "Connections ended because no whole request came in time";
        refused_connections = "refused_connections", "Connections ended at once because their address had its share";
        slow_bodies = "slow_bodies", "Requests refused because their body came too slowly";
        refused_bodies = "unauthenticated_bodies_refused", "Requests refused because bodies that are not authenticated yet took all of their memory";
        operator_refusals = "operator_token_refused", "Requests refused because the operator's token was wrong";
        key_refusals = "api_key_refused", "Requests refused because their API key was unknown, revoked or expired";
        webhooks = "whatsapp_webhooks", "Webhook calls taken in";
        webhook_items = "whatsapp_items", "Items (messages and statuses) of webhooks taken in";
        webhook_unsigned = "whatsapp_bad_signatures", "Webhook calls with a wrong or missing signature";
        contacts_deleted = "contacts_deleted", "Contacts that were deleted, those that had been merged into them included";
        erased_rows = "erased_rows", "Rows that erasures and the retention of messages removed or looked at";
        contacts_merged = "contacts_merged", "Contacts that turned out to be another one, and were merged into it";
        identifiers_learned = "contact_identifiers_learned", "Identifiers that contacts got besides those that they had";
        raw_bytes = "whatsapp_raw_bytes", "Bytes of items of webhooks that were kept as they came; an item that WhatsApp repeats may count again";
        parked_dropped = "parked_items_dropped", "Items that waited for their message and were dropped because their account had too many";
        profile_looks = "profile_looks", "Looks at the properties of accounts' numbers";
        profile_failures = "profile_look_failures", "Looks at the properties of accounts' numbers that failed";
        template_syncs = "template_syncs", "Looks at WhatsApp's lists of templates";
        template_sync_failures = "template_sync_failures", "Looks at WhatsApp's lists of templates that failed";
        sends_accepted = "sends_accepted", "Messages that WhatsApp took";
        sends_refused = "sends_refused", "Messages that WhatsApp refused for good";
        sends_unknown = "sends_unknown", "Calls to WhatsApp whose answer was lost";
        redis_commands = "redis_commands", "Commands sent to Redis";
        redis_failures = "redis_failures", "Commands that Redis refused, or did not answer in time";
        budget_refreshes = "budget_refreshes", "Refreshes of leased budgets in Redis";
        shared_page_hits = "shared_page_hits", "Pages that another node had read from the database, or this one before";
        shared_page_misses = "shared_page_misses", "Pages looked for in Redis that were not there";
        sends_retried = "sends_retried", "Calls to WhatsApp to be tried again";
        sends_skipped = "sends_skipped", "Calls to WhatsApp not made because their attempt was begun too long before";
        sends_throttled = "sends_throttled", "Calls that WhatsApp refused because the account was too fast";
        slow_downs = "send_slow_downs", "Times that an account's pace was halved";
        deliveries_taken = "deliveries_taken", "Attempts at bringing an event to a subscriber that succeeded";
        deliveries_retried = "deliveries_retried", "Attempts that failed and will be repeated";
        deliveries_dead = "deliveries_dead", "Deliveries given up";
        database_statements = "database_statements", "SQL statements run, reads and writes";
        purge_rounds = "purge_rounds", "Looks for rows that are too old that found nothing more";
        hook_conflicts = "hook_conflicts", "Runs of hooks made again because what they read of their keys and values had changed";
        hook_effects = "hook_effects", "Effects of hooks handed to their accounts";
        delivery_worker_crashes = "delivery_worker_crashes", "Delivery workers that died and were started again";
    }
    gauges {
        connections = "connections", "Connections of clients that are open";
        residents = "resident_accounts", "Accounts in memory";
        database_clock_skew = "database_clock_skew_seconds", "Wall clock of this node minus that of PostgreSQL, in whole seconds";
        nodes = "nodes", "Nodes of this database that are alive, this one included";
        erasures_pending = "erasures_pending", "Deleted contacts of which something is left to be erased, of all accounts";
        waiting_polls = "waiting_polls", "Long polls that wait";
        event_streams = "event_streams", "Streams of events that are open";
        send_pace = "send_pace", "Messages a second that the accounts in memory may send now, together";
        slowed_accounts = "slowed_accounts", "Accounts in memory that WhatsApp has slowed down";
        calls_under_way = "sends_under_way", "Calls to WhatsApp whose outcomes are not recorded yet";
        sending = "sending_conversations", "Conversations that have something to be sent, of accounts in memory";
        redis_up = "redis_up", "1 while Redis answers; 0 while it is away, and without Redis";
        delivery_workers = "delivery_workers", "Delivery workers, one per subscriber and account that has something to bring";
        delivery_backlog = "delivery_backlog", "Events that delivery workers still have to deliver or to examine";
        open_breakers = "open_breakers", "Subscribers that are not tried for now because they failed too often";
    }
    histograms {
        commit_seconds = "commit_seconds", "Duration of a commit, from the first read to the answers",
            [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];
        commit_commands = "commit_commands", "Commands of one commit", [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0];
    }
}

impl Metrics {
    /// Records the number of accounts in each status.
    pub fn note_accounts(&self, by_status: impl IntoIterator<Item = (AccountStatus, i64)>) {
        for (status, count) in by_status {
            self.accounts.get_or_create(&[("status", status.as_str())]).set(count);
        }
    }

    /// Counts items of this field of a webhook that were left out. `reason` is a word of `SkipReason`.
    pub fn note_skipped_items(&self, reason: &'static str, field: &str, items: u64) {
        let field = WEBHOOK_FIELDS.into_iter().find(|known| *known == field).unwrap_or(OTHER_FIELD);
        let labels = [("reason", reason), ("field", field)];
        self.items_skipped.get_or_create(&labels).inc_by(items);
    }

    /// Records the number of SQL statements run so far.
    pub fn note_statements(&self, so_far: u64) {
        let counter = &self.database_statements;
        counter.inc_by(so_far.saturating_sub(counter.get()));
    }

    /// Records the number of parked items dropped so far.
    pub fn note_parked_dropped(&self, so_far: u64) {
        let counter = &self.parked_dropped;
        counter.inc_by(so_far.saturating_sub(counter.get()));
    }

    /// Shows a bound that organisations share from now on.
    pub fn watch_bound(&self, bound: Arc<FairBound>) {
        self.shared_bounds.watch_bound(bound);
    }

    /// Returns the response of `GET /metrics`.
    #[must_use]
    pub fn encode(&self) -> String {
        self.shared_bounds.read_bounds();
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _infallible = encode(&mut text, &self.registry);
        text
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_items_have_known_labels_only() {
        let metrics = Metrics::default();
        metrics.note_skipped_items("not_connected", "account_update", 3);
        metrics.note_skipped_items("unreadable", "a_field_of_tomorrow", 1);
        metrics.note_skipped_items("unreadable", "made_up", 1);
        let text = metrics.encode();
        for (reason, field, count) in [("not_connected", "account_update", 3), ("unreadable", "other", 2)] {
            let line = format!(
                "kabar_whatsapp_items_skipped_total{{reason=\"{reason}\",field=\"{field}\"}} {count}"
            );
            assert!(text.contains(&line), "{text}");
        }
        assert!(!text.contains("made_up"), "{text}");
    }

    #[test]
    fn a_shared_bound_is_shown_by_its_name() {
        let metrics = Metrics::default();
        let bound = FairBound::new("test", 3);
        metrics.watch_bound(bound.clone());
        let _held = bound.claim(crate::ids::OrganisationId::from_bits(1));
        let text = metrics.encode();
        for line in
            ["kabar_shared_permits_held{bound=\"test\"} 1", "kabar_shared_revoked_total{bound=\"test\"} 0"]
        {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn counts_appear_in_the_text() {
        let metrics = Metrics::default();
        metrics.page_hits.inc();
        metrics.residents.set(3);
        metrics.commit_seconds.observe(0.003);
        metrics.note_accounts([(AccountStatus::Degraded, 2), (AccountStatus::Connected, 0)]);
        let text = metrics.encode();
        assert!(text.contains("kabar_page_hits_total 1"), "{text}");
        assert!(text.contains("kabar_resident_accounts 3"), "{text}");
        assert!(text.contains("kabar_commit_seconds_count 1"), "{text}");
        assert!(text.contains("kabar_accounts{status=\"degraded\"} 2"), "{text}");
        assert!(text.contains("kabar_accounts{status=\"connected\"} 0"), "{text}");
    }
}
