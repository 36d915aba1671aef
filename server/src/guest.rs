//! Loads what answers requests: a site, a component, or programs that run for each request.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ssr_wasi::served::Part;
use ssr_wasi::served::handler::Handler;
use ssr_wasi::served::javy::Javy;
use ssr_wasi::served::wagi::{ModuleRoute, Mounted, RouteTable, SharedProgram, Wagi, is_route_table};
use ssr_wasi::{Directory, Grants, open_beneath};
use ssr_wasm::code_source::{Code, CodeSource, Source, file_name};
use ssr_wasm::detect::Kind;
use ssr_wasm::guests::Guest;
use ssr_wasm::guests::load::load_site;
use ssr_wasm::guests::snapshot::{LoadError, Site};
use ssr_wasm::text;
use tokio::runtime::Handle;

use crate::command::split_function;
use crate::error::ServeError;
use crate::settings::{GuestForm, Settings};

/// Most bytes of a table of routes.
const MAX_ROUTE_TABLE: u64 = 1 << 20;

/// The directories of programs that run for each request.
#[derive(Debug, Clone, Default)]
pub struct ProgramFiles {
    /// What each program gets, unless modules.toml says what.
    pub given: Vec<Directory>,
    /// Where the volumes are that modules.toml names.
    pub volumes_in: Vec<Directory>,
}

/// What is loaded.
pub(crate) struct Loader<'a> {
    pub(crate) code: CodeSource,
    pub(crate) env: &'a [(String, String)],
    pub(crate) files: &'a ProgramFiles,
    pub(crate) settings: &'a Settings,
    pub(crate) runtime: &'a Handle,
}

/// What answers, and its back end's name.
pub(crate) type Loaded = (Box<dyn Guest>, &'static str);

/// Whether what a container's first argument names needs its files to answer requests.
pub fn serves_programs(path: &str, env: &[(String, String)]) -> bool {
    let form = env.iter().rev().find(|(name, _)| name == "SSR_GUEST").map(|(_, form)| form.trim());
    form.is_some_and(|form| !["", "auto"].contains(&form)) || names_routes(Path::new(path)).unwrap_or(false)
}

/// Whether a file is a table of routes.
fn names_routes(path: &Path) -> std::io::Result<bool> {
    Ok(is_route_table(&text::head(&File::open(path)?)?))
}

impl Loader<'_> {
    /// Loads the module at `path`, or those of the routes there.
    pub(crate) fn load(self, path: &str) -> Result<Loaded, ServeError> {
        let from_file = !matches!(self.code, CodeSource::CompileBytes(_));
        if from_file && names_routes(Path::new(path)).unwrap_or(false) {
            return match self.settings.guest {
                GuestForm::Auto | GuestForm::Wagi => self.routes(path),
                GuestForm::Javy => Err(ServeError::Module {
                    name: file_name(path),
                    reason: "it is a table of WAGI's routes: set SSR_GUEST=wagi, or leave it away".to_owned(),
                }),
            };
        }
        match self.settings.guest {
            GuestForm::Auto => self.by_kind(path),
            GuestForm::Wagi => self.wagi(path),
            GuestForm::Javy => self.javy(path),
        }
    }

    fn part(&mut self, path: &str) -> Result<Part, ServeError> {
        let kind = self.code.kind(path)?;
        let source = self.code.code(path, &self.settings.limits)?;
        Ok(Part { kind, source })
    }

    fn grants(&self, directories: Vec<Directory>) -> Grants {
        Grants {
            env: self.env.to_vec(),
            network: self.settings.network.clone(),
            directories,
            ..Grants::default()
        }
    }

    /// What the module itself says that it is.
    fn by_kind(mut self, path: &str) -> Result<Loaded, ServeError> {
        let limits = &self.settings.limits;
        let kind = self.code.kind(path)?;
        if matches!(kind, Kind::Command | Kind::CommandComponent) {
            let reason = "it is a program that answers no requests: run it with `ssr run`, build a site with `ssr build`, \
                          or set SSR_GUEST=wagi or SSR_GUEST=javy if it is made to run for each request";
            return Err(ServeError::Module { name: file_name(path), reason: reason.to_owned() });
        }
        let Source { name, code } = self.code.code(path, limits)?;
        let failed = |error| ServeError::of_load(&name, error);
        if kind == Kind::Handler {
            let handler = Handler::load(code, self.grants(Vec::new()), limits).map_err(failed)?;
            let backend = handler.backend();
            return Ok((Box::new(handler), backend));
        }
        let bytes = match code {
            Code::Compiled(code) => return load_site(&name, code, limits).map_err(failed),
            Code::Bytes(bytes) => bytes,
        };
        let site = Site::compile(&name, &bytes, limits).map_err(failed)?;
        let backend = site.backend();
        Ok((Box::new(site), backend))
    }

    /// One module for all paths.
    fn wagi(mut self, module: &str) -> Result<Loaded, ServeError> {
        let (path, function) = split_function(module);
        let part = self.part(path)?;
        let failed = |error| ServeError::of_load(&file_name(path), error);
        let program = SharedProgram::load(part, &self.settings.limits).map_err(failed)?;
        let route = ModuleRoute { entrypoint: function.map(str::to_owned), ..ModuleRoute::default() };
        let Grants { env, directories, network, .. } = self.grants(self.files.given.clone());
        let mounted = Mounted { route, env, directories, volumes: Vec::new(), network };
        let mut wagi = Wagi::default();
        wagi.mount(&program, mounted, self.runtime).map_err(failed)?;
        let backend = wagi.backend();
        Ok((Box::new(wagi), backend))
    }

    /// The modules of a table of routes.
    fn routes(mut self, path: &str) -> Result<Loaded, ServeError> {
        let table = read_table(path)?;
        for name in table.ignored() {
            log::warn!("{}: '{name}' has no effect", file_name(path));
        }
        let mut programs: Vec<(String, SharedProgram)> = Vec::new();
        let mut wagi = Wagi::default();
        for route in table.module {
            let name = file_name(&route.module);
            let failed = |error| ServeError::of_load(&name, error);
            let known = programs.iter().find(|(file, _)| *file == route.module);
            let program = match known.map(|(_, program)| program.clone()) {
                Some(program) => program,
                None => {
                    let part = self.part(&route.module)?;
                    let program = SharedProgram::load(part, &self.settings.limits).map_err(failed)?;
                    programs.push((route.module.clone(), program.clone()));
                    program
                }
            };
            let volumes = route.volumes.iter().map(|(guest, host)| {
                open_beneath(&self.files.volumes_in, &absolute(host), guest).map_err(|error| {
                    let reason = format!("the route '{}': {error}", route.route);
                    ServeError::Module { name: file_name(path), reason }
                })
            });
            let volumes = volumes.collect::<Result<Vec<_>, _>>()?;
            let own = route.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
            let env = self.env.iter().cloned().chain(own).collect();
            let network = self.settings.network.clone();
            let mounted = Mounted { route, env, directories: Vec::new(), volumes, network };
            wagi.mount(&program, mounted, self.runtime).map_err(failed)?;
        }
        let backend = wagi.backend();
        Ok((Box::new(wagi), backend))
    }

    /// A module of Javy's, and its plugin, if it needs one.
    fn javy(mut self, module: &str) -> Result<Loaded, ServeError> {
        let (path, function) = split_function(module);
        let part = self.part(path)?;
        let grants = self.grants(self.files.given.clone());
        let settings = self.settings;
        let find = &mut |name: &str| self.plugin(path, name);
        let javy = Javy::load(part, function.map(str::to_owned), grants, find, &settings.limits)
            .map_err(|error| ServeError::of_load(&file_name(path), error))?;
        let backend = javy.backend();
        Ok((Box::new(javy), backend))
    }

    /// The plugin of this name, beside the module.
    fn plugin(&mut self, module: &str, name: &str) -> Result<Part, LoadError> {
        let beside = |file: String| Path::new(module).with_file_name(file);
        let candidates = [format!("{name}.wasm"), "plugin.wasm".to_owned(), "provider.wasm".to_owned()];
        let found = candidates.into_iter().map(beside).find(|file| file.is_file()).ok_or_else(|| {
            LoadError::Module(format!(
                "it is a dynamically linked Javy module and needs the plugin {name}: put it beside the module, as \
                 {name}.wasm or plugin.wasm, or build the module without -C dynamic"
            ))
        })?;
        let part = self.part(&found.to_string_lossy());
        part.map_err(|error| LoadError::Module(format!("its plugin cannot be used: {error}")))
    }
}

fn read_table(path: &str) -> Result<RouteTable, ServeError> {
    let wrong = |reason: String| ServeError::Module { name: file_name(path), reason };
    let read = || -> std::io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(MAX_ROUTE_TABLE + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|source| ServeError::Read { what: "the routes", path: path.into(), source })?;
    if text.len() as u64 > MAX_ROUTE_TABLE {
        return Err(wrong(format!("it has more than {MAX_ROUTE_TABLE} bytes")));
    }
    RouteTable::parse(&text).map_err(|error| wrong(error.to_string()))
}

/// Relative paths begin at the working directory, as in WAGI.
fn absolute(path: &str) -> PathBuf {
    let here = fs::canonicalize(".").unwrap_or_else(|_| PathBuf::from("/"));
    here.join(path)
}
