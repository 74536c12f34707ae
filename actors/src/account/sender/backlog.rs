//! The send queue as far as the sender keeps it in memory: the next message of each conversation, and a flag
//! for further ones.
//!
//! Invariants: one message of a conversation is under way at a time, and it is the oldest that waits.
//! Conversations take turns, so that neither a long one nor one with repeated attempts delays another. Memory
//! follows the commits; messages that do not fit are read from the store later. The backlog does no I/O: it
//! returns what must be read.

use std::collections::{BTreeSet, HashMap, VecDeque};

use kabar_core::domain::message::WaitingMessage;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::{ConversationId, MessageId};

use super::schedule::SendSchedule;

/// Change of an outbound message by a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MessageMove {
    pub(crate) conversation: ConversationId,
    pub(crate) message: MessageId,
    /// Its place in the queue; `None` when it does not wait any more.
    pub(crate) waiting: Option<WaitingMessage>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueState {
    /// It is in the queue of ready conversations.
    Ready,
    /// It waits for its due time.
    Later,
    /// Its call is under way, or has ended and is not recorded yet.
    Away,
}

#[derive(Debug)]
struct QueueHead {
    /// The row, as memory saw it last.
    waiting: WaitingMessage,
    standing: QueueState,
    not_before: MonotonicInstant,
    /// Set when it does not wait any more, though its call is still under way.
    over: bool,
    /// Set when there may be later messages of the conversation in the store.
    more: bool,
}

/// Conversations with messages to send, by their state.
#[derive(Debug)]
pub(super) struct SendBacklog {
    heads: HashMap<ConversationId, QueueHead>,
    ready: VecDeque<ConversationId>,
    later: BTreeSet<(MonotonicInstant, ConversationId)>,
    /// Conversations that need a read of their next message from the store.
    unread: BTreeSet<ConversationId>,
    away: usize,
    /// Set when not all waiting conversations are here.
    truncated: bool,
    room: usize,
}

impl SendBacklog {
    /// Creates an empty backlog of at most `room` conversations.
    pub(super) fn new(room: usize) -> Self {
        Self {
            heads: HashMap::new(),
            ready: VecDeque::new(),
            later: BTreeSet::new(),
            unread: BTreeSet::new(),
            away: 0,
            truncated: false,
            room,
        }
    }

    /// Counts the known conversations with messages to send.
    pub(super) fn len(&self) -> usize {
        self.heads.len() + self.unread.len()
    }

    /// Counts the messages with calls that are under way, or not recorded yet.
    pub(super) const fn count_away(&self) -> usize {
        self.away
    }

    /// Counts the conversations that are ready to send.
    pub(super) fn count_ready(&self) -> usize {
        self.ready.len()
    }

    /// Returns `true` when more conversations wait than are here.
    pub(super) const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Returns the time at which the next message becomes due.
    pub(super) fn next_at(&self) -> Option<MonotonicInstant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Applies a change by a commit.
    pub(super) fn apply_moves(&mut self, moved: MessageMove, schedule: &SendSchedule) {
        let MessageMove { conversation, message, waiting } = moved;
        let placed = waiting.map(|waiting| (waiting, schedule.after_commit(&waiting)));
        let now = schedule.reading.monotonic;
        match self.heads.get_mut(&conversation) {
            Some(head) if head.waiting.id == message => self.move_head(conversation, placed, now),
            Some(head) => head.more |= message > head.waiting.id && waiting.is_some(),
            // Its next message is about to be read, and this message with it.
            None if self.unread.contains(&conversation) || self.truncated => {}
            None => {
                if let Some((waiting, at)) = placed {
                    self.insert_head(waiting, at, false, now);
                }
            }
        }
    }

    fn move_head(
        &mut self,
        conversation: ConversationId,
        placed: Option<(WaitingMessage, MonotonicInstant)>,
        now: MonotonicInstant,
    ) {
        let Some(head) = self.heads.get_mut(&conversation) else { return };
        head.over = placed.is_none();
        let (standing, more) = (head.standing, head.more);
        if standing == QueueState::Away {
            if let Some((waiting, at)) = placed {
                (head.waiting, head.not_before) = (waiting, at);
            }
            return;
        }
        self.take_out(conversation);
        match placed {
            Some((waiting, at)) => self.insert_head(waiting, at, more, now),
            None if more => {
                self.unread.insert(conversation);
            }
            None => {}
        }
    }

    fn insert_head(
        &mut self,
        waiting: WaitingMessage,
        at: MonotonicInstant,
        more: bool,
        now: MonotonicInstant,
    ) {
        if self.len() >= self.room {
            self.truncated = true;
            return;
        }
        let conversation = waiting.conversation_id;
        let standing = if at > now { QueueState::Later } else { QueueState::Ready };
        if standing == QueueState::Ready {
            self.ready.push_back(conversation);
        } else {
            self.later.insert((at, conversation));
        }
        let head = QueueHead { waiting, standing, not_before: at, over: false, more };
        self.heads.insert(conversation, head);
    }

    fn take_out(&mut self, conversation: ConversationId) {
        let Some(head) = self.heads.remove(&conversation) else { return };
        match head.standing {
            // Rare: WhatsApp's echo came just as the message was to be sent again.
            QueueState::Ready => self.ready.retain(|ready| *ready != conversation),
            QueueState::Later => {
                self.later.remove(&(head.not_before, conversation));
            }
            QueueState::Away => self.away = self.away.saturating_sub(1),
        }
    }

    /// Moves messages that have become due to the queue of ready ones.
    pub(super) fn wake_due(&mut self, now: MonotonicInstant) {
        while let Some((at, conversation)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, conversation));
            if let Some(head) = self.heads.get_mut(&conversation) {
                head.standing = QueueState::Ready;
                self.ready.push_back(conversation);
            }
        }
    }

    /// Takes the next ready messages, at most `turns`. Each counts as under way until
    /// [`SendBacklog::return_ended`].
    pub(super) fn next_messages(&mut self, turns: usize) -> Vec<WaitingMessage> {
        let mut departed = Vec::new();
        while departed.len() < turns
            && let Some(conversation) = self.ready.pop_front()
        {
            if let Some(head) = self.heads.get_mut(&conversation) {
                head.standing = QueueState::Away;
                self.away += 1;
                departed.push(head.waiting);
            }
        }
        departed
    }

    /// Returns a message with an ended and recorded call: it is over, or waits again.
    pub(super) fn return_ended(&mut self, conversation: ConversationId, now: MonotonicInstant) {
        let Some(head) = self.heads.get(&conversation) else { return };
        if head.standing != QueueState::Away {
            return;
        }
        let (waiting, at, over, more) = (head.waiting, head.not_before, head.over, head.more);
        self.take_out(conversation);
        if !over {
            self.insert_head(waiting, at, more, now);
        } else if more {
            self.unread.insert(conversation);
        }
    }

    /// Returns a message that was not begun: its row may have changed, so it must be read again.
    pub(super) fn return_unknown(&mut self, conversation: ConversationId) {
        self.take_out(conversation);
        self.unread.insert(conversation);
    }

    /// Returns `true` when the next message of a conversation must be read.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Lists the conversations that need a read of their next message; the results go to
    /// [`SendBacklog::apply_read`].
    pub(super) fn unread_conversations(&self) -> Vec<ConversationId> {
        self.unread.iter().copied().collect()
    }

    /// Applies the messages that were read of these conversations; one that is missing has none.
    pub(super) fn apply_read(
        &mut self,
        asked: &[ConversationId],
        read: &[WaitingMessage],
        schedule: &SendSchedule,
    ) {
        for conversation in asked {
            self.unread.remove(conversation);
        }
        for waiting in read {
            self.insert_head(*waiting, schedule.after_load(waiting), true, schedule.reading.monotonic);
        }
    }

    /// Replaces the backlog by the store's queue, or as much of it as was read; calls under way stay. A message
    /// that memory has in the same place keeps its instant: its wait is not measured anew.
    pub(super) fn reload_queue(&mut self, read: &[WaitingMessage], truncated: bool, schedule: &SendSchedule) {
        let before = std::mem::take(&mut self.heads);
        self.ready.clear();
        self.later.clear();
        self.unread.clear();
        self.truncated = truncated;
        let (away, stood): (HashMap<_, _>, HashMap<_, _>) =
            before.into_iter().partition(|(_, head)| head.standing == QueueState::Away);
        self.heads = away;
        self.heads.values_mut().for_each(|head| head.more = true);
        let floor = schedule.loaded_at.saturating_plus(schedule.settle);
        for waiting in read {
            let conversation = &waiting.conversation_id;
            if self.heads.contains_key(conversation) {
                continue;
            }
            let known = stood.get(conversation).filter(|head| head.waiting == *waiting);
            let at = known.map_or_else(
                || schedule.after_load(waiting),
                |head| {
                    if waiting.attempts == 0 { head.not_before } else { head.not_before.max(floor) }
                },
            );
            self.insert_head(*waiting, at, true, schedule.reading.monotonic);
        }
    }
}

#[cfg(test)]
mod tests;
