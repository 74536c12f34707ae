# What there is to do. `just` alone lists it. Each recipe is also one plain command.

[private]
default:
    @just --list --unsorted

# Start a development server: SQLite under ./data, simulated customers, Swagger UI.
dev *args:
    cargo run --release -- dev {{args}}

# Format everything.
fmt:
    cargo fmt --all

# Compile without building.
check:
    cargo check --workspace --all-targets --locked

# What clippy and the formatter say, as strictly as CI.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Misspelt words, in code and prose; `just typos --write-changes` corrects them.
typos *args:
    .ci/install typos-cli
    typos {{args}}

# Dependencies that nothing uses.
machete:
    .ci/install cargo-machete
    cargo machete

# Licences, sources, walls between crates, known vulnerabilities.
deny:
    .ci/install cargo-deny
    cargo deny check --allow unused-wrapper

# What the binary is made of, as CycloneDX: kabar.cdx.json.
sbom:
    .ci/install cargo-cyclonedx
    .ci/sbom

# Writes the digests of the base images into Dockerfile and compose.yaml; needs a network.
pin-images:
    .ci/pin-images

# Changes of openapi/openapi.json that break clients of the last release.
api-breaks:
    cargo test --workspace --locked --test it -- --nocapture the_api_breaks_no_client_of_the_last_release

# All tests, then the smoke stage.
test:
    ./test

# Some tests, with a PostgreSQL and a Redis of their own: `just some -p kabar-core --lib store`.
some *args:
    tests/services run cargo test {{args}}

# Tests with everything that is awaited delayed by seed: `just delay-test run 3600`, `just delay-test seed 7 sending::`.
delay-test *args="run":
    .ci/install cargo-nextest
    tests/services run tests/delays {{args}}

# The first minute of a newcomer, on the debug binary.
smoke:
    cargo build --locked
    bash tests/smoke.sh

# Hooks in four languages, made, built and tried; on the debug binary.
guests:
    cargo build --locked
    bash tests/guests.sh

# What users of the API meet: linters, generated clients, consumers of webhooks, fuzzer, Swagger UI, snippets. `just clients lint go`.
clients *args:
    cargo build --locked
    tests/clients/run {{args}}

# Clients and faults by seed, every answer held against a model: `just check-history run --seed 7 --seconds 600`.
check-history *args="run":
    cargo build --release --workspace --locked --bins
    target/release/kabar-checker {{args}}

# Fuzz targets for longer, by any seed: `just fuzz`, `just fuzz run http --seconds 600`, `just fuzz input http FILE`.
fuzz *args="run":
    cargo build --workspace --locked --bins
    target/debug/kabar-fuzz {{args}}

# The same under libFuzzer, which is guided by coverage, until stopped: `just fuzz-guided cursor -- -max_total_time=600`.
fuzz-guided target *args:
    .ci/install cargo-fuzz
    cp Cargo.lock tests/fuzz/guided/Cargo.lock
    mkdir -p tests/fuzz/guided/corpus/{{target}}
    cargo fuzz run --fuzz-dir tests/fuzz/guided --sanitizer none {{target}} tests/fuzz/guided/corpus/{{target}} tests/fuzz/corpus/{{target}} {{args}}

# Every figure of docs/benchmarks.md: `just bench`, `just bench --only polls`, `just bench --help`.
bench *args:
    cargo build --release --workspace --locked --bins
    target/release/kabar-bench {{args}}

# What continuous integration runs.
ci:
    .ci/run
