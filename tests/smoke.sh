#!/usr/bin/env bash
# The first minute of a newcomer: start `kabar`, read the welcome, type what it says, stop it.
# Takes the debug binary that `cargo test` has built, or the one that is named. Builds nothing.
set -uo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath "${1:-${CARGO_TARGET_DIR:-target}/debug/kabar}")
room=$(mktemp -d)
server=
passed=0
failed=0
# The welcome's own lines must reach this machine, whatever proxy the shell uses.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost

clean_up() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null
    rm -rf "$room"
}
trap clean_up EXIT

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
        [ -z "$said" ] || printf '%s\n' "$said" | head -c 2000 | sed 's/^/        /'
    fi
}

bare() {
    env -i PATH="$PATH" HOME="$room" "$@"
}

# Waits at most 30 s for the welcome, and fails at once when the server ends.
welcomed() {
    for _ in $(seq 300); do
        grep -q '/docs' "$room/welcome" && return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    cat "$room/welcome" "$room/log"
    return 1
}

# The curl lines of the welcome, continued lines joined, one per line.
curl_lines() {
    sed -e ':join' -e '/\\$/{N;s/\\\n[[:space:]]*/ /;b join' -e '}' "$room/welcome" |
        sed -n 's/^[[:space:]$]*\(curl .*\)$/\1/p'
}

three_curl_lines() {
    [ "$(curl_lines | wc -l)" -ge 3 ] || { cat "$room/welcome"; return 1; }
}

# Runs a line as printed. It must answer something, and not our error envelope.
answers() {
    local answer
    answer=$(cd "$room" && timeout 75 bash -c "$1") || { echo "exit code $?: $answer"; return 1; }
    [ -n "$answer" ] || { echo "no answer"; return 1; }
    ! grep -q '"error":{' <<<"$answer" || { echo "$answer"; return 1; }
}

# page <path> <text>: answers 200 and holds the text.
page() {
    local body
    body=$(curl -sS --fail --max-time 10 "$base$1") || { echo "$body"; return 1; }
    grep -qi -- "$2" <<<"$body" || { head -c 300 <<<"$body"; return 1; }
}

# Asks for the end and waits at most 20 s for exit code 0.
stops() {
    kill -TERM "$server" || return 1
    for _ in $(seq 200); do
        kill -0 "$server" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "still running after 20 s"
    return 1
}

refuses_to_serve() {
    local said code
    said=$(cd "$room" && bare timeout 20 "$binary" serve 2>&1)
    code=$?
    [ "$code" -eq 2 ] || { echo "exit code $code: $said"; return 1; }
    for name in KABAR_DATABASE_URL KABAR_OPERATOR_TOKEN KABAR_WHATSAPP__APP_SECRET KABAR_WHATSAPP__VERIFY_TOKEN; do
        grep -q "$name" <<<"$said" || { echo "$name is not named: $said"; return 1; }
    done
}

mkdir "$room/first"
cd "$room/first" || exit 1
env -i PATH="$PATH" HOME="$room" KABAR_LISTEN=127.0.0.1:0 "$binary" >"$room/welcome" 2>"$room/log" </dev/null &
server=$!

check "kabar welcomes" welcomed
base=$(grep -oE 'http://127\.0\.0\.1:[0-9]+' "$room/welcome" | head -n 1)
check "the welcome has three curl lines" three_curl_lines
while IFS= read -r line; do
    check "$line" answers "$line"
done < <(curl_lines)
check "Swagger UI is there" page /docs swagger
check "the OpenAPI document is there" page /v1/openapi.json '"openapi"'
check "SIGTERM stops it" stops
wait "$server"
check "it exits with 0" test $? -eq 0
server=
check "kabar serve without settings names them and exits with 2" refuses_to_serve

echo "smoke: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
