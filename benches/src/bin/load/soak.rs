//! Full load for long. Then: was every answer a token, is memory flat, is every token that was answered in
//! the issuance log, and does the log verify?

use crate::client::{Load, Population, Requests};
use crate::fixture::{Serving, TOKEN, Writ};
use crate::machine;
use crate::report::megabytes;
use crate::{World, algorithm, progress};
use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::process::Command;
use std::time::{Duration, Instant};
use writ::audit::Evidence;
use writ::config::Config;
use writ_core::{Jti, Millis};
use writ_sandbox::SandboxConfig;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How much memory may grow from the end of the first fifth to the end, before that is called a growth.
const GROWTH_MAX: f64 = 1.1;
/// And this much at least, in bytes: buffers and caches that fill.
const GROWTH_BYTES: u64 = 8 << 20;
/// A shorter run is too short to tell: a server that has just begun grows.
const GROWTH_SECONDS: f64 = 60.0;

#[derive(Args, Debug)]
pub struct Soak {
    #[command(flatten)]
    world: World,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
    /// How many connections
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    connections: usize,
    /// The algorithm of the tokens
    #[arg(long, value_name = "ALGORITHM", default_value = "ES256")]
    algorithm: String,
    /// How many policies judge them: 0, 1 or 3
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    policies: usize,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Soaked {
    seconds: f64,
    /// Tokens that were answered.
    tokens: u64,
    /// Tokens a second.
    rate: f64,
    /// Everything else that was answered, and connections that broke.
    errors: u64,
    first_trouble: Option<String>,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    /// Processor time of the server for each, in microseconds.
    server_us: f64,
    /// Resident memory each second, in bytes.
    memory: Vec<u64>,
    /// How much more at the end than after the first fifth, in bytes.
    growth: i64,
    /// Tokens that are in the log.
    recorded: u64,
    /// Tokens that were answered and are not in the log.
    missing: u64,
    /// What `writ audit verify` says.
    verified: bool,
    verify_seconds: f64,
    /// Bytes of the issuance log.
    log_bytes: u64,
}

#[derive(Deserialize)]
struct Claims {
    jti: Jti,
}

#[derive(Deserialize)]
struct Answer<'a> {
    access_token: &'a str,
}

/// The `jti` of the token in an answer.
fn jti(body: &[u8]) -> Result<Jti> {
    let answer: Answer<'_> = serde_json::from_slice(body)?;
    let claims = answer.access_token.split('.').nth(1).context("a JWT")?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    Ok(claims.jti)
}

impl Soak {
    /// Runs it.
    ///
    /// # Errors
    /// Something is not as it should be; what, is in the results, which are printed before.
    pub fn run(&self) -> Result<()> {
        let algorithm = algorithm(&self.algorithm)?;
        ensure!(
            self.seconds > 0 && self.connections > 0,
            "numbers above zero"
        );
        let (program, template) = (self.world.program()?, self.world.template()?);
        let serving = Serving {
            tls: false,
            workers: self.world.workers(),
        };
        let mut writ = Writ::start(&program, &template, serving)?;
        let request = Requests::Same(writ.token_request(algorithm, self.policies));
        let crowd = Population::closed(writ.target(), request, self.connections);
        let mut crowd = crowd.expecting(TOKEN);
        crowd.keep = true;
        let (mut soaked, answered) = self.load(&writ, crowd)?;
        writ.stop();
        let stderr = writ.stderr();
        if let Some(line) = stderr.lines().find(|line| line.contains("ERROR")) {
            bail!("the server logged an error: {line}");
        }

        progress("auditing …");
        let began = Instant::now();
        let mut verify = Command::new(&program);
        verify
            .args(["audit", "verify", "--data-dir"])
            .arg(writ.data());
        let output = verify.output()?;
        soaked.verified = output.status.success();
        soaked.verify_seconds = began.elapsed().as_secs_f64();
        compare(&writ, answered, &mut soaked)?;
        self.world.publish(&soaked, &text(&soaked))?;
        soaked.judge(&String::from_utf8_lossy(&output.stderr))
    }

    fn load(&self, writ: &Writ, crowd: Population) -> Result<(Soaked, Vec<u128>)> {
        let (mut load, began) = (Load::connect(vec![crowd])?, Instant::now());
        let before = machine::cpu_time(writ.id())?;
        let (mut answered, mut memory) = (Vec::new(), Vec::new());
        let (mut latency, mut errors, mut trouble) =
            (crate::histogram::Histogram::default(), 0, None);
        for second in 1..=self.seconds {
            load.run(LOOK)?;
            let mut outcome = load.outcomes().remove(0);
            for body in outcome.bodies.drain(..) {
                answered.push(jti(&body)?.0);
            }
            errors += outcome.bad();
            trouble = trouble.or(outcome.first_trouble.take());
            latency.merge(&outcome.latency);
            memory.push(machine::memory(writ.id())?.now);
            if second % 10 == 0 {
                let (tokens, now) = (answered.len(), memory.last().copied().unwrap_or_default());
                let now = megabytes(now);
                progress(&format!(
                    "{second} s: {tokens} tokens, {errors} errors, {now:.1} MB"
                ));
            }
        }
        let used = machine::cpu_time(writ.id())?.saturating_sub(before);
        let (seconds, tokens) = (began.elapsed().as_secs_f64(), latency.len());
        let ms = |share| latency.quantile(share).as_secs_f64() * 1e3;
        let soaked = Soaked {
            seconds,
            tokens,
            rate: tokens as f64 / seconds,
            errors,
            first_trouble: trouble,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            server_us: used.as_secs_f64() * 1e6 / tokens.max(1) as f64,
            growth: growth(&memory),
            memory,
            recorded: 0,
            missing: 0,
            verified: false,
            verify_seconds: 0.0,
            log_bytes: 0,
        };
        Ok((soaked, answered))
    }
}

/// How much more at the end than after the first fifth.
fn growth(memory: &[u64]) -> i64 {
    let settled = memory.get(memory.len() / 5).copied().unwrap_or_default();
    let last = memory.last().copied().unwrap_or_default();
    last.cast_signed() - settled.cast_signed()
}

/// Looks for each answered token in the log.
fn compare(writ: &Writ, mut answered: Vec<u128>, soaked: &mut Soaked) -> Result<()> {
    let directory = writ.data().join("issuance");
    for entry in std::fs::read_dir(&directory)? {
        soaked.log_bytes += entry?.metadata()?.len();
    }
    let mut config = Config::default();
    config.data_dir = writ.data();
    let evidence = Evidence::open(&config, SandboxConfig::default())?;
    answered.sort_unstable();
    let before = answered.len();
    answered.dedup();
    ensure!(answered.len() == before, "two tokens have one jti");
    let mut found = vec![false; answered.len()];
    evidence.issuances().scan(Millis(0), &mut |id, _| {
        soaked.recorded += 1;
        if let Ok(place) = answered.binary_search(&{ id.0 }) {
            found[place] = true;
        }
        ControlFlow::Continue(())
    })?;
    soaked.missing = found.iter().filter(|found| !**found).count() as u64;
    Ok(())
}

impl Soaked {
    fn judge(&self, verify: &str) -> Result<()> {
        let settled = self.memory.get(self.memory.len() / 5).copied();
        let most = settled.unwrap_or_default() as f64 * (GROWTH_MAX - 1.0);
        let mut faults = Vec::new();
        if self.errors > 0 {
            faults.push(format!("{} errors", self.errors));
        }
        if self.missing > 0 {
            faults.push(format!("{} tokens are not in the log", self.missing));
        }
        if !self.verified {
            faults.push(format!("the log does not verify: {}", verify.trim()));
        }
        let grown = self.growth > GROWTH_BYTES.cast_signed() && self.growth as f64 > most;
        if grown && self.seconds > GROWTH_SECONDS {
            let grown = megabytes(self.growth.unsigned_abs());
            faults.push(format!("memory has grown by {grown:.1} MB"));
        }
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        Ok(())
    }
}

fn text(soaked: &Soaked) -> String {
    let most = soaked.memory.iter().max().copied().unwrap_or_default();
    let trouble = soaked.first_trouble.as_ref();
    format!(
        "{} tokens in {:.0} s ({:.0} a second, {:.1} µs of server time each), {} errors{}\n\
         p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms\n\
         memory: {:.1} MB at most, {:+.1} MB since the first fifth\n\
         issuance log: {} records in {:.1} MB, {} of the answered tokens missing\n\
         audit verify: {} in {:.1} s\n",
        soaked.tokens,
        soaked.seconds,
        soaked.rate,
        soaked.server_us,
        soaked.errors,
        trouble
            .map(|first| format!("; the first: {first}"))
            .unwrap_or_default(),
        soaked.p50_ms,
        soaked.p99_ms,
        soaked.p999_ms,
        megabytes(most),
        soaked.growth as f64 / 1e6,
        soaked.recorded,
        megabytes(soaked.log_bytes),
        soaked.missing,
        if soaked.verified { "passed" } else { "FAILED" },
        soaked.verify_seconds,
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_id_of_an_answered_token_is_read() {
        let claims = r#"{"jti":"0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000","iss":"x"}"#;
        let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
        let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#);
        let id = jti(body.as_bytes()).unwrap();
        assert_eq!(id, Jti(0x0199_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0000));
        assert!(jti(br#"{"access_token":"opaque"}"#).is_err());
    }

    #[test]
    fn memory_has_grown_if_it_is_more_than_after_the_first_fifth() {
        assert_eq!(growth(&[1, 50, 50, 50, 40]), -10);
        assert_eq!(growth(&[10, 50, 60, 70, 90]), 40);
        assert_eq!(growth(&[]), 0);
    }
}
