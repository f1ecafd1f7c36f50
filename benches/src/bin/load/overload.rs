//! More than the server can serve. First its limit is found, with as many connections as it likes; then
//! requests come at a multiple of that, whatever it answers. With `--flood` they come from one
//! application, while another asks at a modest rate before and meanwhile.

use crate::client::{Load, Outcome, Population, Requests};
use crate::fixture::{Serving, TOKEN, Writ};
use crate::machine::{self, Moment};
use crate::report::{megabytes, table};
use crate::{World, algorithm, progress};
use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// Connections by which the limit is found.
const LIMIT_CONNECTIONS: usize = 64;

#[derive(Args, Debug)]
pub struct Overload {
    #[command(flatten)]
    world: World,
    /// How many times what it can serve
    #[arg(long, value_name = "TIMES", default_value_t = 2.0)]
    times: f64,
    /// How long each phase is
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// The most requests that are under way at a time: one for each connection
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000)]
    connections: usize,
    /// One application floods; another asks as before
    #[arg(long)]
    flood: bool,
    /// How often the other application asks, with --flood
    #[arg(long, value_name = "PER SECOND", default_value_t = 200.0)]
    others: f64,
    /// The algorithm of the tokens
    #[arg(long, value_name = "ALGORITHM", default_value = "ES256")]
    algorithm: String,
}

/// What some seconds of a population came to.
#[derive(Debug, Serialize)]
struct Phase {
    name: String,
    /// Requests due a second; nothing where each waits for the answer before it.
    asked: Option<f64>,
    /// Tokens a second.
    served: f64,
    /// 503 a second.
    shed: f64,
    /// The share of those that say when to come again.
    shed_with_retry_after: f64,
    /// Requests a second that were due, and for which no connection was free.
    unsent: f64,
    /// All other answers, and connections that broke.
    wrong: u64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// Processor time of the server for each token of all populations, in microseconds.
    server_us: f64,
    /// The most memory the server ever had until then, in bytes.
    memory: u64,
    first_trouble: Option<String>,
}

impl Overload {
    /// Runs it.
    ///
    /// # Errors
    /// The server does not start, or is gone.
    pub fn run(&self) -> Result<()> {
        let algorithm = algorithm(&self.algorithm)?;
        ensure!(
            self.times > 0.0 && self.seconds > 0.0 && self.others > 0.0,
            "numbers above zero"
        );
        ensure!(self.connections > 0, "a connection at least");
        let (program, template) = (self.world.program()?, self.world.template()?);
        let workers = self.world.workers();
        let serving = Serving {
            tls: false,
            workers,
        };
        let writ = Writ::start(&program, &template, serving)?;
        let time = Duration::from_secs_f64(self.seconds);
        // Two applications: the second is judged by a policy.
        let requests = |policies| Requests::Same(writ.token_request(algorithm, policies));
        let crowd = |policies, connections| {
            Population::closed(writ.target(), requests(policies), connections).expecting(TOKEN)
        };

        progress("how much can it serve? …");
        let mut phases = measure(&writ, time, vec![("limit", crowd(0, LIMIT_CONNECTIONS))])?;
        let rate = phases[0].served * self.times;
        if self.flood {
            let modest = || crowd(1, 128).at_rate(self.others);
            progress("the other application alone …");
            phases.extend(measure(&writ, time, vec![("other, before", modest())])?);
            progress(&format!(
                "one application floods with {rate:.0} requests a second …"
            ));
            let flood = crowd(0, self.connections).at_rate(rate);
            phases.extend(measure(
                &writ,
                time,
                vec![("flood", flood), ("other, meanwhile", modest())],
            )?);
        } else {
            progress(&format!("{rate:.0} requests a second …"));
            let many = crowd(0, self.connections).at_rate(rate);
            phases.extend(measure(&writ, time, vec![("overload", many)])?);
        }
        progress("and afterwards? …");
        phases.extend(measure(
            &writ,
            time,
            vec![("after", crowd(0, LIMIT_CONNECTIONS))],
        )?);
        self.world.publish(&phases, &text(&phases))
    }
}

fn measure(
    writ: &Writ,
    time: Duration,
    populations: Vec<(&str, Population)>,
) -> Result<Vec<Phase>> {
    let (names, populations): (Vec<&str>, Vec<Population>) = populations.into_iter().unzip();
    let rates: Vec<Option<f64>> = populations.iter().map(Population::rate).collect();
    let mut load = Load::connect(populations)?;
    load.run(time / 10)?;
    load.reset();
    let before = Moment::now(writ.id())?;
    load.run(time)?;
    let used = Moment::now(writ.id())?.since(&before);
    let (outcomes, seconds) = (load.outcomes(), used.elapsed.as_secs_f64());
    let tokens: u64 = outcomes.iter().map(Outcome::good).sum();
    let server_us = used.server.as_secs_f64() * 1e6 / tokens.max(1) as f64;
    let memory = machine::memory(writ.id())?.most;
    let phases = names.into_iter().zip(rates).zip(outcomes);
    Ok(phases
        .map(|((name, asked), outcome)| {
            let per_second = |count: u64| count as f64 / seconds;
            let ms = |share| outcome.latency.quantile(share).as_secs_f64() * 1e3;
            let wrong = outcome.wrong + outcome.broken;
            let answered = per_second(outcome.good() + outcome.shed + wrong);
            Phase {
                name: name.to_owned(),
                asked,
                served: per_second(outcome.good()),
                shed: per_second(outcome.shed),
                shed_with_retry_after: share(outcome.shed_with_retry_after, outcome.shed),
                unsent: asked.map_or(0.0, |asked| (asked - answered).max(0.0)),
                wrong,
                p50_ms: ms(0.5),
                p99_ms: ms(0.99),
                p999_ms: ms(0.999),
                server_us,
                memory,
                first_trouble: outcome.first_trouble,
            }
        })
        .collect())
}

/// A part of a whole, 0 to 1; of nothing it is all.
fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 1.0,
        whole => part as f64 / whole as f64,
    }
}

fn text(phases: &[Phase]) -> String {
    let head = [
        "phase",
        "asked/s",
        "served/s",
        "shed/s",
        "Retry-After %",
        "unsent/s",
        "wrong",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "server µs",
        "MB at most",
    ];
    let row = |phase: &Phase| {
        vec![
            phase.name.clone(),
            phase
                .asked
                .map_or_else(|| "-".to_owned(), |asked| format!("{asked:.0}")),
            format!("{:.0}", phase.served),
            format!("{:.0}", phase.shed),
            format!("{:.0}", phase.shed_with_retry_after * 100.0),
            format!("{:.0}", phase.unsent),
            phase.wrong.to_string(),
            format!("{:.2}", phase.p50_ms),
            format!("{:.2}", phase.p99_ms),
            format!("{:.2}", phase.p999_ms),
            format!("{:.1}", phase.server_us),
            format!("{:.1}", megabytes(phase.memory)),
        ]
    };
    let rows: Vec<Vec<String>> = phases.iter().map(row).collect();
    let mut out = table(&head, &rows);
    out.push_str(
        "\nLatencies are of tokens, and count from when a request was due. Unsent: every connection waited \
         for an answer.\n",
    );
    for phase in phases {
        if let Some(trouble) = &phase.first_trouble {
            out.push_str(&format!(
                "{}: the first that was not good: {trouble}\n",
                phase.name
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_all() {
        assert_eq!((share(0, 0), share(1, 4)), (1.0, 0.25));
    }
}
