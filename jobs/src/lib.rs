//! The jobs that come with Kinglet, one file each, and the kernels that compute.

pub mod kernels;
mod word_count;

pub use word_count::WordCount;

use kinglet_core::Registry;

/// All of them.
pub fn registry() -> Registry {
    Registry::new().job::<WordCount>()
}
