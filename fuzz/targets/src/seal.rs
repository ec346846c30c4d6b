//! Makes checksums right, so that what lies behind them is read. What has no such structure is left as it is.

use kinglet_core::ids::Partition;
use kinglet_core::wire::frame::Framed;
use kinglet_core::wire::run::BLOCK_BYTES;

/// Returns a frame of this kind around a payload.
pub(crate) fn frame<T: Framed>(payload: &[u8]) -> Vec<u8> {
    let crc = crc32fast::hash(payload).to_le_bytes();
    let header = [b'K', b'N', b'G', b'L', T::KIND as u8, T::VERSION, 0, 0, crc[0], crc[1], crc[2], crc[3]];
    [&header[..], payload].concat()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
}

/// Seals the frames that the index of a plan names.
pub(crate) fn plan(plan: &mut [u8]) {
    let all = plan.len();
    let offset = |plan: &[u8], n: usize| {
        let at = n.checked_mul(8)?.checked_add(16)?;
        plan.get(at..)?.first_chunk().map(|b| usize::try_from(u64::from_le_bytes(*b)).unwrap_or(usize::MAX))
    };
    let Some(count) = plan.get(8..16).and_then(|b| b.first_chunk()).map(|b| u64::from_le_bytes(*b)) else { return };
    for n in 0..=usize::try_from(count).unwrap_or(usize::MAX) {
        let Some(from) = offset(plan, n) else { return };
        let to = if n as u64 == count { all } else { offset(plan, n + 1).unwrap_or(all) };
        if let Some([_, _, _, _, _, _, _, _, a, b, c, d, payload @ ..]) = plan.get_mut(from..to) {
            [*a, *b, *c, *d] = crc32fast::hash(payload).to_le_bytes();
        }
    }
}

/// Seals the blocks of a run, as far as they can be found.
pub(crate) fn run(run: &mut [u8]) {
    if let Some(magic) = run.first_chunk_mut() {
        *magic = *b"KRUN\x01\0\0\0";
    }
    let mut at = 8;
    while let (Some(raw), Some(stored)) = (number(run, at), number(run, at + 4)) {
        let Some([a, b, c, d, rest @ ..]) = run.get_mut(at + 8..) else { return };
        let Some(body) = rest.get(..stored) else { return };
        [*a, *b, *c, *d] = crc32fast::hash(body).to_le_bytes();
        at += 12 + stored;
        if raw == 0 || stored > 8 * BLOCK_BYTES {
            return;
        }
    }
}

/// Seals items, one behind the other.
pub(crate) fn items(items: &mut [u8]) {
    let mut at = 0;
    while let Some(length) = number(items, at) {
        let Some([_, _, _, _, n @ .., _, _, _, _]) = items.get(at..at + 12) else { return };
        let mut crc = crc32fast::Hasher::new();
        crc.update(n);
        let Some(body) = items.get(at + 12..at + 12 + length) else { return };
        crc.update(body);
        let crc = crc.finalize().to_le_bytes();
        items[at + 8..at + 12].copy_from_slice(&crc);
        at += 12 + length;
    }
}

/// Seals a row of an index of runs.
pub(crate) fn row(row: &mut [u8], partition: Partition) {
    if let Some((entries, crc)) = row.split_last_chunk_mut::<4>() {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&partition.0.to_le_bytes());
        hasher.update(entries);
        *crc = hasher.finalize().to_le_bytes();
    }
}

/// Seals the table of an index of runs of so many partitions.
pub(crate) fn table(table: &mut [u8], partitions: u32) {
    if let Some((header, _)) = table.split_first_chunk_mut::<16>() {
        header[..8].copy_from_slice(b"KNGX\x01\0\0\0");
        header[12..].copy_from_slice(&partitions.to_le_bytes());
        let crc = crc32fast::hash(&table[12..]).to_le_bytes();
        table[8..12].copy_from_slice(&crc);
    }
}

/// Seals what ends with the checksum of all before it, as the index of items does.
pub(crate) fn trailer(bytes: &mut [u8]) {
    if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(body).to_le_bytes();
    }
}
