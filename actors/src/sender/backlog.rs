//! What waits to be sent, as far as the sender keeps it in memory: the next message of each
//! conversation, and whether there are more.
//!
//! Invariants: one message of a conversation is under way at a time, and it is the oldest that
//! waits; conversations take turns, so that neither a long one nor one whose message is tried again
//! and again delays another. Memory follows the commits; whatever does not fit is read from the
//! store later. It does no I/O: it says what must be read.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use kabar_core::domain::message::Waiting;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ConversationId, MessageId};

/// What a commit did to an outbound message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) conversation: ConversationId,
    pub(crate) message: MessageId,
    /// When it may be sent; `None` when it does not wait any more.
    pub(crate) not_before: Option<Timestamp>,
}

/// When a message that may have been sent before the account was loaded, by an earlier owner or before
/// an outage, is tried again at the earliest: its echo, which may have found nobody at home, gets the
/// same time as any other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settling {
    pub(super) taken_up_at: Timestamp,
    pub(super) settle: Duration,
}

impl Settling {
    fn not_before(self, waiting: &Waiting) -> Timestamp {
        if waiting.attempts == 0 {
            return waiting.next_attempt_at;
        }
        waiting.next_attempt_at.max(self.taken_up_at.plus(self.settle))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its turn comes: it is in the queue of the ready.
    Ready,
    /// It waits for its time.
    Later,
    /// Its call is under way, or ended and not recorded yet.
    Away,
}

#[derive(Debug)]
struct Head {
    id: MessageId,
    standing: Standing,
    not_before: Timestamp,
    /// Does not wait any more, though its call is still under way.
    over: bool,
    /// There may be later messages of the conversation in the store.
    more: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Backlog {
    heads: HashMap<ConversationId, Head>,
    ready: VecDeque<ConversationId>,
    later: BTreeSet<(Timestamp, ConversationId)>,
    /// Conversations whose next message must be read from the store.
    unread: BTreeSet<ConversationId>,
    away: usize,
    /// Not all conversations that wait are here.
    truncated: bool,
    room: usize,
}

impl Backlog {
    /// An empty one that keeps so many conversations at most.
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

    /// Conversations that have something to send, as far as they are known.
    pub(super) fn len(&self) -> usize {
        self.heads.len() + self.unread.len()
    }

    /// Messages whose calls are under way, or not recorded yet.
    pub(super) const fn away(&self) -> usize {
        self.away
    }

    /// Messages whose turn it is.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether more conversations wait than are here.
    pub(super) const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// When the next message that waits for its time may go.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Follows a commit.
    pub(super) fn follow(&mut self, moved: Move, now: Timestamp) {
        let Move { conversation, message, not_before } = moved;
        match self.heads.get_mut(&conversation) {
            Some(head) if head.id == message => self.move_head(conversation, not_before, now),
            Some(head) => head.more |= message > head.id && not_before.is_some(),
            // What is next of it is about to be read, and this message with it.
            None if self.unread.contains(&conversation) || self.truncated => {}
            None => {
                if let Some(at) = not_before {
                    self.insert(conversation, message, at, false, now);
                }
            }
        }
    }

    fn move_head(&mut self, conversation: ConversationId, not_before: Option<Timestamp>, now: Timestamp) {
        let Some(head) = self.heads.get_mut(&conversation) else { return };
        head.over = not_before.is_none();
        let (standing, id, more) = (head.standing, head.id, head.more);
        if standing == Standing::Away {
            head.not_before = not_before.unwrap_or(head.not_before);
            return;
        }
        self.take_out(conversation);
        match not_before {
            Some(at) => self.insert(conversation, id, at, more, now),
            None if more => {
                self.unread.insert(conversation);
            }
            None => {}
        }
    }

    fn insert(
        &mut self,
        conversation: ConversationId,
        id: MessageId,
        at: Timestamp,
        more: bool,
        now: Timestamp,
    ) {
        if self.len() >= self.room {
            self.truncated = true;
            return;
        }
        let standing = if at > now { Standing::Later } else { Standing::Ready };
        if standing == Standing::Ready {
            self.ready.push_back(conversation);
        } else {
            self.later.insert((at, conversation));
        }
        let head = Head { id, standing, not_before: at, over: false, more };
        self.heads.insert(conversation, head);
    }

    fn take_out(&mut self, conversation: ConversationId) {
        let Some(head) = self.heads.remove(&conversation) else { return };
        match head.standing {
            // Rare: WhatsApp's echo came just as the message was to be sent again.
            Standing::Ready => self.ready.retain(|ready| *ready != conversation),
            Standing::Later => {
                self.later.remove(&(head.not_before, conversation));
            }
            Standing::Away => self.away = self.away.saturating_sub(1),
        }
    }

    /// Lets those whose time has come stand in line.
    pub(super) fn wake(&mut self, now: Timestamp) {
        while let Some((at, conversation)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, conversation));
            if let Some(head) = self.heads.get_mut(&conversation) {
                head.standing = Standing::Ready;
                self.ready.push_back(conversation);
            }
        }
    }

    /// The messages of the next so many turns. Each is away until [`Backlog::back`].
    pub(super) fn depart(&mut self, turns: usize) -> Vec<(ConversationId, MessageId)> {
        let mut departed = Vec::new();
        while departed.len() < turns
            && let Some(conversation) = self.ready.pop_front()
        {
            if let Some(head) = self.heads.get_mut(&conversation) {
                head.standing = Standing::Away;
                self.away += 1;
                departed.push((conversation, head.id));
            }
        }
        departed
    }

    /// A message's call has ended and is recorded: it is over, or waits again.
    pub(super) fn back(&mut self, conversation: ConversationId, now: Timestamp) {
        let Some(head) = self.heads.get(&conversation) else { return };
        if head.standing != Standing::Away {
            return;
        }
        let (id, at, over, more) = (head.id, head.not_before, head.over, head.more);
        self.take_out(conversation);
        if !over {
            self.insert(conversation, id, at, more, now);
        } else if more {
            self.unread.insert(conversation);
        }
    }

    /// A message was not begun after all: somebody knows more about it than memory does.
    pub(super) fn doubt(&mut self, conversation: ConversationId) {
        self.take_out(conversation);
        self.unread.insert(conversation);
    }

    /// Whether the next message of some conversation must be read.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// The conversations whose next message must be read; to be given to [`Backlog::learn`] with it.
    pub(super) fn unread(&self) -> Vec<ConversationId> {
        self.unread.iter().copied().collect()
    }

    /// What was read of these conversations; of one that is missing nothing waits.
    pub(super) fn learn(
        &mut self,
        asked: &[ConversationId],
        read: &[Waiting],
        settling: Settling,
        now: Timestamp,
    ) {
        for conversation in asked {
            self.unread.remove(conversation);
        }
        for waiting in read {
            let at = settling.not_before(waiting);
            self.insert(waiting.conversation_id, waiting.id, at, true, now);
        }
    }

    /// The store's whole queue, or as much of it as was read; what is away stays away.
    pub(super) fn reload(&mut self, read: &[Waiting], truncated: bool, settling: Settling, now: Timestamp) {
        self.heads.retain(|_, head| {
            head.more = true;
            head.standing == Standing::Away
        });
        self.ready.clear();
        self.later.clear();
        self.unread.clear();
        self.truncated = truncated;
        for waiting in read {
            if !self.heads.contains_key(&waiting.conversation_id) {
                let at = settling.not_before(waiting);
                self.insert(waiting.conversation_id, waiting.id, at, true, now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
