//! A handle as a streaming backend of the crate `multi-tier-cache`.

use super::Client;

streamgate_protocol::impl_multi_tier_cache_streams!(Client);
