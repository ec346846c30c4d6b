//! The CRC-32 of every object: a call for each, and a report in the layout of S3 Batch Operations.

use kinglet::{Code, Context, Driver, Error, ForEachObject, Registry, Result, S3Object, UserResult};

/// How many bytes of an object are in memory at a time (16 MiB).
const RANGE_BYTES: u64 = 16 << 20;

/// The CRC-32 of an object, in hexadecimal digits. It is read range by range, each of the same version.
async fn crc32(context: Context, object: S3Object) -> UserResult<String> {
    let mut crc = crc32fast::Hasher::new();
    match object.size {
        Some(size) => {
            for from in (0..size).step_by(RANGE_BYTES as usize) {
                crc.update(&context.read_range(&object, from, size.min(from + RANGE_BYTES)).await?);
            }
        }
        // A manifest does not say how long it is.
        None => crc.update(&context.read(&object).await?),
    }
    Ok(format!("{:08x}", crc.finalize()))
}

async fn program() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let of = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--inventory", manifest, report] => ForEachObject::in_inventory(manifest, report),
        ["--manifest", manifest, report] => ForEachObject::in_manifest(manifest, report),
        [input, report] if !input.starts_with("--") => ForEachObject::of([input], report),
        _ => {
            return Err(Error::new(Code::ProgramFailed, "what is to be read, or where the report goes, is missing")
                .with_hint("give it INPUT REPORT, or --manifest CSV REPORT, or --inventory URI REPORT"));
        }
    };
    let driver = match std::env::var("STACK") {
        Ok(stack) => Driver::aws(stack).await?,
        Err(_) => Driver::local().await?,
    };
    // A call waits for S3 most of its time.
    let done = driver.for_each_object(crc32, of.with_calls_at_once(8)).await?;
    driver.close().await;
    println!("{} of {} objects have a checksum: {}", done.succeeded, done.objects(), done.manifest);
    match done.failed {
        0 => Ok(()),
        failed => Err(Error::new(Code::ProgramFailed, format!("{failed} objects gave no checksum"))
            .with_hint("the failed part of the report says which and why, and can be given to --manifest")),
    }
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(crc32), program)
}
