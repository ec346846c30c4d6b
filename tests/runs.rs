//! Where intermediate results lie: what is written to any place comes back from it, and what is not there is missed.

use crate::support::{conductor, create_job, driver};
use kinglet_aws::runs::{Batch, MapAttempt};
use kinglet_core::ids::{AttemptId, Piece, TaskIdx};
use kinglet_core::wire::record::{MapRecord, Placement, Usage};

/// A batch whose results lie here, as its commit says it.
fn batch(of: MapAttempt, placement: Placement, run_bytes: u64) -> Batch {
    let record = MapRecord {
        attempt: of.attempt,
        bytes_assigned: 0,
        taken: None,
        bytes_read: 0,
        crc32: 0,
        records: 0,
        rejected: 0,
        pairs_emitted: 0,
        pairs_out: 0,
        run_bytes,
        placement,
        spills: 0,
        remainder: None,
        usage: Usage::default(),
    };
    Batch { task: of.task, piece: of.piece, record }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_come_back_from_every_place_in_the_order_asked_for() {
    let driver = driver(|local| local).await;
    let conductor = conductor(&driver);
    let job = create_job(&conductor, "map", None).await;
    let store = conductor.runs(&job);
    let mut batches = Vec::new();
    let mut wanted = Vec::new();
    // Of several groups, since inline results lie by group, and longer than an item.
    for (n, (bytes, inline_max)) in [(10, None), (0, None), (900_000, Some(u64::MAX)), (20, Some(0)), (9_000_000, None)]
        .into_iter()
        .cycle()
        .take(15)
        .enumerate()
    {
        let (task, piece) = (TaskIdx(n as u32 * 20), Piece(n as u16 % 2));
        let of = MapAttempt { task, piece, attempt: AttemptId { number: 0, nonce: n as u32 } };
        let results = vec![n as u8; bytes];
        let placed = store.write_results(of, results.clone(), inline_max).await.unwrap();
        let want = match (bytes, inline_max) {
            (0, _) => Placement::Nowhere,
            (9_000_000, _) | (_, Some(0)) => Placement::Object,
            _ => Placement::Inline,
        };
        assert_eq!((placed.placement, placed.bytes), (want, bytes as u64));
        batches.push(batch(of, placed.placement, placed.bytes));
        wanted.push(results);
    }
    assert_eq!(store.results(&batches).await.unwrap(), wanted);
    batches.reverse();
    wanted.reverse();
    assert_eq!(store.results(&batches).await.unwrap(), wanted);
    assert!(store.results(&[]).await.unwrap().is_empty());

    // An attempt that wrote nothing, and one of which something is missing.
    let of = MapAttempt { task: TaskIdx(1), piece: Piece(0), attempt: AttemptId { number: 3, nonce: 3 } };
    for placement in [Placement::Inline, Placement::Object, Placement::Nowhere] {
        assert!(store.results(&[batch(of, placement, 7)]).await.is_err(), "{placement:?}");
    }
    store.write_results(of, vec![1; 6], None).await.unwrap();
    let error = store.results(&[batch(of, Placement::Inline, 7)]).await.unwrap_err();
    assert_eq!(error.code(), "results-missing");
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reduce_function_returned_comes_back_wherever_it_lies() {
    let driver = driver(|local| local).await;
    let conductor = conductor(&driver);
    let job = create_job(&conductor, "map", None).await;
    let store = conductor.runs(&job);
    for (nonce, bytes) in [(1, 10), (2, 9_000_000)] {
        let attempt = AttemptId { number: 0, nonce };
        let result = vec![nonce as u8; bytes];
        store.write_reduced(attempt, result.clone()).await.unwrap();
        assert_eq!(store.reduced(attempt).await.unwrap(), result);
    }
    assert!(store.reduced(AttemptId { number: 0, nonce: 3 }).await.is_err());
    driver.close().await;
}
