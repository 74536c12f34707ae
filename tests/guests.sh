#!/usr/bin/env bash
# Hooks in four languages, from nothing: `kabar plugin new`, build, test, as a newcomer would type it; for the newest
# package of `kabar:hooks`, and for the older one. Then the example that needs the newest.
# Takes the debug binary that `cargo test` has built, or the one that is named. What was built from the same
# files before is kept under target/guests and only tried again.
set -uo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/kabar}")
mkdir -p "${CARGO_TARGET_DIR:-target}/guests"
kept=$(realpath "${CARGO_TARGET_DIR:-target}/guests")
toolchain=$PWD/plugins/examples/rust-toolchain
export KABAR_GUEST_TOOLCHAIN=$kept/toolchain
version=$(find plugins/wit* plugins/sdk* plugins/examples src/cli/plugin -type f -not -name '*.wasm' |
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

# fill <hook>: makes its folder. A hook is a language, `<language>-1.0`, or an example that is no template.
fill() {
    case $1 in
        rust-changes)
            cp -r plugins/examples/rust-changes "$room/my-$1"
            sed -i "s|\.\./\.\./sdk|$PWD/plugins/sdk|" "$room/my-$1/Cargo.toml"
            ;;
        *-1.0) "$binary" plugin new "my-${1%-1.0}-older" --lang "${1%-1.0}" --package 1.0 --folder "$room" ;;
        *) "$binary" plugin new "my-$1" --lang "$1" --folder "$room" ;;
    esac
}

# make <hook>: a new folder, built.
make() {
    local hook=$1 made=$kept/$1-$version.wasm folder=$room/my-${1/-1.0/-older}
    [ ! -e "$made" ] || return 0
    find "$kept" -maxdepth 1 -regex ".*/$hook-[0-9a-f]*\.wasm" -delete
    (
        set -e
        fill "$hook"
        cd "$folder"
        case $hook in
            rust*) CARGO_TARGET_DIR=$kept/rust "$toolchain" "$binary" plugin build ;;
            python*)
                [ -x "$kept/venv/bin/componentize-py" ] || python3 -m venv "$kept/venv"
                "$kept/venv/bin/pip" install -q -r requirements.txt
                PATH=$kept/venv/bin:$PATH "$binary" plugin build
                ;;
            *) "$binary" plugin build ;;
        esac
    ) && cp "$folder/hook.wasm" "$made"
}

# try <hook> <line that must be shown> <arguments…>
try() {
    local hook=$1 line=$2 said event=plugins/examples/rust-fallback/sample.json
    shift 2
    case $hook in
        rust-changes) event=plugins/examples/rust-changes/sample.json ;;
    esac
    said=$("$binary" plugin test "$kept/$hook-$version.wasm" --event "$event" "$@" 2>&1)
    printf '%s\n' "$said"
    grep -qF -- "$line" <<<"$said"
}

for hook in rust rust-1.0 rust-changes javascript javascript-1.0 c c-1.0 python python-1.0; do
    check "a hook is made and built: $hook" make "$hook"
done
for hook in rust rust-1.0; do
    check "$hook sends a template instead" try "$hook" '"template":{"name":"sorry","language":{"code":"en"}}' \
        --setting template=sorry
done
check "rust says what is missing" try rust 'rejected the event: the setting `template` is missing'
for hook in javascript javascript-1.0; do
    check "$hook tells the chat" try "$hook" 'POST https://chat.example/hooks/1 {"text":"Message msg_' \
        --allow-host chat.example --secret webhook_url=https://chat.example/hooks/1
done
check "javascript is told of a host that it may not call" try javascript 'host-not-allowed' \
    --secret webhook_url=https://elsewhere.example/
for hook in c c-1.0; do
    check "$hook assigns the conversation" try "$hook" 'status=open assigned_to=usr_01KGV3R8E3V5W1Q2R3S4T5V6W7' \
        --setting assignee=usr_01KGV3R8E3V5W1Q2R3S4T5V6W7
done
for hook in python python-1.0; do
    check "$hook counts" try "$hook" 'kv       add statistics/2026-06-19/failed/outside_24h_window 1'
done
check "rust-changes opens the conversation of an edited message" try rust-changes \
    'was edited; before, it said "Two of the blue ones, please"'

echo "guests: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
