//! The server as a raw WebSocket client sees it, well-behaved or not, in both encodings.

mod backend;
mod client;
mod close;
mod frames;
mod fuzz;
mod handshake;
mod limits;
mod page;
mod requests;
mod service;
