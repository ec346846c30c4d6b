//! Values, which travel with keys, and combiners, which make one value of two.

use crate::guard::named;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that can travel with a key: anything that serde can write and read.
pub trait Value: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Value for T {}

/// A combiner: a function that folds the second value of a key into the first.
#[derive(Clone, Copy)]
pub struct Combiner<V>(pub(crate) fn(&mut V, V));

impl<V> Combiner<V> {
    /// Makes a combiner of your own function, which folds the second value into the first.
    pub fn new(fold: fn(&mut V, V)) -> Self {
        Combiner(fold)
    }
}

/// Folds the second value into the first.
#[inline(always)]
pub(crate) fn fold_into<V>(fold: fn(&mut V, V), value: &mut V, more: V) {
    named("the combiner", || fold(value, more));
}

impl<V: std::ops::AddAssign> Combiner<V> {
    /// Adds the values.
    pub fn sum() -> Self {
        Combiner(|a, b| *a += b)
    }
}

impl<V: Ord> Combiner<V> {
    /// Keeps the smaller value.
    pub fn min() -> Self {
        Combiner(|a, b| {
            if b < *a {
                *a = b;
            }
        })
    }

    /// Keeps the larger value.
    pub fn max() -> Self {
        Combiner(|a, b| {
            if b > *a {
                *a = b;
            }
        })
    }
}
