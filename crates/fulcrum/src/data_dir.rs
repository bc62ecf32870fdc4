//! The data directory: everything that is kept is in it, only its owner may look inside, and one process uses it at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// The data directory, held until dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    /// Locked as long as it is open, here or in a process that it was handed to.
    lock: File,
}

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadDataDir {
    /// It cannot be made, entered or locked.
    #[error("the data directory {path} cannot be used; it must be a directory that this user may write")]
    Unusable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The process before this one worked in another.
    #[error(
        "the configuration now names the data directory {path}, the running process has another one; restart to move"
    )]
    Another { path: PathBuf },
    /// Another process works in it.
    #[error("another process uses the data directory {path}; stop it, or give this one its own with --data")]
    InUse { path: PathBuf },
}

impl DataDir {
    /// Makes the directory if it is missing (mode 0700; one that others may enter is narrowed), and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, BadDataDir> {
        let unusable = |source| BadDataDir::Unusable { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let mode = fs::metadata(path).map_err(unusable)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(unusable)?;
        }
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { lock }),
            Err(TryLockError::WouldBlock) => Err(BadDataDir::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Goes on with the lock of another process, which must be that of this directory.
    pub(crate) fn inherit(path: &Path, lock: OwnedFd) -> Result<Self, BadDataDir> {
        let unusable = |source| BadDataDir::Unusable { path: path.to_owned(), source };
        let lock = File::from(lock);
        let inherited = lock.metadata().map_err(unusable)?;
        match fs::metadata(path.join("lock")) {
            Ok(here) if (here.dev(), here.ino()) == (inherited.dev(), inherited.ino()) => Ok(Self { lock }),
            _ => Err(BadDataDir::Another { path: path.to_owned() }),
        }
    }

    /// Another descriptor of the lock, for a process that inherits.
    pub(crate) fn lend_lock(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }
}

/// Writes a file that only its owner may read, all or nothing: readers see the old content or the new, also after a crash.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // A leftover of a crash may have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_is_its_owners_and_an_old_one_becomes_so() {
        let place = tempfile::tempdir().unwrap();
        let (new, old) = (place.path().join("a/b"), place.path().join("old"));
        fs::create_dir(&old).unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [new, old] {
            DataDir::open(&path).unwrap();
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        }
    }

    #[test]
    fn one_process_at_a_time() {
        let place = tempfile::tempdir().unwrap();
        let first = DataDir::open(place.path()).unwrap();
        let second = DataDir::open(place.path()).unwrap_err();
        assert!(matches!(second, BadDataDir::InUse { .. }));
        assert!(second.to_string().contains(place.path().to_str().unwrap()));
        drop(first);
        assert!(DataDir::open(place.path()).is_ok());
    }

    #[test]
    fn a_lock_that_was_lent_holds_when_its_first_owner_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let (here, elsewhere) = (place.path().join("here"), place.path().join("elsewhere"));
        let first = DataDir::open(&here).unwrap();
        let other = DataDir::open(&elsewhere).unwrap();
        let heir = DataDir::inherit(&here, first.lend_lock().unwrap()).unwrap();
        let wrong = DataDir::inherit(&elsewhere, first.lend_lock().unwrap());
        assert!(matches!(wrong, Err(BadDataDir::Another { .. })));
        drop((first, other));
        assert!(matches!(DataDir::open(&here), Err(BadDataDir::InUse { .. })));
        drop(heir);
        assert!(DataDir::open(&here).is_ok());
    }

    #[test]
    fn a_file_in_the_way_is_told() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(matches!(DataDir::open(&path), Err(BadDataDir::Unusable { .. })));
    }

    #[test]
    fn private_files_are_replaced_whole_and_only_the_owner_reads_them() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret.json");
        fs::write(path.with_extension("new"), "left by a crash").unwrap();
        for content in ["one", "two"] {
            write_private(&path, content.as_bytes()).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (content, 0o600));
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
