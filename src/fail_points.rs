//! Named places at which a test has the program fail: see `scripts/torture`, proof `panic`.
//!
//! Without the feature `failpoints`, and no release has it, nothing is left of them.

/// A place called `$name`, `module::what`. Where it stands in a function that returns a result, a
/// test may have it return `$error`.
#[cfg(feature = "failpoints")]
macro_rules! fail_point {
    ($name:expr) => {
        fail::fail_point!($name)
    };
    ($name:expr, $error:expr) => {
        fail::fail_point!($name, |_| Err($error.into()))
    };
}

#[cfg(not(feature = "failpoints"))]
macro_rules! fail_point {
    ($name:expr) => {};
    ($name:expr, $error:expr) => {};
}

pub(crate) use fail_point;
