//! The whole-system tests, in one binary. Table of contents:
//!
//! | module | what it shows |
//! |---|---|
//! | `arrows` | the crates depend on each other as ARCHITECTURE.md says, and on nothing that they must not |

mod arrows;
mod bad_input;
mod cli;
mod example;
mod faults;
mod jobs_api;
mod programs;
mod support;
mod word_count;
