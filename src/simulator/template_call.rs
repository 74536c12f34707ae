//! Calls about templates: the list of a business account, and a submission.
//!
//! Invariant: the gate and the token hold for them as for sends.

use std::sync::Arc;

use kabar_core::domain::address::Address;
use serde_json::Value;

use super::call::{CallAnswer, check_token, pass_gate, refuse_unknown};
use super::meta_json::ItemContent;
use super::simulated_number::SimulatedNumber;
use super::state::SimulatorState;
use super::template_book::{SubmissionRefusal, refusal_body};

/// Query of a call for the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ListQuery {
    /// Templates of the page.
    pub(super) limit: Option<usize>,
    /// Templates before the page.
    pub(super) after: Option<usize>,
}

impl ListQuery {
    /// Reads the query of a URL; what it does not know is ignored.
    pub(super) fn parse(query: &str) -> Self {
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok())
        };
        Self { limit: value("limit"), after: value("after") }
    }
}

/// Answers a call for the list.
pub(super) async fn answer_list(
    world: &SimulatorState,
    waba_id: &str,
    token: &str,
    query: ListQuery,
) -> CallAnswer {
    match enter_call(world, waba_id, token).await {
        Ok(_) => CallAnswer::Told(200, world.template_page(waba_id, query.limit, query.after)),
        Err(answer) => answer,
    }
}

/// Answers a submission.
pub(super) async fn answer_submission(
    world: &SimulatorState,
    waba_id: &str,
    token: &str,
    body: &[u8],
) -> CallAnswer {
    let number = match enter_call(world, waba_id, token).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match world.submit_template(waba_id, &body) {
        Ok((answer, told)) => {
            if let (Some(value), Some(delay)) = (told, world.review_delay) {
                let at = world.clock.read_now().plus_duration(delay);
                let field = "message_template_status_update".to_owned();
                let item = ItemContent::Field { field, value, at };
                world.deliver_items(&number, &Address::Phone(number.phone.clone()), vec![item], at);
            }
            CallAnswer::Told(200, answer)
        }
        Err(refusal) => refuse(world, refusal),
    }
}

/// Lets a call through the gate, and returns a number of the business account.
async fn enter_call(
    world: &SimulatorState,
    waba_id: &str,
    token: &str,
) -> Result<Arc<SimulatedNumber>, CallAnswer> {
    if !pass_gate(world).await {
        return Err(CallAnswer::BrokenOff);
    }
    world.update_counts(|counts| counts.template_calls += 1);
    check_token(world, token)?;
    let number = world.business_numbers().into_iter().find(|number| number.waba_id == waba_id);
    number.ok_or_else(|| refuse_unknown(world, "No such business account, or no permission for it."))
}

fn refuse(world: &SimulatorState, refusal: SubmissionRefusal) -> CallAnswer {
    world.update_counts(|counts| counts.refused += 1);
    CallAnswer::Told(400, refusal_body(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_list_is_read() {
        let read = ListQuery::parse("fields=id%2Cname&limit=100&after=7");
        assert_eq!(read, ListQuery { limit: Some(100), after: Some(7) });
        assert_eq!(ListQuery::parse("limit=x&&after"), ListQuery::default());
    }
}
