//! Reading JSON bodies: what is missing, what has the wrong shape, and where.

use serde_json::json;

use super::*;

fn fault<T: std::fmt::Debug>(answer: Result<T, FieldError>) -> (FieldErrorKind, String) {
    let error = answer.unwrap_err();
    (error.code, error.param)
}

#[test]
fn a_body_is_an_object() {
    for body in [json!(null), json!([]), json!("x"), json!(1), json!(true)] {
        assert_eq!(
            fault(BodyFields::of_body(&body)),
            (FieldErrorKind::InvalidRequest, String::new()),
            "{body}"
        );
    }
    assert!(BodyFields::of_body(&json!({})).is_ok());
}

#[test]
fn paths_lead_from_the_root() {
    let body = json!({"a": {"b": [{"c": 1}, {"c": "x"}]}, "n": null});
    let fields = BodyFields::of_body(&body).unwrap();
    let rows = fields.object("a").unwrap().objects("b", &(1..=2)).unwrap();
    let [first, second] = rows.as_slice() else { panic!("two rows") };
    assert_eq!(fault(first.text("c", &(1..=3))), (FieldErrorKind::InvalidFieldValue, "a.b[0].c".into()));
    assert_eq!(second.text("c", &(1..=3)), Ok("x"));
    assert_eq!(fault(second.text("d", &(1..=3))), (FieldErrorKind::MissingRequiredField, "a.b[1].d".into()));
    assert_eq!(fault(fields.object("n")), (FieldErrorKind::MissingRequiredField, "n".into()));
    assert_eq!(fault(first.object("c")), (FieldErrorKind::InvalidFieldValue, "a.b[0].c".into()));
    assert_eq!(
        fault(fields.object("a").unwrap().objects("b", &(3..=4))),
        (FieldErrorKind::InvalidFieldValue, "a.b".into())
    );
}

#[test]
fn lengths_count_characters() {
    let body = json!({"short": "éé", "long": "ééé", "none": ""});
    let fields = BodyFields::of_body(&body).unwrap();
    assert_eq!(fields.text("short", &(1..=2)), Ok("éé"));
    assert!(fields.text("long", &(1..=2)).is_err());
    assert!(fields.text("none", &(1..=2)).is_err());
    assert_eq!(fields.text("none", &(0..=2)), Ok(""));
    assert_eq!(fields.optional_text("absent", &(1..=2)), Ok(None));
}

#[test]
fn nul_characters_are_found_wherever_they_hide() {
    for (body, code, param) in [
        (json!({"a": "x\0"}), FieldErrorKind::InvalidFieldValue, "a"),
        (json!({"a": {"b": [1, ["\0"]]}}), FieldErrorKind::InvalidFieldValue, "a.b[1][0]"),
        (json!({"a": {"\0": 1}}), FieldErrorKind::InvalidRequest, ""),
    ] {
        assert_eq!(fault(BodyFields::of_body(&body)), (code, param.to_owned()), "{body}");
    }
}

#[test]
fn a_patch_tells_absent_null_and_value_apart() {
    let body = json!({"cleared": null, "set": "x", "wrong": 1});
    let fields = BodyFields::of_body(&body).unwrap();
    assert_eq!(fields.change_text("kept", &(1..=2)).unwrap().touched(), None);
    assert_eq!(fields.change_text("cleared", &(1..=2)).unwrap().touched(), Some(None));
    assert_eq!(fields.change_text("set", &(1..=2)).unwrap().touched(), Some(Some("x")));
    assert_eq!(
        fault(fields.change_text("wrong", &(1..=2))),
        (FieldErrorKind::InvalidFieldValue, "wrong".into())
    );
    assert_eq!(FieldChange::Set(2).map(|n| n + 1), FieldChange::Set(3));
}

#[test]
fn numbers_and_flags_keep_their_types() {
    let body = json!({"n": 5, "f": 5.5, "whole": 5.0, "t": "5", "b": true, "huge": 1e300});
    let fields = BodyFields::of_body(&body).unwrap();
    assert_eq!(fields.optional_integer("n", &(1..=5)), Ok(Some(5)));
    assert_eq!(fields.optional_integer("absent", &(1..=5)), Ok(None));
    assert_eq!(fields.optional_integer("whole", &(1..=5)), Ok(Some(5)));
    for key in ["f", "t", "b", "huge"] {
        assert!(fields.optional_integer(key, &(1..=5)).is_err(), "{key}");
    }
    assert!(fields.optional_integer("n", &(1..=4)).is_err());
    assert_eq!(fields.number("f", &(0.0..=5.5)), Ok(5.5));
    assert!(fields.number("t", &(0.0..=9.0)).is_err());
    assert_eq!(fields.optional_flag("b"), Ok(Some(true)));
    assert!(fields.optional_flag("n").is_err());
}

#[test]
fn messages_never_repeat_what_was_sent() {
    let body = json!({"a": "secret-value"});
    let fields = BodyFields::of_body(&body).unwrap();
    let error = fields.text("a", &(1..=2)).unwrap_err();
    assert_eq!(error.to_string(), "a must be a text of 1 to 2 characters");
}
