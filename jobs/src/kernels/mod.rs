//! Kernels: what a function computes when it is all arithmetic.
//!
//! A kernel is a plain library function over slices and numbers, and a rayon pool: it knows nothing of jobs, S3 or Lambda,
//! and can be tested, measured and used by itself. A job wraps it.
//!
//! - A kernel takes its pool as `pool: &rayon::ThreadPool`, always the last parameter. The caller sizes it: a function to the
//!   vCPUs of its memory, a bench to what it measures. With one thread a kernel starts no other.
//! - It reads slices (or a range of numbers) and returns values, or writes into what it is given; no files, no globals, no
//!   clock. Memory beside the input and the result is bounded and said.
//! - What a user can get wrong is a typed error, [`kinglet_core::Error`], that names the place. The rest is `assert!`.
//! - Each has a naive twin in its tests, and a binary in `bench/` that runs it beside its peers.
