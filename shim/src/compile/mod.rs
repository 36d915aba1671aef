//! Compiled code for containers' modules: from the node's cache, or made now.
//!
//! Three processes take part, none of which is the shim: the container's own asks
//! ([`handover`]), one for each container looks the code up ([`lookup`]) and, if there is
//! none, has it made by one without any privilege ([`compiler`]). The latter two end when
//! they are done, and with their container at the latest. The helper announces the module
//! when it makes the container, so that most of this is done before the process asks
//! ([`ahead`]).

mod ahead;
pub mod compiler;
mod compiler_process;
pub mod handover;
pub mod lookup;
pub mod provider;
mod sandbox;
