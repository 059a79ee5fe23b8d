//! Cross-cutting concerns as layers: each wraps a provider, and is one.

mod concurrency;
mod retry;

pub use concurrency::LimitConcurrency;
pub use retry::RetryStart;
