//! Backends for the crate `multi-tier-cache`, from which
//! [`StreamingBackend`](crate::StreamingBackend) comes.
//!
//! Its trait has the same methods, but is another trait with another error. A backend of this
//! project implements it with
//! [`impl_multi_tier_cache_streams!`](crate::impl_multi_tier_cache_streams).

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::error::{CacheError, CacheResult};

/// The crate itself, in the version that this one implements.
pub use ::multi_tier_cache as upstream;

impl From<CacheError> for upstream::CacheError {
    /// Keeps the variant and its message.
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::BackendError(message) => Self::BackendError(message),
            CacheError::SerializationError(message) => Self::SerializationError(message),
            CacheError::InvalidationError(message) => Self::InvalidationError(message),
            CacheError::ConfigError(message) => Self::ConfigError(message),
            CacheError::NotFound => Self::NotFound,
            CacheError::InternalError(message) => Self::InternalError(message),
        }
    }
}

/// Converts the error of a future.
#[doc(hidden)]
pub fn convert_error<T: 'static>(
    future: BoxFuture<'_, CacheResult<T>>,
) -> BoxFuture<'_, upstream::CacheResult<T>> {
    future.map(|result| result.map_err(Into::into)).boxed()
}

/// Implements `multi_tier_cache::StreamingBackend` for a type that implements
/// [`StreamingBackend`](crate::StreamingBackend).
///
/// `CacheSystemBuilder::with_streams(Arc::new(backend))` then takes it. Code that imports both
/// traits must name the one it means: `StreamingBackend::stream_add(&backend, …)`.
#[macro_export]
macro_rules! impl_multi_tier_cache_streams {
    ($backend:ty) => {
        $crate::impl_multi_tier_cache_streams! {
            @methods $backend;
            stream_add(fields: Vec<(String, String)>, maxlen: Option<usize>) -> String;
            stream_read_latest(count: usize) -> Vec<$crate::StreamEntry>;
            stream_read(
                last_id: &'a str, count: usize, block_ms: Option<usize>
            ) -> Vec<$crate::StreamEntry>;
            stream_create_group(group_name: &'a str, id: &'a str) -> ();
            stream_read_group(
                group_name: &'a str, consumer_name: &'a str, count: usize, block_ms: Option<usize>
            ) -> Vec<$crate::StreamEntry>;
            stream_ack(group_name: &'a str, ids: &'a [String]) -> ();
        }
    };
    (
        @methods $backend:ty;
        $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*
    ) => {
        impl $crate::multi_tier_cache::upstream::StreamingBackend for $backend {
            $(
                fn $method<'a>(
                    &'a self,
                    stream_key: &'a str,
                    $($argument: $type),*
                ) -> ::std::pin::Pin<::std::boxed::Box<
                    dyn ::std::future::Future<
                            Output = $crate::multi_tier_cache::upstream::CacheResult<$result>,
                        > + ::std::marker::Send
                        + 'a,
                >> {
                    $crate::multi_tier_cache::convert_error(
                        $crate::StreamingBackend::$method(self, stream_key, $($argument),*),
                    )
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_variant_and_their_code() {
        let error = CacheError::BackendError("NOGROUP no such group".to_owned());
        let converted = upstream::CacheError::from(error);
        assert!(
            matches!(&converted, upstream::CacheError::BackendError(m) if m == "NOGROUP no such group"),
            "{converted:?}"
        );
        let converted = upstream::CacheError::from(CacheError::NotFound);
        assert!(matches!(converted, upstream::CacheError::NotFound));
    }
}
