//! `RedisStreams` as a streaming backend of the crate `multi-tier-cache`.

use crate::redis_streams::RedisStreams;

streamgate_protocol::impl_multi_tier_cache_streams!(RedisStreams);
