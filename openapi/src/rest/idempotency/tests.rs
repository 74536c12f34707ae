//! Keys as clients send them, and recorded responses as they are told again.

use super::*;

#[test]
fn keys_are_printable_ascii() {
    let read = |bytes: &[u8]| read_key(&HeaderValue::from_bytes(bytes).unwrap()).is_ok();
    assert!(read(b"a") && read(b"order 17: \"x\"~") && read(&[b'k'; 255]));
    assert!(!read(b"") && !read(&[b'k'; 256]) && !read(b"a\tb") && !read("é".as_bytes()));
}

#[test]
fn remembered_refusals_are_told_again() {
    let refusal = ApiError::invalid_field("to", "a number");
    let told = replay_recorded(&recorded_refusal(&refusal)).unwrap();
    assert_eq!(told.status(), StatusCode::BAD_REQUEST);
    assert_eq!(told.data::<ApiError>(), Some(&refusal));
}

#[test]
fn remembered_successes_are_closed_anew() {
    let recorded =
        RecordedResponse { status: 201, body: "{\"data\":1,\"request_id\":\"".into(), contact_id: None };
    let told = replay_recorded(&recorded).unwrap();
    assert_eq!(told.status(), StatusCode::CREATED);
    let body = told.data::<OpenEnvelope>().unwrap().close(b"req_2");
    assert_eq!(&body[..], br#"{"data":1,"request_id":"req_2"}"#);
    let junk = RecordedResponse { status: 400, body: "junk".into(), contact_id: None };
    assert!(replay_recorded(&junk).is_err());
}

#[test]
fn erased_responses_are_not_found() {
    let erased = RecordedResponse { status: 404, body: "".into(), contact_id: None };
    assert_eq!(replay_recorded(&erased).unwrap().status(), StatusCode::NOT_FOUND);
}
