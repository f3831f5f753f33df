//! What has to be looked at before the libraries and Rust's runtime start. libtorch's MKL ends the
//! program where there is no current folder, and libtorch itself where there is too little memory;
//! the runtime opens /dev/null in the place of a closed descriptor, so that results would vanish
//! without a word.

#[cfg(target_os = "linux")]
pub use linux::{folder_is_gone, output_is_closed};
#[cfg(not(target_os = "linux"))]
pub use others::{folder_is_gone, output_is_closed};

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::memory;

    /// Bytes that a limit has to leave beside the program's code and its libraries', which libtorch
    /// aborts it without. In trials with 2 threads, `mnist predict` took 64 MB and `mnist
    /// train`, on a small data set, 84 MB; the rest is for more threads. More than that is
    /// asked for in a way that an error may come of.
    const MIN_MEMORY: u64 = if cfg!(feature = "torch") { 128 << 20 } else { 32 << 20 };
    /// Bytes of /proc/self/statm: seven numbers.
    const MAX_STATM: usize = 256;

    static OUTPUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);
    static FOLDER_IS_GONE: AtomicBool = AtomicBool::new(false);

    pub fn output_is_closed() -> bool {
        OUTPUT_IS_CLOSED.load(Ordering::Relaxed)
    }

    pub fn folder_is_gone() -> bool {
        FOLDER_IS_GONE.load(Ordering::Relaxed)
    }

    // SAFETY: functions in this section are called once, before those of the libraries, with C's
    // calling convention.
    #[unsafe(link_section = ".preinit_array")]
    #[used]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        let mut folder = [0u8; libc::PATH_MAX as usize];
        // SAFETY: the first call changes what a signal does; the second asks for the flags of a
        // descriptor and changes nothing; the third writes at most as many bytes as there
        // are; the last is given a string that ends with 0.
        unsafe {
            // A file that grows beyond a limit (ulimit -f) is an error then, and the program goes
            // on.
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            OUTPUT_IS_CLOSED
                .store(libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) == -1, Ordering::Relaxed);
            if libc::getcwd(folder.as_mut_ptr().cast(), folder.len()).is_null()
                && *libc::__errno_location() == libc::ENOENT
            {
                FOLDER_IS_GONE.store(true, Ordering::Relaxed);
                libc::chdir(c"/".as_ptr()); // `main` goes no further than to say why
            }
        }
        check_memory();
    }

    /// Ends the program where a limit leaves it too little memory: libtorch would abort it while it
    /// starts, or in a thread of its own.
    fn check_memory() {
        let [size, data] = memory_in_use();
        let limits = [("-v", limit(libc::RLIMIT_AS), size), ("-d", limit(libc::RLIMIT_DATA), data)];
        for (option, limit, in_use) in limits {
            let needed = MIN_MEMORY + in_use;
            if limit < needed {
                memory::end(format_args!(
                    "not enough memory: the limit is {} kB; raise it to {} (ulimit {option} {1}), and more for \
                     large images, networks or data sets",
                    limit / 1024,
                    needed.div_ceil(1024)
                ));
            }
        }
    }

    fn limit(resource: libc::__rlimit_resource_t) -> u64 {
        let mut limit =
            libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: it writes to what it is given.
        unsafe { libc::getrlimit(resource, &raw mut limit) };
        limit.rlim_cur
    }

    /// The bytes of address space, and of data in it, that the program has now; 0 where the system
    /// does not tell.
    fn memory_in_use() -> [u64; 2] {
        let mut text = [0u8; MAX_STATM];
        // SAFETY: it is given a string that ends with 0, and as many bytes as there are to write
        // to.
        let page = unsafe {
            let file = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            if file >= 0 {
                libc::read(file, text.as_mut_ptr().cast(), text.len());
                libc::close(file);
            }
            libc::sysconf(libc::_SC_PAGESIZE)
        };
        // Its first and sixth numbers, in pages.
        let mut pages = text.split(|byte| *byte == b' ').map(|number| {
            std::str::from_utf8(number).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        });
        [0, 4].map(|skip| pages.nth(skip).unwrap_or(0) * u64::try_from(page).unwrap_or(0))
    }
}

#[cfg(not(target_os = "linux"))]
mod others {
    pub fn output_is_closed() -> bool {
        false
    }

    pub fn folder_is_gone() -> bool {
        false
    }
}
