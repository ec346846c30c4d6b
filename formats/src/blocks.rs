//! Files whose rows lie in blocks that end with a marker, as those of Avro do: what there is to know of them without knowing how they are
//! decoded.
//!
//! This is the interface of `avro/`, where that is compiled: a program that reads no Avro is built without it, and says so when it is
//! given such a file.

#[cfg(not(feature = "avro"))]
pub use crate::absent_avro::{BlockCutter, File, HeadReader, Plan};
#[cfg(feature = "avro")]
pub use crate::avro::{BlockCutter, File, HeadReader, Plan};
pub use crate::file_blocks::{BlocksOf, FileBlock, Headed};
