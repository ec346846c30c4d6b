//! A job's output: claimed before the job works, published in one sequence when it succeeds, and left as it was when it does
//! not.
//!
//! What lies in an output, and who writes and removes it:
//!
//! | object | what it is | who writes it | who removes it |
//! |---|---|---|---|
//! | `_owner.json` | the claim of the job at work ([`kinglet_core::wire::owner`]) | the job's driver or splitter, where there is no claim, or in place of a dead job's, by its ETag | the process that ends that job, by the claim's ETag; an heir |
//! | `part-<partition>-<job>`, `part-<partition>.<piece>-<job>` | a part; what a further piece of a reduce task wrote | the process that ends that job, by completing the upload that a reducer has left open | by its ETag: a job that replaces the result, as the manifest lists it; the process that ends the same job without success; an heir of it |
//! | `<column>=<value>/…/part-<partition>-<job>`, `…_<number>` | where the values of columns are folders: files of a piece of a reduce task, further ones of one folder with their number | as a part | as a part |
//! | `_rejected-<job>.jsonl`, if there are any | the records that the job has left out of its input ([`kinglet_core::engine::quarantine`]) | as a part | as a part |
//! | `_manifest.json` | what the result is | the process that ends the job, by completing the upload in the ledger, on the condition that there is still what the job found | a user |
//! | `_SUCCESS`, if the job was asked for it | says that there is a whole result | the process that ends the job, in step 4 | whoever removes the result |
//! | anything else | the user's | the user | the user |
//!
//! An *heir* is a job that takes the output in place of a dead job's claim.
//!
//! **Publishing** is a sequence that any process can continue from any step, as each step can be done twice:
//!
//! 1. The ledger says *publishing*. From here on nobody can cancel the job, and only a stranger in its output, or an output
//!    that cannot be written any more, makes it fail.
//! 2. The claim is checked, and the parts' uploads are completed.
//! 3. The manifest's upload is completed, with `If-Match` of the manifest that it replaces or `If-None-Match`: **now the
//!    result is the new one**.
//! 4. The parts of the replaced result are removed, `_SUCCESS` is written if it was asked for, and the uploads that attempts have left are aborted.
//! 5. The ledger notes that the result is visible, the claim is removed, and the ledger says *succeeded*. The note precedes
//!    the removal of the claim because another job may replace the result afterwards, which a late process must not take for
//!    a loss.
//!
//! **Undoing** is the other sequence: uploads are aborted, published parts are removed, then the claim; the ledger says
//! *failed* or *cancelled*.
//!
//! **Zombies.** An upload can be completed once or aborted once. A process that wakes up late, at any step of either
//! sequence, finds its uploads used up and the ETags that it demands gone. A reducer's late upload is no object. So nothing
//! late changes what a reader sees.
//!
//! | module | what it does |
//! |---|---|
//! | `take` | an output taken by a job, or refused |
//! | `claim` | the claim, renewed while the job is at work, and removed |
//! | `publish`, `undo` | the two sequences |
//! | `manifest` | the result that lies there, read, and removed by its owner |
//! | `left` | parts and uploads of a job, told from others' by their names, and removed |

mod claim;
mod left;
mod manifest;
mod publish;
mod take;
mod undo;

pub use manifest::StoredManifest;
pub(crate) use publish::Publication;

use crate::conductor::Conductor;
use kinglet_core::Result;
use kinglet_core::ids::JobId;

impl Conductor {
    /// Logs an error that no process can mend by trying again, and goes on without that step.
    fn tolerate(&self, job: &JobId, doing: &str, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if self.decides(&error) => {
                tracing::warn!(%job, code = error.code(), %error, hint = error.hint(), "{doing}");
                Ok(())
            }
            done => done,
        }
    }
}
