//! `Prefer`: the value of the header, on a poll that has something to show.

use super::FuzzTarget;
use crate::runtime::wait_for;
use crate::server::server;

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "prefer",
    run,
    words: &["wait", "=", "wait=1", "wait=60", "wait=61", "\"", ",", ";", "respond-async", "\u{e4}", "\t"],
    input_bytes_max: 2000,
    mutations: 500,
};

/// Whatever is preferred, a page that is there is shown at once, and says of no wait.
fn run(input: &[u8]) {
    // These bytes would end the header.
    let value: Vec<u8> = input
        .iter()
        .map(|byte| if byte.is_ascii_control() && *byte != b'\t' { b' ' } else { *byte })
        .collect();
    let request = [
        &b"GET /v1/{number}/conversations HTTP/1.1\r\nhost: kabar\r\nconnection: close\r\n\
        authorization: Bearer {key}\r\nprefer: "[..],
        &value,
        b"\r\n\r\n",
    ]
    .concat();
    let answer = wait_for(server().request(&server().fill_places(&request)));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("preference-applied"), None);
    assert!(answer.json()["data"].is_array());
}
