//! The server as a client sees it, over real HTTP with signed requests.
//!
//! - `blobs`: what an ordinary bucket promises: conditions, ranges, keys, multipart
//! - `files`: the user's files in place: read-only, pinned, never silently mixed
//! - `deletes`: deletions on a condition, one and many
//! - `directory`: output that appears all at once, or not at all
//! - `order`: paging against the plainest way to do it
//! - `uploads`: multipart uploads, which end once

#![allow(clippy::unwrap_used)]

mod blobs;
mod client;
mod deletes;
mod directory;
mod files;
mod order;
mod uploads;

use client::Server;

/// Sixteen writers race to create one key; returns the index of the only one that did.
fn race(server: &Server, key: &str, bytes: usize) -> usize {
    let start = std::sync::Barrier::new(16);
    let body = |idx: usize| vec![u8::try_from(idx).unwrap(); bytes];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|idx| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    server.put(key, &[("if-none-match", "*")], &body(idx)).status
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let winners: Vec<usize> = (0..16).filter(|&idx| statuses[idx] == 200).collect();
    assert_eq!(winners.len(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|&&status| status == 412).count(), 15, "{statuses:?}");
    assert!(server.get(key, &[]).body == body(winners[0]), "the object is the winner's");
    winners[0]
}
