//! State of the simulator, and the only way to send its webhooks.
//!
//! Invariants: all webhooks of one event are scheduled, or none is and the caller gets an error; locks are
//! held for a moment and never across a wait.

mod script_steps;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::clock::Clock;
use kabar_core::domain::address::Address;
use kabar_core::domain::message::Direction;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(super) use self::script_steps::run_script;
use super::failure_rule::{FailureRule, RuleSet, RuleSubject, RuleVerdict};
use super::generated_message::GeneratedMessage;
use super::meta_errors;
use super::meta_errors::RecipientFailure;
use super::meta_json;
use super::meta_json::{ItemContent, WebhookItem};
use super::number_profile::NumberProfile;
use super::recent_messages::{RecentBook, RecentMessages};
use super::script_player::ScriptPlayer;
use super::seeded_random::{RandomPurpose, SeededRandom, hash_of, roll_percent};
use super::send_log::{RecordedSend, SendLog, SimulatorCounts};
use super::simulated_customers::SimulatedCustomer;
use super::template_book::{self, SubmissionRefusal, TemplateBook};
use super::webhook_lane::{QueuedItem, WebhookLanes};
use super::whatsapp_ids;
use super::{CallGate, NetworkFaults, SimulatedNumber, SimulatorOptions, StatusDelays};

/// Longest delay of a reordered item.
const HELD_BACK_MS_MAX: u64 = 3000;

/// The lane is full; none of the items was scheduled.
#[derive(Debug)]
pub(super) struct NoRoom;

pub(super) struct SimulatorState {
    pub(super) clock: Arc<Clock>,
    pub(super) counts: watch::Sender<SimulatorCounts>,
    pub(super) gate: watch::Sender<CallGate>,
    pub(super) traffic: watch::Sender<u32>,
    pub(super) seed: u64,
    /// Cancelled when the script ends.
    pub(super) ended: CancellationToken,
    manner: Mutex<SimulatorBehavior>,
    player: Mutex<ScriptPlayer>,
    inboxes: Vec<mpsc::Sender<QueuedItem>>,
    raw: mpsc::Sender<Bytes>,
    faults: watch::Sender<NetworkFaults>,
    numbers: Mutex<Vec<Arc<SimulatedNumber>>>,
    rules: Mutex<RuleSet>,
    failures: Mutex<HashMap<Phone, RecipientFailure>>,
    ledger: Mutex<SendLog>,
    dice: Mutex<SeededRandom>,
    recent: Mutex<RecentBook>,
    profile: Mutex<NumberProfile>,
    templates: Mutex<TemplateBook>,
    pub(super) review_delay: Option<Duration>,
    items: AtomicU64,
    ids: AtomicU64,
    /// Differs from start to start, so that ids do.
    salt: u64,
}

/// Behaviour of WhatsApp and its customers, as far as it can change.
#[derive(Debug, Clone, Copy)]
pub(super) struct SimulatorBehavior {
    pub(super) status_delay: StatusDelays,
    pub(super) reply_percent: u8,
    pub(super) occasion_percent: u8,
    pub(super) reserved_recipients: bool,
}

/// Locks a mutex, ignoring poisoning: no holder of a lock here can panic half-way through a change.
fn lock_mutex<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatorState {
    pub(super) fn new(options: SimulatorOptions, lanes: WebhookLanes) -> Self {
        let manner = SimulatorBehavior {
            status_delay: options.status_delay,
            reply_percent: options.reply_percent,
            occasion_percent: options.occasion_percent,
            reserved_recipients: options.reserved_recipients,
        };
        let profile = if options.number_profiles {
            NumberProfile::in_good_standing()
        } else {
            NumberProfile::default()
        };
        Self {
            ended: CancellationToken::new(),
            player: Mutex::new(ScriptPlayer::new(options.script, options.clock.monotonic_now())),
            manner: Mutex::new(manner),
            raw: lanes.raw,
            clock: options.clock,
            counts: lanes.counts,
            gate: watch::Sender::default(),
            traffic: watch::Sender::new(options.traffic_per_minute),
            seed: options.seed,
            inboxes: lanes.inboxes,
            faults: lanes.faults,
            numbers: Mutex::new(options.numbers.into_iter().map(Arc::new).collect()),
            rules: Mutex::new(RuleSet::new(options.rules)),
            failures: Mutex::new(options.failures),
            ledger: Mutex::default(),
            dice: Mutex::new(SeededRandom::new(options.seed)),
            recent: Mutex::default(),
            profile: Mutex::new(profile),
            templates: Mutex::new(TemplateBook::new(options.sample_templates)),
            review_delay: options.review_delay,
            items: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            salt: rand::random(),
        }
    }

    pub(super) fn set_traffic(&self, per_minute: u32) {
        self.traffic.send_replace(per_minute);
    }

    pub(super) fn set_faults(&self, faults: NetworkFaults) {
        self.faults.send_replace(faults);
    }

    pub(super) fn network_faults(&self) -> NetworkFaults {
        *self.faults.borrow()
    }

    pub(super) fn behavior_now(&self) -> SimulatorBehavior {
        *lock_mutex(&self.manner)
    }

    pub(super) fn change_manner(&self, change: impl FnOnce(&mut SimulatorBehavior)) {
        change(&mut lock_mutex(&self.manner));
    }

    pub(super) fn lock_player(&self) -> MutexGuard<'_, ScriptPlayer> {
        lock_mutex(&self.player)
    }

    pub(super) fn add_number(&self, number: SimulatedNumber) {
        let mut numbers = lock_mutex(&self.numbers);
        numbers.retain(|known| known.phone_number_id != number.phone_number_id);
        numbers.push(Arc::new(number));
    }

    pub(super) fn business_numbers(&self) -> Vec<Arc<SimulatedNumber>> {
        lock_mutex(&self.numbers).clone()
    }

    pub(super) fn find_number(&self, id: &str) -> Option<Arc<SimulatedNumber>> {
        lock_mutex(&self.numbers).iter().find(|known| known.phone_number_id.as_str() == id).cloned()
    }

    pub(super) fn set_rules(&self, rules: Vec<FailureRule>) {
        *lock_mutex(&self.rules) = RuleSet::new(rules);
    }

    /// Returns the verdict on a send now, if it fails: by the rules, then by its recipient.
    pub(super) fn find_verdict(&self, subject: &RuleSubject<'_>, dice: &mut StdRng) -> Option<RuleVerdict> {
        let by_rule = lock_mutex(&self.rules).find_verdict(subject, dice);
        by_rule.or_else(|| self.failure_of(subject.to.phone()?).map(RuleVerdict::Error))
    }

    pub(super) fn set_failure(&self, recipient: Phone, failure: Option<RecipientFailure>) {
        let mut failures = lock_mutex(&self.failures);
        match failure {
            Some(failure) => failures.insert(recipient, failure),
            None => failures.remove(&recipient),
        };
    }

    /// Returns the error number with which a send to this recipient fails now.
    fn failure_of(&self, recipient: &Phone) -> Option<i64> {
        let mut failures = lock_mutex(&self.failures);
        match failures.get_mut(recipient) {
            Some(RecipientFailure { times: Some(0), .. }) => None,
            Some(failure) => {
                failure.times = failure.times.map(|left| left.saturating_sub(1));
                Some(failure.code)
            }
            None if self.behavior_now().reserved_recipients => {
                meta_errors::reserved_error(recipient.as_digits())
            }
            None => None,
        }
    }

    pub(super) fn record_send(&self, send: RecordedSend) {
        lock_mutex(&self.recent).note(&send.to, Direction::Outbound, &send.wamid);
        lock_mutex(&self.ledger).record_send(send);
        self.update_counts(|counts| counts.accepted += 1);
        self.take_steps();
    }

    pub(super) fn record_receipt(&self, wamid: &str) {
        lock_mutex(&self.ledger).record_receipt(wamid.to_owned());
        self.update_counts(|counts| counts.receipts += 1);
    }

    pub(super) fn sends(&self) -> Vec<RecordedSend> {
        lock_mutex(&self.ledger).sends()
    }

    pub(super) fn sends_to(&self, recipient: &Address) -> u64 {
        lock_mutex(&self.ledger).sends_to(recipient)
    }

    pub(super) fn receipts(&self) -> Vec<String> {
        lock_mutex(&self.ledger).receipts()
    }

    pub(super) fn update_counts(&self, change: impl FnOnce(&mut SimulatorCounts)) {
        self.counts.send_modify(change);
    }

    /// Returns an id of WhatsApp's, for a message to or from this peer, that no other start of the simulator
    /// gives.
    pub(super) fn next_wamid(&self, peer: &Address, direction: Direction) -> String {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        whatsapp_ids::wamid_of(peer, direction, &format!("{:010X}{number:08X}", self.salt >> 24))
    }

    /// Returns WhatsApp's ids of the newest messages with a customer.
    pub(super) fn recent_messages(&self, customer: &Address) -> RecentMessages {
        lock_mutex(&self.recent).of(customer)
    }

    pub(super) fn number_profile(&self) -> NumberProfile {
        lock_mutex(&self.profile).clone()
    }

    pub(super) fn set_profile(&self, profile: NumberProfile) {
        *lock_mutex(&self.profile) = profile;
    }

    /// Returns a page of a business account's templates, in Meta's form.
    pub(super) fn template_page(&self, waba_id: &str, limit: Option<usize>, after: Option<usize>) -> Value {
        lock_mutex(&self.templates).page(waba_id, self.clock.monotonic_now(), limit, after)
    }

    /// Takes a submission; returns Meta's answer, and what its review will tell.
    pub(super) fn submit_template(
        &self,
        waba_id: &str,
        body: &Value,
    ) -> Result<(Value, Option<Value>), SubmissionRefusal> {
        let now = self.clock.monotonic_now();
        let review_at = self.review_delay.map(|delay| now.saturating_plus(delay));
        lock_mutex(&self.templates).submit(waba_id, body, now, review_at)
    }

    /// Returns Meta's error number for a send of a template that is known and not approved.
    pub(super) fn refuse_template(&self, waba_id: &str, template: &Value) -> Option<i64> {
        lock_mutex(&self.templates).refuse_send(waba_id, template, self.clock.monotonic_now())
    }

    /// Tells a value of a field, now.
    pub(super) fn tell_field(&self, number: &Arc<SimulatedNumber>, field: &str, value: Value) {
        let at = self.clock.read_now();
        let item = ItemContent::Field { field: field.to_owned(), value, at };
        self.deliver_items(number, &Address::Phone(number.phone.clone()), vec![item], at);
    }

    /// Returns a new generator for this customer.
    pub(super) fn customer_rng(&self, occasion: RandomPurpose, customer: &Address) -> StdRng {
        lock_mutex(&self.dice).next_rng(occasion, customer)
    }

    /// Schedules a message of a customer.
    pub(super) fn write_message(
        &self,
        number: &Arc<SimulatedNumber>,
        author: &SimulatedCustomer,
        message: &GeneratedMessage,
        at: Timestamp,
    ) {
        let peer = author.address();
        let message = message.to_meta(number, author, &self.next_wamid(&peer, Direction::Inbound), at);
        let card = Some(meta_json::contact_card(author));
        self.deliver_items(number, &peer, vec![ItemContent::Message { card, message }], at);
    }

    /// Schedules webhooks that concern one customer, in their order.
    pub(super) fn deliver_items(
        &self,
        number: &Arc<SimulatedNumber>,
        customer: &Address,
        items: Vec<ItemContent>,
        at: Timestamp,
    ) {
        let mut written = 0;
        for item in &items {
            if let ItemContent::Field { field, value, at: told_at } = item
                && template_book::tells_of_templates(field)
                && *told_at <= self.clock.read_now()
            {
                let now = self.clock.monotonic_now();
                lock_mutex(&self.templates).apply_value(&number.waba_id, field, value, now);
            }
            if let ItemContent::Message { message, .. } = item {
                written += 1;
                if let Some(wamid) = message.get("id").and_then(Value::as_str)
                    && !matches!(
                        message.get("type").and_then(Value::as_str),
                        Some("edit" | "revoke" | "reaction")
                    )
                {
                    lock_mutex(&self.recent).note(customer, Direction::Inbound, wamid);
                }
            }
        }
        let given = u64::try_from(items.len()).unwrap_or(u64::MAX);
        let piece = |matter| (at, WebhookItem { number: number.clone(), matter });
        let pieces = items.into_iter().map(piece).collect();
        let mut dice = self.customer_rng(RandomPurpose::Line, customer);
        let scheduled = self.schedule_items(customer, pieces, &mut dice, None, || {});
        self.update_counts(|counts| match scheduled {
            Ok(()) => counts.inbound += written,
            Err(NoRoom) => counts.given_up += given,
        });
    }

    /// Posts a webhook as it is, after those given before.
    pub(super) fn post_webhook(&self, body: Bytes) {
        if self.raw.try_send(body).is_err() {
            self.update_counts(|counts| counts.given_up += 1);
        }
    }

    /// Schedules the webhooks of one event that concerns this customer. `done` is signalled when the first
    /// one has ended. `before` runs when the lane has capacity for all, before any of them is visible.
    pub(super) fn schedule_items(
        &self,
        customer: &Address,
        pieces: Vec<(Timestamp, WebhookItem)>,
        dice: &mut StdRng,
        done: Option<oneshot::Sender<()>>,
        before: impl FnOnce(),
    ) -> Result<(), NoRoom> {
        let pieces = self.with_faults(pieces, dice);
        let lane = self.lane_of(customer).ok_or(NoRoom)?;
        let Ok(places) = lane.try_reserve_many(pieces.len()) else { return Err(NoRoom) };
        before();
        let (mut done, now) = (done, self.clock.take_reading());
        for (place, (due, piece)) in places.zip(pieces) {
            let number = self.items.fetch_add(1, Ordering::Relaxed);
            let due = now.monotonic.saturating_plus(due.duration_since(now.wall).unwrap_or_default());
            place.send(QueuedItem { due, number, piece, done: done.take() });
        }
        Ok(())
    }

    fn with_faults(
        &self,
        pieces: Vec<(Timestamp, WebhookItem)>,
        dice: &mut StdRng,
    ) -> Vec<(Timestamp, WebhookItem)> {
        let NetworkFaults { duplicate_percent, reorder_percent, .. } = self.network_faults();
        if duplicate_percent == 0 && reorder_percent == 0 {
            return pieces;
        }
        let mut all = Vec::with_capacity(pieces.len());
        for (due, piece) in pieces {
            for _ in 0..=u8::from(roll_percent(dice, duplicate_percent)) {
                let held_back = roll_percent(dice, reorder_percent);
                let wait = if held_back { dice.random_range(0..=HELD_BACK_MS_MAX) } else { 0 };
                all.push((due.plus_duration(Duration::from_millis(wait)), piece.clone()));
            }
        }
        all
    }

    /// Returns the lane of a customer; it is always the same one.
    fn lane_of(&self, customer: &Address) -> Option<&mpsc::Sender<QueuedItem>> {
        let lanes = u64::try_from(self.inboxes.len()).ok()?;
        let lane = hash_of(whatsapp_ids::bare_text(customer)).checked_rem(lanes)?;
        self.inboxes.get(usize::try_from(lane).ok()?)
    }
}
