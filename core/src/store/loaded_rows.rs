//! Rows that commands need, fetched with one statement per kind.
//!
//! Invariant: every key of `RowNeeds` is in the result, present or absent. Kinds that are not needed cost no
//! statement.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::dialect::Dialect;
use super::engine::{EngineRow, SqlArg};
use super::row::json_array;
use super::{Store, StoreError, contact, conversation, message, parked_item, raw_item, template};
use crate::domain::contact::Contact;
use crate::domain::effect::EffectStatus;
use crate::domain::identity::IdentifierKey;
use crate::domain::loaded_rows::LoadedRows;
use crate::domain::message::Message;
use crate::domain::row_needs::RowNeeds;
use crate::domain::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId};

/// A statement and its values.
type BoundStatement = (String, Vec<SqlArg>);

/// Values of one column to look up.
struct WantedValues<'a> {
    /// Selects the rows.
    head: &'a str,
    /// Name of the looked-up table in `head`, with a dot; may be empty.
    alias: &'static str,
    condition: &'static str,
    values: Vec<String>,
}

impl<'a> WantedValues<'a> {
    fn by_column<T: ToString>(
        head: &'a str,
        alias: &'static str,
        condition: &'static str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let values = values.into_iter().map(|value| value.to_string()).collect();
        Self { head, alias, condition, values }
    }
}

/// Returns the statement for the account's rows that have any of the wanted values, with possible duplicates;
/// `None` when there are no wanted values.
///
/// A union, because an OR of two lists makes SQLite scan the whole account. On PostgreSQL each value is
/// looked up by itself. Compared with a list, every row of the account would be read whenever the planner
/// assumes that the account is small, as it does until the table is analyzed.
fn any_of(
    dialect: Dialect,
    account: i64,
    wanted: &[WantedValues<'_>],
) -> Result<Option<BoundStatement>, StoreError> {
    let mut args = vec![SqlArg::from(account)];
    let mut selects = Vec::new();
    for WantedValues { head, alias, condition, values } in wanted {
        if !values.is_empty() {
            args.push(json_array(values)?.into());
            let argument = args.len();
            let rows = format!("{head} WHERE {alias}account = $1 AND {alias}{condition}");
            selects.push(match dialect {
                Dialect::Sqlite => format!("{rows} {}", dialect.in_texts(argument)),
                Dialect::Postgres => format!(
                    "SELECT f.* FROM json_array_elements_text(${argument}::json) AS w(wanted) \
                     CROSS JOIN LATERAL ({rows} = w.wanted OFFSET 0) AS f"
                ),
            });
        }
    }
    Ok((!selects.is_empty()).then(|| (selects.join(" UNION ALL "), args)))
}

pub(super) fn messages_statement(
    dialect: Dialect,
    account: i64,
    needs: &RowNeeds,
) -> Result<Option<BoundStatement>, StoreError> {
    let head = format!("SELECT {} FROM messages", message::COLUMNS);
    let wanted = [
        WantedValues::by_column(&head, "", "wamid_key", &needs.wamids),
        WantedValues::by_column(&head, "", "id", &needs.messages),
    ];
    any_of(dialect, account, &wanted)
}

pub(super) fn unread_statement(
    dialect: Dialect,
    account: i64,
    needs: &RowNeeds,
) -> Result<Option<BoundStatement>, StoreError> {
    let head = format!("SELECT {} FROM messages", message::COLUMNS);
    let unread = "status = 'received' AND conversation_id";
    any_of(dialect, account, &[WantedValues::by_column(&head, "", unread, &needs.unread)])
}

pub(super) fn parked_statement(
    dialect: Dialect,
    account: i64,
    needs: &RowNeeds,
) -> Result<Option<BoundStatement>, StoreError> {
    let wanted = WantedValues::by_column(parked_item::SELECT, "", "wamid_key", &needs.parked);
    any_of(dialect, account, &[wanted])
}

pub(super) fn notices_statement(
    dialect: Dialect,
    account: i64,
    needs: &RowNeeds,
) -> Result<Option<BoundStatement>, StoreError> {
    let wanted = WantedValues::by_column(raw_item::SELECT_KEY, "", "wamid_key", &needs.notices);
    any_of(dialect, account, &[wanted])
}

pub(super) fn templates_statement(
    dialect: Dialect,
    account: i64,
    needs: &RowNeeds,
) -> Result<Option<BoundStatement>, StoreError> {
    let head = format!("SELECT {} FROM templates", template::COLUMNS);
    any_of(dialect, account, &[WantedValues::by_column(&head, "", "template_key", &needs.templates)])
}

pub(super) fn contacts_statement(
    dialect: Dialect,
    account: i64,
    needs: &RowNeeds,
) -> Result<Option<BoundStatement>, StoreError> {
    let columns = contact::COLUMNS;
    // An outer join fixes the order of the loops; an identifier always has its contact.
    let by_identifier = format!(
        "SELECT {columns} FROM contact_identifiers i \
         LEFT JOIN contacts k ON k.account = i.account AND k.id = i.contact_id"
    );
    let by_id = format!("SELECT {columns} FROM contacts k");
    let keys = needs.identifiers.iter().map(IdentifierKey::to_row);
    let wanted = [
        WantedValues::by_column(&by_identifier, "i.", "identifier", keys),
        WantedValues::by_column(&by_id, "k.", "id", &needs.contacts),
    ];
    any_of(dialect, account, &wanted)
}

pub(super) fn conversations_statement(
    dialect: Dialect,
    account: i64,
    threads: &BTreeSet<ConversationId>,
    contacts: &BTreeSet<ContactId>,
) -> Result<Option<BoundStatement>, StoreError> {
    let wanted = [
        WantedValues::by_column(conversation::SELECT, "c.", "id", threads),
        WantedValues::by_column(conversation::SELECT, "c.", "contact_id", contacts),
    ];
    any_of(dialect, account, &wanted)
}

impl Store {
    /// Loads the keys of these needs. Each is in the result, present or absent. Messages of the conversations
    /// `erasing` are absent, and counted as erased.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_rows(
        &self,
        account_number: i64,
        needs: &RowNeeds,
        erasing: &BTreeSet<ConversationId>,
    ) -> Result<LoadedRows, StoreError> {
        let dialect = self.engine.dialect();
        let mut facts = LoadedRows::all_absent(needs);
        for key in self.erased_keys(account_number, &needs.erased).await? {
            facts.put_erased(key);
        }
        for id in &needs.merged {
            for merged in self.merged_contacts(account_number, *id).await? {
                facts.put_merged(*id, merged);
            }
        }
        for statement in [
            messages_statement(dialect, account_number, needs)?,
            unread_statement(dialect, account_number, needs)?,
        ] {
            for message in message::read_all(&self.fetch_wanted(account_number, statement).await?)? {
                if erasing.contains(&message.conversation_id) {
                    message.erasure_keys().into_iter().for_each(|key| facts.put_erased(key));
                } else {
                    facts.put_message(message);
                }
            }
        }
        for row in
            &self.fetch_wanted(account_number, parked_statement(dialect, account_number, needs)?).await?
        {
            facts.put_parked(parked_item::read_parked(row)?);
        }
        for row in
            &self.fetch_wanted(account_number, notices_statement(dialect, account_number, needs)?).await?
        {
            facts.put_notice(raw_item::read_key(row)?);
        }
        let statement = templates_statement(dialect, account_number, needs)?;
        for template in template::read_all(&self.fetch_wanted(account_number, statement).await?)? {
            facts.put_template(template);
        }
        let mut loaded = BTreeSet::new();
        let rows =
            self.fetch_wanted(account_number, contacts_statement(dialect, account_number, needs)?).await?;
        for contact in contact::read_all(&rows)? {
            facts.put_absent_conversation(contact.id);
            loaded.insert(contact.id);
            facts.put_contact(contact);
        }
        for effect in self.load_effects(account_number.into(), &needs.runs).await? {
            if effect.status == EffectStatus::Pending {
                facts.put_effect(effect.id);
            }
        }
        let statement = conversations_statement(dialect, account_number, &needs.conversations, &loaded)?;
        for conversation in conversation::read_all(&self.fetch_wanted(account_number, statement).await?)? {
            facts.put_conversation(conversation);
        }
        Ok(facts)
    }

    /// Returns contacts of an account by their ids, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_contacts(
        &self,
        account_number: i64,
        ids: BTreeSet<ContactId>,
    ) -> Result<Vec<Arc<Contact>>, StoreError> {
        let needs = RowNeeds { contacts: ids, ..RowNeeds::default() };
        let statement = contacts_statement(self.engine.dialect(), account_number, &needs)?;
        contact::read_all(&self.fetch_wanted(account_number, statement).await?)
    }

    /// Returns messages by the keys of WhatsApp's ids.
    pub(super) async fn messages_of_keys(
        &self,
        account_number: i64,
        wamids: BTreeSet<Arc<str>>,
    ) -> Result<HashMap<Arc<str>, Arc<Message>>, StoreError> {
        let needs = RowNeeds { wamids, ..RowNeeds::default() };
        let statement = messages_statement(self.engine.dialect(), account_number, &needs)?;
        let messages = message::read_all(&self.fetch_wanted(account_number, statement).await?)?.into_iter();
        Ok(messages.filter_map(|message| Some((wamid_key(message.wamid.as_ref()?), message))).collect())
    }

    async fn fetch_wanted(
        &self,
        account_number: i64,
        statement: Option<BoundStatement>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        match statement {
            Some((sql, args)) => self.read_for(account_number).fetch_rows(sql, args).await,
            None => Ok(Vec::new()),
        }
    }
}
