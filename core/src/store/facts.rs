//! What commands need to know, fetched with one statement per kind.
//!
//! Invariant: everything in `Needs` that exists is in the answer; kinds that are not needed cost no
//! statement.

use std::collections::BTreeSet;

use super::engine::Arg;
use super::row::array;
use super::{Store, StoreError, contact, conversation, message, parked};
use crate::domain::command::Needs;
use crate::domain::draft::Facts;

/// Values of one column, to be found by.
struct Wanted {
    column: &'static str,
    values: Vec<String>,
}

impl Wanted {
    fn by<T: ToString>(column: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        Self { column, values: values.into_iter().map(|value| value.to_string()).collect() }
    }
}

/// `head` narrowed to one account's rows that have any of the wanted values; `None` if nothing is
/// wanted.
fn any_of(
    head: &str,
    account: (&str, i64),
    wanted: &[Wanted],
) -> Result<Option<(String, Vec<Arg>)>, StoreError> {
    let (account_column, number) = account;
    let mut args = vec![Arg::from(number)];
    let mut conditions = Vec::new();
    for Wanted { column, values } in wanted {
        if !values.is_empty() {
            args.push(array(values)?.into());
            conditions.push(format!("{column} IN (SELECT value FROM json_each(${}))", args.len()));
        }
    }
    if conditions.is_empty() {
        return Ok(None);
    }
    let sql = format!("{head} WHERE {account_column} = $1 AND ({})", conditions.join(" OR "));
    Ok(Some((sql, args)))
}

impl Store {
    /// Everything that these needs name and that exists.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn facts(&self, account_number: i64, needs: &Needs) -> Result<Facts, StoreError> {
        let mut facts = Facts::default();
        let mut threads = needs.conversations.clone();
        let mut unread = BTreeSet::new();

        let head = format!("SELECT {} FROM messages", message::COLUMNS);
        let wanted = [
            // Whose unread messages are wanted is wanted itself.
            Wanted::by("wamid", needs.wamids.union(&needs.unread)),
            Wanted::by("id", &needs.messages),
        ];
        if let Some((sql, args)) = any_of(&head, ("account", account_number), &wanted)? {
            for message in message::read_all(&self.engine.fetch(sql, args).await?)? {
                if message.wamid.as_ref().is_some_and(|wamid| needs.unread.contains(wamid)) {
                    threads.insert(message.conversation_id);
                    unread.insert(message.conversation_id);
                }
                facts.put_message(message);
            }
        }
        let head = format!("SELECT {} FROM messages", message::COLUMNS);
        let wanted = [Wanted::by("status = 'received' AND conversation_id", &unread)];
        if let Some((sql, args)) = any_of(&head, ("account", account_number), &wanted)? {
            for message in message::read_all(&self.engine.fetch(sql, args).await?)? {
                facts.put_unread(message);
            }
        }
        if !needs.wamids.is_empty() {
            let wamids: Vec<&str> = needs.wamids.iter().map(|wamid| &**wamid).collect();
            let args = vec![account_number.into(), array(&wamids)?.into()];
            for row in &self.engine.fetch(parked::FIND, args).await? {
                facts.put_parked(parked::read(row)?);
            }
        }

        let mut found = needs.contacts.clone();
        let head = format!("SELECT {} FROM contacts", contact::COLUMNS);
        let wanted = [Wanted::by("phone", &needs.phones), Wanted::by("id", &needs.contacts)];
        if let Some((sql, args)) = any_of(&head, ("account", account_number), &wanted)? {
            for contact in contact::read_all(&self.engine.fetch(sql, args).await?)? {
                found.insert(contact.id);
                facts.put_contact(contact);
            }
        }
        let wanted = [Wanted::by("c.id", &threads), Wanted::by("c.contact_id", &found)];
        if let Some((sql, args)) = any_of(conversation::SELECT, ("c.account", account_number), &wanted)? {
            for conversation in conversation::read_all(&self.engine.fetch(sql, args).await?)? {
                facts.put_conversation(conversation);
            }
        }
        Ok(facts)
    }
}
