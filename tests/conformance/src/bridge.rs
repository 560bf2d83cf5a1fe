//! The traits on top of the npm package, so that the same cases run in a browser and in an edge
//! runtime.
//!
//! A small server of this process serves the bundled scripts of `tests/runtimes` and a control
//! socket. The script in the runtime connects to that socket, calls the package as each command
//! says, and reports the result of each call.

mod backend;
mod bundle;
mod calls;
mod chromium;
mod control;
mod groups;
mod message;
mod packed;
mod process;
mod subscriptions;
mod workerd;

pub use backend::ScriptClient;
pub use chromium::Chromium;
pub use control::Control;
pub use workerd::Workerd;
