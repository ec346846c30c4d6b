//! Word count with a tokenizer of one's own: what a word is, is the program's to say.

use kinglet::{Code, Combiner, Driver, Emitter, Error, Job, Lines, Registry, Result, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};

/// The job. Its fields are its parameters: they travel with it.
#[derive(Serialize, Deserialize)]
struct Words {
    /// How many letters a word has at least.
    letters_min: usize,
}

impl Job for Words {
    const NAME: &'static str = "words";
    type Input = Lines;
    type Key = String;
    type Value = u64;
    type Output = (String, u64);

    fn map(&self, line: &str, out: &mut Emitter<'_, String, u64>) -> UserResult {
        let long = |word: &String| word.chars().filter(|c| c.is_alphabetic()).count() >= self.letters_min;
        words(line).filter(long).try_for_each(|word| out.emit(word.as_str(), 1))
    }
    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }
    fn reduce(&self, word: String, counts: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}

/// The words of a line, in lower case: letters of any script, with apostrophes and hyphens between them. Digits and other signs
/// only part them, and an apostrophe is written `'` however it stood there.
fn words(line: &str) -> impl Iterator<Item = String> {
    let inner = |c: char| matches!(c, '\'' | '’' | '-');
    line.split(move |c: char| !c.is_alphabetic() && !inner(c))
        .map(move |word| word.trim_matches(inner))
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().replace('’', "'"))
}

async fn program() -> Result<()> {
    let mut inputs: Vec<String> = std::env::args().skip(1).collect();
    let Some(output) = inputs.pop() else {
        return Err(
            Error::new(Code::ProgramFailed, "the inputs and the output are missing").with_hint("give it INPUT… OUTPUT")
        );
    };
    println!("{}", driver().await?.run(&Words { letters_min: 2 }, inputs, output).await?);
    Ok(())
}

/// The embedded runtime, or the stack on AWS that `STACK` names.
async fn driver() -> Result<Driver> {
    match std::env::var("STACK") {
        Ok(stack) => Driver::aws(stack).await,
        Err(_) => Driver::local().await,
    }
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<Words>(), program)
}
