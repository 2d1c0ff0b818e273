//! Every metric by its name. `docs/OPERATIONS.md` has a line for each, and a test holds the two
//! together.

mod logs;
mod server;
mod storage;

use super::Ops;
use super::families::Families;

/// All metrics in Prometheus' text form.
pub(super) fn text(ops: &Ops) -> String {
    let looks = ops.looks();
    let mut families = Families::default();
    server::add(&mut families, ops);
    storage::add(&mut families, &ops.logs);
    logs::add(&mut families, &looks);
    families.text()
}
