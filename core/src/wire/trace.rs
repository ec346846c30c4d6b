//! X-Ray's tracing header, which ties together the logs and segments of all functions of a job. All invocations of a job have
//! the same root, which is made of the job's id, so that nothing else has to be stored or handed on.
//!
//! ```text
//! X-Amzn-Trace-Id: Root=1-6920116c-019aa5440eb0f0a9c3d5e7ab;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:5fd2c4a1:0
//!                       │ │        │└─ job's id ──────────┘        │                       │         └ AWS's, against loops
//!                       │ │        └ one zero                      │                       └ whether it is recorded
//!                       │ └ seconds since 1970, hexadecimal        └ the segment that asks
//!                       └ version
//! ```
//!
//! A function that invokes another hands on the header that it was given, unchanged, if it is of the same job: then X-Ray knows
//! who invoked whom, and the decision whether to record stays the same. Others (the driver, the sweeper) send only the root. A
//! header without a decision makes Lambda ask X-Ray for one if tracing is active for the function, and not record if it is not;
//! usually that is the splitter's first invocation.
//! <https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html>, 2026-11.

use crate::ids::JobId;

/// The header's name in requests.
pub const HEADER: &str = "x-amzn-trace-id";

/// Returns the root of a job's trace: `1-6920116c-019aa5440eb0f0a9c3d5e7ab`.
pub fn root_of(job: &JobId) -> String {
    // An id that no driver made still gets a trace of its own, by its last hexadecimal digits.
    let digits: String = job.as_str().chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    let ms = job.as_str().split_once('-').and_then(|(ms, _)| u64::from_str_radix(ms, 16).ok()).unwrap_or(0);
    let unique = &digits[digits.len().saturating_sub(24)..];
    format!("1-{:08x}-{unique:0>24}", (ms / 1000) as u32)
}

/// Returns the root in a header.
pub fn root(header: &str) -> Option<&str> {
    header.split(';').find_map(|field| field.trim().strip_prefix("Root="))
}

/// Returns the header with which to invoke a function of a job. `given` is the header with which the caller itself was invoked,
/// if it was.
pub fn header(job: &JobId, given: Option<&str>) -> String {
    let own = root_of(job);
    let sendable = |header: &&str| header.bytes().all(|b| (b' '..=b'~').contains(&b));
    match given.filter(sendable) {
        Some(given) if root(given) == Some(&own) => given.to_owned(),
        _ => format!("Root={own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Timestamp;

    #[test]
    fn a_jobs_trace_has_xrays_form_and_names_the_job() {
        let job = JobId::new(Timestamp(1_763_709_292_208), 0x0001_f0a9_c3d5_e7ab);
        assert_eq!(job.as_str(), "19aa5440eb0-f0a9c3d5e7ab");
        assert_eq!(root_of(&job), "1-6920116c-019aa5440eb0f0a9c3d5e7ab");
        for id in ["0193-ab", "job-of-mine", "z", &"f".repeat(64)] {
            let root = root_of(&id.parse().unwrap());
            let [version, time, unique] = root.split('-').collect::<Vec<_>>()[..] else { panic!("{root}") };
            let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            assert!(version == "1" && time.len() == 8 && unique.len() == 24 && hex(time) && hex(unique), "{root}");
        }
    }

    #[test]
    fn a_header_is_handed_on_within_its_job_only() {
        let job: JobId = "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap();
        let root = root_of(&job);
        let given = format!("Root={root};Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:5fd2c4a1:0");
        assert_eq!(header(&job, Some(&given)), given);
        let alone = format!("Root={root}");
        assert_eq!(header(&job, None), alone);
        assert_eq!(header(&job, Some("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")), alone);
        assert_eq!(header(&job, Some(&format!("{given}\n"))), alone);
        assert_eq!(header(&job, Some("nonsense")), alone);
    }
}
