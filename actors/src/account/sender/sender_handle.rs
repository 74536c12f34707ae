//! The account actor's handle to its sender, which is started when first needed.
//!
//! Invariant: an owner has at most one sender, and it ends with its owner. A successor must not share the queue
//! with its predecessor.

use std::sync::atomic::Ordering;

use kabar_core::cause::cause;
use ractor::{Actor, ActorRef, MessagingErr};

use super::sender_parts::SenderParts;
use super::{SendActor, SenderMessage, SenderState};

/// Handle to the sender of one owner.
pub(crate) struct SenderHandle {
    parts: SenderParts,
    sender: Option<ActorRef<SenderMessage>>,
    stopped: bool,
}

impl SenderHandle {
    pub(crate) const fn new(parts: SenderParts) -> Self {
        Self { parts, sender: None, stopped: false }
    }

    /// Sends a message to the sender, if it is running; returns the message otherwise.
    pub(crate) fn send_moves(&self, message: SenderMessage) -> Option<SenderMessage> {
        let Some(sender) = &self.sender else { return Some(message) };
        match sender.cast(message) {
            Err(MessagingErr::SendErr(message)) => Some(message),
            Ok(()) | Err(MessagingErr::ChannelClosed | MessagingErr::InvalidActorType) => None,
        }
    }

    /// Sends a message to the sender; starts it, or its successor, if need be.
    pub(crate) async fn wake_sender(&mut self, message: SenderMessage) {
        let Some(message) = self.send_moves(message).filter(|_| !self.stopped) else { return };
        // Commits notify the sender only while something is to be sent. Until it has read the queue that is
        // assumed, because a commit in between may change what it reads.
        self.parts.loaded.sending.fetch_max(1, Ordering::AcqRel);
        let state = SenderState::new(self.parts.clone());
        match Actor::spawn_linked(None, SendActor, state, self.parts.context.supervisor.clone()).await {
            Ok((sender, _joined)) => {
                // Just started, so it takes the message.
                let _taken = sender.cast(message);
                self.sender = Some(sender);
            }
            // The rows stay; the next notification tries again.
            Err(error) => {
                self.parts.loaded.sending.store(0, Ordering::Release);
                tracing::error!(error = cause(&error), "sender not started");
            }
        }
    }

    /// Ends the sender for good.
    pub(crate) fn stop_sender(&mut self) {
        self.stopped = true;
        if let Some(sender) = self.sender.take() {
            sender.stop(None);
        }
    }
}

impl Drop for SenderHandle {
    fn drop(&mut self) {
        self.stop_sender();
    }
}
