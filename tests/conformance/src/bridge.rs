//! The traits on top of the npm package, so that the same cases run in a browser and in an edge
//! runtime.
//!
//! This process serves the bundled scripts of `tests/runtimes` over HTTP, and a control socket. The
//! script in the runtime connects to that socket, calls the package for each command, and reports
//! the result of each call.

mod bundle;
mod calls;
mod chromium;
mod control;
mod message;
mod operations;
mod packed;
mod process;
mod script_client;
mod subscriptions;
mod workerd;

pub use chromium::Chromium;
pub use control::Control;
pub use script_client::ScriptClient;
pub use workerd::Workerd;
