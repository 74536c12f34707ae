//! Members of a JSON object that this server wrote, split without reading their values.
//!
//! Only valid objects are split correctly; what clients send was checked when it was stored.

/// Name (as written, with quotes) and text of each member. `None` when the text is not an object.
fn split_members(object: &str) -> Option<Vec<(&str, &str)>> {
    let inner = object.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut members = Vec::new();
    let (mut start, mut colon, mut depth, mut quoted, mut escaped) = (0, None, 0_u32, false, false);
    for (place, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            ':' if depth == 0 && colon.is_none() => colon = Some(place),
            ',' if depth == 0 => {
                if let Some(colon) = colon.take() {
                    members.push((inner.get(start..colon)?.trim(), inner.get(start..place)?.trim()));
                }
                start = place + 1;
            }
            _ => {}
        }
    }
    (depth == 0 && !quoted).then_some(members)
}

/// Returns the union of two objects, in which a member of the first wins over one of the second with its name.
/// `None` when one of the texts is not an object.
#[must_use]
pub fn union_members(first: &str, second: &str) -> Option<String> {
    let mut members = split_members(first)?;
    for (name, member) in split_members(second)? {
        if !members.iter().any(|(known, _)| *known == name) {
            members.push((name, member));
        }
    }
    let texts: Vec<&str> = members.into_iter().map(|(_, member)| member).collect();
    Some(format!("{{{}}}", texts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wins_and_nothing_else_is_lost() {
        for (first, second, union) in [
            ("{}", "{}", "{}"),
            (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
            ("{}", r#"{"b":[1,{"c":2}]}"#, r#"{"b":[1,{"c":2}]}"#),
            (r#"{"a":1,"x":"{,}"}"#, r#"{"a":2,"b":"\",:"}"#, r#"{"a":1,"x":"{,}","b":"\",:"}"#),
        ] {
            assert_eq!(union_members(first, second).as_deref(), Some(union), "{first} {second}");
        }
        assert!(union_members("[]", "{}").is_none() && union_members("{}", "{").is_none());
    }
}
