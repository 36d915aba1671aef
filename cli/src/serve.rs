//! `ssr serve`: the server, without a container engine.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use ssr_server::error::ServeError;
use ssr_server::settings::{RENAMED, Settings, TABLE};
use ssr_server::{ProgramFiles, SiteSource};
use ssr_wasi::Directory;

use crate::user_code;

/// Arguments of `ssr serve`: the module, the assets, and a flag for each setting.
#[derive(Debug)]
pub struct ServeArgs {
    module: String,
    assets: Option<PathBuf>,
    /// Values given as flags, each with the index of its row in the table.
    flags: Vec<(usize, String)>,
    /// The flag of an earlier version, as an index into the renamed ones.
    renamed: Option<usize>,
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let module = Arg::new("module")
            .value_name("ssr.wasm")
            .required(true)
            .help("The module to serve, built by `ssr build`");
        let assets = Arg::new("assets").value_name("DIST").help("The directory of assets");
        let flags = TABLE.iter().map(|setting| {
            let default = if setting.default.is_empty() { "one per core" } else { setting.default };
            let help = format!("{} [env: {}] [default: {default}]", setting.help, setting.variable);
            Arg::new(setting.flag).long(setting.flag).value_name("VALUE").help(help)
        });
        // Accepted by the parser, so that the error can name the new flag.
        let renamed = RENAMED.iter().map(|renamed| {
            Arg::new(renamed.flag).long(renamed.flag).value_name("VALUE").num_args(0..=1).hide(true)
        });
        command.arg(module).arg(assets).args(flags).args(renamed)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let flags = TABLE.iter().enumerate().filter_map(|(row, setting)| Some((row, text(setting.flag)?)));
        Ok(Self {
            // clap has rejected a command line without it.
            module: text("module").unwrap_or_default(),
            assets: text("assets").map(PathBuf::from),
            flags: flags.collect(),
            renamed: RENAMED.iter().position(|renamed| {
                matches.value_source(renamed.flag) == Some(clap::parser::ValueSource::CommandLine)
            }),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Serves until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs) -> Result<(), ServeError> {
    // Neither a setting nor a JavaScript string can hold what is not UTF-8.
    let env: Vec<(String, String)> = std::env::vars_os()
        .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
        .collect();
    if let Some(renamed) = args.renamed {
        return Err(RENAMED[renamed].flag_error().into());
    }
    let mut settings = Settings::from_env(&env)?;
    for (row, value) in &args.flags {
        let setting = &TABLE[*row];
        settings.set(setting, &format!("--{}", setting.flag), value)?;
    }
    // Of a person's own machine modules.toml may name any directory.
    let everything = Directory { host: "/".into(), guest: "/".to_owned(), read_only: false };
    let source = SiteSource {
        module: args.module.clone(),
        code: user_code::source(),
        assets: args.assets.clone(),
        env,
        files: ProgramFiles { given: Vec::new(), volumes_in: vec![everything] },
    };
    ssr_server::serve(source, &settings)
}
