//! What Javy's own default plugin has: its command line is not in any registry.

use javy_plugin_api::{Config, import_namespace, javy::Runtime};

import_namespace!("javy-default-plugin-v3");

fn config() -> Config {
    let mut config = Config::default();
    config.event_loop(true);
    config.text_encoding(true).javy_stream_io(true).simd_json_builtins(true);
    config
}

#[unsafe(export_name = "initialize-runtime")]
extern "C" fn initialize_runtime() {
    javy_plugin_api::initialize_runtime(config, |runtime: Runtime| runtime).expect("a runtime");
}
