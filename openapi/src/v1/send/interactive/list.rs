//! A list: sections of rows behind one button, ten rows in all, with distinct ids.

use std::collections::HashSet;

use crate::rest::body_fields::{BodyFields, FieldError, unique};

/// The text of the button that opens the list.
const BUTTON_CHARS: std::ops::RangeInclusive<usize> = 1..=20;
const ROWS_MAX: usize = 10;
const ROWS: std::ops::RangeInclusive<usize> = 1..=ROWS_MAX;
const ID_CHARS: std::ops::RangeInclusive<usize> = 1..=200;
const TITLE_CHARS: std::ops::RangeInclusive<usize> = 1..=24;
const DESCRIPTION_CHARS: std::ops::RangeInclusive<usize> = 0..=72;

pub(super) fn check_list(action: &BodyFields<'_>) -> Result<(), FieldError> {
    action.text("button", &BUTTON_CHARS)?;
    // A section has at least one row, so there are at most as many sections as rows.
    let sections = action.objects("sections", &ROWS)?;
    let titled = sections.len() > 1;
    let mut ids = HashSet::new();
    for section in sections {
        if titled {
            section.text("title", &TITLE_CHARS)?;
        } else {
            section.optional_text("title", &(0..=24))?;
        }
        for row in section.objects("rows", &ROWS)? {
            unique(&mut ids, &row, "id", row.text("id", &ID_CHARS)?)?;
            row.text("title", &TITLE_CHARS)?;
            row.optional_text("description", &DESCRIPTION_CHARS)?;
        }
    }
    if ids.len() > ROWS_MAX {
        return Err(action.refused("sections", "a list has at most 10 rows, over all its sections"));
    }
    Ok(())
}
