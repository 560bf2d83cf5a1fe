//! The trait on top of the npm package, so that the same cases run in a browser and in an edge
//! runtime.
//!
//! A small server of this process serves the bundled scripts of `tests/runtimes` and a control
//! socket. The script in the runtime connects to it, calls the package as it is told, and says
//! what came of each call.

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

pub use backend::Bridged;
pub use chromium::Chromium;
pub use control::Control;
pub use workerd::Workerd;
