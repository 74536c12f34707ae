//! Supervisor of the actors: an account whose actor has ended is taken out of memory, so that the next query or
//! command loads it afresh.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use kabar_core::cause::cause;
use kabar_core::metrics::Metrics;
use kabar_core::surroundings;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::account::{AccountEntry, LoadedAccount};
use crate::error::AccountError;

/// Messages that the supervisor handles.
pub(crate) enum SupervisorMessage {
    /// The actor that works for this account.
    Watch(ActorId, Weak<AccountEntry>, Weak<LoadedAccount>),
}

type WatchedAccounts = HashMap<ActorId, (Weak<AccountEntry>, Weak<LoadedAccount>)>;

/// Supervisor of every account actor, sender and delivery worker: evicts an account when its actor ends.
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
        if let Some((entry, loaded)) = watched.remove(&cell.get_id())
            && let (Some(entry), Some(loaded)) = (entry.upgrade(), loaded.upgrade())
        {
            entry.evict_account(&loaded);
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
        SupervisorMessage::Watch(id, entry, loaded): SupervisorMessage,
        watched: &mut WatchedAccounts,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        watched.insert(id, (entry, loaded));
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
