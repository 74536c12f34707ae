//! `kabar:hooks` in Rust, generated from `plugins/wit/`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "status-hook",
    imports: {
        "kabar:hooks/http.fetch": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});
