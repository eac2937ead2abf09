//! Loading a compiled model at run time, from a shared library.
//!
//! A compiled object becomes a shared library with any linker: `cc -shared model.o -o model.so`.
//!
//! # Trust
//!
//! Loading a library runs its code in this process, as starting a program runs it in a new one.
//! No check can make that safe for a library of unknown origin: the functions here are not
//! `unsafe` because they have no contract that a caller could check, not because any file will
//! do. Load what you compiled.

#![allow(unsafe_code, reason = "dlopen, dlsym and the symbols that they give")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{self, Path, PathBuf};
use std::ptr::NonNull;
use std::{env, error, fmt, mem, process};

use crate::abi::{self, RunFn};
use crate::error::Error;
use crate::model::Model;

/// A model that borrows the library it came from.
pub type LoadedModel<'lib> = Model<'lib>;

/// A loaded shared library; it is unloaded when dropped.
#[derive(Debug)]
pub struct Library {
    handle: NonNull<c_void>,
    /// What the library was loaded from, if nobody else keeps it. The dynamic linker takes two
    /// files of one name for the same library, so the name stays taken as long as the library is
    /// loaded. Dropped after the library is unloaded.
    _backing: Backing,
}

// SAFETY: a handle is an opaque number for functions that may be called from any thread.
unsafe impl Send for Library {}
// SAFETY: as above; a shared `Library` only looks symbols up.
unsafe impl Sync for Library {}

impl Library {
    /// Loads a shared library. The path is a path, also without a slash; system folders are not
    /// searched.
    pub fn open(path: impl AsRef<Path>) -> Result<Library, LoadError> {
        Library::load(&path::absolute(path)?, Backing::None)
    }

    /// Loads a shared library from memory, on Linux without touching the file system unless it
    /// must.
    pub fn from_bytes(bytes: &[u8]) -> Result<Library, LoadError> {
        #[cfg(target_os = "linux")]
        if let Ok(library) = Library::from_memory(bytes) {
            return Ok(library);
        }
        Library::from_temporary(bytes)
    }

    /// The model with this name in its symbols, if this machine can run it.
    pub fn model(&self, name: &str) -> Result<LoadedModel<'_>, LoadError> {
        let info = self.symbol(abi::info_symbol(name))?;
        let run = self.symbol(abi::run_symbol(name))?;
        // SAFETY: a symbol with this name is an entry point; see the module's note on trust.
        let run = unsafe { mem::transmute::<NonNull<c_void>, RunFn>(run) };
        // SAFETY: by the same note, both are of one compiled model; they stay as long as the
        // library, which the result borrows.
        Ok(unsafe { Model::from_raw(info.as_ptr().cast(), run) }?)
    }

    fn load(path: &Path, backing: Backing) -> Result<Library, LoadError> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| LoadError::Name)?;
        // SAFETY: the path is a C string; the library's initialisers run as the module's note on
        // trust says.
        let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        let handle = NonNull::new(handle).ok_or_else(|| LoadError::Library(last_message()))?;
        Ok(Library { handle, _backing: backing })
    }

    #[cfg(target_os = "linux")]
    fn from_memory(bytes: &[u8]) -> Result<Library, LoadError> {
        use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

        const MFD_CLOEXEC: u32 = 1;

        unsafe extern "C" {
            fn memfd_create(name: *const c_char, flags: u32) -> c_int;
        }

        // SAFETY: the name is a C string.
        let fd = unsafe { memfd_create(c"edgecc-model".as_ptr(), MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: the descriptor was just made, and is nobody else's.
        let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.write_all(bytes)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Library::load(&path, Backing::Memory(file))
    }

    fn from_temporary(bytes: &[u8]) -> Result<Library, LoadError> {
        let (mut file, temporary) = create_temporary(&env::temp_dir())?;
        file.write_all(bytes)?;
        drop(file);
        let path = temporary.0.clone();
        Library::load(&path, Backing::Temporary(temporary))
    }

    fn symbol(&self, name: String) -> Result<NonNull<c_void>, LoadError> {
        let c_name = CString::new(name.as_str()).map_err(|_| LoadError::Name)?;
        // SAFETY: the handle is open and the name is a C string.
        let address = unsafe { dlsym(self.handle.as_ptr(), c_name.as_ptr()) };
        NonNull::new(address).ok_or(LoadError::Symbol(name))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and all that borrowed the library is gone. Failing means
        // that it stays loaded, which harms nothing.
        unsafe { dlclose(self.handle.as_ptr()) };
    }
}

/// Why a model could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The bytes could not be put where the dynamic linker finds them.
    Io(io::Error),
    /// The dynamic linker refused the library, in its own words.
    Library(String),
    /// The library has no such symbol.
    Symbol(String),
    /// A path or a name contains a zero byte.
    Name,
    /// The library has a model, but it cannot be used.
    Model(Error),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Io(why) => write!(f, "cannot place the library: {why}"),
            LoadError::Library(why) => write!(f, "cannot load the library: {why}"),
            LoadError::Symbol(name) => write!(f, "the library has no symbol {name}"),
            LoadError::Name => f.write_str("a name contains a zero byte"),
            LoadError::Model(why) => why.fmt(f),
        }
    }
}

impl error::Error for LoadError {}

impl From<io::Error> for LoadError {
    fn from(why: io::Error) -> Self {
        LoadError::Io(why)
    }
}

impl From<Error> for LoadError {
    fn from(why: Error) -> Self {
        LoadError::Model(why)
    }
}

/// What a library's bytes lie in.
#[derive(Debug)]
#[expect(dead_code, reason = "held for what dropping it does")]
enum Backing {
    /// A file of the caller.
    None,
    /// A file without a name.
    #[cfg(target_os = "linux")]
    Memory(File),
    /// A file of ours.
    Temporary(Temporary),
}

/// A file that is removed when dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is a leftover in a folder for leftovers; there is nobody to tell.
        let _ = fs::remove_file(&self.0);
    }
}

/// A new file in a folder that only this user can touch. `create_new` refuses what is already there, so
/// nobody can slip a file or a link under the name.
fn create_temporary(folder: &Path) -> io::Result<(File, Temporary)> {
    let mut attempt = 0_u32;
    loop {
        let path = folder.join(format!("edgecc-{}-{attempt}.so", process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path) {
            Ok(file) => return Ok((file, Temporary(path))),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists && attempt < u32::MAX => {
                attempt += 1;
            }
            Err(why) => return Err(why),
        }
    }
}

/// Resolve all symbols at once, and keep them out of everyone else's sight (the default).
const RTLD_NOW: c_int = 2;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(handle: *mut c_void) -> c_int;
    fn dlerror() -> *const c_char;
}

/// What the dynamic linker says about its last failure on this thread.
fn last_message() -> String {
    // SAFETY: takes nothing; the result is null or a C string that lives until the next call on
    // this thread.
    let text = unsafe { dlerror() };
    if text.is_null() {
        return "unknown error".to_owned();
    }
    // SAFETY: not null, so a C string; see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Library, LoadError, create_temporary};
    use std::{env, fs, process};

    #[test]
    fn what_is_no_library_is_refused() {
        let refused = Library::open("no/such/file.so").err();
        assert!(matches!(refused, Some(LoadError::Library(why)) if why.contains("file.so")));
        assert!(matches!(Library::from_bytes(b"not ELF").err(), Some(LoadError::Library(_))));
        assert!(matches!(Library::open("a\0b").err(), Some(LoadError::Name | LoadError::Io(_))));
    }

    #[test]
    fn temporary_files_are_distinct_and_go_away() {
        // A folder of its own: a name that is free again may be taken by another test at once.
        let folder = env::temp_dir().join(format!("edgecc-names-{}", process::id()));
        fs::create_dir_all(&folder).expect("the folder is writable");
        let (first, second) = (create_temporary(&folder), create_temporary(&folder));
        let paths = [first, second].map(|made| made.expect("the folder is writable").1);
        let names = paths.each_ref().map(|temporary| temporary.0.clone());
        assert_ne!(names[0], names[1]);
        drop(paths);
        assert!(names.iter().all(|name| !name.exists()));
        fs::remove_dir(&folder).expect("nothing is left in it");
    }
}
