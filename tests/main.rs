//! The whole-system tests, in one binary. Table of contents:
//!
//! | module | what it shows |
//! |---|---|
//! | `arrows` | the crates depend on each other as ARCHITECTURE.md says, and on nothing that they must not |

mod arrows;
mod programs;
