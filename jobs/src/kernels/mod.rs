//! Kernels: the parts of the jobs that are all arithmetic.
//!
//! A kernel is a plain library function over slices and numbers, which computes on the threads of the rayon pool it is called
//! in. It knows nothing about jobs, S3 or Lambda, and can be tested, measured and used by itself. A job wraps it.
//!
//! - A kernel takes no pool: it uses rayon's current one. `map` and `reduce` run in the pool of their function, which has a
//!   thread for each vCPU of the function's memory, so a kernel called there has the threads it may use. Other callers write
//!   `pool.install(|| kernel(…))`. In a pool of one thread a kernel starts no other.
//! - It reads slices (or a range of numbers) and returns values, or writes into what it is given. It uses no files and no
//!   clock, and its result does not depend on the number of threads. The memory that it takes besides input and result is
//!   bounded and documented.
//! - What a user can get wrong is a typed error, [`kinglet_core::Error`], that names the place. The rest is `assert!`.
//! - Each has a naive twin in its tests, and a binary in `bench/` that compares it with its peers.

pub mod hull;
pub mod primes;
