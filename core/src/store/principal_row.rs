//! Row form of a principal: one text column with the JSON array `[kind, id, name]`.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::row::{RowPlace, RowText, json_text};
use crate::domain::principal::{Principal, PrincipalKind};

/// A principal in a column.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PrincipalRow<'a>(RowText<'a>, Option<RowText<'a>>, Option<RowText<'a>>);

impl<'a> PrincipalRow<'a> {
    /// Creates the row form of a principal.
    pub(super) fn from_principal(principal: &'a Principal) -> Self {
        Self(
            principal.kind.as_str().into(),
            principal.id.as_deref().map(RowText::Borrowed),
            principal.name.as_deref().map(RowText::Borrowed),
        )
    }
}

/// Returns the text of a principal's column.
pub(super) fn principal_text(principal: &Principal) -> Result<String, StoreError> {
    Ok(json_text(&PrincipalRow::from_principal(principal))?)
}

/// Reads the text of a principal's column.
pub(super) fn read_principal(at: RowPlace<'_>, column: &str, text: &str) -> Result<Principal, StoreError> {
    let PrincipalRow(kind, id, name) = at.check_value(column, serde_json::from_str(text).ok())?;
    let kind = at.check_value(column, PrincipalKind::parse(&kind))?;
    Ok(Principal { kind, id: id.map(Into::into), name: name.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_round_trip() {
        let place = RowPlace { table: "t", id: "x" };
        let key =
            Principal { kind: PrincipalKind::ApiKey, id: Some("key_1".into()), name: Some("a\"é".into()) };
        for one in [key, Principal::OPERATOR, Principal::SYSTEM] {
            let text = principal_text(&one).unwrap();
            assert_eq!(read_principal(place, "created_by", &text).unwrap(), one, "{text}");
        }
        for text in ["", "[]", r#"["root",null,null]"#, r#"["user",1,null]"#] {
            assert!(read_principal(place, "created_by", text).is_err(), "{text}");
        }
    }
}
