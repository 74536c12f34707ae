//! The order of the backlog, by example and by law: against a model that has everything in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use kabar_core::clock::ClockReading;
use kabar_core::domain::due_time::DueTime;
use kabar_core::domain::time::Timestamp;

use super::*;

fn at(ms: u64) -> MonotonicInstant {
    MonotonicInstant::from_millis(ms)
}

/// The schedule of an account that was loaded at the beginning, and whose attempts settle at once.
fn now(ms: u64) -> SendSchedule {
    loaded(0, Duration::ZERO, ms)
}

fn loaded(at_ms: u64, settle: Duration, now_ms: u64) -> SendSchedule {
    let wall = Timestamp::from_millis(i64::try_from(now_ms).unwrap());
    SendSchedule { reading: ClockReading { wall, monotonic: at(now_ms) }, settle, loaded_at: at(at_ms) }
}

fn thread(n: u128) -> ConversationId {
    ConversationId::from_bits(n)
}

fn message(n: u128) -> MessageId {
    MessageId::from_bits(n)
}

fn fresh(conversation: u128, id: u128) -> MessageMove {
    MessageMove {
        conversation: thread(conversation),
        message: message(id),
        waiting: Some(waiting(conversation, id, 0, 0)),
    }
}

fn done(conversation: u128, id: u128) -> MessageMove {
    MessageMove { waiting: None, ..fresh(conversation, id) }
}

fn waiting(conversation: u128, id: u128, attempts: u32, ms: i64) -> WaitingMessage {
    let next_attempt_at = DueTime::from_row(Timestamp::from_millis(ms));
    WaitingMessage { id: message(id), conversation_id: thread(conversation), attempts, next_attempt_at }
}

fn ids(departed: &[WaitingMessage]) -> Vec<u128> {
    departed.iter().map(|one| one.id.bits()).collect()
}

#[test]
fn conversations_take_turns() {
    let mut backlog = SendBacklog::new(100);
    // One with ten thousand messages, all older than the other's one.
    for id in 0..10_000 {
        backlog.apply_moves(fresh(1, id), &now(1));
    }
    backlog.apply_moves(fresh(2, 10_000), &now(1));
    assert_eq!((backlog.len(), backlog.count_ready()), (2, 2));
    assert_eq!(ids(&backlog.next_messages(1)), [0]);
    backlog.apply_moves(done(1, 0), &now(2));
    backlog.return_ended(thread(1), at(2));
    assert_eq!(backlog.unread_conversations(), [thread(1)], "the rest is in the store");
    backlog.apply_read(&[thread(1)], &[waiting(1, 1, 0, 0)], &now(2));
    assert_eq!(ids(&backlog.next_messages(9)), [10_000, 1], "it stands in line behind the other");
    assert!(backlog.next_messages(9).is_empty(), "one of a conversation at a time");
}

#[test]
fn what_is_tried_again_waits_for_its_time_and_holds_its_own_conversation_only() {
    let mut backlog = SendBacklog::new(100);
    backlog.apply_moves(fresh(1, 1), &now(1));
    backlog.apply_moves(fresh(1, 2), &now(1));
    backlog.next_messages(1);
    backlog.apply_moves(MessageMove { waiting: Some(waiting(1, 1, 1, 500)), ..fresh(1, 1) }, &now(1));
    backlog.return_ended(thread(1), at(2));
    backlog.apply_moves(fresh(2, 3), &now(2));
    backlog.wake_due(at(499));
    assert_eq!(ids(&backlog.next_messages(9)), [3]);
    assert_eq!(backlog.next_at(), Some(at(500)));
    backlog.wake_due(at(500));
    assert_eq!(ids(&backlog.next_messages(9)), [1]);
    assert_eq!(backlog.count_away(), 2);
}

#[test]
fn an_echo_settles_whatever_the_message_is_doing() {
    let mut backlog = SendBacklog::new(100);
    for conversation in 1..=3 {
        backlog.apply_moves(fresh(conversation, conversation), &now(1));
        backlog.apply_moves(fresh(conversation, 10 + conversation), &now(1));
    }
    backlog.next_messages(2);
    backlog.apply_moves(MessageMove { waiting: Some(waiting(1, 1, 1, 500)), ..fresh(1, 1) }, &now(2));
    backlog.return_ended(thread(1), at(2));
    // The first waits, the second is away, the third is ready.
    for conversation in 1..=3 {
        backlog.apply_moves(done(conversation, conversation), &now(3));
    }
    assert_eq!((backlog.count_away(), backlog.count_ready(), backlog.next_at()), (1, 0, None));
    assert_eq!(backlog.unread_conversations(), [thread(1), thread(3)]);
    backlog.return_ended(thread(2), at(4));
    assert_eq!(backlog.unread_conversations(), [thread(1), thread(2), thread(3)]);
}

#[test]
fn what_an_earlier_owner_may_have_sent_gets_time_to_settle() {
    let mut backlog = SendBacklog::new(100);
    let schedule = loaded(1_000, Duration::from_secs(5), 1_000);
    let queue = [waiting(1, 1, 0, 10), waiting(2, 2, 1, 10), waiting(3, 3, 3, 9_000)];
    backlog.reload_queue(&queue, false, &schedule);
    assert_eq!(ids(&backlog.next_messages(9)), [1]);
    assert_eq!(backlog.next_at(), Some(at(6_000)));
    backlog.wake_due(at(6_000));
    assert_eq!(ids(&backlog.next_messages(9)), [2]);
    assert_eq!(backlog.next_at(), Some(at(9_000)));
}

#[test]
fn beyond_its_room_it_asks_for_the_rest() {
    let mut backlog = SendBacklog::new(2);
    for n in 1..=3 {
        backlog.apply_moves(fresh(n, n), &now(1));
    }
    assert!(backlog.is_truncated());
    assert_eq!(ids(&backlog.next_messages(9)), [1, 2]);
    backlog.apply_moves(done(1, 1), &now(2));
    backlog.return_ended(thread(1), at(2));
    // Whoever is not known may have older messages in the store.
    backlog.apply_moves(fresh(4, 4), &now(3));
    assert_eq!(backlog.count_ready(), 0);
    backlog.reload_queue(&[waiting(2, 2, 1, 60_000), waiting(3, 3, 0, 0)], false, &now(3));
    assert_eq!(ids(&backlog.next_messages(9)), [3], "what is away stays away");
}

#[test]
fn a_wait_in_memory_does_not_begin_anew_when_the_queue_is_read_again() {
    let mut backlog = SendBacklog::new(100);
    // Due an hour away, by a clock that is ahead: no retry waits for more than its schedule.
    let far = waiting(1, 1, 1, 3_600_000);
    backlog.reload_queue(&[far], false, &now(1_000));
    assert_eq!(backlog.next_at(), Some(at(2_200)));
    backlog.reload_queue(&[far], false, &now(2_000));
    assert_eq!(backlog.next_at(), Some(at(2_200)));
    backlog.reload_queue(&[waiting(1, 1, 2, 3_600_000)], false, &now(2_000));
    assert_eq!(backlog.next_at(), Some(at(6_800)), "another attempt has its own wait");
}

/// What may happen to the account and its sender.
#[derive(Debug, Clone)]
enum Step {
    Accept { conversation: u128 },
    Depart { turns: usize },
    End { nth: usize, again: bool },
    Echo { conversation: u128 },
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u128..5).prop_map(|conversation| Step::Accept { conversation }),
        3 => (1_usize..4).prop_map(|turns| Step::Depart { turns }),
        4 => (0_usize..9, any::<bool>()).prop_map(|(nth, again)| Step::End { nth, again }),
        1 => (0_u128..5).prop_map(|conversation| Step::Echo { conversation }),
        1 => Just(Step::Reload),
    ]
}

/// The rows: pending messages of each conversation, oldest first.
type Rows = BTreeMap<u128, Vec<u128>>;

fn queue(rows: &Rows, asked: impl Fn(u128) -> bool) -> Vec<WaitingMessage> {
    let next = rows.iter().filter(|(conversation, _)| asked(**conversation));
    let mut next: Vec<_> =
        next.filter_map(|(conversation, ids)| Some(waiting(*conversation, *ids.first()?, 0, 0))).collect();
    next.sort_by_key(|waiting| waiting.id);
    next
}

fn refresh(backlog: &mut SendBacklog, rows: &Rows, schedule: &SendSchedule) {
    if backlog.is_truncated() && backlog.count_ready() == 0 {
        let all = queue(rows, |_| true);
        let truncated = all.len() > backlog.room;
        backlog.reload_queue(&all[..all.len().min(backlog.room)], truncated, schedule);
    }
    let unread = backlog.unread_conversations();
    let asked = queue(rows, |conversation| unread.contains(&thread(conversation)));
    backlog.apply_read(&unread, &asked, schedule);
    backlog.wake_due(schedule.reading.monotonic);
}

proptest! {
    /// Whatever happens, what departs is the oldest of its conversation, never two of it are away, and
    /// in the end everything has gone.
    #[test]
    fn messages_depart_in_order_one_at_a_time_and_all_of_them(
        room in 1_usize..7,
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let (mut backlog, mut rows, mut away) = (SendBacklog::new(room), Rows::new(), Vec::new());
        let drain = (0..400).map(|n| if n % 2 == 0 { Step::Depart { turns: 3 } } else { Step::End { nth: 0, again: false } });
        for (n, step) in steps.into_iter().chain(drain).enumerate() {
            let schedule = now(1_000 + u64::try_from(n).unwrap());
            let now = schedule.reading.monotonic;
            match step {
                Step::Accept { conversation } => {
                    let id = 100 + u128::try_from(n).unwrap();
                    rows.entry(conversation).or_default().push(id);
                    backlog.apply_moves(fresh(conversation, id), &schedule);
                }
                Step::Depart { turns } => {
                    refresh(&mut backlog, &rows, &schedule);
                    for WaitingMessage { id, conversation_id, .. } in backlog.next_messages(turns) {
                        let conversation = conversation_id.bits();
                        prop_assert!(!away.contains(&conversation), "two of one conversation");
                        match rows.get(&conversation).and_then(|ids| ids.first()) {
                            Some(first) => prop_assert_eq!(*first, id.bits(), "out of order"),
                            None => prop_assert!(false, "not in the queue"),
                        }
                        away.push(conversation);
                    }
                }
                Step::End { nth, again } if nth < away.len() => {
                    let conversation = away.remove(nth);
                    let ids = rows.get_mut(&conversation).unwrap();
                    match ids.first().copied() {
                        Some(id) if again => backlog.apply_moves(fresh(conversation, id), &schedule),
                        Some(id) => {
                            ids.remove(0);
                            backlog.apply_moves(done(conversation, id), &schedule);
                        }
                        None => {}
                    }
                    backlog.return_ended(thread(conversation), now);
                }
                Step::End { .. } => {}
                // Of what is away, the end of the call tells; of the rest, an echo of an earlier attempt.
                Step::Echo { conversation } if away.contains(&conversation) => {}
                Step::Echo { conversation } => {
                    if let Some(ids) = rows.get_mut(&conversation) && !ids.is_empty() {
                        let id = ids.remove(0);
                        backlog.apply_moves(done(conversation, id), &schedule);
                    }
                }
                Step::Reload => {
                    let all = queue(&rows, |_| true);
                    let truncated = all.len() > room;
                    backlog.reload_queue(&all[..all.len().min(room)], truncated, &schedule);
                }
            }
        }
        prop_assert!(rows.values().all(Vec::is_empty), "left behind: {rows:?}");
        prop_assert_eq!((backlog.len(), backlog.count_away()), (0, 0));
    }
}
