//! Every call that a run makes to the disk fails once, in each way that calls fail.

use std::io;

use varve::log::{Op, SimDisk, Tear};

use crate::crash::{Witness, check_after, script};

/// Every kind of call to the disk.
pub const OPS: [Op; 14] = [
    Op::Create,
    Op::Open,
    Op::Write,
    Op::Read,
    Op::SetLen,
    Op::Allocate,
    Op::Sync,
    Op::Rename,
    Op::Link,
    Op::Clone,
    Op::Remove,
    Op::SyncDirectory,
    Op::Map,
    Op::SyncMap,
];

/// The kinds of which the run makes none; backups do.
const NOT_MADE: [Op; 2] = [Op::Link, Op::Clone];

/// No space, a broken medium, a signal, too many open files.
const ERRORS: [i32; 4] = [28, 5, 4, 24];

/// It ends in an error or goes on, and never in a panic or with a loss: not if the process ends
/// behind it, and not if the power goes.
#[test]
fn r4_to_r8_r11_r12_hold_whichever_call_fails() {
    let mut cases = 0;
    for op in OPS {
        for error in ERRORS {
            let before = cases;
            for call in 0.. {
                let disk = SimDisk::new();
                disk.fail_with(op, call, error);
                let mut witness = Witness::default();
                script(&disk, &mut witness);
                let happened = disk.clear_faults() == 0;
                if !happened {
                    break;
                }
                let error = io::Error::from_raw_os_error(error);
                let what = format!("{op:?} {call} failed with {error}");
                for tear in [Tear::KeepAll, Tear::LoseAll, Tear::Random(call)] {
                    check_after(&disk, &witness, tear, &format!("{what}, {tear:?}"));
                }
                cases += 1;
            }
            assert_eq!(cases == before, NOT_MADE.contains(&op), "{op:?}: {} cases", cases - before);
        }
    }
    let kinds = OPS.len() - NOT_MADE.len();
    println!("cases: {cases} failed calls of {kinds} kinds in {} ways", ERRORS.len());
}
