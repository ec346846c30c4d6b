//! How far a job has come: a bar on a terminal, plain lines where stderr is not one.

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use kinglet::{Phase, Progress};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

pub(crate) struct Shown {
    bar: Option<ProgressBar>,
    started: Instant,
    last: Option<(Phase, Instant)>,
}

/// How often a plain line is written within a phase.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Shown {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(1);
            // In a narrow terminal the bar goes first, then the end of the text.
            let style = ProgressStyle::with_template("{elapsed_precise} {percent:>3}% {msg} [{wide_bar}]");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Shown { bar, started: Instant::now(), last: None }
    }

    pub(crate) fn tell(&mut self, progress: Progress) {
        let text = text(&progress, self.started.elapsed());
        match &self.bar {
            Some(bar) => {
                // Reading is most of the work; the parts are the rest.
                bar.set_length(progress.bytes.all + progress.bytes.all / 4 + 1);
                let reduced = progress.reduces.done * (progress.bytes.all / 4) / progress.reduces.all.max(1);
                bar.set_position(progress.bytes.done + reduced);
                bar.set_message(text);
            }
            None => {
                let due = self.last.is_none_or(|(phase, at)| phase != progress.phase || at.elapsed() > LINE_EVERY);
                if due {
                    eprintln!("{text}");
                    self.last = Some((progress.phase, Instant::now()));
                }
            }
        }
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn text(progress: &Progress, elapsed: Duration) -> String {
    let rate = progress.bytes.done as f64 / elapsed.as_secs_f64().max(1e-3);
    format!("{}: {} ({}/s)", progress.phase.as_str(), counts(progress), HumanBytes(rate as u64))
}

/// Tasks and bytes, done and all.
pub(crate) fn counts(progress: &Progress) -> String {
    let merges = match progress.merges.all {
        0 => String::new(),
        all => format!("merges {}/{all}, ", progress.merges.done),
    };
    format!(
        "maps {}/{}, {merges}reduces {}/{}, {} of {}",
        progress.maps.done,
        progress.maps.all,
        progress.reduces.done,
        progress.reduces.all,
        HumanBytes(progress.bytes.done),
        HumanBytes(progress.bytes.all),
    )
}

/// A number of bytes.
pub(crate) fn bytes(n: u64) -> String {
    HumanBytes(n).to_string()
}
