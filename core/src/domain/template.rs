//! Message templates: texts that WhatsApp approves before they may be sent.
//!
//! Invariants: an account has one template of a name in a language. Templates belong to a WhatsApp Business Account; each
//! of its accounts keeps rows of its own, which its own actor writes. The state is Meta's word, and what this server makes
//! of it.

use std::fmt;
use std::sync::Arc;

use super::time::Timestamp;
use super::word_enum::word_enum;
use crate::ids::TemplateId;

/// Name and language of a template: what a send and WhatsApp's webhooks name it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateKey {
    name: Arc<str>,
    language: Arc<str>,
}

impl TemplateKey {
    /// Most bytes of a name (Meta, "Message templates").
    pub const NAME_BYTES_MAX: usize = 512;
    /// Most bytes of a language's code; the longest one in use has 5 (`pt_BR`).
    pub const LANGUAGE_BYTES_MAX: usize = 35;

    /// Reads a name and a code; `None` for what no template can have. Neither holds a slash, so that `name/language` is
    /// unambiguous.
    #[must_use]
    pub fn parse(name: &str, language: &str) -> Option<Self> {
        (Self::is_name(name) && Self::is_language(language))
            .then(|| Self { name: name.into(), language: language.into() })
    }

    /// Returns `true` for a text that a template can have as its name.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        is_key_part(text, Self::NAME_BYTES_MAX)
    }

    /// Returns `true` for a text that a template can have as the code of its language.
    #[must_use]
    pub fn is_language(text: &str) -> bool {
        is_key_part(text, Self::LANGUAGE_BYTES_MAX)
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Code of the language.
    #[must_use]
    pub const fn language(&self) -> &Arc<str> {
        &self.language
    }
}

fn is_key_part(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.contains(|c: char| c == '/' || c.is_control())
}

impl fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.language)
    }
}

word_enum! {
    /// State of a template: only an approved one can be sent.
    TemplateStatus {
        /// Can be sent.
        Approved = "approved",
        /// WhatsApp has not decided yet.
        Pending = "pending",
        /// WhatsApp does not accept it.
        Rejected = "rejected",
        /// WhatsApp has stopped it for a while, because recipients complain.
        Paused = "paused",
        /// WhatsApp has stopped it for good, or until the business acts.
        Disabled = "disabled",
    }
}

impl TemplateStatus {
    /// Returns the state that this word of Meta's means; `None` for an unknown word.
    #[must_use]
    pub fn of_provider_word(word: &str) -> Option<Self> {
        Some(match word {
            "APPROVED" | "REINSTATED" | "UNARCHIVED" | "FLAGGED" => Self::Approved,
            "PENDING" | "IN_APPEAL" | "PENDING_DELETION" => Self::Pending,
            "REJECTED" | "LIMIT_EXCEEDED" => Self::Rejected,
            "PAUSED" => Self::Paused,
            "DISABLED" | "LOCKED" | "ARCHIVED" => Self::Disabled,
            _ => return None,
        })
    }
}

/// One template of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// `tmpl_…`.
    pub id: TemplateId,
    /// Name and language.
    pub key: TemplateKey,
    /// Meta's id.
    pub provider_id: Option<Arc<str>>,
    /// Meta's word for the state.
    pub provider_status: Arc<str>,
    /// Meta's word for the category; `None` until WhatsApp has told it.
    pub category: Option<Arc<str>>,
    /// Meta's word for the quality; `None` until WhatsApp has told it.
    pub quality: Option<Arc<str>>,
    /// Meta's word for the reason of a rejection; `None` in every other state.
    pub rejected_reason: Option<Arc<str>>,
    /// Components, a JSON array as text; `None` until WhatsApp has told them.
    pub components: Option<Arc<str>>,
    /// Names that the client gave to the placeholders, a JSON array as text.
    pub variables: Option<Arc<str>>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock; moves with every visible change.
    pub updated_at: Timestamp,
}

impl Template {
    /// The state; `pending` for a word of Meta's that is not known.
    #[must_use]
    pub fn status(&self) -> TemplateStatus {
        TemplateStatus::of_provider_word(&self.provider_status).unwrap_or(TemplateStatus::Pending)
    }

    /// Returns the state that keeps it from being sent. One with an unknown word is left to WhatsApp.
    #[must_use]
    pub fn refuses_sends(&self) -> Option<TemplateStatus> {
        TemplateStatus::of_provider_word(&self.provider_status)
            .filter(|status| *status != TemplateStatus::Approved)
    }

    /// Takes over what WhatsApp tells. Returns `false` when nothing changed.
    pub fn update_from(&mut self, told: &ToldTemplate) -> bool {
        let before = self.clone();
        for (known, told) in [
            (&mut self.provider_id, &told.provider_id),
            (&mut self.category, &told.category),
            (&mut self.quality, &told.quality),
            (&mut self.rejected_reason, &told.rejected_reason),
            (&mut self.components, &told.components),
            (&mut self.variables, &told.variables),
        ] {
            if told.is_some() {
                known.clone_from(told);
            }
        }
        if let Some(word) = &told.provider_status {
            self.provider_status = word.clone();
        }
        if self.status() != TemplateStatus::Rejected {
            self.rejected_reason = None;
        }
        *self != before
    }
}

/// Statement of WhatsApp's about a template. `None` leaves a field as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTemplate {
    /// Name and language.
    pub key: TemplateKey,
    /// Meta's id.
    pub provider_id: Option<Arc<str>>,
    /// Meta's word for the state.
    pub provider_status: Option<Arc<str>>,
    /// Meta's word for the category.
    pub category: Option<Arc<str>>,
    /// Meta's word for the quality.
    pub quality: Option<Arc<str>>,
    /// Meta's word for the reason of a rejection.
    pub rejected_reason: Option<Arc<str>>,
    /// Components, a JSON array as text.
    pub components: Option<Arc<str>>,
    /// Names of the placeholders, a JSON array as text; only the client that creates it gives them.
    pub variables: Option<Arc<str>>,
}

impl ToldTemplate {
    /// A statement that tells nothing but the name.
    #[must_use]
    pub const fn of_key(key: TemplateKey) -> Self {
        Self {
            key,
            provider_id: None,
            provider_status: None,
            category: None,
            quality: None,
            rejected_reason: None,
            components: None,
            variables: None,
        }
    }
}

/// News of a template in a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateNotice {
    /// The statement.
    pub told: ToldTemplate,
    /// WhatsApp has deleted the template.
    pub is_deleted: bool,
    /// It tells less than WhatsApp's list does: that is asked for.
    pub is_partial: bool,
}

/// A template to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTemplate {
    /// Statement of the client: name, language, category, components and names of placeholders.
    pub told: ToldTemplate,
    /// The body of the call to WhatsApp, JSON as text.
    pub submission: Arc<str>,
}

/// Counts of templates that WhatsApp's list taught.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TemplateCounts {
    /// Templates that were not known.
    pub created: usize,
    /// Known ones that have changed.
    pub updated: usize,
    /// Templates in the list.
    pub synced: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(word: &str) -> Template {
        Template {
            id: TemplateId::from_bits(1),
            key: TemplateKey::parse("promo", "id").unwrap(),
            provider_id: None,
            provider_status: word.into(),
            category: None,
            quality: None,
            rejected_reason: None,
            components: None,
            variables: None,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn words_of_metas_are_the_contracts_states() {
        use TemplateStatus::{Approved, Disabled, Paused, Pending, Rejected};
        for (word, status) in [
            ("APPROVED", Approved),
            ("FLAGGED", Approved),
            ("REINSTATED", Approved),
            ("PENDING", Pending),
            ("IN_APPEAL", Pending),
            ("PENDING_DELETION", Pending),
            ("REJECTED", Rejected),
            ("PAUSED", Paused),
            ("DISABLED", Disabled),
            ("LOCKED", Disabled),
            ("ARCHIVED", Disabled),
        ] {
            assert_eq!(template(word).status(), status, "{word}");
            assert_eq!(template(word).refuses_sends(), (status != Approved).then_some(status), "{word}");
        }
        let unknown = template("OF_LATER");
        assert_eq!((unknown.status(), unknown.refuses_sends()), (Pending, None));
        for status in TemplateStatus::ALL {
            assert_eq!(TemplateStatus::parse(status.as_str()), Some(*status));
        }
        assert_eq!(TemplateStatus::parse("APPROVED"), None);
    }

    #[test]
    fn keys_are_unambiguous() {
        let key = TemplateKey::parse("order_shipped", "en_US").unwrap();
        assert_eq!(key.to_string(), "order_shipped/en_US");
        for (name, language) in [("", "id"), ("a", ""), ("a/b", "id"), ("a", "i/d"), ("a\n", "id")] {
            assert_eq!(TemplateKey::parse(name, language), None, "{name:?} {language:?}");
        }
        assert!(TemplateKey::parse(&"x".repeat(513), "id").is_none());
        assert!(TemplateKey::parse("x", &"x".repeat(36)).is_none());
    }

    #[test]
    fn a_statement_changes_what_it_tells() {
        let mut known = template("PENDING");
        let mut told = ToldTemplate::of_key(known.key.clone());
        assert!(!known.update_from(&told));
        told.provider_status = Some("REJECTED".into());
        told.rejected_reason = Some("INVALID_FORMAT".into());
        assert!(known.update_from(&told) && !known.update_from(&told));
        assert_eq!(known.rejected_reason.as_deref(), Some("INVALID_FORMAT"));
        let mut told = ToldTemplate::of_key(known.key.clone());
        told.quality = Some("RED".into());
        assert!(known.update_from(&told) && known.rejected_reason.is_some());
        told.provider_status = Some("APPROVED".into());
        assert!(known.update_from(&told));
        assert_eq!((known.rejected_reason, known.quality.as_deref()), (None, Some("RED")));
    }
}
