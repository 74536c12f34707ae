//! What is uploaded: what passes, and how each thing that does not is told why.

use std::time::Duration;

use kabar_core::domain::plugin::Capability;

use super::*;
use crate::{CompileError, CompilerMode, InvalidPlugin, NotTrusted};

async fn refused(host: &PluginHost, wasm: impl Into<Bytes>) -> InvalidPlugin {
    match host.compile(upload(wasm)).await {
        Err(CompileError::Invalid(invalid)) => invalid,
        other @ (Ok(_) | Err(CompileError::Failed(_))) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_hook_becomes_a_version() {
    let host = host();
    let compiled = host.compile(upload(component("", "(i32.const 64)"))).await.unwrap();
    assert_eq!(compiled.exports, [Arc::from("kabar:hooks/handler@1.0.0")]);
    assert_eq!(compiled.imports, [Arc::from("kabar:hooks/types@1.0.0")]);
    assert!(compiled.size > 100 && compiled.artefact.len() > compiled.size);
    let version = host.load(tenant(1), &compiled.artefact).await.unwrap();
    let again = host.load(tenant(1), &compiled.artefact).await.unwrap();
    assert!(Arc::ptr_eq(&version, &again), "equal artefacts share their code");
    assert_eq!(version.sha256(), &compiled.sha256);
}

#[tokio::test]
async fn only_this_servers_artefacts_are_loaded() {
    let host = host();
    let compiled = host.compile(upload(component("", "(i32.const 64)"))).await.unwrap();
    let mut changed = compiled.artefact.to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert_eq!(host.load(tenant(1), &changed.into()).await.unwrap_err(), NotTrusted::Seal);
    assert_eq!(host.load(tenant(1), &Bytes::new()).await.unwrap_err(), NotTrusted::Seal);
    let options = HostOptions { seal_keys: Arc::new([2; 32]), ..options() };
    let other = PluginHost::new(options, Arc::new(NoNetwork), Arc::new(AnyDraft)).unwrap();
    assert_eq!(other.load(tenant(1), &compiled.artefact).await.unwrap_err(), NotTrusted::Seal);
}

#[tokio::test]
async fn artefacts_of_an_older_key_are_loaded_and_signed_anew() {
    let with_keys = |keys: Vec<[u8; 32]>| {
        let options = HostOptions { seal_keys: Arc::new(keys), ..options() };
        PluginHost::new(options, Arc::new(NoNetwork), Arc::new(AnyDraft)).unwrap()
    };
    let older = with_keys(vec![[2; 32]]);
    let artefact = older.compile(upload(component("", "(i32.const 64)"))).await.unwrap().artefact;
    assert_eq!(older.renew_signature(artefact.clone()).await, None, "it is the newest key's");
    let rotated = with_keys(vec![[3; 32], [2; 32]]);
    let version = rotated.load(tenant(1), &artefact).await.unwrap();
    let renewed = rotated.renew_signature(artefact.clone()).await.unwrap();
    assert_eq!(older.load(tenant(1), &renewed).await.unwrap_err(), NotTrusted::Seal);
    let newest = with_keys(vec![[3; 32]]);
    assert_eq!(newest.load(tenant(1), &renewed).await.unwrap().sha256(), version.sha256());
    assert_eq!(newest.load(tenant(1), &artefact).await.unwrap_err(), NotTrusted::Seal);
    assert_eq!(newest.renew_signature(artefact).await, None, "a stranger's is signed by nobody");
}

#[tokio::test]
async fn junk_is_refused_in_plain_words() {
    let host = host();
    let text = |invalid: InvalidPlugin| invalid.to_string();
    assert!(text(refused(&host, vec![0x5a; 32 << 20]).await).starts_with("this is not WebAssembly"));
    let mut junk = b"\0asm\x0d\0\x01\0".to_vec();
    junk.resize(32 << 20, 0x5a);
    assert!(text(refused(&host, junk).await).starts_with("the component is malformed"));
    let large = text(refused(&host, vec![0; (32 << 20) + 1]).await);
    assert_eq!(large, "the component has 33554433 bytes, and may have 1 to 33554432");
    assert!(text(refused(&host, Bytes::new()).await).starts_with("the component has 0 bytes"));
    let core = wat::parse_str(module("", "(i32.const 64)")).unwrap();
    assert!(text(refused(&host, core).await).contains("wrap it with `kabar plugin build`"));
}

#[tokio::test]
async fn imports_of_everything_are_refused_by_name() {
    let host = host();
    let importing = |name: &str| {
        let wat = format!(
            r#"(component (import "{name}" (instance)) (instance $i)
                (export "kabar:hooks/handler@1.0.0" (instance $i)))"#
        );
        wat::parse_str(wat).unwrap()
    };
    for name in ["wasi:http/outgoing-handler@0.2.0", "kabar:hooks/files@1.0.0", "evil:everything/all@1.0.0"] {
        let invalid = refused(&host, importing(name)).await;
        assert_eq!(
            invalid.to_string(),
            format!("the component imports {name:?}, which this host does not have")
        );
    }
    let newer = refused(&host, importing("kabar:hooks/kv@1.4.0")).await.to_string();
    assert_eq!(
        newer,
        "the component was built for \"kabar:hooks/kv@1.4.0\"; this host has kabar:hooks@1.0.0 and @1.1.0"
    );
}

#[tokio::test]
async fn what_is_not_granted_is_refused_by_name() {
    let host = host();
    let random = r#"(import "kabar:hooks/random@1.0.0" "number" (func $n (result i64)))"#;
    let wasm = component(random, "(drop (call $n)) (i32.const 64)");
    let narrowed = ComponentUpload {
        granted: Capabilities::all_granted().without_capability(Capability::Random),
        ..upload(wasm.clone())
    };
    let error = host.compile(narrowed).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component imports \"kabar:hooks/random@1.0.0\", but the plugin is not granted the capability \"random\""
    );
    host.compile(upload(wasm)).await.unwrap();
}

#[tokio::test]
async fn another_world_is_refused() {
    let host = host();
    let missing = refused(&host, wat::parse_str("(component)").unwrap()).await.to_string();
    assert!(missing.contains("does not export \"kabar:hooks/handler@1.0.0\""), "{missing}");
    let empty = r#"(component (instance $i) (export "kabar:hooks/handler@1.0.0" (instance $i)))"#;
    let misfit = refused(&host, wat::parse_str(empty).unwrap()).await;
    assert!(matches!(misfit, InvalidPlugin::WrongWorld(_)), "{misfit}");
}

#[tokio::test]
async fn a_hook_that_breaks_on_a_sample_is_refused() {
    let host = host();
    let trapped = refused(&host, component("", "(unreachable)")).await.to_string();
    assert!(
        trapped.starts_with("tried out on a sample event, the hook failed: the hook crashed"),
        "{trapped}"
    );
    let looping = refused(&host, component("", "(loop $l (br $l)) (unreachable)")).await.to_string();
    assert!(looping.contains("2000 ms of computing time"), "{looping}");
    // One that does not want the sample is no worse for it.
    let body = "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store8 (i32.const 132) (i32.const 1)) (i32.const 128)";
    host.compile(upload(component("", body))).await.unwrap();
}

/// A hook with many functions of the largest size that is looked into.
fn slow_to_compile() -> Bytes {
    let step = "(local.set $a (i32.add (i32.mul (local.get $a) (local.get $b)) (i32.rotl (local.get $b) (local.get $a)))) \
                (if (local.get $a) (then (local.set $b (i32.xor (local.get $a) (i32.const 7)))))";
    let one = format!("(func (param $a i32) (local $b i32) {})", step.repeat(8_000));
    component(&one.repeat(12), "(i32.const 64)")
}

#[tokio::test]
async fn what_compiles_for_minutes_is_given_up_and_holds_up_only_its_owner() {
    let options = HostOptions { compile_timeout: Duration::from_millis(200), ..options() };
    let host = PluginHost::new(options, Arc::new(NoNetwork), Arc::new(AnyDraft)).unwrap();
    let slow = refused(&host, slow_to_compile()).await;
    assert_eq!(slow, InvalidPlugin::TooSlow { seconds: 0 });
    // The other place is free for another tenant.
    let other = ComponentUpload { organisation_id: tenant(2), ..upload(component("", "(i32.const 64)")) };
    host.build_component(&other).await.unwrap();
}

#[tokio::test]
async fn a_compiler_that_breaks_is_an_answer() {
    let with = |path: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let compiler = CompilerMode::Program { path: path.into(), arguments };
        let options = HostOptions { compiler, compile_timeout: Duration::from_millis(500), ..options() };
        PluginHost::new(options, Arc::new(NoNetwork), Arc::new(AnyDraft)).unwrap()
    };
    let wasm = component("", "(i32.const 64)");
    let text = |host: PluginHost| {
        let upload = upload(wasm.clone());
        async move { host.compile(upload).await.unwrap_err().to_string() }
    };
    assert!(text(with("/nonexistent", &[])).await.starts_with("the compiler could not be run"));
    let words = text(with("sh", &["-c", "cat >/dev/null; printf -- '-too odd'"])).await;
    assert_eq!(words, "the component does not compile: too odd");
    let died = text(with("sh", &["-c", "cat >/dev/null; exit 1"])).await;
    assert!(died.contains("ran out of memory, or broke"), "{died}");
    let slow = text(with("sh", &["-c", "cat >/dev/null; sleep 60"])).await;
    assert!(slow.starts_with("compiling the component took more than"), "{slow}");
}

#[tokio::test]
async fn a_compiled_form_is_bounded_while_it_is_read() {
    let endless = "cat >/dev/null; printf +; exec cat /dev/zero";
    let compiler = CompilerMode::Program { path: "sh".into(), arguments: vec!["-c".into(), endless.into()] };
    let options = HostOptions { compiler, ..options() };
    let host = PluginHost::new(options, Arc::new(NoNetwork), Arc::new(AnyDraft)).unwrap();
    let invalid = refused(&host, component("", "(i32.const 64)")).await;
    assert_eq!(invalid, InvalidPlugin::CompiledSize { bytes_max: 256 << 10 });
}

#[tokio::test]
async fn a_tenant_may_have_less_than_its_component_compiles_to() {
    let host = host();
    let narrow = ComponentUpload { compiled_bytes_max: 4096, ..upload(component("", "(i32.const 64)")) };
    let error = host.compile(narrow).await.unwrap_err().to_string();
    assert!(error.starts_with("compiled, the component has more than the 4096 bytes"), "{error}");
}

#[tokio::test]
async fn sparse_data_makes_no_image() {
    let host = host();
    let far = |at: u32| format!("(data (i32.const {at}) \"x\")");
    let sparse = module(&(far(70_000) + &far(15_000_000)), "(i32.const 64)")
        .replace("\"memory\") 4", "\"memory\") 256");
    let sparse = wrap_module(&wat::parse_str(sparse).unwrap()).unwrap();
    let compiled = host.compile(upload(sparse)).await.unwrap();
    assert!(compiled.artefact.len() < 256 << 10, "{}", compiled.artefact.len());
}

#[tokio::test]
async fn what_does_not_fit_the_pool_is_refused() {
    let host = host();
    for part in ["(table $large 200000 funcref)", "(memory $large 4096)"] {
        let invalid = refused(&host, component(part, "(i32.const 64)")).await;
        assert!(matches!(invalid, InvalidPlugin::DoesNotFit(_)), "{part}: {invalid}");
    }
}
