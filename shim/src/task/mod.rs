//! containerd's task API: the requests, the containers and processes they are about, and
//! the events that are published in return.

pub mod container;
pub mod events;
pub mod make;
pub mod process;
pub mod service;
