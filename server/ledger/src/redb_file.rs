//! What every redb file of Writ has in common: it is made aside and named when it is whole, and its
//! header says of which format and of which log it is.
//!
//! ```text
//! header  "format" | "log_id" | …  -> text
//! ```

use crate::disk;
use crate::engine::FORMAT;
use crate::{Fault, LogId};
use redb::{Builder, Database, ReadableDatabase, TableDefinition, WriteTransaction};
use std::path::{Path, PathBuf};

const HEADER: TableDefinition<'_, &str, &str> = TableDefinition::new("header");

/// Makes a file beside its name, with what `write` begins it with, durably. The caller renames it.
pub(crate) fn create_aside(
    builder: &Builder,
    path: &Path,
    write: impl FnOnce(&Database) -> Result<(), redb::Error>,
) -> Result<(Database, PathBuf), Fault> {
    let aside = disk::unfinished(path);
    disk::create_file(&aside)?;
    let db = builder.create(&aside).map_err(fault(&aside))?;
    write(&db).map_err(fault(&aside))?;
    Ok((db, aside))
}

/// Writes the header and makes the tables, in one commit.
pub(crate) fn write_header(
    db: &Database,
    format: u32,
    log_id: LogId,
    more: &[(&str, &str)],
    tables: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    {
        let mut header = transaction.open_table(HEADER)?;
        header.insert("format", format.to_string().as_str())?;
        header.insert("log_id", log_id.to_string().as_str())?;
        for (name, text) in more {
            header.insert(*name, *text)?;
        }
    }
    tables(&transaction)?;
    transaction.commit()?;
    Ok(())
}

/// Changes what the header says under a name, in a commit of the caller.
pub(crate) fn set_header(
    transaction: &WriteTransaction,
    name: &str,
    text: &str,
) -> Result<(), redb::Error> {
    transaction.open_table(HEADER)?.insert(name, text)?;
    Ok(())
}

/// What the header says under a name; empty where it says nothing.
pub(crate) fn header(db: &impl ReadableDatabase, path: &Path, name: &str) -> Result<String, Fault> {
    let read = || -> Result<String, redb::Error> {
        let header = db.begin_read()?.open_table(HEADER)?;
        let text = header.get(name)?;
        Ok(text.map(|text| text.value().to_owned()).unwrap_or_default())
    };
    read().map_err(fault(path))
}

/// The log that a file is of, if it has the format that is known.
pub(crate) fn log_id(db: &impl ReadableDatabase, path: &Path, known: u32) -> Result<LogId, Fault> {
    let found = header(db, path, "format")?;
    if found != known.to_string() {
        let path = path.to_owned();
        return Err(Fault::UnknownFormat { path, found, known });
    }
    LogId::parse(&header(db, path, "log_id")?)
        .ok_or_else(|| Fault::damaged(path, "the header names no log"))
}

/// Checks that a file has the format that is known, and is of this log.
pub(crate) fn check_header(
    db: &impl ReadableDatabase,
    path: &Path,
    known: u32,
    expected: LogId,
) -> Result<(), Fault> {
    let found = log_id(db, path, known)?;
    if found == expected {
        return Ok(());
    }
    Err(Fault::ForeignLog {
        path: path.to_owned(),
        found,
        expected,
    })
}

/// An error of redb as a fault that names the file.
pub(crate) fn fault<E: Into<redb::Error>>(path: &Path) -> impl FnOnce(E) -> Fault {
    let path = path.to_owned();
    move |error| match error.into() {
        redb::Error::Corrupted(detail) => Fault::Damaged { path, detail },
        redb::Error::DatabaseAlreadyOpen => Fault::InUse { path },
        redb::Error::UpgradeRequired(found) => Fault::UnknownFormat {
            path,
            found: format!("redb {found}"),
            known: FORMAT,
        },
        redb::Error::TableDoesNotExist(table) => Fault::Damaged {
            path,
            detail: format!("there is no table {table}"),
        },
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            Fault::Damaged {
                path,
                detail: source.to_string(),
            }
        }
        redb::Error::Io(source) => Fault::io("use", &path)(source),
        other => Fault::io("use", &path)(std::io::Error::other(other)),
    }
}
