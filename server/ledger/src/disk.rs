//! Files that survive a power cut, the data directory and its lock, and how much space is left.
//!
//! The discipline: the bytes of a file are synced before its name is, and the directory is synced
//! before anybody is told. Everything else in this crate that makes, renames or unlinks a file
//! does it through here.

use crate::Fault;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a lock that is held is asked for again. A process that was just started by the one
/// that held it has it too until it has become another program, some milliseconds at most.
const LOCK_TRIES: u32 = 20;
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The data directory of one server, locked for this process as long as the value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held, never read: closing it releases the lock.
    _lock: File,
}

impl DataDir {
    /// Opens a data directory that must exist and must have been made by [`DataDir::create`].
    ///
    /// # Errors
    /// [`Fault::NotADataDirectory`], [`Fault::NotPrivate`], [`Fault::InUse`] when another process
    /// has it.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        if !path.join("lock").is_file() {
            return Err(Fault::NotADataDirectory {
                path: path.to_owned(),
            });
        }
        Self::lock(path)
    }

    /// Makes a data directory (mode 0700) where none is, or opens the one that is there.
    ///
    /// # Errors
    /// [`Fault::Exists`] when the path holds things that are not Writ's; [`Fault::NotPrivate`],
    /// also when it is empty: its mode is somebody's choice; [`Fault::InUse`].
    pub fn create(path: &Path) -> Result<Self, Fault> {
        if path.join("lock").is_file() {
            return Self::lock(path);
        }
        create_dir(path)?;
        let mut entries = fs::read_dir(path).map_err(Fault::io("read", path))?;
        if entries
            .next()
            .is_some_and(|entry| entry.is_ok_and(|e| e.file_name() != "lost+found"))
        {
            return Err(Fault::Exists {
                path: path.to_owned(),
            });
        }
        check_private(path)?;
        let lock = path.join("lock");
        private_file()
            .create(true)
            .open(&lock)
            .map_err(Fault::io("create", &lock))?;
        sync_dir(path)?;
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, Fault> {
        check_private(path)?;
        let lock_path = path.join("lock");
        let lock = private_file()
            .open(&lock_path)
            .map_err(Fault::io("open", &lock_path))?;
        let mut tries = LOCK_TRIES;
        let locked = loop {
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) if tries > 0 => tries -= 1,
                locked => break locked,
            }
            std::thread::sleep(LOCK_POLL);
        };
        match locked {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Fault::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(Fault::io("lock", &lock_path)(source)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or directory in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a whole small file in it, so that after a power cut there is either the old one or the
    /// new one.
    ///
    /// # Errors
    /// When it cannot be written: then the old one is there.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        replace_file(&self.join(name), bytes)
    }
}

/// Not every file in a data directory has a mode of our making (sled, backups put back by hand): the
/// directory keeps others out of all of them.
fn check_private(path: &Path) -> Result<(), Fault> {
    let meta = fs::metadata(path).map_err(Fault::io("read", path))?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Fault::NotPrivate {
        path: path.to_owned(),
        mode,
    })
}

/// Bytes that an unprivileged process can still write to the file system of `path`.
///
/// # Errors
/// When the operating system cannot say.
pub fn free_space(path: &Path) -> Result<u64, Fault> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| Fault::io("ask for the free space of", path)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Options for files that nobody else may read (mode 0600), open for reading and writing.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes a file that nobody else may read, or empties the one that is there.
pub(crate) fn create_file(path: &Path) -> Result<File, Fault> {
    private_file()
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(Fault::io("create", path))
}

/// Copies the bytes of a file to another of our making, and syncs them.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Fault> {
    let mut source = File::open(from).map_err(Fault::io("open", from))?;
    let mut copy = create_file(to)?;
    std::io::copy(&mut source, &mut copy).map_err(Fault::io("copy", from))?;
    copy.sync_all().map_err(Fault::io("sync", to))
}

/// Makes a directory (mode 0700) and those above it, and makes that durable.
pub(crate) fn create_dir(path: &Path) -> Result<(), Fault> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent_of(path);
    if !parent.is_dir() {
        create_dir(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(source) if !path.is_dir() => return Err(Fault::io("create", path)(source)),
        _ => {}
    }
    sync_dir(parent)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Fault> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(Fault::io("sync", path))
}

/// The directory that holds a file; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A name beside `path` for a file that is not finished.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Writes a whole file so that after a power cut there is either the old one or the new one.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let temporary = unfinished(path);
    let mut file = create_file(&temporary)?;
    file.write_all(bytes)
        .map_err(Fault::io("write", &temporary))?;
    file.sync_all().map_err(Fault::io("sync", &temporary))?;
    drop(file);
    rename(&temporary, path)
}

/// Renames a finished file into place and makes that durable.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Fault> {
    fs::rename(from, to).map_err(Fault::io("rename", from))?;
    sync_dir(parent_of(to))
}

/// Unlinks a file, durably. No error when it is not there.
pub(crate) fn unlink(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Fault::io("unlink", path)(source)),
        Ok(()) => sync_dir(parent_of(path)),
    }
}

/// Overwrites an open file with zeros: its blocks no longer hold what was in it, on file systems
/// and disks that write in place. Others (copy-on-write, SSDs) may keep a copy that only raw
/// access to the device can read.
pub(crate) fn wipe(file: &mut File) -> std::io::Result<()> {
    let mut left = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let zeros = [0u8; 4096];
    while left > 0 {
        let n = left.min(zeros.len() as u64);
        file.write_all(&zeros[..n as usize])?;
        left -= n;
    }
    file.sync_all()
}

/// The names in a directory.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Fault> {
    fs::read_dir(path)
        .map_err(Fault::io("read", path))?
        .map(|entry| {
            let entry = entry.map_err(Fault::io("read", path))?;
            Ok(entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}

/// The whole of a file, or nothing when there is no such file.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Fault> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Fault::io("open", path)(source)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(Fault::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Fault::damaged(path, format!("more than {limit} bytes")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_data_directory_has_one_owner_and_is_private() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/b");
        assert!(matches!(
            DataDir::open(&path),
            Err(Fault::NotADataDirectory { .. })
        ));
        let first = DataDir::create(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            fs::metadata(path.join("lock"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
        let second = DataDir::open(&path).unwrap_err();
        assert!(matches!(second, Fault::InUse { .. }), "{second}");
        assert!(
            second.to_string().contains("stop the other one"),
            "{second}"
        );
        drop(first);
        DataDir::open(&path).unwrap();
        DataDir::create(&path).unwrap();
    }

    #[test]
    fn a_data_directory_that_others_can_enter_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("d");
        let set = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir(&path).unwrap();
        set(0o755);
        let refused = DataDir::create(&path).unwrap_err();
        let advice = format!(
            "(mode 0755) and holds secrets: `chmod 700 {}`",
            path.display()
        );
        assert!(refused.to_string().ends_with(&advice), "{refused}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "nothing was begun");
        set(0o700);
        drop(DataDir::create(&path).unwrap());
        for mode in [0o750, 0o701, 0o2770] {
            set(mode);
            for refused in [DataDir::open(&path), DataDir::create(&path)] {
                assert!(matches!(refused, Err(Fault::NotPrivate { mode: m, .. }) if m == mode));
            }
        }
        set(0o700);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_directory_with_other_things_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.tex"), "x").unwrap();
        assert!(matches!(
            DataDir::create(temporary.path()),
            Err(Fault::Exists { .. })
        ));
    }

    #[test]
    fn replacing_leaves_nothing_unfinished() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("file");
        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(read_file(&path, 3).unwrap().unwrap(), b"two");
        assert!(matches!(read_file(&path, 2), Err(Fault::Damaged { .. })));
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }

    #[test]
    fn wiping_leaves_zeros_only() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("file");
        fs::write(&path, vec![7u8; 10_001]).unwrap();
        wipe(&mut private_file().open(&path).unwrap()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![0u8; 10_001]);
    }

    #[test]
    fn free_space_is_a_number_of_bytes() {
        assert!(free_space(Path::new("/")).unwrap() > 0);
        assert!(free_space(Path::new("/no/such/place")).is_err());
    }
}
