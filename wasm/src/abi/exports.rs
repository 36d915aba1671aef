//! The names of what a guest exports.

/// Its memory.
pub const MEMORY: &str = "memory";
/// Makes room for a request.
pub const INPUT: &str = "ssr_input";
/// Renders it.
pub const RENDER: &str = "ssr_render";
/// Touches what renders use, so that it is in memory.
pub const WARM: &str = "ssr_warm";
/// All functions.
pub const FUNCTIONS: [&str; 3] = [INPUT, RENDER, WARM];
