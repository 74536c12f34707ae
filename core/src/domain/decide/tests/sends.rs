//! Attempts at pending messages: they count before they are made, and only for the sender that saw the row last.

use super::*;
use crate::domain::monotonic::MonotonicInstant;

#[test]
fn an_attempt_counts_before_it_is_made_and_nobody_sees_it() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let (first, second) = (send(&mut world), send(&mut world));
    let before = world.message(first).clone();
    let settle_by = DueTime::after_wait(world.now, Duration::from_mins(1));
    let loaded_at = MonotonicInstant::START;
    let begin = |seen| AccountCommand::BeginSends { seen, settle_by, loaded_at };
    let seen = world.message(first).as_waiting().unwrap();
    let (reply, changes) = world.run(&begin(vec![seen]));
    assert!(changes.events.is_empty() && changes.conversations.is_empty());
    assert!(matches!(reply, Ok(CommandReply::Sends(begun)) if begun.len() == 1));
    let expected = Message { attempts: 1, next_attempt_at: Some(settle_by), ..before };
    assert_eq!(*world.message(first), expected);
    // Nobody who has an older picture begins it once more.
    assert_eq!(world.run(&begin(vec![seen])).0, Ok(CommandReply::Sends(Vec::new())));
    // What is due the sender says, by its own clock: the account's is not asked.
    let seen = world.message(first).as_waiting().unwrap();
    assert!(
        matches!(world.run(&begin(vec![seen])).0, Ok(CommandReply::Sends(begun)) if begun[0].attempts == 2)
    );
    let (seen, of_second) =
        (world.message(first).as_waiting().unwrap(), world.message(second).as_waiting().unwrap());
    // What is settled meanwhile is not begun again.
    let accepted = accepted("out");
    world.run(&AccountCommand::RecordSends(vec![(first, accepted)])).0.unwrap();
    let (reply, _) = world.run(&begin(vec![seen, of_second]));
    assert!(matches!(reply, Ok(CommandReply::Sends(begun)) if begun.len() == 1 && begun[0].id == second));
}

#[test]
fn an_attempt_that_came_too_fast_does_not_count() {
    let mut world = World::new();
    world.ingest(vec![inbound("a")]);
    let id = send(&mut world);
    let settle_by = DueTime::after_wait(world.now, Duration::from_mins(1));
    let (seen, loaded_at) = (vec![world.message(id).as_waiting().unwrap()], MonotonicInstant::START);
    world.run(&AccountCommand::BeginSends { seen, settle_by, loaded_at }).0.unwrap();
    let wait = Duration::from_secs(1);
    let (_, changes) = world.run(&AccountCommand::RecordSends(vec![(id, SendOutcome::Throttled { wait })]));
    assert!(changes.events.is_empty() && changes.conversations.is_empty());
    assert_eq!(
        (world.message(id).attempts, world.message(id).next_attempt_at),
        (0, Some(DueTime::after_wait(world.now, wait)))
    );
    let gone = MessageId::from_bits(1);
    let nothing = world.run(&AccountCommand::RecordSends(vec![(gone, SendOutcome::Retry { wait })]));
    assert!(nothing.0 == Ok(CommandReply::Recorded) && nothing.1.is_empty());
}
