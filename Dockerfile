# kabar in a container: the binary alone, under a user without rights, without a shell.
#
#   docker build -t kabar .
#
# Settings come from the environment (docs/configuration.md); docs/operations.md says how to run it.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The C compiler that SQLite and the cryptography are built with comes with the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin kabar \
    && cp target/release/kabar /kabar \
    && mkdir /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /kabar /usr/local/bin/kabar
# For SQLite; with PostgreSQL nothing is written here.
COPY --from=build --chown=nonroot:nonroot /empty /var/lib/kabar
WORKDIR /var/lib/kabar
USER nonroot
# 127.0.0.1, the default, would be the container's own.
ENV KABAR_LISTEN=0.0.0.0:8080 KABAR_LOG__FORMAT=json
EXPOSE 8080
# Asks /readyz; there is no shell and no curl here.
HEALTHCHECK --interval=10s --timeout=12s --start-period=30s --retries=3 CMD ["/usr/local/bin/kabar", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/kabar"]
CMD ["serve"]
