//! `ssr serve`: the server, without any container engine.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use ssr_server::error::StartError;
use ssr_server::settings::{Settings, TABLE};
use ssr_server::{Provision, Source};

/// Arguments of `ssr serve`: the module, the assets, and a flag for each setting.
#[derive(Debug)]
pub struct ServeArgs {
    module: String,
    assets: Option<PathBuf>,
    /// Values given as flags, beside their rows of the table.
    flags: Vec<(usize, String)>,
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let module =
            Arg::new("module").value_name("ssr.wasm").required(true).help("The module that `ssr build` made");
        let assets = Arg::new("assets").value_name("DIST").help("The directory of assets");
        let flags = TABLE.iter().map(|setting| {
            let default = if setting.default.is_empty() { "one for each core" } else { setting.default };
            let help = format!("{} [env: {}] [default: {default}]", setting.help, setting.variable);
            Arg::new(setting.flag).long(setting.flag).value_name("VALUE").help(help)
        });
        command.arg(module).arg(assets).args(flags)
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
            // Required: clap has refused a command line without it.
            module: text("module").unwrap_or_default(),
            assets: text("assets").map(PathBuf::from),
            flags: flags.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Serves until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs) -> Result<(), StartError> {
    // What is not UTF-8 cannot be a setting, nor be given to JavaScript as it is.
    let env: Vec<(String, String)> = std::env::vars_os()
        .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
        .collect();
    let mut settings = Settings::from_env(&env)?;
    for (row, value) in &args.flags {
        let setting = &TABLE[*row];
        settings.set(setting, &format!("--{}", setting.flag), value)?;
    }
    let source =
        Source { module: args.module.clone(), code: Provision::Here, assets: args.assets.clone(), env };
    ssr_server::serve(source, &settings)
}
