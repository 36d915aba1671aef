//! Names what a module needs and this runtime does not have.

use wasmparser::{Import, TypeRef};

/// What this runtime has, for errors.
const OFFER: &str = "this runtime offers WASI preview 1, 2 and 3";

/// The modules of imports that commands may have.
const PREVIEW_1: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Functions that WasmEdge added to preview 1.
const WASMEDGE_SOCKETS: [&str; 13] = [
    "sock_open",
    "sock_bind",
    "sock_listen",
    "sock_connect",
    "sock_recv_from",
    "sock_send_to",
    "sock_getaddrinfo",
    "sock_getlocaladdr",
    "sock_getpeeraddr",
    "sock_getsockopt",
    "sock_setsockopt",
    "sock_lookup_ip",
    "sock_bind_device",
];

/// Packages of interfaces that components may import, with their versions.
const INTERFACES: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// What is missing for a core module's import, as a sentence; `None` if it is there, or if
/// linking will tell.
pub fn of_import(import: &Import<'_>) -> Option<String> {
    let Import { module, name, ty } = import;
    let shared_memory = matches!(ty, TypeRef::Memory(memory) if memory.shared);
    let what = match *module {
        "ssr" => return None,
        _ if module.starts_with("wasix_") => format!("{module} (WASIX)"),
        "wasi" if *name == "thread-spawn" => "wasi.thread-spawn (wasi-threads)".to_owned(),
        _ if shared_memory => format!("a shared memory, {module}.{name} (wasi-threads)"),
        _ if PREVIEW_1.contains(module) => match WASMEDGE_SOCKETS.contains(name) {
            true => format!("{module}.{name} (WasmEdge's sockets)"),
            false => return None,
        },
        _ if module.starts_with("wasi_ephemeral_nn") || *module == "wasi_nn" => format!("{module} (WASI-NN)"),
        _ if module.starts_with("wasi_ephemeral_crypto") => format!("{module} (WASI-crypto)"),
        _ if module.starts_with("wasmedge_") => format!("{module} (WasmEdge)"),
        // Whoever runs it looks for the plugin.
        _ if is_javy(module) => return None,
        "env" if *name == "abort" => {
            return Some(format!(
                "it needs env.abort (AssemblyScript); {OFFER}: compile it with --use abort= or with @assemblyscript/wasi-shim"
            ));
        }
        "go" | "gojs" => {
            return Some(format!(
                "it needs {module}.{name} (Go for browsers, GOOS=js); {OFFER}: build it with GOOS=wasip1"
            ));
        }
        _ if module.starts_with("./") || module.starts_with("__wbindgen") || *module == "wbg" => {
            return Some(format!(
                "it needs {module}.{name} (wasm-bindgen, for browsers); {OFFER}: build it for wasm32-wasip1"
            ));
        }
        _ => format!("{module}.{name}"),
    };
    Some(format!("it needs {what}; {OFFER}"))
}

/// The same for an interface that a component imports.
pub fn of_interface(name: &str) -> Option<String> {
    let known = INTERFACES.iter().any(|known| name.starts_with(known));
    let what = match name.split_once('@') {
        Some((_, version)) if known && version.contains('-') => format!("{name} (a draft of WASI)"),
        Some((_, version)) if known && ["0.2.", "0.3."].iter().any(|own| version.starts_with(own)) => {
            return None;
        }
        _ if name.starts_with("fermyon:") || name.starts_with("spin:") => format!("{name} (Spin)"),
        _ if name.starts_with("wasmcloud:") => format!("{name} (wasmCloud)"),
        _ if name.starts_with("wasi:nn/") => format!("{name} (WASI-NN)"),
        _ => name.to_owned(),
    };
    Some(format!("it needs {what}; {OFFER}"))
}

/// Whether this module of imports is a plugin of Javy.
pub fn is_javy(module: &str) -> bool {
    module.starts_with("javy_quickjs_provider") || module.starts_with("javy-default-plugin")
}

#[cfg(test)]
mod tests {
    use crate::detect;

    #[test]
    fn what_this_runtime_lacks_is_named() {
        let function = |module: &str, name: &str| {
            detect::check(
                &wat::parse_str(format!(r#"(module (import "{module}" "{name}" (func)))"#)).unwrap(),
            )
        };
        let shared = wat::parse_str(r#"(module (import "env" "memory" (memory 1 1 shared)))"#).unwrap();
        assert!(detect::check(&shared).unwrap_err().contains("env.memory (wasi-threads)"));
        for (module, name, says) in [
            ("wasix_32v1", "fork", "needs wasix_32v1 (WASIX); this runtime offers WASI preview 1, 2 and 3"),
            ("wasi", "thread-spawn", "wasi-threads"),
            ("wasi_snapshot_preview1", "sock_open", "WasmEdge's sockets"),
            ("wasi_ephemeral_nn", "load", "WASI-NN"),
            ("env", "abort", "AssemblyScript"),
            ("gojs", "runtime.wasmExit", "GOOS=wasip1"),
            ("wbg", "__wbg_log_1", "wasm-bindgen"),
            ("mine", "thing", "needs mine.thing;"),
        ] {
            let error = function(module, name).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(function("wasi_snapshot_preview1", "sched_yield").is_ok());
        assert!(function("wasi_unstable", "sched_yield").is_ok());
        assert!(function("javy_quickjs_provider_v3", "eval_bytecode").is_ok());
    }

    #[test]
    fn interfaces_of_other_hosts_are_named() {
        let importing = |name: &str| {
            let text = format!(
                r#"(component (import "{name}" (instance)) (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#
            );
            detect::check(&wat::parse_str(text).unwrap())
        };
        assert!(importing("wasi:cli/stdout@0.2.4").is_ok() && importing("wasi:cli/stdout@0.3.0").is_ok());
        for (name, says) in [
            ("wasi:cli/stdout@0.3.0-rc-2025-09-16", "a draft of WASI"),
            ("wasi:cli/stdout@0.4.0", "needs wasi:cli/stdout@0.4.0"),
            ("fermyon:spin/key-value@2.0.0", "(Spin)"),
            ("wasi:nn/tensor@0.2.0-rc-2024-10-28", "WASI-NN"),
            ("my:own/thing@1.0.0", "needs my:own/thing@1.0.0"),
        ] {
            let error = importing(name).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
