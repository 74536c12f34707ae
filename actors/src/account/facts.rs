//! What a cycle's commands need to know: resident rows from memory, the rest by SQL.

use std::collections::HashMap;
use std::sync::Arc;

use kabar_core::domain::command::Needs;
use kabar_core::domain::conversation::Conversation;
use kabar_core::domain::draft::Facts;
use kabar_core::domain::message::Message;
use kabar_core::domain::phone::Phone;
use kabar_core::ids::{ConversationId, MessageId};

use crate::view::Threads;

/// Recently changed messages of one generation: statuses of a message come soon after it.
const RECENT_MESSAGES_MAX: usize = 1024;

/// The writer's own indices, not shared with readers.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_phone: HashMap<Phone, ConversationId>,
    young: Recent,
    /// The generation before, which goes when the young one is full.
    old: Recent,
}

/// Messages as the last commits left them. What is missing is fetched.
#[derive(Debug, Default)]
struct Recent {
    messages: HashMap<MessageId, Arc<Message>>,
    by_wamid: HashMap<Arc<str>, MessageId>,
}

impl Index {
    pub(super) fn put_thread(&mut self, thread: &Conversation) {
        self.by_phone.insert(thread.contact.phone.clone(), thread.id);
    }

    pub(super) fn drop_thread(&mut self, thread: &Conversation) {
        self.by_phone.remove(&thread.contact.phone);
    }

    /// Keeps a message as the last commit left it.
    pub(super) fn put_message(&mut self, message: &Arc<Message>) {
        if self.young.messages.len() >= RECENT_MESSAGES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        if let Some(wamid) = &message.wamid {
            self.young.by_wamid.insert(wamid.clone(), message.id);
        }
        self.young.messages.insert(message.id, message.clone());
    }

    /// A message that was put not long ago, as it was put last.
    fn message(&self, id: MessageId) -> Option<&Arc<Message>> {
        self.young.messages.get(&id).or_else(|| self.old.messages.get(&id))
    }

    fn message_of(&self, wamid: &str) -> Option<&Arc<Message>> {
        self.message(*self.young.by_wamid.get(wamid).or_else(|| self.old.by_wamid.get(wamid))?)
    }

    /// Takes out of `needs` what memory knows.
    pub(super) fn take_known(&self, threads: &Threads, needs: &mut Needs) -> Known {
        let mut known = Known::default();
        needs.conversations.retain(|id| known.thread(threads.get(*id)));
        // A thread shows all that the rules want of its contact, but for a missing name, which the
        // contact's own row must be read to fill in.
        needs.phones.retain(|phone| {
            let thread = self.by_phone.get(phone).and_then(|id| threads.get(*id));
            known.thread(thread.filter(|thread| thread.contact.name.is_some()))
        });
        // Statuses that waited for a message were applied when it got WhatsApp's id, so a message
        // known under that id needs no look for them.
        needs.parked.retain(|wamid| self.message_of(wamid).is_none());
        needs
            .wamids
            .retain(|wamid| known.message(self.message_of(wamid).filter(|_| !needs.unread.contains(wamid))));
        needs.messages.retain(|id| known.message(self.message(*id)));
        known
    }
}

/// What memory knows of a cycle's needs.
#[derive(Debug, Default)]
pub(super) struct Known {
    threads: Vec<Arc<Conversation>>,
    messages: Vec<Arc<Message>>,
}

impl Known {
    /// Keeps a thread; `true` when there is none, and it is still needed.
    fn thread(&mut self, thread: Option<&Arc<Conversation>>) -> bool {
        self.threads.extend(thread.cloned());
        thread.is_none()
    }

    /// Keeps a message; `true` when there is none, and it is still needed.
    fn message(&mut self, message: Option<&Arc<Message>>) -> bool {
        self.messages.extend(message.cloned());
        message.is_none()
    }

    /// Adds all of it to the facts.
    pub(super) fn tell(self, facts: &mut Facts) {
        self.threads.into_iter().for_each(|thread| facts.put_conversation(thread));
        self.messages.into_iter().for_each(|message| facts.put_message(message));
    }
}
