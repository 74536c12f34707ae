//! The guard of heads: the requests that it follows, and the lines that it spoils.

use proptest::prelude::*;

use super::*;

#[test]
fn a_spoilt_head_gets_its_end_once() {
    let mut guard = HeadGuard::new();
    let mut bytes = *b"GET / HTTP/1.1\r\nHost: a\r\n\n";
    assert!(!guard.take_spoilt() && !guard.has_bytes_to_come());
    guard.follow_bytes(&mut bytes);
    assert!(guard.has_bytes_to_come() && guard.take_spoilt() && !guard.take_spoilt());
}

/// Feeds a text in pieces that end at these places. Returns the bytes as hyper gets them, the heads that ended, and
/// whether one is incomplete.
fn follow(text: &str, ends: &[usize]) -> (Vec<u8>, usize, bool) {
    let mut guard = HeadGuard::new();
    let mut bytes = text.as_bytes().to_vec();
    let (mut start, mut heads) = (0, 0);
    let mut ends: Vec<usize> = ends.iter().copied().filter(|end| *end < bytes.len()).collect();
    ends.extend([bytes.len()]);
    ends.sort_unstable();
    for end in ends {
        heads += usize::from(guard.follow_bytes(&mut bytes[start..end]));
        start = end;
    }
    (bytes, heads, guard.is_incomplete())
}

const PLAIN: [&str; 6] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\n\n\n\n",
    "POST / HTTP/1.1\r\nContent-Length:0\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3;x=1\r\n\n\n\n\r\n0A\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\n\0\n",
];

#[test]
fn well_formed_requests_pass_unchanged() {
    for text in PLAIN {
        let (bytes, heads, incomplete) = follow(text, &[]);
        assert_eq!(bytes, text.as_bytes(), "{text:?}");
        assert_eq!((heads, incomplete), (1, false), "{text:?}");
        let all: Vec<usize> = (0..text.len()).collect();
        assert_eq!(follow(text, &all), (bytes, 1, false), "byte by byte: {text:?}");
    }
}

#[test]
fn bare_line_feeds_are_spoilt_where_lines_are() {
    for (text, spoilt) in [
        ("\nGET / HTTP/1.1\r\n", vec![0]),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", vec![14]),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", vec![23]),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", vec![25]),
        ("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\n\nGET / HTTP/1.1\n", vec![54]),
        ("POST / HTTP/1.1\r\nContent-Length: x\r\n", vec![35]),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na", vec![48]),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", vec![50]),
    ] {
        let places = |bytes: &[u8]| -> Vec<usize> {
            let changed = bytes.iter().zip(text.as_bytes()).enumerate();
            changed.filter(|(_, (now, before))| now != before).map(|(place, _)| place).collect()
        };
        let (bytes, ..) = follow(text, &[]);
        assert_eq!(places(&bytes), spoilt, "{text:?}");
        let all: Vec<usize> = (0..text.len()).collect();
        assert_eq!(places(&follow(text, &all).0), spoilt, "byte by byte: {text:?}");
        assert!(spoilt.iter().all(|place| bytes[*place] == SPOILT));
    }
}

#[test]
fn a_head_is_incomplete_from_its_first_byte_to_its_last() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for length in 0..=head.len() {
        let (_, heads, incomplete) = follow(&head[..length], &[]);
        assert_eq!(incomplete, (1..head.len()).contains(&length), "{length}");
        assert_eq!(heads, usize::from(length == head.len()));
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for length in 1..preface.len() {
        assert!(follow(&preface[..length], &[]).2, "{length}");
    }
    // The head of the next request, behind the body of the one before.
    assert!(follow("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGE", &[]).2);
    assert!(!follow("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", &[]).2);
}

proptest! {
    #[test]
    fn pieces_change_nothing(pick in 0..PLAIN.len(), other in 0..PLAIN.len() - 1, ends in prop::collection::vec(0usize..200, 0..8)) {
        let text = format!("{}{}", PLAIN[other], PLAIN[pick]);
        let (bytes, heads, incomplete) = follow(&text, &ends);
        prop_assert_eq!(bytes, text.as_bytes());
        prop_assert!(!incomplete);
        prop_assert!((1..=2).contains(&heads));
    }

    #[test]
    fn no_bytes_are_too_strange(mut bytes: Vec<u8>) {
        let before = bytes.clone();
        HeadGuard::new().follow_bytes(&mut bytes);
        prop_assert!(bytes.iter().zip(&before).all(|(now, was)| now == was || (*now, *was) == (SPOILT, b'\n')));
    }
}
