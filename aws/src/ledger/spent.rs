//! What a job with a ceiling has spent, gathered from what the ledger reads of a stage anyway; see
//! [`kinglet_core::ledger::Capped`] for what counts.
//!
//! A job without a ceiling writes and reads nothing of this. With one:
//!
//! | where | what | requests |
//! |---|---|---|
//! | a job's own item | `cap`: the ceiling and the prices; `spent`: what the stages before the current one have used | none of their own |
//! | a group's item | `x<task>.<piece>.<number>` for each further try of a task, written before the try is claimed: a complete group's tries are not read, and those that did not commit would not be known | 1 write for each further try |
//! | the tries of a complete group | read when the further tries in such groups, each at the most that it may have cost, could pass the ceiling; and once, as the stage ends | a query for each complete group with a further try |

use super::Ledger;
use super::commits::{Record, SETTLED, StageRead};
use super::item::{Item, read_binary};
use super::keys::{Key, done_name, further_name, group_count, group_of, group_pk, is_further, tasks_of};
use super::tries::GroupTry;
use aws_sdk_dynamodb::types::AttributeValue;
use kinglet_core::Result;
use kinglet_core::ids::{JobId, Piece, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{JobView, TryView};
use kinglet_core::wire::record::Requests;

/// About the bytes of a group's item without its records, and of a record's attribute without the record: keys, names, the
/// time to live.
const ITEM_BYTES: u64 = 100;
const NAME_BYTES: u64 = 10;

/// Returns what the commits of the records of one group took, given the bytes of each in order: a write each, of the group's
/// item as it has grown. No attempt can have counted that.
pub fn commits(record_bytes: impl Iterator<Item = usize>) -> Requests {
    let (mut requests, mut item_bytes) = (Requests::default(), ITEM_BYTES);
    for bytes in record_bytes {
        item_bytes += bytes as u64 + NAME_BYTES;
        requests.dynamodb += 1;
        requests.write_milliunits += item_bytes.div_ceil(1_024) * 1_000;
    }
    requests
}

impl Ledger {
    /// Notes in its group's item that a task of a job with a ceiling has a further try.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn note_further(&self, job: &JobId, key: TryKey) -> Result<()> {
        let noting = self.update(format!("noting {key}"), Key::group(job, key.stage, group_of(key.task)));
        let name = further_name(key.task, key.piece, key.number);
        // A further try follows one that has started or was claimed, so the job is there. The write is idempotent.
        noting.set_as("further", &name, AttributeValue::Bool(true)).ttl().done().await.map(drop)
    }

    /// Reads the tries of a stage that did not commit. All pieces are committed.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn overtaken<R: Record>(&self, job: &JobId, committed: &[Vec<R>]) -> Result<Vec<GroupTry>> {
        let mut tries = self.tries_of(job, R::STAGE, committed.len() as u32).await?;
        tries.retain(|tried| is_overtaken(committed, tried));
        Ok(tries)
    }

    /// Adds to what a job with a ceiling has spent what its stage has, except on pieces that are not committed.
    pub(super) async fn add_spent<R: Record>(
        &self,
        job: &JobId,
        view: &mut JobView,
        stage: &StageRead<R>,
        now: Timestamp,
    ) -> Result<()> {
        let (timeout_ms, Some(capped)) = (view.timeout_ms, &mut view.capped) else { return Ok(()) };
        let spent = &mut capped.spent;
        for record in stage.committed.iter().flatten() {
            spent.add_committed(record.usage());
        }
        let count = stage.committed.len() as u32;
        let mut unread = Vec::new();
        for group in 0..group_count(count) {
            let Some(item) = stage.items.get(&group_pk(job, R::STAGE, group)) else { continue };
            let tasks = tasks_of(group, count);
            spent.requests += commits(tasks.clone().flat_map(|task| sizes(item, TaskIdx(task))));
            let further = item.keys().filter(|name| is_further(name)).count() as u32;
            spent.requests.dynamodb += u64::from(further);
            spent.requests.write_milliunits += 1_000 * u64::from(further);
            if further > 0 && tasks.clone().all(|task| stage.tasks[task as usize].done) {
                unread.push(group);
                spent.unread += further + settled::<R>(&stage.committed[tasks.start as usize..tasks.end as usize]);
            }
        }
        spent.overtaken = stage.tries.iter().filter(|t| is_overtaken(&stage.committed, t)).map(view_of).collect();
        if capped.must_read(&stage.tasks, timeout_ms, now) {
            for group in unread {
                let tries = self.tries(job, R::STAGE, group).await?;
                let overtaken = tries.iter().filter(|t| is_overtaken(&stage.committed, t)).map(view_of);
                capped.spent.overtaken.extend(overtaken);
            }
            capped.spent.unread = 0;
        }
        Ok(())
    }
}

fn view_of(tried: &GroupTry) -> TryView {
    tried.view.clone()
}

/// Returns the bytes of a task's records in its group's item, in order.
fn sizes(item: &Item, task: TaskIdx) -> impl Iterator<Item = usize> {
    (0..).map_while(move |piece| read_binary(item, &done_name(task, Piece(piece))).map(<[u8]>::len))
}

/// Returns whether a try is of a piece that another has committed, or somebody on behalf of its dead worker.
fn is_overtaken<R: Record>(committed: &[Vec<R>], tried: &GroupTry) -> bool {
    let record = committed.get(tried.task.0 as usize).and_then(|pieces| pieces.get(tried.piece.0 as usize));
    record.is_some_and(|record| record.attempt().number != tried.view.number)
}

/// Returns how many pieces were committed on behalf of their dead workers: none of their tries is the one that counts.
fn settled<R: Record>(committed: &[Vec<R>]) -> u32 {
    committed.iter().flatten().filter(|record| record.attempt().number == SETTLED).count() as u32
}
