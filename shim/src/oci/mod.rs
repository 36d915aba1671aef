//! What OCI and containerd say about a container: its bundle's configuration, the
//! runtime's options, its entrypoint and its image.

pub mod container_files;
pub mod container_kind;
pub mod entrypoint;
pub mod limits;
pub mod options;
pub mod own_process;
pub mod spec;
pub mod wasm_layer;
