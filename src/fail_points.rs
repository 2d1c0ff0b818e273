//! Named places at which a test has the program fail: see `scripts/torture`, proofs `panics` and
//! `errors`.
//!
//! Without the feature `failpoints`, and no release has it, nothing is left of them.

/// A place called `$name`, `module::what`, at which a test may end the process; with `fails`, one
/// whose function returns the I/O error that the test says.
#[cfg(feature = "failpoints")]
macro_rules! fail_point {
    ($name:expr) => {
        fail::fail_point!($name)
    };
    ($name:expr, fails) => {
        fail::fail_point!($name, |errno: Option<String>| Err(crate::fail_points::error(
            $name, &errno
        )))
    };
}

#[cfg(not(feature = "failpoints"))]
macro_rules! fail_point {
    ($name:expr) => {};
    ($name:expr, fails) => {};
}

pub(crate) use fail_point;

/// The error of the number that follows `return` in the action of the place `name`; tells of it, as
/// a panic does.
#[cfg(feature = "failpoints")]
pub(crate) fn error(name: &str, errno: &Option<String>) -> std::io::Error {
    let number = errno.as_ref().and_then(|text| text.parse().ok()).expect("return(ERRNO)");
    let error = std::io::Error::from_raw_os_error(number);
    eprintln!("failpoint {name} error {error}");
    error
}
