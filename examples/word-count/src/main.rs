use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};

#[derive(serde::Serialize, serde::Deserialize)]
struct WordCount;

impl Job for WordCount {
    const NAME: &'static str = "words";
    type Input = Lines;
    type Key = String;
    type Value = u64;
    type Output = (String, u64);

    fn map(&self, line: &str, out: &mut Emitter<'_, String, u64>) -> UserResult {
        line.split_whitespace().try_for_each(|word| out.emit(word, 1))
    }
    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }
    fn reduce(&self, word: String, counts: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().job::<WordCount>(), async || {
        println!("{}", Driver::local().await?.run(&WordCount, ["README.md"], "counts").await?);
        Ok(())
    })
}
