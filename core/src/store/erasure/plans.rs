//! Every statement of an erasure, with values, for the tests of query plans.

use super::{
    CONVERSATIONS, DELETE_CONTACTS, DELETE_CONVERSATIONS, DELETE_IDENTIFIERS, DELETE_MESSAGES, END, MERGED,
    hold_messages, known_keys_statement, messages, remnants, steps,
};
use crate::store::dialect::Dialect;
use crate::store::engine::SqlArg;

/// Returns the statements that look rows up, for this account.
pub(in crate::store) fn erasure_statements(dialect: Dialect, account: i64) -> Vec<(String, Vec<SqlArg>)> {
    let (number, one) = (|| SqlArg::from(account), || SqlArg::from(1));
    let list = || SqlArg::from("[\"msg_11\"]");
    let numbers = || SqlArg::from("[1]");
    let text = |text: &str| SqlArg::from(text);
    let mut all = vec![
        (messages::OF_CONVERSATION.to_owned(), vec![number(), text("cnv_1"), one()]),
        (messages::OLDER_THAN.to_owned(), vec![number(), text(""), text("msg_1"), one()]),
        (messages::events_statement(dialect), vec![number(), list()]),
        (messages::delete_statement(dialect), vec![number(), list()]),
        (steps::CONTACT_EVENTS.to_owned(), vec![number(), text("ctc_1"), one()]),
        (steps::answers_statement(dialect), vec![text("ctc_1"), one()]),
        (remnants::FIELD_EVENTS.to_owned(), vec![number(), one(), one()]),
        (remnants::RAW_ITEMS.to_owned(), vec![number(), text("w"), text("0"), one()]),
        (remnants::PARKED_ITEMS.to_owned(), vec![number(), text("w"), text("0"), one()]),
        (known_keys_statement(dialect), vec![number(), list()]),
        (MERGED.to_owned(), vec![number(), text("ctc_1")]),
        (CONVERSATIONS.to_owned(), vec![number()]),
    ];
    all.extend(messages::event_statements(dialect).map(|sql| (sql, vec![number(), numbers()])));
    all.extend(messages::beside_statements(dialect).map(|sql| (sql, vec![number(), list()])));
    let rows = || vec![text(&format!("[{{\"account\": {account}, \"id\": \"msg_11\"}}]"))];
    for bulk in [
        &DELETE_CONTACTS,
        &DELETE_CONVERSATIONS,
        hold_messages(dialect),
        &END,
        &DELETE_IDENTIFIERS,
        &DELETE_MESSAGES,
    ] {
        all.push((dialect.bulk_text(bulk), rows()));
    }
    all
}
