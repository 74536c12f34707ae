//! Activation of accounts, retirement of idle accounts, and supervision.
//!
//! Invariants: an account is loaded once, however many callers ask for it. It is retired only while no request
//! waits on it, nothing is queued and nothing is being sent. A dead actor's loaded account is evicted, so that
//! the next query or command loads it afresh.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::metrics::Metrics;
use kabar_core::store::{CommitFloor, DeliveryWork, StoreError};
use kabar_core::surroundings;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{AccountError, AccountRegistry, LoadedAccountReport};
use crate::account::{AccountActor, AccountMessage, AccountStateParts, note_lost_commits, view_of};
use crate::account_entry::AccountEntry;
use crate::loaded_account::LoadedAccount;

/// Interval at which idle accounts are looked for; equal to the longest life of a cached page.
const SWEEP_EVERY: Duration = Duration::from_secs(8);

/// Time that actors have to finish their last commit.
pub(super) const STOP_TIME: Duration = Duration::from_secs(10);

/// Messages that the supervisor handles.
pub(crate) enum SupervisorMessage {
    /// The actor that works for this account.
    Watch(ActorId, Weak<AccountEntry>, Weak<LoadedAccount>),
}

type WatchedAccounts = HashMap<ActorId, (Weak<AccountEntry>, Weak<LoadedAccount>)>;

/// Supervisor of every account actor and sender: evicts an account when its actor ends.
pub(crate) struct AccountSupervisor(Arc<Metrics>);

impl AccountSupervisor {
    pub(super) async fn start(metrics: Arc<Metrics>) -> Result<ActorRef<SupervisorMessage>, AccountError> {
        match Actor::spawn(None, Self(metrics), ()).await {
            Ok((supervisor, _joined)) => Ok(supervisor),
            Err(error) => {
                tracing::error!(error = cause(&error), "supervisor not started");
                Err(AccountError::Crashed)
            }
        }
    }

    /// Evicts the loaded account of this actor, so that waiting tasks look for its successor.
    fn forget_actor(watched: &mut WatchedAccounts, cell: &ActorCell) {
        if let Some((slot, resident)) = watched.remove(&cell.get_id())
            && let (Some(slot), Some(resident)) = (slot.upgrade(), resident.upgrade())
        {
            slot.evict_account(&resident);
        }
    }
}

impl Actor for AccountSupervisor {
    type Msg = SupervisorMessage;
    type State = WatchedAccounts;
    type Arguments = ();

    async fn pre_start(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        (): (),
    ) -> Result<WatchedAccounts, ActorProcessingErr> {
        Ok(HashMap::new())
    }

    async fn handle(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        SupervisorMessage::Watch(id, slot, resident): SupervisorMessage,
        watched: &mut WatchedAccounts,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        watched.insert(id, (slot, resident));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        watched: &mut WatchedAccounts,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                self.0.crashes.inc();
                tracing::error!(actor = %cell.get_id(), %error, "actor died; an account is loaded afresh when next asked");
                Self::forget_actor(watched, &cell);
            }
            SupervisionEvent::ActorTerminated(cell, _state, _reason) => Self::forget_actor(watched, &cell),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl AccountRegistry {
    /// Returns the loaded account; loads it if need be.
    ///
    /// # Errors
    /// [`AccountError::Elsewhere`] when another node serves it, and, once accounts are handed over, after they have
    /// been released: it can be asked for at the other nodes then.
    pub(super) async fn load_account(
        &self,
        slot: &Arc<AccountEntry>,
    ) -> Result<Arc<LoadedAccount>, AccountError> {
        if let Some(resident) = slot.loaded_account() {
            return Ok(resident);
        }
        if !self.0.cluster.is_leaving() {
            let loaded = self.load_once(slot).await;
            let handed_over = matches!(loaded, Err(AccountError::Storage)) && self.0.cluster.is_leaving();
            if !handed_over {
                return loaded;
            }
        }
        // No other node can take it before.
        self.0.cluster.wait_released().await;
        Err(AccountError::Elsewhere)
    }

    async fn load_once(&self, slot: &Arc<AccountEntry>) -> Result<Arc<LoadedAccount>, AccountError> {
        let _one_at_a_time = slot.activating.lock().await;
        if let Some(resident) = slot.loaded_account() {
            return Ok(resident);
        }
        Box::pin(self.activate_account(slot)).await?;
        // Loading may have taken longer than the lease.
        slot.loaded_account().ok_or(AccountError::Storage)
    }

    /// Loads the account and puts it into its entry, which gives it out while its lease runs.
    async fn activate_account(&self, slot: &Arc<AccountEntry>) -> Result<(), AccountError> {
        let ground = &self.0;
        let number = slot.current_account().number;
        let lease = ground.cluster.lease_to_load().ok_or(AccountError::Storage)?;
        if let Some(outlived) = slot.find_loaded() {
            Self::release_account(slot, &outlived);
        }
        let most = ground.options.resident_conversations;
        let loaded = ground.store.activate_account(number, lease.node_id(), most, slot.commit_floor()).await;
        if let Err(StoreError::Elsewhere(owner)) = &loaded {
            slot.set_elsewhere(owner.clone(), ground.clock.monotonic_now());
        }
        let activation = loaded.map_err(|error| AccountError::from_store(&error, "account not loaded"))?;
        let activation = activation.ok_or(AccountError::Storage)?;
        note_lost_commits(&activation);
        let (revision, sequence) = (activation.revision, activation.sequence);
        slot.raise_floor(CommitFloor { revision, sequence, at: activation.last_commit_at });
        slot.set_account(activation.account.clone());
        let queued = ground.options.queued_commands;
        // Loaded under this lease and served under no other, however long the loading took.
        let resident =
            Arc::new(LoadedAccount::new(lease, view_of(&activation), queued, ground.clock.monotonic_now()));
        let parts = AccountStateParts {
            accounts: self.clone(),
            slot: slot.clone(),
            resident: resident.clone(),
            epoch: activation.epoch,
            has_pending: activation.has_pending,
            has_parked: activation.has_parked,
        };
        let spawned = Actor::spawn_linked(None, AccountActor, parts, ground.supervisor.get_cell()).await;
        let (door, _joined) = spawned.map_err(|error| {
            tracing::error!(error = cause(&error), "account actor not started");
            AccountError::Crashed
        })?;
        let watch = SupervisorMessage::Watch(door.get_id(), Arc::downgrade(slot), Arc::downgrade(&resident));
        // Without a supervisor the process is on its way down.
        let _stopping = ground.supervisor.cast(watch);
        resident.open_door(door);
        slot.put_loaded(resident);
        if ground.dispatcher.is_wanted(slot) {
            let dispatcher = ground.dispatcher.clone();
            ground.tasks.spawn(async move { dispatcher.take_up_all(DeliveryWork::OfAccount(number)).await });
        }
        if ground.dispatcher.has_plugins(slot) {
            self.carry_out(slot);
        }
        ground.metrics.activations.inc();
        ground.metrics.residents.inc();
        Ok(())
    }

    /// Resumes sends that were left since before the last stop.
    pub(super) async fn resume_sending(&self) -> Result<(), AccountError> {
        let waiting = self.0.store.unserved_with_pending(self.0.cluster.node_id()).await;
        for number in
            waiting.map_err(|error| AccountError::from_store(&error, "pending messages not read"))?
        {
            if let Some(slot) = self.0.directory.account_of_row(number) {
                match self.load_account(&slot).await {
                    // Another node was faster.
                    Ok(_) | Err(AccountError::Elsewhere) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Drops idle accounts and expired pages, until shutdown.
    pub(super) async fn sweep_accounts(&self) {
        let mut began = self.0.clock.monotonic_now();
        loop {
            tokio::select! {
                () = self.0.clock.wait_until(began.saturating_plus(SWEEP_EVERY)) => {}
                () = self.0.stopping.cancelled() => return,
            }
            began = self.0.clock.monotonic_now();
            let mut resident = 0_i64;
            for slot in self.0.directory.all_accounts() {
                if let Some(found) = slot.loaded_account() {
                    found.current_view().expire_pages(self.0.clock.monotonic_now());
                    if !self.retire_if_idle(&slot, &found) {
                        resident += 1;
                    }
                }
            }
            self.0.metrics.residents.set(resident);
        }
    }

    fn retire_if_idle(&self, slot: &AccountEntry, resident: &Arc<LoadedAccount>) -> bool {
        let now = self.0.clock.monotonic_now();
        let busy = [&resident.waiting, &resident.streaming, &resident.sending];
        let busy = busy.iter().any(|count| count.load(Ordering::Acquire) > 0);
        if busy || resident.last_used().saturating_plus(self.0.options.idle) > now {
            return false;
        }
        // All permits are held here: nothing is queued, and nothing can be queued until they are given back.
        let all = u32::try_from(self.0.options.queued_commands).unwrap_or(u32::MAX);
        let Ok(_held) = resident.permits.clone().try_acquire_many_owned(all) else { return false };
        Self::release_account(slot, resident);
        self.0.metrics.retirements.inc();
        true
    }

    /// Takes an account out of memory. Queued commands are finished; later ones find a successor.
    pub(crate) fn release_account(slot: &AccountEntry, resident: &Arc<LoadedAccount>) {
        resident.retire_account();
        resident.permits.close();
        slot.evict_account(resident);
        if let Some(door) = resident.actor_ref() {
            // An actor that has stopped already does not need the message.
            let _gone = door.cast(AccountMessage::Retire);
        }
    }

    /// Stops every actor. To be called when no more requests are accepted.
    pub async fn stop_actors(&self) {
        if let Err(error) = self.0.supervisor.stop_and_wait(None, Some(STOP_TIME)).await {
            tracing::warn!(error = cause(&error), "account actors did not stop in order");
        }
    }

    /// Lists the accounts in memory, for the operator.
    #[must_use]
    pub fn loaded_accounts(&self) -> Vec<LoadedAccountReport> {
        let now = self.0.clock.monotonic_now();
        let slots = self.0.directory.all_accounts().into_iter();
        slots.filter_map(|slot| Some(self.report_account(&slot, &*slot.loaded_account()?, now))).collect()
    }

    /// Updates the gauges of sending, which are computed only when they are read.
    pub fn refresh_gauges(&self) {
        let now = self.0.clock.monotonic_now();
        let (mut pace, mut slowed, mut sending) = (0_i64, 0_i64, 0_i64);
        for slot in self.0.directory.all_accounts() {
            if let Some(resident) = slot.loaded_account() {
                let configured = slot.current_account().messages_per_second;
                let current = slot.lock_pace().current_rate(configured, now);
                pace += i64::from(current);
                slowed += i64::from(current < configured);
                let waiting = resident.sending.load(Ordering::Relaxed);
                sending = sending.saturating_add(i64::try_from(waiting).unwrap_or(i64::MAX));
            }
        }
        self.0.metrics.send_pace.set(pace);
        self.0.metrics.slowed_accounts.set(slowed);
        self.0.metrics.sending.set(sending);
        self.0.metrics.calls_under_way.set(i64::try_from(self.0.calls.len()).unwrap_or(i64::MAX));
        self.0.dispatcher.refresh_gauges();
    }

    fn report_account(
        &self,
        slot: &AccountEntry,
        resident: &LoadedAccount,
        now: MonotonicInstant,
    ) -> LoadedAccountReport {
        let view = resident.current_view();
        let resident_s = now.saturating_since(resident.activated_at).map_or(1.0, |age| age.as_secs_f64());
        let (hits, misses) = (resident.hits.load(Ordering::Relaxed), resident.misses.load(Ordering::Relaxed));
        LoadedAccountReport {
            account_id: view.account.id,
            phone_number_id: view.account.phone_number_id.to_string(),
            revision: view.revision,
            sequence: view.sequence,
            conversations: view.threads.len(),
            horizon: view.threads.view_horizon(),
            mailbox_depth: self
                .0
                .options
                .queued_commands
                .saturating_sub(resident.permits.available_permits()),
            cycles_per_second: to_ratio(resident.cycles.load(Ordering::Relaxed), 1.0) / resident_s,
            cache_hit_ratio: to_ratio(hits, to_ratio(hits.saturating_add(misses).max(1), 1.0)),
            waiting_polls: resident.waiting.load(Ordering::Relaxed),
            event_streams: resident.streaming.load(Ordering::Relaxed),
            sending: resident.sending.load(Ordering::Relaxed),
            messages_per_second: slot.lock_pace().current_rate(view.account.messages_per_second, now),
            messages_per_second_max: view.account.messages_per_second,
        }
    }
}

/// Divides a count, as a float; counts beyond 2^32 are shown as that.
fn to_ratio(count: u64, over: f64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / over
}
