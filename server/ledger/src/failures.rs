//! Authentication failures: how many there were of a kind in a minute, never one by one.
//!
//! `D/failures.redb` has two tables:
//!
//! ```text
//! rows    (when it was written u64, number u64) -> row (JSON)
//! header  "format" | "log_id"                   -> text
//! ```
//!
//! Nothing depends on it: it is written now and then, by whoever counts, and a crash loses what was
//! counted since. Strangers cause what is in it, so it is bounded by age and by rows
//! ([`limits::FAILURE_ROWS`]): the oldest go.

use crate::disk::{self, DataDir};
use crate::engine::without_panic;
use crate::redb_file::{self, fault};
use crate::{Fault, LogId, limits};
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use writ_core::{ApplicationId, Millis};

const FORMAT: u32 = 1;
const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");

/// How often one kind of failure happened in one window of time. One kind can have several rows in
/// a window: they add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRow {
    /// When the window begins.
    pub window: Millis,
    /// Why, as a code.
    pub reason: Box<str>,
    /// The application, if there is one of that id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// Where it came from, when the settings allow keeping it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Box<str>>,
    /// There were too many kinds to tell all apart: what is absent above is of several.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed: bool,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Millis,
    /// The last time.
    pub last: Millis,
}

/// A place in the log of failures, and the text of it a cursor: nothing is put in before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailurePlace {
    written: u64,
    number: u64,
}

impl FailurePlace {
    /// Before every row that has a failure of this moment or a later one.
    #[must_use]
    pub fn since(moment: Millis) -> Self {
        Self {
            written: moment.0,
            number: 0,
        }
    }
}

impl fmt::Display for FailurePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.written, self.number)
    }
}

impl FromStr for FailurePlace {
    type Err = crate::ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, crate::ParsePlaceError> {
        let (written, number) = text.split_once('.').ok_or(crate::ParsePlaceError)?;
        let number_of = |part: &str| part.parse().map_err(|_| crate::ParsePlaceError);
        let place = Self {
            written: number_of(written)?,
            number: number_of(number)?,
        };
        match place.to_string() == text {
            true => Ok(place),
            false => Err(crate::ParsePlaceError),
        }
    }
}

/// The log of authentication failures of this node.
pub struct FailureLog {
    path: PathBuf,
    db: Database,
    rows_max: u64,
}

impl fmt::Debug for FailureLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureLog")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl FailureLog {
    /// Opens the log of a data directory, or begins one.
    ///
    /// # Errors
    /// When it is damaged, of another format or of another server, or the disk fails.
    pub fn open(data: &DataDir, log_id: LogId) -> Result<Self, Fault> {
        let path = data.join("failures.redb");
        if !path.exists() {
            create(&path, log_id)?;
        }
        without_panic(&path, || {
            let db = builder().open(&path).map_err(fault(&path))?;
            redb_file::check_header(&db, &path, FORMAT, log_id)?;
            Ok(Self {
                path: path.clone(),
                db,
                rows_max: limits::FAILURE_ROWS,
            })
        })
    }

    /// Appends rows in one commit, and forgets those that were written before `keep_from` or are
    /// too many. Blocks on the disk.
    ///
    /// # Errors
    /// When they could not be written: then none is.
    pub fn append(&self, rows: &[FailureRow], now: Millis, keep_from: Millis) -> Result<(), Fault> {
        let path = &self.path;
        let encode = |row| serde_json::to_vec(row).map_err(|e| Fault::io("encode", path)(e.into()));
        let encoded: Vec<Vec<u8>> = rows.iter().map(encode).collect::<Result<_, _>>()?;
        let write = || -> Result<(), redb::Error> {
            let transaction = self.db.begin_write()?;
            let changed = {
                let mut table = transaction.open_table(ROWS)?;
                // Places only grow, also when the clock was set back.
                let last = table.last()?.map(|(key, _)| key.value());
                let written = last.map_or(now.0, |(written, _)| written.max(now.0));
                let next = last.map_or(0, |(_, number)| number + 1);
                for (number, row) in (next..).zip(&encoded) {
                    table.insert((written, number), row.as_slice())?;
                }
                let mut changed = !encoded.is_empty();
                for _ in 0..limits::FAILURES_FORGOTTEN {
                    let first = table.first()?.map(|(key, _)| key.value());
                    let Some(first) = first else { break };
                    if table.len()? <= self.rows_max && first.0 >= keep_from.0 {
                        break;
                    }
                    table.remove(first)?;
                    changed = true;
                }
                changed
            };
            // An empty commit would cost a sync.
            match changed {
                true => transaction.commit()?,
                false => transaction.abort()?,
            }
            Ok(())
        };
        write().map_err(fault(path))
    }

    /// Shows the stored rows from a place on, in the order in which they were written, until the
    /// visitor breaks off: that row counts as not shown, and its place is the answer. `None` when
    /// there was no more. Blocks on the disk.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn walk(
        &self,
        from: FailurePlace,
        visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Option<FailurePlace>, Fault> {
        let mut read = || -> Result<Option<FailurePlace>, redb::Error> {
            let table = self.db.begin_read()?.open_table(ROWS)?;
            for row in table.range((from.written, from.number)..)? {
                let (key, value) = row?;
                if visit(value.value()).is_break() {
                    let (written, number) = key.value();
                    return Ok(Some(FailurePlace { written, number }));
                }
            }
            Ok(None)
        };
        read().map_err(fault(&self.path))
    }
}

fn create(path: &Path, log_id: LogId) -> Result<(), Fault> {
    let (db, aside) = redb_file::create_aside(&builder(), path, |db| {
        redb_file::write_header(db, FORMAT, log_id, &[], |transaction| {
            transaction.open_table(ROWS)?;
            Ok(())
        })
    })?;
    drop(db);
    disk::rename(&aside, path)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::FAILURE_CACHE_BYTES);
    builder
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    const ID: LogId = LogId(42);

    fn row(window: u64, count: u64) -> FailureRow {
        FailureRow {
            window: Millis(window),
            reason: "wrong_secret".into(),
            application: Some(ApplicationId(7)),
            address: None,
            mixed: false,
            count,
            first: Millis(window + 1),
            last: Millis(window + 2),
        }
    }

    fn all(log: &FailureLog, from: FailurePlace, step: usize) -> Vec<u64> {
        let (mut shown, mut from) = (Vec::new(), Some(from));
        while let Some(place) = from {
            let mut left = step;
            let next = log.walk(place, &mut |bytes| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                let row: FailureRow = serde_json::from_slice(bytes).unwrap();
                shown.push(row.count);
                ControlFlow::Continue(())
            });
            from = next.unwrap().map(|next| next.to_string().parse().unwrap());
        }
        shown
    }

    /// The format is for as long as rows are kept.
    #[test]
    fn golden_rows_stay_as_they_are() {
        for text in [
            r#"{"window":"2026-03-03T09:00:00.000Z","reason":"wrong_secret","application":"00000000000000000000000007","address":"192.0.2.7","count":3,"first":"2026-03-03T09:00:01.000Z","last":"2026-03-03T09:00:59.999Z"}"#,
            r#"{"window":"2026-03-03T09:00:00.000Z","reason":"unknown_application","mixed":true,"count":1,"first":"2026-03-03T09:00:01.000Z","last":"2026-03-03T09:00:01.000Z"}"#,
        ] {
            let row: FailureRow = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&row).unwrap(), text);
        }
    }

    #[test]
    fn rows_are_kept_through_a_restart_and_forgotten_by_age_and_number() {
        let temporary = tempfile::tempdir().unwrap();
        let data = DataDir::create(&temporary.path().join("d")).unwrap();
        let log = FailureLog::open(&data, ID).unwrap();
        let begin = FailurePlace::default();
        assert!(all(&log, begin, 2).is_empty());
        for n in 0..5 {
            let rows = [row(n * 1_000, n * 2), row(n * 1_000, n * 2 + 1)];
            log.append(&rows, Millis(n * 1_000 + 500), Millis(0))
                .unwrap();
        }
        drop(log);
        let log = FailureLog::open(&data, ID).unwrap();
        assert_eq!(all(&log, begin, 3), (0..10).collect::<Vec<_>>());
        assert_eq!(
            all(&log, FailurePlace::since(Millis(3_500)), 1),
            [6, 7, 8, 9]
        );
        // Set back, the clock does not put a row before others.
        log.append(&[row(0, 10)], Millis(0), Millis(0)).unwrap();
        assert_eq!(all(&log, FailurePlace::since(Millis(4_500)), 9), [8, 9, 10]);
        log.append(&[], Millis(5_000), Millis(2_500)).unwrap();
        assert_eq!(all(&log, begin, 2), [4, 5, 6, 7, 8, 9, 10]);
        let log = FailureLog { rows_max: 3, ..log };
        log.append(&[row(9, 11)], Millis(6_000), Millis(0)).unwrap();
        assert_eq!(all(&log, begin, 2), [9, 10, 11]);
        drop(log);
        let foreign = FailureLog::open(&data, LogId(43)).unwrap_err();
        assert!(matches!(foreign, Fault::ForeignLog { .. }), "{foreign}");
        std::fs::write(data.join("failures.redb"), vec![7; 9_000]).unwrap();
        let damaged = FailureLog::open(&data, ID).unwrap_err();
        assert!(damaged.to_string().contains("failures.redb"), "{damaged}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_or_refused(text in "[0-9.+]{0,12}") {
            if let Ok(place) = text.parse::<FailurePlace>() {
                prop_assert_eq!(place.to_string(), text);
            }
        }
    }
}
