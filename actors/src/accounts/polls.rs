//! Read queries: answered from the view's pages, which are rendered once per query and change. Long polls: they
//! read again at every publication.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabar_core::domain::account::Account;
use kabar_core::domain::event::Event;
use kabar_core::domain::log::{EventPage, LogRead};
use kabar_core::domain::page::RowPage;
use kabar_core::fair_bound::RevocablePermit;
use kabar_core::ids::{EventId, OrganisationId};
use kabar_core::metrics::Metrics;
use kabar_core::redis::RedisPageKey;
use kabar_core::store::StoreError;
use kabar_core::surroundings::{AwaitKind, wait_for};

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LoadedAccount};
use crate::error::AccountError;
use crate::view::{AccountView, CachedResponse, QueryResult, ReadQuery, RenderedPage, ResponseKey};

/// Guard that counts one waiting task until it is dropped.
pub(super) struct WaitCounter<'a>(&'a AtomicUsize);

impl<'a> WaitCounter<'a> {
    /// Counts one more.
    pub(super) fn start_wait(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for WaitCounter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A held long poll: its permit, and its place in the metrics.
struct HeldPoll<'a> {
    permit: RevocablePermit,
    metrics: &'a Metrics,
}

impl<'a> HeldPoll<'a> {
    fn start_wait(permit: RevocablePermit, metrics: &'a Metrics) -> Self {
        metrics.waiting_polls.inc();
        Self { permit, metrics }
    }
}

impl Drop for HeldPoll<'_> {
    fn drop(&mut self) {
        self.metrics.waiting_polls.dec();
    }
}

/// Answer to a long poll.
#[derive(Debug)]
pub struct PollAnswer {
    /// The newest answer.
    pub response: CachedResponse,
    /// `true` when nothing has changed and the poll was not held to its end, because other tenants' polls need
    /// the room.
    pub is_cut_short: bool,
}

impl PollAnswer {
    const fn complete(response: CachedResponse) -> Self {
        Self { response, is_cut_short: false }
    }
}

/// Reason that a query has no answer.
enum PollMiss {
    /// The rows cannot be read.
    Unread(StoreError),
    /// The position is older than the log.
    Expired { oldest: i64 },
    /// The name stands for several rows.
    Ambiguous,
}

impl From<StoreError> for PollMiss {
    fn from(error: StoreError) -> Self {
        Self::Unread(error)
    }
}

impl AccountRegistry {
    /// Returns the page that was given before for exactly this request, if nothing has changed since.
    /// Uses no SQL, no actor, no rendering and no wait.
    #[must_use]
    pub fn cached_response(&self, slot: &AccountEntry, key: ResponseKey<'_>) -> Option<CachedResponse> {
        let resident = slot.loaded_account()?;
        let now = self.0.context.clock.monotonic_now();
        let asked = resident.current_view().pages_of_kind(key.kind).find_by_request(key.request, now)?;
        resident.mark_used(now);
        self.count_read(&resident, &asked);
        Some(asked)
    }

    /// Answers a query, and caches the page under the text of the request.
    ///
    /// # Errors
    /// [`AccountError`] when the account or the rows below its horizon cannot be read.
    pub async fn read_response(
        &self,
        slot: &Arc<AccountEntry>,
        question: &ReadQuery,
        request: Option<&str>,
    ) -> Result<CachedResponse, AccountError> {
        let resident = self.load_account(slot).await?;
        self.ask_of(&resident, question, request).await
    }

    /// Answers a query once `done` accepts the answer. Gives the newest answer after `wait`, at shutdown, or cut
    /// short when too many polls are held already.
    ///
    /// # Errors
    /// As [`AccountRegistry::read_response`].
    pub async fn ask_until(
        &self,
        slot: &Arc<AccountEntry>,
        question: &ReadQuery,
        wait: Duration,
        done: &(dyn Fn(&CachedResponse) -> bool + Sync),
    ) -> Result<PollAnswer, AccountError> {
        let deadline = self.0.context.clock.monotonic_now().saturating_plus(wait);
        let mut held = None;
        loop {
            let resident = self.load_account(slot).await?;
            let _here = WaitCounter::start_wait(&resident.waiting);
            // Subscribed before the view is read: a publication between the two is not missed.
            let mut published = resident.watch_publications();
            let seen = *published.borrow_and_update();
            let asked = self.ask_of(&resident, question, None).await?;
            if done(&asked) {
                return Ok(PollAnswer::complete(asked));
            }
            // Taken once there is something to wait for: an answer at once needs none.
            let Some(poll) = held.take().or_else(|| self.hold_poll(slot)) else {
                return Ok(PollAnswer { response: asked, is_cut_short: true });
            };
            let over = tokio::select! {
                // An error means that the loaded account was evicted: look for its successor.
                _published = wait_for(AwaitKind::Publication, published.changed()) => false,
                // Another node may have changed what was read: find the account's owner now.
                () = resident.node_lease().stopped_running() => false,
                () = poll.permit.wait_revoked() => true,
                () = self.0.context.clock.wait_until(deadline) => true,
                () = self.0.context.stopping.cancelled() => true,
            };
            if over {
                // A change that came together with the end is returned, if it can be read.
                let changed = *published.borrow() != seen;
                let response = if changed {
                    self.read_response(slot, question, None).await.unwrap_or(asked)
                } else {
                    asked
                };
                let is_cut_short = poll.permit.is_revoked() && !done(&response);
                return Ok(PollAnswer { response, is_cut_short });
            }
            held = Some(poll);
        }
    }

    /// Takes a place among the polls that are held, unless the tenant has its share.
    fn hold_poll(&self, slot: &AccountEntry) -> Option<HeldPoll<'_>> {
        let permit = self.0.held_polls.claim(slot.current_account().organisation_id)?;
        Some(HeldPoll::start_wait(permit, &self.0.context.metrics))
    }

    pub(super) async fn ask_of(
        &self,
        resident: &Arc<LoadedAccount>,
        question: &ReadQuery,
        request: Option<&str>,
    ) -> Result<CachedResponse, AccountError> {
        let now = self.0.context.clock.monotonic_now();
        resident.mark_used(now);
        let view = resident.current_view();
        let asked = view
            .pages_of_kind(question.page_kind())
            .read_through(question, request, now, || self.fill_cache(resident, &view, question))
            .await;
        let asked = asked.map_err(|missed| match missed {
            PollMiss::Unread(error) => AccountError::from_store(&error, "page not read"),
            PollMiss::Expired { oldest } => AccountError::Expired { oldest },
            PollMiss::Ambiguous => AccountError::Ambiguous,
        })?;
        self.count_read(resident, &asked);
        Ok(asked)
    }

    /// Finds an event of a tenant by its id, with the account that owns its log.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn find_event(
        &self,
        organisation: OrganisationId,
        id: EventId,
    ) -> Result<Option<(Arc<Account>, Arc<Event>)>, AccountError> {
        for account in self.0.directory.accounts_of(organisation) {
            let found = self.0.context.store.find_event(account.number, id).await;
            if let Some(event) = found.map_err(|error| AccountError::from_store(&error, "event not read"))? {
                return Ok(Some((account, Arc::new(event))));
            }
        }
        Ok(None)
    }

    fn count_read(&self, resident: &LoadedAccount, asked: &CachedResponse) {
        if asked.hit {
            resident.hits.fetch_add(1, Ordering::Relaxed);
            self.0.context.metrics.page_hits.inc();
        } else {
            resident.misses.fetch_add(1, Ordering::Relaxed);
            self.0.context.metrics.page_misses.inc();
        }
    }

    async fn fill_cache(
        &self,
        resident: &LoadedAccount,
        view: &AccountView,
        question: &ReadQuery,
    ) -> Result<(Option<Arc<RenderedPage>>, Duration), PollMiss> {
        match resident_rows(view, question) {
            ViewResult::Answer(answer) => {
                Ok((Some(self.render_rows(view, question, &answer)), answer.cache_ttl()))
            }
            ViewResult::Unknown => self.fill_from_below(resident, view, question).await,
        }
    }

    fn render_rows(
        &self,
        view: &AccountView,
        question: &ReadQuery,
        answer: &QueryResult,
    ) -> Arc<RenderedPage> {
        Arc::new(self.0.render.render(&view.account, question, answer))
    }

    /// Reads from the Redis cache, or else from the database. The Redis cache is used only while the database
    /// is at the view's revision: see `kabar_core::redis`.
    async fn fill_from_below(
        &self,
        resident: &LoadedAccount,
        view: &AccountView,
        question: &ReadQuery,
    ) -> Result<(Option<Arc<RenderedPage>>, Duration), PollMiss> {
        let quiet = resident.quiet_at(view.revision).filter(|_| question.is_shared());
        let place =
            RedisPageKey::new(view.account.number, view.revision, &question.key_text(view.account.id));
        if quiet.is_some()
            && let Some((page, life)) = self.0.memory.find_page(&place).await
        {
            return Ok((Some(Arc::new(page.into())), life));
        }
        self.0.context.metrics.page_sql.inc();
        let Some(answer) = self.load_rows(view, question).await? else { return Ok((None, MISSING_TTL)) };
        let page = self.render_rows(view, question, &answer);
        if quiet.is_some() && resident.quiet_at(view.revision) == quiet {
            self.0.memory.put_page(&place, &page.to_shared(), answer.cache_ttl().min(SHARED_TTL));
        }
        Ok((Some(page), answer.cache_ttl()))
    }

    async fn load_rows(
        &self,
        view: &AccountView,
        question: &ReadQuery,
    ) -> Result<Option<QueryResult>, PollMiss> {
        let (store, number) = (&self.0.context.store, view.account.number);
        Ok(match question {
            ReadQuery::Conversations(query) => {
                Some(QueryResult::Conversations(store.page_conversations(number, query).await?))
            }
            ReadQuery::Conversation(id) => {
                store.find_conversation(number, *id).await?.map(QueryResult::Conversation)
            }
            ReadQuery::Messages(query) => {
                Some(QueryResult::Messages(store.page_messages(number, query, &view.erasing).await?))
            }
            ReadQuery::Message(id) => {
                let found = store.find_message(number, *id).await?;
                let shown = found.filter(|message| !view.erasing.contains(&message.conversation_id));
                shown.map(QueryResult::Message)
            }
            ReadQuery::Contacts(query) => {
                Some(QueryResult::Contacts(store.page_contacts(number, query).await?))
            }
            ReadQuery::Contact(id) => store.find_contact(number, *id).await?.map(QueryResult::Contact),
            ReadQuery::Templates(query) => {
                Some(QueryResult::Templates(store.page_templates(number, query).await?))
            }
            ReadQuery::Template(query) => {
                let mut found = store.templates_of_name(number, query).await?;
                if found.len() > 1 {
                    return Err(PollMiss::Ambiguous);
                }
                found.pop().map(QueryResult::Template)
            }
            ReadQuery::Events(query) | ReadQuery::EventFrames(query) => {
                match store.event_page(number, query, view.sequence).await? {
                    LogRead::Page(page) => Some(QueryResult::Events(page)),
                    LogRead::Expired { oldest } => return Err(PollMiss::Expired { oldest }),
                }
            }
        })
    }
}

/// Answer of the view alone, without SQL.
enum ViewResult {
    Answer(QueryResult),
    /// The row may lie below the horizon, or such rows are never in memory.
    Unknown,
}

fn resident_rows(view: &AccountView, question: &ReadQuery) -> ViewResult {
    match question {
        ReadQuery::Conversations(query) => view
            .conversations
            .read_page(query)
            .map_or(ViewResult::Unknown, |page| ViewResult::Answer(QueryResult::Conversations(page))),
        ReadQuery::Conversation(id) => match view.conversations.get(*id) {
            Some(thread) => ViewResult::Answer(QueryResult::Conversation(thread.clone())),
            // It may have been merged into another one: such rows are in no list, and not in memory.
            None => ViewResult::Unknown,
        },
        ReadQuery::Events(query) | ReadQuery::EventFrames(query) => {
            if view.newest_events.from_events(query.types) <= query.after {
                let page = EventPage::empty_at(query.after.max(view.sequence));
                return ViewResult::Answer(QueryResult::Events(page));
            }
            ViewResult::Unknown
        }
        ReadQuery::Templates(_) if !view.has_templates => {
            ViewResult::Answer(QueryResult::Templates(RowPage { rows: Vec::new(), has_more: false }))
        }
        ReadQuery::Messages(_)
        | ReadQuery::Message(_)
        | ReadQuery::Contacts(_)
        | ReadQuery::Contact(_)
        | ReadQuery::Templates(_)
        | ReadQuery::Template(_) => ViewResult::Unknown,
    }
}

/// Longest time for which a page is kept outside of this process, where no erasure reaches it.
const SHARED_TTL: Duration = Duration::from_secs(8);
/// Time for which a missing row is cached. A change of that kind of row ends it sooner.
const MISSING_TTL: Duration = Duration::from_secs(1);
