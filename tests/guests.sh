#!/usr/bin/env bash
# Hooks in four languages, from nothing: `kabar plugin new`, build, test, as a newcomer would type it.
# Takes the debug binary that `cargo test` has built, or the one that is named. What was built from the same
# files before is kept under target/guests and only tried again.
set -uo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/kabar}")
mkdir -p "${CARGO_TARGET_DIR:-target}/guests"
kept=$(realpath "${CARGO_TARGET_DIR:-target}/guests")
toolchain=$PWD/plugins/examples/rust-toolchain
export KABAR_GUEST_TOOLCHAIN=$kept/toolchain
version=$(find plugins/wit plugins/sdk plugins/sdk-c plugins/examples src/cli/plugin -type f -not -name '*.wasm' |
    LC_ALL=C sort | xargs cat | sha256sum | cut -c1-16)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
passed=0
failed=0

# check <what> <command…>: counts, and shows what the command said when it fails.
check() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
        [ -z "$said" ] || printf '%s\n' "$said" | tail -c 3000 | sed 's/^/        /'
    fi
}

# make <language>: a new folder, built.
make() {
    local lang=$1 made=$kept/$1-$version.wasm
    [ ! -e "$made" ] || return 0
    rm -f "$kept/$lang"-*.wasm
    (
        set -e
        cd "$room"
        "$binary" plugin new "my-$lang" --lang "$lang"
        cd "my-$lang"
        case $lang in
            rust) CARGO_TARGET_DIR=$kept/rust "$toolchain" "$binary" plugin build ;;
            python)
                [ -x "$kept/venv/bin/componentize-py" ] || python3 -m venv "$kept/venv"
                "$kept/venv/bin/pip" install -q -r requirements.txt
                PATH=$kept/venv/bin:$PATH "$binary" plugin build
                ;;
            *) "$binary" plugin build ;;
        esac
    ) && cp "$room/my-$lang/hook.wasm" "$made"
}

# try <language> <line that must be shown> <arguments…>
try() {
    local lang=$1 line=$2 said
    shift 2
    said=$("$binary" plugin test "$kept/$lang-$version.wasm" --event plugins/examples/rust-fallback/sample.json "$@" 2>&1)
    printf '%s\n' "$said"
    grep -qF -- "$line" <<<"$said"
}

for lang in rust javascript c python; do
    check "a hook in $lang is made and built" make "$lang"
done
check "rust sends a template instead" try rust '"template":{"name":"sorry","language":{"code":"en"}}' \
    --setting template=sorry
check "rust says what is missing" try rust 'rejected the event: the setting `template` is missing'
check "javascript tells the chat" try javascript 'POST https://chat.example/hooks/1 {"text":"Message msg_' \
    --allow-host chat.example --secret webhook_url=https://chat.example/hooks/1
check "javascript is told of a host that it may not call" try javascript 'host-not-allowed' \
    --secret webhook_url=https://elsewhere.example/
check "c assigns the conversation" try c 'status=open assigned_to=usr_01KGV3R8E3V5W1Q2R3S4T5V6W7' \
    --setting assignee=usr_01KGV3R8E3V5W1Q2R3S4T5V6W7
check "python counts" try python 'kv       add statistics/2026-06-19/failed/outside_24h_window 1'

echo "guests: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
