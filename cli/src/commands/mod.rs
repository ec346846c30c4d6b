//! The commands, one file or folder each.

mod attach;
mod bench;
mod cancel;
mod clean;
mod completions;
mod doctor;
mod explain;
mod head;
mod init;
mod jobs;
mod logs;
mod look;
mod man;
mod plan;
pub(crate) mod report;
mod run;
mod status;
mod stored;
mod tune;

crate::command::commands! {
    Commands {
        run::Run,
        plan::Plan,
        look::Look,
        head::Head,
        bench::Bench,
        tune::Tune,
        stored::Stored,
        jobs::Jobs,
        status::Status,
        report::Report,
        attach::Attach,
        cancel::Cancel,
        logs::Logs,
        clean::Clean,
        doctor::Doctor,
        explain::Explain,
        init::Init,
        completions::Completions,
        man::Man,
    }
}
