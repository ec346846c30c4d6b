//! The example project's program as it is, built with the dependencies of the tests.

include!("../examples/word-count/src/main.rs");
