//! Streams in this process's memory.
