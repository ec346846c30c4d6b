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
use crate::side::Side;
use crate::wire::run::{Compression, RunReader};
use std::sync::{Arc, Mutex, PoisonError};

/// How much memory the pairs of a piece take before they are spilled (256 MiB).
const MEMORY_BYTES: usize = 256 << 20;

/// Maps pieces of a job's input, one after another.
pub struct Sampler<J> {
    job: J,
    side: Side,
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
    /// Makes a sampler of a job, as its functions get it: by its parameters. It maps records of one side of a join, of any other job those
    /// of the left.
    ///
    /// # Errors
    /// Returns the errors of the job's parameters and of its input format, and `threads` when no thread can be started.
    pub fn new(job: &J, side: Side) -> Result<Self> {
        let job = decode_params::<J>(&encode_params(job)?)?;
        let cuts = Cuts::of_side(Arc::new(super::map::input(&job)?), side);
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
        Ok(Sampler { job, side, cuts, pool, options })
    }

    /// Maps all records: one that is not valid is then an error.
    #[must_use]
    pub fn of_all(self) -> Self {
        Sampler { options: Arc::new(MapOptions { max_rejected: None, ..MapOptions::clone(&self.options) }), ..self }
    }

    /// Returns what finds where the job's input may be cut.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// Maps the records of a piece of an object, which errors call `object`. Those that are not valid are left out, unless it maps
    /// [all](Self::of_all).
    ///
    /// # Errors
    /// As a map task.
    pub fn map(&self, piece: Chunk, object: &str) -> Result<SampledPiece<J>> {
        let piece = Piece { chunk: Mutex::new(Some(piece)), object, side: self.side };
        let mapped = super::map::run(&self.job, &self.pool, &self.options, &piece)?;
        let mut pairs = Vec::new();
        // The first run has the records that were left out.
        let left_out = usize::from(self.options.max_rejected.is_some());
        for run in mapped.runs.into_iter().skip(left_out) {
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
    side: Side,
}

impl Chunks for Piece<'_> {
    fn next(&self) -> Result<Option<Chunk>> {
        Ok(self.chunk.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    fn side(&self) -> Side {
        self.side
    }

    fn name(&self, _: u32) -> &str {
        self.object
    }
}
