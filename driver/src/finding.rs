//! The format of an input that nobody has said: by the names of its objects, and of those whose names say nothing, by the first bytes of
//! some.

use crate::sampling::Inputs;
use crate::{Code, Driver, Error, Result, RowFormat, Submit};
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// How many objects are looked at whose names say nothing.
const LOOKED_AT_MAX: usize = 16;

/// How many of them at once.
const LOOKS_AT_ONCE: usize = 8;

/// How many of an object's first bytes are read.
const FIRST_BYTES: u64 = 16;

/// Objects of one format.
struct Kind {
    format: RowFormat,
    count: usize,
    /// One of them.
    such_as: String,
}

impl Driver {
    /// Says in which format the input of a submission is: by the endings of its objects' names, as [`RowFormat::said_by`] has them, and
    /// of up to 16 of those whose names say none, evenly spread over all, by their first bytes. What neither says is lines. It lists the
    /// input; empty objects are none.
    ///
    /// # Errors
    /// `input-kind` when objects are of different formats, which names one of each; `input-missing`, `input-twice`; `local-path` on AWS;
    /// [a service error](crate#errors).
    pub async fn find_format(&self, submit: &Submit) -> Result<RowFormat> {
        let found = self.find(&self.list_inputs(submit).await?).await;
        found.map_err(|error| match error.is(Code::AccessDenied) {
            // Functions may read what a driver may not.
            true => error.with_hint("let this program read the input, or say its format: --format"),
            false => error,
        })
    }

    async fn find(&self, inputs: &Inputs) -> Result<RowFormat> {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut add = |format: RowFormat, such_as: &str| match kinds.iter_mut().find(|kind| kind.format == format) {
            Some(kind) => kind.count += 1,
            None => kinds.push(Kind { format, count: 1, such_as: such_as.to_owned() }),
        };
        let mut unsaid = Vec::new();
        for object in inputs.all() {
            match RowFormat::said_by(&object.shown) {
                Some(format) => add(format, &object.shown),
                None => unsaid.push(object),
            }
        }
        let most = LOOKED_AT_MAX.min(unsaid.len());
        let some = (0..most).map(|n| unsaid[if most < 2 { 0 } else { n * (unsaid.len() - 1) / (most - 1) }]);
        let looks: Vec<_> = some
            .map(async |object| {
                let to = FIRST_BYTES.min(object.listed.size);
                let objects = &self.shared.conductor.objects;
                let (key, etag) = (&object.listed.key, Some(&object.listed.etag[..]));
                let mut reader = objects.read(&object.bucket, key, etag, 0, to, &object.shown);
                Ok::<_, Error>((RowFormat::begun_by(&reader.all().await?).unwrap_or_default(), object))
            })
            .collect();
        let seen: Vec<_> = stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await?;
        seen.into_iter().for_each(|(format, object)| add(format, &object.shown));
        match &kinds[..] {
            [] => Ok(RowFormat::default()),
            [kind] => Ok(kind.format.clone()),
            several => {
                let said = several.iter().map(|Kind { format, count, such_as }| {
                    let are = if *count == 1 { "is" } else { "are" };
                    format!("{count} {are} {}, such as {such_as}", format.name())
                });
                let message = format!("the inputs are of several formats: {}", said.collect::<Vec<_>>().join("; "));
                Err(Error::new(Code::InputKind, message).with_hint(
                    "name those of one format, as in 'sales/*.csv'; or say with --format as what all are to be read",
                ))
            }
        }
    }
}
