//! Effects that hooks requested: the row, and every statement about it.
//!
//! Invariants: an effect is written with the success of its run, and settled in the transaction of the
//! account that carries it out. An effect that is not pending is never carried out again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::{EngineRow, SqlArg};
use super::row::{RowPlace, json_array};
use super::statement_owner::StatementOwner;
use super::{Store, StoreError};
use crate::domain::address::Address;
use crate::domain::conversation::ConversationStatus;
use crate::domain::effect::{Effect, EffectId, EffectRefusal, EffectRow, EffectStatus, SettledEffect};
use crate::domain::message::{MessageKind, OutgoingMessage};
use crate::domain::message_details::{MessageSource, ReactionTo};
use crate::domain::read_receipt::ReadReceipt;
use crate::domain::template::TemplateKey;
use crate::domain::time::Timestamp;
use crate::ids::{ConversationId, MessageId, PluginId, RunId, UserId};

const TABLE: &str = "plugin_effects";

const COLUMNS: &str = "run_id, ordinal, effect, status, message_id, error_code, error_message";

/// Inserts the effects of an array, if their batch has passed the gate. A refused one becomes pending again;
/// one that was carried out stays as it is.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO plugin_effects (run_id, ordinal, account, sequence, effect, status, created_at) \
SELECT r.run_id, r.ordinal, r.account, r.sequence, r.effect, 'pending', r.created_at FROM {rows} \
WHERE EXISTS (SELECT 1 FROM plugin_heads WHERE plugin_id = $2 AND gate = $3) \
ON CONFLICT (run_id, ordinal) DO UPDATE SET effect = excluded.effect, status = 'pending', \
    error_code = NULL, error_message = NULL WHERE plugin_effects.status = 'refused'",
    columns: &[
        ("run_id", ColumnKind::Text),
        ("ordinal", ColumnKind::Int),
        ("account", ColumnKind::Int),
        ("sequence", ColumnKind::Int),
        ("effect", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
    ],
};

/// Settles the effects of an array.
pub(super) const SETTLE: BulkStatement = BulkStatement {
    text: "\
UPDATE plugin_effects SET status = r.status, message_id = r.message_id, error_code = r.error_code, \
    error_message = r.error_message FROM {rows} \
WHERE {same plugin_effects.run_id = r.run_id} AND plugin_effects.ordinal = r.ordinal",
    columns: &[
        ("account", ColumnKind::Int),
        ("run_id", ColumnKind::Text),
        ("ordinal", ColumnKind::Int),
        ("status", ColumnKind::Text),
        ("message_id", ColumnKind::Text),
        ("error_code", ColumnKind::Text),
        ("error_message", ColumnKind::Text),
    ],
};

/// A row to insert.
#[derive(Debug, Serialize)]
pub(super) struct NewEffectRow {
    run_id: String,
    ordinal: u32,
    account: i64,
    sequence: i64,
    effect: EffectJson,
    created_at: i64,
}

impl NewEffectRow {
    pub(super) fn from_effect(
        id: EffectId,
        account: i64,
        sequence: i64,
        effect: &Effect,
        now: Timestamp,
    ) -> Self {
        let (run_id, ordinal) = (id.run.to_string(), id.ordinal);
        Self { run_id, ordinal, account, sequence, effect: effect.into(), created_at: now.millis() }
    }
}

/// A row to settle.
#[derive(Debug, Serialize)]
pub(super) struct SettledRow {
    account: i64,
    run_id: String,
    ordinal: u32,
    status: &'static str,
    message_id: Option<String>,
    error_code: Option<&'static str>,
    error_message: Option<String>,
}

impl SettledRow {
    /// Creates the row of an effect that this account has carried out or refused.
    pub(super) fn from_effect(account: i64, one: &SettledEffect) -> Self {
        let status = if one.refusal.is_some() { EffectStatus::Refused } else { EffectStatus::Done };
        Self {
            account,
            run_id: one.id.run.to_string(),
            ordinal: one.id.ordinal,
            status: status.as_str(),
            message_id: one.message_id.map(|id| id.to_string()),
            error_code: one.refusal.map(EffectRefusal::code),
            error_message: one.refusal.map(|refusal| refusal.to_string()),
        }
    }
}

/// Stored form of an effect.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EffectJson {
    Send {
        to: String,
        kind: String,
        content: String,
        payload: String,
        context: Option<String>,
        /// Message and emoji of a reaction.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reaction: Option<(String, Option<String>)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        callback_data: Option<String>,
        /// Name and language of a template.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<(String, String)>,
    },
    MarkRead {
        wamid: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        typing: bool,
    },
    /// The assignee in an array, so that "no assignee" differs from "no change".
    Update { id: String, status: Option<String>, assigned_to: Option<(Option<String>,)> },
}

impl From<&Effect> for EffectJson {
    fn from(effect: &Effect) -> Self {
        match effect {
            Effect::Send(outgoing) => Self::Send {
                to: outgoing.to.as_str().to_owned(),
                kind: outgoing.kind.as_str().to_owned(),
                content: outgoing.content.to_string(),
                payload: outgoing.payload.to_string(),
                context: outgoing.context.as_deref().map(str::to_owned),
                reaction: outgoing.reaction.as_ref().map(|reaction| {
                    (reaction.wamid.to_string(), reaction.emoji.as_deref().map(str::to_owned))
                }),
                callback_data: outgoing.callback_data.as_deref().map(str::to_owned),
                template: outgoing
                    .template
                    .as_ref()
                    .map(|key| (key.name().to_string(), key.language().to_string())),
            },
            Effect::MarkRead(mark) => Self::MarkRead { wamid: mark.wamid.to_string(), typing: mark.typing },
            Effect::UpdateConversation { id, status, assigned_to } => Self::Update {
                id: id.to_string(),
                status: status.map(|status| status.as_str().to_owned()),
                assigned_to: assigned_to.map(|user| (user.map(|user| user.to_string()),)),
            },
        }
    }
}

impl EffectJson {
    fn into_effect(self) -> Option<Effect> {
        Some(match self {
            Self::Send { to, kind, content, payload, context, reaction, callback_data, template } => {
                Effect::Send(OutgoingMessage {
                    to: Address::parse(&to)?,
                    kind: MessageKind::parse(&kind)?,
                    content: content.into(),
                    payload: payload.into(),
                    context: context.map(Arc::from),
                    reaction: reaction.map(|(wamid, emoji)| ReactionTo {
                        wamid: wamid.into(),
                        emoji: emoji.map(Arc::from),
                    }),
                    template: template.and_then(|(name, language)| TemplateKey::parse(&name, &language)),
                    callback_data: callback_data.map(Arc::from),
                    source: MessageSource::Hook,
                })
            }
            Self::MarkRead { wamid, typing } => Effect::MarkRead(ReadReceipt { wamid: wamid.into(), typing }),
            Self::Update { id, status, assigned_to } => Effect::UpdateConversation {
                id: ConversationId::parse(&id).ok()?,
                status: match status {
                    None => None,
                    Some(word) => Some(ConversationStatus::parse(&word)?),
                },
                assigned_to: match assigned_to {
                    None => None,
                    Some((None,)) => Some(None),
                    Some((Some(user),)) => Some(Some(UserId::parse(&user).ok()?)),
                },
            },
        })
    }
}

fn read_effect(row: &EngineRow) -> Result<EffectRow, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let run = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &run };
    let ordinal = at.check_count("ordinal", fields.take_int()?)?;
    let effect = serde_json::from_str(&fields.take_text()?).ok().and_then(EffectJson::into_effect);
    Ok(EffectRow {
        id: EffectId { run: at.check_value("run_id", RunId::parse(&run).ok())?, ordinal },
        effect: at.check_value("effect", effect)?,
        status: at.check_value("status", EffectStatus::parse(&fields.take_text()?))?,
        message_id: match fields.opt_text()? {
            None => None,
            Some(id) => Some(at.check_value("message_id", MessageId::parse(&id).ok())?),
        },
        error_code: fields.opt_text()?.map(Arc::from),
        error_message: fields.opt_text()?.map(Arc::from),
    })
}

/// Returns the statement for the pending effects of an account, in the order of its log.
pub(super) fn pending_statement() -> String {
    format!(
        "SELECT {COLUMNS} FROM plugin_effects WHERE account = $1 AND status = 'pending' \
         ORDER BY sequence, run_id, ordinal LIMIT $2"
    )
}

/// Returns the statement for the effects of some runs.
pub(super) fn of_runs_statement(dialect: Dialect) -> String {
    format!(
        "SELECT {COLUMNS} FROM plugin_effects WHERE run_id {} ORDER BY run_id, ordinal",
        dialect.in_texts(1)
    )
}

/// Accounts that no node serves and that have pending effects.
pub(super) const UNSERVED: &str = "\
SELECT DISTINCT e.account FROM plugin_effects e JOIN accounts a ON a.number = e.account \
WHERE e.status = 'pending' AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = a.owner)";

fn list_names(runs: &BTreeSet<RunId>) -> Result<Vec<SqlArg>, StoreError> {
    let names: Vec<String> = runs.iter().map(ToString::to_string).collect();
    Ok(vec![json_array(&names)?.into()])
}

impl Store {
    /// Returns pending effects of an account, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pending_effects(&self, account: i64, limit: usize) -> Result<Vec<EffectRow>, StoreError> {
        let args = vec![account.into(), SqlArg::from(i64::try_from(limit).ok())];
        self.read_for(account).fetch_rows(pending_statement(), args).await?.iter().map(read_effect).collect()
    }

    /// Returns the effects of these runs, by run and in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn effects_of(
        &self,
        plugin: PluginId,
        runs: &BTreeSet<RunId>,
    ) -> Result<Vec<EffectRow>, StoreError> {
        self.load_effects(plugin.into(), runs).await
    }

    /// Returns the effects of these runs in the share of this owner.
    pub(super) async fn load_effects(
        &self,
        owner: StatementOwner,
        runs: &BTreeSet<RunId>,
    ) -> Result<Vec<EffectRow>, StoreError> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let sql = of_runs_statement(self.engine.dialect());
        self.read_for(owner).fetch_rows(sql, list_names(runs)?).await?.iter().map(read_effect).collect()
    }

    /// Returns the numbers of accounts that no node serves and that have pending effects.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unserved_with_effects(&self) -> Result<Vec<i64>, StoreError> {
        self.read_for_server()
            .fetch_rows(UNSERVED, Vec::new())
            .await?
            .iter()
            .map(|row| row.read_fields(TABLE).take_int())
            .collect()
    }
}
