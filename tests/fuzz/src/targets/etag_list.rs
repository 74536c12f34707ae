//! `If-None-Match`: a line with the header's value, then the tag of the page.

use kabar_core::domain::etag::tag_matches;

use super::{FuzzTarget, split_line};

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "etag_list",
    run,
    words: &["W/", "w/", "\"", "*", ",", ", ", " ", "\t", "\"a\"", "W/\"a,b\"", "\\\""],
    input_bytes_max: 2000,
    mutations: 20_000,
};

/// A well-formed list matches exactly when one of its tags does; what matches holds the tag or is `*`.
fn run(input: &[u8]) {
    let (header, tag) = split_line(input);
    let (header, tag) = (String::from_utf8_lossy(header), String::from_utf8_lossy(tag));
    let wanted = tag.strip_prefix("W/").unwrap_or(&tag);
    // The server's own tags are well-formed.
    if read_list(wanted).is_none_or(|tags| tags != [wanted]) {
        return;
    }
    let matched = tag_matches(&header, &tag);
    match read_list(&header) {
        Some(tags) => assert_eq!(matched, tags.iter().any(|known| known == wanted), "{header} of {tag}"),
        None => assert!(!matched || header.trim() == "*" || header.contains(wanted), "{header} of {tag}"),
    }
    assert!(tag_matches(&tag, &tag));
}

/// Reads a list by the grammar of RFC 9110, 8.8.3 and 5.6.1: the opaque parts with their quotes. `None` if it is none.
fn read_list(header: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut signs = header.chars().peekable();
    loop {
        while signs.next_if(|sign| matches!(sign, ' ' | '\t' | ',')).is_some() {}
        if signs.peek().is_none() {
            return Some(tags);
        }
        if signs.next_if_eq(&'W').is_some() {
            signs.next_if_eq(&'/')?;
        }
        signs.next_if_eq(&'"')?;
        let mut opaque = String::from('"');
        while let Some(sign) = signs.next_if(|sign| !sign.is_ascii_control() && !matches!(sign, '"' | ' ')) {
            opaque.push(sign);
        }
        opaque.push(signs.next_if_eq(&'"')?);
        tags.push(opaque);
        while signs.next_if(|sign| matches!(sign, ' ' | '\t')).is_some() {}
        if signs.peek().is_some_and(|sign| *sign != ',') {
            return None;
        }
    }
}
