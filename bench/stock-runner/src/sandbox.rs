//! What runs in the container: the web server, with the image's entrypoint and
//! environment.

use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, Source};
use ssr_server::ProgramFiles;
use ssr_wasm::code_source::CodeSource;

/// Exit code for an image whose module cannot be used (EX_DATAERR).
const UNUSABLE_MODULE: u8 = 65;
/// Exit code for a failure that neither the image nor a setting caused (EX_SOFTWARE).
const INTERNAL: u8 = 70;

/// A site in a container.
#[derive(Clone, Default)]
pub struct Site;

impl Sandbox for Site {
    /// Accepts everything that is not a Linux container. The user would see a rejection
    /// only as "can't handle spec"; the server's error on the container's stderr names
    /// the file and the problem.
    async fn can_handle(&self, _ctx: &impl RuntimeContext) -> anyhow::Result<()> {
        Ok(())
    }

    /// Never returns an error: the caller would log it where the user who started the
    /// container cannot see it, and exit with 137.
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

/// Runs the server on a separate thread: it starts a tokio runtime, which cannot be
/// nested in the caller's.
fn serve(args: Vec<String>, env: Vec<(String, String)>, module: Option<Vec<u8>>) -> u8 {
    let code = module.map_or(CodeSource::Compile, CodeSource::CompileBytes);
    let run = move || ssr_server::run(&args, &env, code, ProgramFiles::default());
    let server = std::thread::Builder::new().name("ssr".to_owned()).spawn(run);
    match server.map(|thread| thread.join()) {
        Ok(Ok(code)) => code,
        // The panic message is on stderr already.
        Ok(Err(_)) => INTERNAL,
        Err(error) => {
            eprintln!(
                "ssr: cannot start a thread ({error}): the container's limit on \
                 processes (pids) may be too low"
            );
            INTERNAL
        }
    }
}

/// The container's environment as pairs. A name without `=` has an empty value, as in
/// Docker.
fn variables(env: &[String]) -> Vec<(String, String)> {
    env.iter()
        .map(|entry| entry.split_once('=').unwrap_or((entry, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
