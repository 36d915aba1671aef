//! WAGI: a program runs for each request, as CGI has it (RFC 3875). Its variables tell the
//! request, standard input has its body, and standard output the response's headers and body.

mod answer;
mod routes;
mod variables;

use std::sync::Arc;

use bytes::Bytes;
use wasmtime_wasi::cli::AsyncStdoutStream;
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

use super::Part;
use super::program::{Call, Program};
use crate::grants::{Directory, Grants, Network, Volume};
use ssr_wasm::abi::error::RenderError;
use ssr_wasm::abi::request::Fields;
use ssr_wasm::abi::response::{ResponseHead, ResponsePart, ResponseSink};
use ssr_wasm::guests::Guest;
use ssr_wasm::guests::snapshot::LoadError;
use ssr_wasm::limits::Limits;

pub use routes::{ModuleRoute, RouteTable, RouteTableError, is_route_table};

use routes::{Pattern, sub_routes};

/// Output that may wait for its reader, in bytes.
const OUTPUT_AHEAD: usize = 64 << 10;

/// Most bytes that a module may print about its routes.
const MAX_ROUTES: usize = 64 << 10;

/// The function by which a module tells its routes.
const ROUTES: &str = "_routes";

/// Programs behind their routes.
#[derive(Default)]
pub struct Wagi {
    routes: Vec<Route>,
    programs: Vec<Arc<Program>>,
    /// What routes' grants name, open.
    volumes: Vec<Volume>,
}

/// What answers at some paths.
struct Route {
    pattern: Pattern,
    host: Option<String>,
    program: Arc<Program>,
    function: Option<String>,
    /// Arguments, if not the path and the query's parts.
    argv: Option<String>,
    grants: Grants,
}

/// How a module is to be run.
pub struct Mounted {
    /// Its entry in the table.
    pub route: ModuleRoute,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its directories.
    pub directories: Vec<Directory>,
    /// Directories besides that are open.
    pub volumes: Vec<Volume>,
    /// Where it may connect.
    pub network: Network,
}

/// A module that several routes may share.
#[derive(Clone)]
pub struct SharedProgram(Arc<Program>);

impl SharedProgram {
    /// Loads it.
    ///
    /// # Errors
    /// If it is no program, does not compile, or needs what is not there.
    pub fn load(part: Part, limits: &Limits) -> Result<Self, LoadError> {
        let no_plugin = |name: &str| {
            Err(LoadError::Module(format!("it needs the plugin {name} of Javy, which SSR_GUEST=javy loads")))
        };
        Program::load(part, &mut { no_plugin }, limits).map(|program| Self(Arc::new(program)))
    }
}

impl Wagi {
    /// Adds a module.
    ///
    /// # Errors
    /// If it has no such function, or its own routes cannot be read.
    pub fn mount(
        &mut self,
        program: &SharedProgram,
        mounted: Mounted,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(), LoadError> {
        let Mounted { route, env, mut directories, volumes, network } = mounted;
        directories.extend(volumes.iter().map(|volume| volume.directory().clone()));
        self.volumes.extend(volumes);
        let ModuleRoute { route: pattern, entrypoint, argv, host, .. } = route;
        let pattern = Pattern::parse(&pattern);
        let SharedProgram(program) = program;
        let has_routes = program.has(ROUTES);
        // A library need not have a start if it names other functions.
        if entrypoint.is_some() || !has_routes {
            program.check(entrypoint.as_deref())?;
        }
        let grants = Grants { env, directories, network, ..Grants::default() };
        let mut add = |pattern, function| {
            self.routes.push(Route {
                pattern,
                host: host.clone(),
                program: Arc::clone(program),
                function,
                argv: argv.clone(),
                grants: grants.clone(),
            });
        };
        add(pattern.clone(), entrypoint);
        if has_routes {
            for (below, function) in sub_routes(&routes_of(program, &grants, runtime)?)? {
                program.check(Some(&function))?;
                add(pattern.join(&below), Some(function));
            }
        }
        if !self.programs.iter().any(|known| Arc::ptr_eq(known, program)) {
            self.programs.push(Arc::clone(program));
        }
        Ok(())
    }

    /// The back end's name.
    pub fn backend(&self) -> &'static str {
        self.programs.first().map_or("", |program| program.backend())
    }

    /// The route of a path: of several the longest, and of equal ones the last.
    fn route(&self, host: &str, path: &str) -> Option<&Route> {
        let of_host =
            |route: &&Route| route.host.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host));
        self.routes
            .iter()
            .filter(of_host)
            .filter(|route| route.pattern.covers(path))
            .max_by_key(|route| route.pattern.rank())
    }
}

/// What a module prints about its routes.
fn routes_of(
    program: &Program,
    grants: &Grants,
    runtime: &tokio::runtime::Handle,
) -> Result<String, LoadError> {
    let output = MemoryOutputPipe::new(MAX_ROUTES);
    let call = Call {
        grants,
        function: Some(ROUTES),
        input: MemoryInputPipe::new(Bytes::new()),
        output: output.clone(),
        errors: None,
    };
    let ran = program.run(runtime, call, async { Ok(()) });
    ran.map_err(|error| LoadError::Module(format!("its function {ROUTES} failed: {error}")))?;
    Ok(String::from_utf8_lossy(&output.contents()).into_owned())
}

impl Guest for Wagi {
    fn render(&self, input: &[u8], sink: ResponseSink) -> Result<(), RenderError> {
        let request = Fields::decode(input);
        let host = request.headers().find(|&(name, _)| name == "host").map_or("", |(_, host)| host);
        let (path, query) = request.path_and_query();
        let Some(route) = self.route(host, path) else { return not_found(&sink) };
        let mut grants = route.grants.clone();
        grants.args = match &route.argv {
            Some(argv) => variables::expand_argv(argv, path, query),
            None => variables::arguments(path, query),
        };
        variables::extend(&mut grants.env, &request, &route.pattern, sink.client);
        let runtime = sink.runtime.clone();
        let _entered = runtime.enter();
        let (writer, reader) = tokio::io::duplex(OUTPUT_AHEAD);
        let call = Call {
            grants: &grants,
            function: route.function.as_deref(),
            input: MemoryInputPipe::new(Bytes::copy_from_slice(request.body.unwrap_or_default())),
            output: Arc::new(AsyncStdoutStream::new(OUTPUT_AHEAD, writer)),
            errors: None,
        };
        let (code, answered) = route.program.run(&runtime, call, answer::forward(reader, &sink))?;
        match (code, answered) {
            (0, answer::Answered::Sent) => Ok(()),
            (code, answer::Answered::Sent) => {
                log::warn!("[{}] {} {path}: the program exited with {code}", sink.id, request.method);
                Ok(())
            }
            (code, answer::Answered::Wrong(reason)) => {
                let code = if code == 0 { String::new() } else { format!(" (it exited with {code})") };
                Err(RenderError::Threw { message: format!("{reason}{code}"), stack: String::new() })
            }
        }
    }

    fn unload(&self) {
        self.programs.iter().for_each(|program| program.unload());
    }
}

fn not_found(sink: &ResponseSink) -> Result<(), RenderError> {
    let head = ResponseHead { status: 404, headers: "content-type\ntext/plain; charset=utf-8\n".to_owned() };
    let body = Bytes::from_static(b"no module has a route to this path\n");
    sink.parts.blocking_send(ResponsePart::Whole(head, body)).map_err(|_| RenderError::ClientGone)
}
