//! The pairs that a job makes of pieces of its input, in memory and before it is submitted: by their keys the job can say where its
//! partitions end ([`Job::bounds`]).
//!
//! What is run is the engine of a map task, so the keys are those that the functions will sort.

use super::cut::{Chunk, Cuts};
use super::map::{Chunks, MapOptions};
use crate::codec::decode;
use crate::error::{Code, Error, Result};
use crate::job::{Job, decode_params, encode_params};
use crate::key::Key;
use crate::max_rejected::MaxRejected;
use crate::wire::run::{Compression, RunReader};
use std::sync::{Arc, Mutex, PoisonError};

/// How much memory the pairs of a piece take before they are spilled (256 MiB).
const MEMORY_BYTES: usize = 256 << 20;

/// Maps pieces of a job's input, one after another.
pub struct Sampler<J> {
    job: J,
    cuts: Cuts,
    pool: rayon::ThreadPool,
    options: Arc<MapOptions>,
}

/// The pairs of a piece, by their keys.
pub struct SampledPiece<J: Job> {
    /// The pairs.
    pub pairs: Vec<(J::Key, J::Value)>,
    /// How many records the piece has.
    pub records: u64,
}

impl<J: Job> Sampler<J> {
    /// Makes a sampler of a job, as its functions get it: by its parameters.
    ///
    /// # Errors
    /// Returns the errors of the job's parameters and of its input format, and `threads` when no thread can be started.
    pub fn new(job: &J) -> Result<Self> {
        let job = decode_params::<J>(&encode_params(job)?)?;
        let cuts = Cuts::of(super::map::input(&job)?);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|e| Error::new(Code::Threads, format!("starting a thread: {e}")))?;
        let options = Arc::new(MapOptions {
            partitions: 1,
            threads: 1,
            memory_bytes: MEMORY_BYTES,
            tmp: std::env::temp_dir(),
            compression: Compression::None,
            stop: Arc::default(),
            // The job itself says what is not valid.
            max_rejected: Some(MaxRejected::Percent(100.0)),
        });
        Ok(Sampler { job, cuts, pool, options })
    }

    /// Returns what finds where the job's input may be cut.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// Maps the records of a piece of an object, which errors call `object`. Those that are not valid are left out.
    ///
    /// # Errors
    /// As a map task.
    pub fn map(&self, piece: Chunk, object: &str) -> Result<SampledPiece<J>> {
        let piece = Piece { chunk: Mutex::new(Some(piece)), object };
        let mapped = super::map::run(&self.job, &self.pool, &self.options, &piece)?;
        let mut pairs = Vec::new();
        // The first run has the records that were left out.
        for run in mapped.runs.into_iter().skip(1) {
            let run = run.into_reader();
            let run = run.map_err(|e| crate::pairs::tmp_error("reading a run", &self.options.tmp, &e))?;
            let mut reader = RunReader::open(run, "a sample")?;
            while reader.advance()? {
                pairs.push((J::Key::decode(reader.key())?, decode(reader.value())?));
            }
        }
        Ok(SampledPiece { pairs, records: mapped.counts.records })
    }
}

/// The one chunk of a piece.
struct Piece<'a> {
    chunk: Mutex<Option<Chunk>>,
    object: &'a str,
}

impl Chunks for Piece<'_> {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.chunk.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    fn name(&self, _: u32) -> &str {
        self.object
    }
}
