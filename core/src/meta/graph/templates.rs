//! Calls about templates: a page of the list of a WhatsApp Business Account, and the submission of a new one.
//!
//! Invariant: a page that cannot be read is an error and never an empty list, so that nothing is taken for deleted.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use tracing::Instrument as _;

use super::{GraphClient, RequestLost, lost_outcome, read_at_most};
use crate::domain::account::Account;
use crate::domain::message::MessageError;
use crate::domain::template::{NewTemplate, ToldTemplate};
use crate::meta::fields::read_word;
use crate::meta::graph_answer::GraphRefusal;
use crate::meta::template_fields::{is_deleted, read_listed_template};
use crate::surroundings::{AwaitKind, wait_for};

/// Templates of one page: Meta's most.
const PAGE_TEMPLATES: usize = 100;
/// Bytes of an answer, at most: a hundred templates with all of their components.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Characters of a cursor of Meta's that are passed on, at most.
const CURSOR_BYTES_MAX: usize = 4096;
/// Subcode of a refused submission: there is a template of this name in this language.
const EXISTS_ALREADY: i64 = 2_388_024;

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplatePage {
    /// Templates, in Meta's order.
    pub templates: Vec<ToldTemplate>,
    /// Cursor of the next page.
    pub next: Option<String>,
}

/// Reason for which a call about templates was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateCallError {
    /// WhatsApp refuses it for good.
    #[error("WhatsApp refuses the call: {}", .0.message)]
    Refused(MessageError),
    /// WhatsApp has a template of this name in this language.
    #[error("WhatsApp has a template of this name in this language")]
    AlreadyExists,
    /// WhatsApp did not answer, or not so that it can be understood. A submission may have arrived.
    #[error("WhatsApp did not answer the call: {}", .0.message)]
    Unanswered(MessageError),
}

impl From<GraphRefusal> for TemplateCallError {
    fn from(refusal: GraphRefusal) -> Self {
        if refusal.subcode == Some(EXISTS_ALREADY) {
            Self::AlreadyExists
        } else if refusal.transient || refusal.error.provider_code.is_none() {
            Self::Unanswered(refusal.error)
        } else {
            Self::Refused(refusal.error)
        }
    }
}

impl GraphClient {
    /// Asks for a page of the templates of a WhatsApp Business Account, after a cursor of the page before.
    ///
    /// # Errors
    /// [`TemplateCallError`].
    pub async fn list_templates(
        &self,
        account: &Account,
        waba_id: &str,
        after: Option<&str>,
    ) -> Result<TemplatePage, TemplateCallError> {
        let fields = "id,name,language,status,category,components,quality_score,rejected_reason";
        let request = self.http.get(self.templates_url(waba_id));
        let mut query = vec![("fields", fields.to_owned()), ("limit", PAGE_TEMPLATES.to_string())];
        query.extend(after.map(|cursor| ("after", cursor.to_owned())));
        let span = tracing::debug_span!("graph.templates", account = %account.id);
        let json = self.call(account, request.query(&query)).instrument(span).await?;
        read_page(&json).ok_or_else(|| {
            let error =
                crate::meta::errors::message_error(None, "WhatsApp's list of templates is unreadable");
            TemplateCallError::Unanswered(error)
        })
    }

    /// Submits a new template for approval. Returns what WhatsApp tells of it.
    ///
    /// # Errors
    /// [`TemplateCallError`].
    pub async fn submit_template(
        &self,
        account: &Account,
        waba_id: &str,
        new: &NewTemplate,
    ) -> Result<ToldTemplate, TemplateCallError> {
        let request = self.http.post(self.templates_url(waba_id)).body(new.submission.to_string());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let span = tracing::debug_span!("graph.submit_template", account = %account.id);
        let json = self.call(account, request).instrument(span).await?;
        let mut told = new.told.clone();
        told.provider_id = read_word(json.get("id"));
        told.provider_status = read_word(json.get("status")).or_else(|| Some("PENDING".into()));
        // WhatsApp may put it into another category.
        told.category = read_word(json.get("category")).or(told.category);
        Ok(told)
    }

    fn templates_url(&self, waba_id: &str) -> String {
        format!("{}/{}/{waba_id}/message_templates", self.base_url, self.version)
    }

    async fn call(
        &self,
        account: &Account,
        request: reqwest::RequestBuilder,
    ) -> Result<Value, TemplateCallError> {
        // The token authorizes calls to Meta's API.
        let request = request.bearer_auth(account.access_token.reveal());
        let answer = wait_for(AwaitKind::GraphCall, async {
            let response = request.send().await.map_err(|error| lost_outcome(&error.without_url()))?;
            Ok(read_at_most(response, PAGE_BYTES_MAX).await)
        });
        match answer.await {
            Ok(answer) => Ok(answer.of_call()?),
            Err(RequestLost::NotSent(error) | RequestLost::Unanswered(error)) => {
                Err(TemplateCallError::Unanswered(error))
            }
        }
    }
}

/// Reads a page; `None` when it is no list.
fn read_page(json: &Value) -> Option<TemplatePage> {
    let elements = json.get("data")?.as_array()?;
    let kept = elements.iter().filter(|element| !is_deleted(element));
    let cursor = || json.pointer("/paging/cursors/after")?.as_str().map(str::to_owned);
    let goes_on = json.pointer("/paging/next").is_some_and(Value::is_string);
    Some(TemplatePage {
        templates: kept.filter_map(read_listed_template).collect(),
        next: cursor().filter(|cursor| goes_on && (1..=CURSOR_BYTES_MAX).contains(&cursor.len())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_goes_on_while_meta_says_so() {
        let row = |name: &str, status: &str| json!({"name": name, "language": "id", "status": status});
        let mut page = json!({"data": [row("a", "APPROVED"), row("b", "DELETED"), {"name": 7}],
            "paging": {"cursors": {"before": "x", "after": "y"}, "next": "https://graph.example.com/…"}});
        let read = read_page(&page).unwrap();
        assert_eq!((read.templates.len(), read.next.as_deref()), (1, Some("y")));
        page["paging"].as_object_mut().unwrap().remove("next");
        assert_eq!(read_page(&page).unwrap().next, None);
        for other in [json!({"id": "1"}), json!({"data": {}}), json!([]), json!(null)] {
            assert_eq!(read_page(&other), None, "{other}");
        }
    }
}
