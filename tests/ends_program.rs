//! A program that stands still at a chosen request of its job until it is killed. `ends.rs` runs it: the arguments are an
//! operation of S3 or DynamoDB, a text in the request, `before` or `after`, and whether a result may be replaced.

use kinglet::{Code, Error, Local, Registry, Submit};
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};

async fn program() -> kinglet::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [operation, text, when, over] = &args[..] else { panic!("four arguments") };
    let driver = Local::new().with_concurrency(2).with_gates().start().await?;
    let gates = driver.runtime().and_then(|runtime| runtime.gates());
    let gates = gates.ok_or_else(|| Error::new(Code::ProgramFailed, "there are no gates"))?;
    let rule = match &operation[..] {
        "UpdateItem" | "TransactWriteItems" => Rule::dynamodb(operation),
        _ => Rule::s3(operation),
    };
    let strike = if when == "before" { Strike::HoldBefore } else { Strike::HoldAfter };
    gates.set_rules(vec![rule.containing(text).does(strike)]);
    let submit = Submit::new(["in.txt"], "out").with_split_bytes(10_000).with_partitions(3);
    let submit = if over == "over" { submit.with_overwrite() } else { submit };
    let job = async { driver.submit(&WordCount, submit).await?.wait().await };
    tokio::select! {
        held = gates.next_held() => {
            println!("held");
            std::future::pending::<()>().await;
            held.go_on();
        }
        ended = job => println!("the job ended: {ended:?}"),
    }
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::of(kinglet_jobs::registry()), program)
}
