//! What travels with a key, and how two of it become one.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can travel with a key: anything that serde can write and read.
pub trait Value: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Value for T {}

/// Folds the second value into the first.
#[derive(Clone, Copy)]
pub struct Combiner<V>(pub(crate) fn(&mut V, V));

impl<V> Combiner<V> {
    /// A combiner of your own: fold the second value into the first.
    pub fn new(fold: fn(&mut V, V)) -> Self {
        Combiner(fold)
    }
}

impl<V: std::ops::AddAssign> Combiner<V> {
    /// Adds.
    pub fn sum() -> Self {
        Combiner(|a, b| *a += b)
    }
}

impl<V: Ord> Combiner<V> {
    /// Keeps the smaller.
    pub fn min() -> Self {
        Combiner(|a, b| {
            if b < *a {
                *a = b;
            }
        })
    }

    /// Keeps the larger.
    pub fn max() -> Self {
        Combiner(|a, b| {
            if b > *a {
                *a = b;
            }
        })
    }
}
