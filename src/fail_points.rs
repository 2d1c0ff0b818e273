//! Named places at which a test has the program fail: see `scripts/torture`, proof `panics`.
//!
//! Without the feature `failpoints`, and no release has it, nothing is left of them.

/// A place called `$name`, `module::what`.
#[cfg(feature = "failpoints")]
macro_rules! fail_point {
    ($name:expr) => {
        fail::fail_point!($name)
    };
}

#[cfg(not(feature = "failpoints"))]
macro_rules! fail_point {
    ($name:expr) => {};
}

pub(crate) use fail_point;
