//! What shows a contact without naming its id: values of WhatsApp's webhooks that are told whole, and items about
//! messages that this account does not have. They are searched for the texts that name the contact.
//!
//! Invariant: a text counts as a whole JSON string only, so a number that another person wrote in a sentence is none.
//! Items of messages that are there belong to those messages, and stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{ErasedKeyRow, INSERT_KEYS};
use crate::domain::time::Timestamp;
use crate::store::engine::{EngineRow, Sql, SqlArg};
use crate::store::row::json_array;
use crate::store::{Store, StoreError};

/// Rows that one step reads, at most.
const STEP_ROWS: i64 = 500;

/// Place in what is searched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkSearch {
    part: SearchPart,
    sequence: i64,
    key: String,
    detail: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum SearchPart {
    #[default]
    Events,
    RawItems,
    ParkedItems,
    Done,
}

impl MarkSearch {
    fn begin_part(&mut self, part: SearchPart) {
        *self = Self { part, ..Self::default() };
    }
}

/// Values that were told whole, after a number of the log.
pub(in crate::store) const FIELD_EVENTS: &str = "SELECT sequence, snapshot FROM events \
     WHERE account = $1 AND kind = 'whatsapp.*' AND sequence > $2 ORDER BY sequence LIMIT $3";

/// Raw items after a key and a digest.
pub(in crate::store) const RAW_ITEMS: &str = "SELECT wamid_key, digest, body, card FROM raw_items \
     WHERE account = $1 AND (wamid_key, digest) > ($2, $3) ORDER BY wamid_key, digest LIMIT $4";

/// Parked items after a key and a slot.
pub(in crate::store) const PARKED_ITEMS: &str = "SELECT wamid_key, slot, item FROM parked_items \
     WHERE account = $1 AND (wamid_key, slot) > ($2, $3) ORDER BY wamid_key, slot LIMIT $4";

/// Returns the texts as they stand in JSON.
fn quote_marks(marks: &[Arc<str>]) -> Vec<String> {
    marks.iter().filter(|mark| !mark.is_empty()).map(|mark| format!("\"{mark}\"")).collect()
}

fn is_marked(text: &str, marks: &[String]) -> bool {
    // Inside a JSON text of JSON the quotes are escaped.
    marks.iter().any(|mark| text.contains(mark.as_str()) || text.contains(&mark.replace('"', "\\\"")))
}

/// The field of an erased event, as its snapshot.
fn field_alone(snapshot: &str) -> Option<String> {
    let snapshot: serde_json::Value = serde_json::from_str(snapshot).ok()?;
    let field = snapshot.get("field")?;
    Some(serde_json::json!({"field": field}).to_string())
}

impl Store {
    /// Searches some rows for these texts, and erases those that have one. Returns the number of rows that it looked
    /// at; zero at the end.
    pub(super) async fn erase_marked(
        &self,
        account_number: i64,
        marks: &[Arc<str>],
        search: &mut MarkSearch,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let marks = quote_marks(marks);
        if marks.is_empty() && search.part != SearchPart::Done {
            search.begin_part(SearchPart::Done);
            self.write_erasure(account_number, Vec::new()).await?;
        }
        loop {
            let (read, next) = match search.part {
                SearchPart::Events => {
                    (self.search_events(account_number, &marks, search).await?, SearchPart::RawItems)
                }
                SearchPart::RawItems => (
                    self.search_items(account_number, &marks, search, (RAW_ITEMS, now)).await?,
                    SearchPart::ParkedItems,
                ),
                SearchPart::ParkedItems => (
                    self.search_items(account_number, &marks, search, (PARKED_ITEMS, now)).await?,
                    SearchPart::Done,
                ),
                SearchPart::Done => return Ok(0),
            };
            if read > 0 {
                return Ok(read);
            }
            search.begin_part(next);
            if next == SearchPart::Done {
                // The commit that deleted the contact removed rows as well.
                self.write_erasure(account_number, Vec::new()).await?;
            }
        }
    }

    async fn search_events(
        &self,
        account_number: i64,
        marks: &[String],
        search: &mut MarkSearch,
    ) -> Result<u64, StoreError> {
        let args = vec![account_number.into(), search.sequence.into(), STEP_ROWS.into()];
        let rows = self.read_for(account_number).fetch_rows(FIELD_EVENTS, args).await?;
        let mut found = Vec::new();
        let mut script: Vec<(Sql, Vec<SqlArg>)> = Vec::new();
        for row in &rows {
            let mut fields = row.read_fields("events");
            let (sequence, snapshot) = (fields.take_int()?, fields.take_text()?);
            search.sequence = sequence;
            if is_marked(&snapshot, marks)
                && let Some(bare) = field_alone(&snapshot)
            {
                found.push(sequence);
                let sql = "UPDATE events SET snapshot = $3 WHERE account = $1 AND sequence = $2";
                script.push((sql.into(), vec![account_number.into(), sequence.into(), bare.into()]));
            }
        }
        if !found.is_empty() {
            // The snapshots with the fields are written last.
            let mut whole = self.event_script(account_number, &found)?;
            whole.extend(script);
            self.write_erasure(account_number, whole).await?;
        }
        Ok(count_rows(&rows))
    }

    async fn search_items(
        &self,
        account_number: i64,
        marks: &[String],
        search: &mut MarkSearch,
        (sql, now): (&'static str, Timestamp),
    ) -> Result<u64, StoreError> {
        let args = vec![
            account_number.into(),
            search.key.as_str().into(),
            search.detail.as_str().into(),
            STEP_ROWS.into(),
        ];
        let rows = self.read_for(account_number).fetch_rows(sql, args).await?;
        let mut found: BTreeSet<Arc<str>> = BTreeSet::new();
        for row in &rows {
            let mut fields = row.read_fields("raw_items");
            (search.key, search.detail) = (fields.take_text()?, fields.take_text()?);
            let body = fields.take_text()?;
            let card = if search.part == SearchPart::RawItems { fields.opt_text()? } else { None };
            if is_marked(&body, marks) || card.is_some_and(|card| is_marked(&card, marks)) {
                found.insert(search.key.as_str().into());
            }
        }
        if !found.is_empty() {
            let kept = self.messages_of_keys(account_number, found.clone()).await?;
            found.retain(|key| !kept.contains_key(key));
        }
        if !found.is_empty() {
            self.erase_items(account_number, &found, now).await?;
        }
        Ok(count_rows(&rows))
    }

    /// Removes all items with these keys, and remembers the keys.
    async fn erase_items(
        &self,
        account_number: i64,
        keys: &BTreeSet<Arc<str>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let dialect = self.engine.dialect();
        let list = json_array(&keys.iter().collect::<Vec<_>>())?;
        let [_, raw, parked] = super::messages::beside_statements(dialect);
        let mut script: Vec<(Sql, Vec<SqlArg>)> =
            [raw, parked].map(|sql| (sql.into(), vec![account_number.into(), list.clone().into()])).into();
        let remembered: Vec<ErasedKeyRow> =
            keys.iter().map(|key| ErasedKeyRow::from_key(account_number, key, now.millis())).collect();
        script.push((dialect.bulk_text(&INSERT_KEYS).into(), vec![json_array(&remembered)?.into()]));
        self.write_erasure(account_number, script).await
    }
}

fn count_rows(rows: &[EngineRow]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_counts_as_a_whole_string_only() {
        let marks = quote_marks(&["6281200000001".into(), "ID.7".into(), "".into()]);
        for (text, marked) in [
            (r#"{"wa_id":"6281200000001"}"#, true),
            (r#"{"body":"call 6281200000001 now"}"#, false),
            (r#"{"wa_id":"62812000000012"}"#, false),
            (r#"{"value":"{\"user_id\":\"ID.7\"}"}"#, true),
            (r#"{"user_id":"ID.77"}"#, false),
            (r#"{"empty":""}"#, false),
        ] {
            assert_eq!(is_marked(text, &marks), marked, "{text}");
        }
    }

    #[test]
    fn an_erased_value_keeps_the_name_of_its_field() {
        let snapshot = r#"{"field":"user_preferences","value":"{\"a\":1}"}"#;
        assert_eq!(field_alone(snapshot).unwrap(), r#"{"field":"user_preferences"}"#);
        assert_eq!(field_alone("{}"), None);
    }
}
