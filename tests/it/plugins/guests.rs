//! Guests as small as can be, written as core modules and wrapped into components.

/// What a guest does with its event, in WebAssembly's text form: imports and texts, and the body of its
/// handler, which leaves the address of a result.
pub(crate) struct Guest {
    parts: String,
    body: String,
    /// Pages of memory, of 64 KiB.
    pages: u32,
}

/// Where a result lies that says that all went well.
const OK: &str = "(i32.const 64)";

/// Texts lie from here on.
const TEXTS: usize = 1024;

impl Guest {
    fn of(parts: &str, body: &str) -> Self {
        Self { parts: parts.to_owned(), body: body.to_owned(), pages: 4 }
    }

    /// Does nothing, and has a further field in its module.
    pub(super) fn with_part(part: &str) -> Self {
        Self::of(part, OK)
    }

    /// Does nothing, and has a further field in its module, and so many pages of memory.
    pub(super) fn with_memory(pages: u32, part: &str) -> Self {
        Self { pages, ..Self::with_part(part) }
    }

    /// Does nothing.
    pub(crate) fn idle() -> Self {
        Self::of("", OK)
    }

    /// Writes a line into its log.
    pub(super) fn says(line: &str) -> Self {
        let parts = format!(
            r#"(import "kabar:hooks/log@1.0.0" "write" (func $write (param i32 i32 i32)))
               (data (i32.const {TEXTS}) "{line}")"#
        );
        let length = line.len();
        Self::of(
            &parts,
            &format!("(call $write (i32.const 1) (i32.const {TEXTS}) (i32.const {length})) {OK}"),
        )
    }

    /// Counts its events under a key.
    pub(super) fn counts(key: &str) -> Self {
        let parts = format!(
            r#"(import "kabar:hooks/kv@1.0.0" "add" (func $add (param i32 i32 i64 i32)))
               (data (i32.const {TEXTS}) "{key}")"#
        );
        let length = key.len();
        let add =
            format!("(call $add (i32.const {TEXTS}) (i32.const {length}) (i64.const 1) (i32.const 2048))");
        Self::of(&parts, &format!("{add} {OK}"))
    }

    /// Counts its events by reading and writing, so that two of them at once get into each other's way.
    pub(super) fn counts_slowly(key: &str) -> Self {
        let parts = format!(
            r#"(import "kabar:hooks/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
               (import "kabar:hooks/kv@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
               (data (i32.const {TEXTS}) "{key}")"#
        );
        let length = key.len();
        // The value is one 64-bit number; absent is zero.
        let body = format!(
            "(call $get (i32.const {TEXTS}) (i32.const {length}) (i32.const 2048))
             (i64.store (i32.const 3072) (i64.const 1))
             (if (i32.load8_u (i32.const 2048)) (then
                (i64.store (i32.const 3072)
                    (i64.add (i64.load (i32.load (i32.const 2052))) (i64.const 1)))))
             (call $set (i32.const {TEXTS}) (i32.const {length}) (i32.const 3072) (i32.const 8) (i32.const 2112))
             {OK}"
        );
        Self::of(&parts, &body)
    }

    /// Sends a body as to `POST …/messages`, and counts under `sent`.
    pub(crate) fn sends(body: &str) -> Self {
        let escaped = body.replace('"', "\\22");
        let parts = format!(
            r#"(import "kabar:hooks/messages@1.0.0" "send" (func $send (param i32 i32 i32)))
               (import "kabar:hooks/kv@1.0.0" "add" (func $add (param i32 i32 i64 i32)))
               (data (i32.const {TEXTS}) "{escaped}")
               (data (i32.const 3072) "sent")"#
        );
        let length = body.len();
        let body = format!(
            "(call $send (i32.const {TEXTS}) (i32.const {length}) (i32.const 2048))
             (call $add (i32.const 3072) (i32.const 4) (i64.const 1) (i32.const 2112)) {OK}"
        );
        Self::of(&parts, &body)
    }

    /// Writes what it keeps under a key into its log.
    pub(crate) fn tells(key: &str) -> Self {
        let parts = format!(
            r#"(import "kabar:hooks/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
               (import "kabar:hooks/log@1.0.0" "write" (func $write (param i32 i32 i32)))
               (data (i32.const {TEXTS}) "{key}")"#
        );
        let length = key.len();
        let body = format!(
            "(call $get (i32.const {TEXTS}) (i32.const {length}) (i32.const 2048))
             (if (i32.load8_u (i32.const 2048)) (then
                (call $write (i32.const 1) (i32.load (i32.const 2052)) (i32.load (i32.const 2056)))))
             {OK}"
        );
        Self::of(&parts, &body)
    }

    /// Resolves a conversation.
    pub(super) fn resolves(conversation: &str) -> Self {
        let parts = format!(
            r#"(import "kabar:hooks/conversations@1.0.0" "update"
                    (func $update (param i32 i32 i32 i32 i32 i32 i32 i32)))
               (data (i32.const {TEXTS}) "{conversation}")"#
        );
        let length = conversation.len();
        // status: some(resolved), the third word; assigned-to: keep.
        let update = format!(
            "(call $update (i32.const {TEXTS}) (i32.const {length}) (i32.const 1) (i32.const 2)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2048))"
        );
        Self::of(&parts, &format!("{update} {OK}"))
    }

    /// Answers with an error: `retry` or `reject`, and why.
    fn answers(case: u8, why: &str) -> Self {
        let parts = format!(r#"(data (i32.const {TEXTS}) "{why}")"#);
        let length = why.len();
        let body = format!(
            "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store8 (i32.const 132) (i32.const {case}))
             (i32.store (i32.const 136) (i32.const {TEXTS})) (i32.store (i32.const 140) (i32.const {length}))
             (i32.const 128)"
        );
        Self::of(&parts, &body)
    }

    /// Asks for a retry.
    pub(super) fn retries(why: &str) -> Self {
        Self::answers(0, why)
    }

    /// Rejects.
    pub(super) fn rejects(why: &str) -> Self {
        Self::answers(1, why)
    }

    /// Computes for ever, but for its first event: it would not pass its trial.
    pub(super) fn burns_later() -> Self {
        let parts = format!(
            r#"(import "kabar:hooks/kv@1.0.0" "get" (func $get (param i32 i32 i32)))
               (import "kabar:hooks/kv@1.0.0" "set" (func $set (param i32 i32 i32 i32 i32)))
               (data (i32.const {TEXTS}) "armed")"#
        );
        let body = format!(
            "(call $get (i32.const {TEXTS}) (i32.const 5) (i32.const 2048))
             (if (i32.load8_u (i32.const 2048)) (then (loop $for_ever (br $for_ever))))
             (call $set (i32.const {TEXTS}) (i32.const 5) (i32.const {TEXTS}) (i32.const 5) (i32.const 2112))
             {OK}"
        );
        Self::of(&parts, &body)
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        let Self { parts, body, pages } = self;
        let module = include_str!("../../../plugins/fixtures/guest.wat.in");
        let module = module.replace("\"memory\") 4", &format!("\"memory\") {pages}"));
        let module = module.replace("{parts}", parts).replace("{body}", body);
        kabar_plugins::component::wrap::wrap_module(&wat::parse_str(&module).unwrap()).unwrap()
    }
}
