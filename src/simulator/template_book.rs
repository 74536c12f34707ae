//! Templates of the simulated business accounts: what is submitted, what becomes of it, and the list.
//!
//! Invariants: a business account has one template of a name in a language. What a webhook says of a template is what the
//! list shows from then on. A name that begins with `rejected` is rejected by the review; one that begins with `refused` is
//! not taken. Bounded: beyond the limit submissions are refused, as Meta does.

use std::collections::HashMap;

use kabar_core::domain::monotonic::MonotonicInstant;
use serde_json::{Map, Value, json};

/// Templates of one business account, at most.
const TEMPLATES_MAX: usize = 6_000;
/// Templates of one page, unless the call asks for another number.
const PAGE_TEMPLATES: usize = 25;
/// Most templates of one page.
const PAGE_TEMPLATES_MAX: usize = 100;
/// Id of the first template that is submitted.
const FIRST_ID: u64 = 5_560_001;

/// A template of a simulated business account.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SimulatedTemplate {
    id: u64,
    name: String,
    language: String,
    category: String,
    status: String,
    reason: Option<String>,
    quality: Option<String>,
    components: Value,
    /// Time and outcome of the review that is under way.
    review: Option<(MonotonicInstant, &'static str)>,
}

/// Reason for which a submission is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SubmissionRefusal {
    /// A member is missing.
    Incomplete,
    /// There is a template of this name in this language.
    Exists,
    /// The name says so, or there are too many.
    NotTaken,
}

impl SimulatedTemplate {
    /// The template that WhatsApp gives to every business account.
    fn sample(id: u64, name: &str, category: &str, text: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            language: "en_US".to_owned(),
            category: category.to_owned(),
            status: "APPROVED".to_owned(),
            reason: None,
            quality: Some("GREEN".to_owned()),
            components: json!([{"type": "BODY", "text": text}]),
            review: None,
        }
    }

    fn to_meta(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "name": self.name,
            "language": self.language,
            "status": self.status,
            "category": self.category,
            "components": self.components,
            "quality_score": {"score": self.quality.as_deref().unwrap_or("UNKNOWN")},
            "rejected_reason": self.reason.as_deref().unwrap_or("NONE"),
        })
    }

    /// Builds the value of the webhook that tells its state.
    fn status_value(&self) -> Value {
        json!({
            "event": self.status,
            "message_template_id": self.id,
            "message_template_name": self.name,
            "message_template_language": self.language,
            "reason": self.reason.as_deref().unwrap_or("NONE"),
        })
    }

    /// Ends the review once its time has come.
    fn settle(&mut self, now: MonotonicInstant) {
        if let Some((due, outcome)) = self.review
            && due <= now
        {
            self.review = None;
            self.status = outcome.to_owned();
            self.reason = (outcome == "REJECTED").then(|| "INVALID_FORMAT".to_owned());
        }
    }

    /// Takes over what the value of a webhook says.
    fn apply_value(&mut self, field: &str, value: &Value) {
        let word = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        match field {
            "message_template_status_update" => {
                self.review = None;
                self.status = word("event").unwrap_or_else(|| self.status.clone());
                self.reason = word("reason").filter(|reason| reason != "NONE");
            }
            "message_template_quality_update" => self.quality = word("new_quality_score"),
            "template_category_update" => {
                self.category = word("new_category").unwrap_or_else(|| self.category.clone());
            }
            _ => {}
        }
    }
}

/// Templates of all business accounts, by the accounts' ids.
#[derive(Debug, Default)]
pub(super) struct TemplateBook {
    of_accounts: HashMap<String, Vec<SimulatedTemplate>>,
    submitted: u64,
    /// `true` when a business account has templates from its beginning.
    has_samples: bool,
}

impl TemplateBook {
    /// Creates a book, with samples or without.
    pub(super) fn new(has_samples: bool) -> Self {
        Self { has_samples, ..Self::default() }
    }

    /// Returns the templates of a business account, reviewed as far as it is time.
    fn rows_of(&mut self, waba_id: &str, now: MonotonicInstant) -> &mut Vec<SimulatedTemplate> {
        let has_samples = self.has_samples;
        let rows = self.of_accounts.entry(waba_id.to_owned()).or_insert_with(|| {
            if !has_samples {
                return Vec::new();
            }
            vec![
                SimulatedTemplate::sample(5_550_000, "hello_world", "UTILITY", "Hello World"),
                SimulatedTemplate::sample(
                    5_550_001,
                    "order_shipped",
                    "UTILITY",
                    "Your order {{1}} is on its way.",
                ),
            ]
        });
        for row in rows.iter_mut() {
            row.settle(now);
        }
        rows
    }

    /// Answers a call for the list.
    pub(super) fn page(
        &mut self,
        waba_id: &str,
        now: MonotonicInstant,
        limit: Option<usize>,
        after: Option<usize>,
    ) -> Value {
        let rows = self.rows_of(waba_id, now);
        let (start, limit) =
            (after.unwrap_or(0), limit.unwrap_or(PAGE_TEMPLATES).clamp(1, PAGE_TEMPLATES_MAX));
        let shown: Vec<Value> = rows.iter().skip(start).take(limit).map(SimulatedTemplate::to_meta).collect();
        let end = start + shown.len();
        let mut paging = json!({"cursors": {"before": start.to_string(), "after": end.to_string()}});
        if end < rows.len()
            && let Some(members) = paging.as_object_mut()
        {
            members.insert("next".into(), "https://graph.example.com/next".into());
        }
        json!({"data": shown, "paging": paging})
    }

    /// Takes a submission. Returns Meta's answer, and the value that tells the outcome of the review if it has a time.
    pub(super) fn submit(
        &mut self,
        waba_id: &str,
        body: &Value,
        now: MonotonicInstant,
        review_at: Option<MonotonicInstant>,
    ) -> Result<(Value, Option<Value>), SubmissionRefusal> {
        let word = |name: &str| body.get(name).and_then(Value::as_str).filter(|word| !word.is_empty());
        let components = body.get("components").filter(|components| components.is_array());
        let (Some(name), Some(language), Some(category), Some(components)) =
            (word("name"), word("language"), word("category"), components)
        else {
            return Err(SubmissionRefusal::Incomplete);
        };
        let id = FIRST_ID + self.submitted;
        let rows = self.rows_of(waba_id, now);
        if rows.iter().any(|row| row.name == name && row.language == language) {
            return Err(SubmissionRefusal::Exists);
        }
        if name.starts_with("refused") || rows.len() >= TEMPLATES_MAX {
            return Err(SubmissionRefusal::NotTaken);
        }
        let outcome = if name.starts_with("rejected") { "REJECTED" } else { "APPROVED" };
        let row = SimulatedTemplate {
            id,
            name: name.to_owned(),
            language: language.to_owned(),
            category: category.to_owned(),
            status: "PENDING".to_owned(),
            reason: None,
            quality: None,
            components: components.clone(),
            review: review_at.map(|at| (at, outcome)),
        };
        let told = review_at.map(|at| {
            let mut reviewed = row.clone();
            reviewed.settle(at);
            reviewed.status_value()
        });
        rows.push(row);
        self.submitted += 1;
        Ok((json!({"id": id.to_string(), "status": "PENDING", "category": category}), told))
    }

    /// Takes over what a webhook is about to tell of a template. A deleted one goes.
    pub(super) fn apply_value(&mut self, waba_id: &str, field: &str, value: &Value, now: MonotonicInstant) {
        let word = |name: &str| value.get(name).and_then(Value::as_str);
        let (Some(name), Some(language)) = (word("message_template_name"), word("message_template_language"))
        else {
            return;
        };
        let rows = self.rows_of(waba_id, now);
        if word("event") == Some("DELETED") {
            rows.retain(|row| row.name != name || row.language != language);
            return;
        }
        if let Some(row) = rows.iter_mut().find(|row| row.name == name && row.language == language) {
            row.apply_value(field, value);
        }
    }

    /// Returns Meta's error number for a send of this template; `None` when it is approved, or not known.
    pub(super) fn refuse_send(
        &mut self,
        waba_id: &str,
        template: &Value,
        now: MonotonicInstant,
    ) -> Option<i64> {
        let name = template.get("name")?.as_str()?;
        let language = template.pointer("/language/code")?.as_str()?;
        let rows = self.rows_of(waba_id, now);
        let row = rows.iter().find(|row| row.name == name && row.language == language)?;
        match row.status.as_str() {
            "APPROVED" | "FLAGGED" | "REINSTATED" => None,
            "PAUSED" => Some(132_015),
            "DISABLED" | "LOCKED" | "ARCHIVED" => Some(132_016),
            _ => Some(132_001),
        }
    }
}

/// Returns `true` for a field that tells of templates.
pub(super) fn tells_of_templates(field: &str) -> bool {
    field.starts_with("message_template_") || field == "template_category_update"
}

/// Builds the error of a submission that was not taken.
pub(super) fn refusal_body(refusal: SubmissionRefusal) -> Value {
    let (subcode, text) = match refusal {
        SubmissionRefusal::Incomplete => (None, "name, language, category and components are required."),
        SubmissionRefusal::Exists => {
            (Some(2_388_024), "There is already content for this template in this language.")
        }
        SubmissionRefusal::NotTaken => (Some(2_388_293), "This template is not taken."),
    };
    let mut error = Map::new();
    error.insert("message".into(), "Invalid parameter".into());
    error.insert("type".into(), "OAuthException".into());
    error.insert("code".into(), 100.into());
    error.extend(subcode.map(|subcode: i64| ("error_subcode".to_owned(), subcode.into())));
    error.insert("error_user_msg".into(), text.into());
    json!({"error": error})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonotonicInstant {
        MonotonicInstant::from_millis(ms)
    }

    fn submission(name: &str) -> Value {
        json!({"name": name, "language": "id", "category": "UTILITY", "components": [{"type": "BODY", "text": "x"}]})
    }

    #[test]
    fn a_submission_is_pending_until_its_review() {
        let mut book = TemplateBook::new(false);
        let (answer, told) = book.submit("1", &submission("promo"), at(0), Some(at(50))).unwrap();
        assert_eq!((&answer["status"], &told.unwrap()["event"]), (&json!("PENDING"), &json!("APPROVED")));
        assert_eq!(book.page("1", at(49), None, None)["data"][0]["status"], "PENDING");
        assert_eq!(book.page("1", at(50), None, None)["data"][0]["status"], "APPROVED");
        let (_, told) = book.submit("1", &submission("rejected_promo"), at(50), Some(at(60))).unwrap();
        assert_eq!(told.unwrap()["reason"], "INVALID_FORMAT");
        for (body, refusal) in [
            (submission("promo"), SubmissionRefusal::Exists),
            (submission("refused_promo"), SubmissionRefusal::NotTaken),
            (json!({"name": "x"}), SubmissionRefusal::Incomplete),
        ] {
            assert_eq!(book.submit("1", &body, at(50), None), Err(refusal));
        }
        assert!(book.submit("2", &submission("promo"), at(0), None).is_ok(), "another business account");
    }

    #[test]
    fn the_list_is_paged_and_shows_what_webhooks_tell() {
        let mut book = TemplateBook::new(true);
        for n in 0..3 {
            book.submit("1", &submission(&format!("promo_{n}")), at(0), None).unwrap();
        }
        let page = book.page("1", at(0), Some(4), None);
        assert_eq!(page["data"].as_array().unwrap().len(), 4);
        assert!(page["paging"]["next"].is_string());
        let last = book.page("1", at(0), Some(4), Some(4));
        assert_eq!((last["data"].as_array().unwrap().len(), last["paging"].get("next")), (1, None));
        let hello = json!({"name": "hello_world", "language": {"code": "en_US"}});
        assert_eq!(book.refuse_send("1", &hello, at(0)), None);
        let mut value = json!({"message_template_name": "hello_world", "message_template_language": "en_US",
            "event": "PAUSED", "new_quality_score": "RED"});
        for field in ["message_template_status_update", "message_template_quality_update"] {
            book.apply_value("1", field, &value, at(0));
        }
        assert_eq!(book.refuse_send("1", &hello, at(0)), Some(132_015));
        assert_eq!(book.page("1", at(0), Some(1), None)["data"][0]["quality_score"]["score"], "RED");
        value["event"] = json!("DELETED");
        book.apply_value("1", "message_template_status_update", &value, at(0));
        assert_eq!(book.refuse_send("1", &hello, at(0)), None);
        assert_eq!(book.page("1", at(0), Some(9), None)["data"].as_array().unwrap().len(), 4);
    }
}
