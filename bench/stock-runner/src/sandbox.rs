//! What runs inside the container: the web server, given the image's entrypoint
//! and environment.

use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, Source};
use ssr_server::Provision;

/// Exit code for an image whose module cannot be used (EX_DATAERR).
const UNUSABLE_MODULE: u8 = 65;
/// Exit code for a failure that is nobody's image's or setting's (EX_SOFTWARE).
const INTERNAL: u8 = 70;

/// A site in a container.
#[derive(Clone, Default)]
pub struct Site;

impl Sandbox for Site {
    /// Takes whatever is not a Linux container. A refusal here would reach the
    /// person as "can't handle spec" and nothing else; the server names the file
    /// and what is wrong with it on the container's stderr.
    async fn can_handle(&self, _ctx: &impl RuntimeContext) -> anyhow::Result<()> {
        Ok(())
    }

    /// Never returns an error: the caller would log it where the person who
    /// started the container cannot see it, and exit with 137.
    async fn run_wasi(&self, ctx: &impl RuntimeContext) -> anyhow::Result<i32> {
        let entrypoint = ctx.entrypoint();
        let module = match entrypoint.source {
            Source::File(_) => None,
            Source::Oci([layer]) => Some(layer.layer.clone()),
            Source::Oci(layers) => {
                eprintln!(
                    "ssr: the image has {} Wasm layers, but a site is one module: \
                     build it with `ssr image` or Dockerfile.wasm",
                    layers.len()
                );
                return Ok(UNUSABLE_MODULE.into());
            }
        };
        let args = ctx.args().to_vec();
        let env = variables(ctx.envs());
        Ok(serve(args, env, module).into())
    }
}

/// Runs the server on a thread of its own: it brings its own runtime, which must
/// not be nested in the one this is called from.
fn serve(args: Vec<String>, env: Vec<(String, String)>, module: Option<Vec<u8>>) -> u8 {
    let code = module.map_or(Provision::Here, Provision::Bytes);
    let server = std::thread::Builder::new()
        .name("ssr".to_owned())
        .spawn(move || ssr_server::run(&args, &env, code));
    match server.map(|thread| thread.join()) {
        Ok(Ok(code)) => code,
        // The panic's message is on stderr already.
        Ok(Err(_)) => INTERNAL,
        Err(error) => {
            eprintln!(
                "ssr: cannot start a thread ({error}): the container's limit of \
                 processes (pids) may be too low"
            );
            INTERNAL
        }
    }
}

/// The container's environment as pairs. A bare name is an empty value, as
/// Docker reads it.
fn variables(env: &[String]) -> Vec<(String, String)> {
    env.iter()
        .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
