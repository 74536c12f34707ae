//! Reply buttons: one to three, with distinct ids.

use std::collections::HashSet;

use crate::rest::body_fields::{BodyFields, FieldError, unique};

const COUNT: std::ops::RangeInclusive<usize> = 1..=3;
const ID_CHARS: std::ops::RangeInclusive<usize> = 1..=256;
const TITLE_CHARS: std::ops::RangeInclusive<usize> = 1..=20;

pub(super) fn check_button(action: &BodyFields<'_>) -> Result<(), FieldError> {
    let mut ids = HashSet::new();
    for button in action.objects("buttons", &COUNT)? {
        button.word("type", "\"reply\"", |text| (text == "reply").then_some(()))?;
        let reply = button.object("reply")?;
        unique(&mut ids, &reply, "id", reply.text("id", &ID_CHARS)?)?;
        reply.text("title", &TITLE_CHARS)?;
    }
    Ok(())
}
