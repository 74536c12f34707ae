//! What the host calls of `kabar:hooks@1.1.0`, generated from `plugins/wit-1.1/`.
//!
//! Its imports have the types of 1.0.0, which the linker has; only the event is another one.

wasmtime::component::bindgen!({
    path: "wit-1.1",
    world: "event-handler",
    imports: { default: trappable },
    exports: { default: async },
});
