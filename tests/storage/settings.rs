//! Settings of single logs: changed while they are used, in force at once, and whole after a crash.

use std::num::NonZeroU32;
use std::time::Duration;

use varve::log::{
    Append, AppendError, Durability, LogName, LogOverrides, LogSettings, Op, Options, Producer,
    ProducerId, SettingError, SimDisk, SimTime, Tear, UpdateError,
};

use crate::rig::{Batch, Rig, by_hand, small_segments};

const ONE: NonZeroU32 = NonZeroU32::MIN;

#[test]
fn a_change_is_in_force_for_the_next_append() {
    let rig = Rig::open(&SimDisk::new(), by_hand(LogSettings::default())).unwrap();
    rig.append(&Batch { payload: vec![1; 3000], records: ONE });
    rig.log
        .update(|overrides| {
            overrides.batch_bytes_max = Some(3000);
            overrides.segment_bytes_max = Some(8192);
        })
        .unwrap();
    let larger = rig.log.append(&[1; 3001], ONE, Durability::Synced);
    assert_eq!(larger.unwrap_err(), AppendError::TooLarge { bytes: 3001, limit: 3000 });
    for _ in 0..10 {
        rig.append(&Batch { payload: vec![1; 3000], records: ONE });
    }
    // Also of the segment that was begun with another size.
    for path in rig.files(".store") {
        let active = rig.files(".store").last() == Some(&path);
        assert!(active || rig.disk.bytes(&path).unwrap().len() <= 8192, "{path:?}");
    }
    assert_eq!(rig.read_all().len(), 11);
}

#[test]
fn settings_outlive_the_server_and_follow_its_defaults_where_they_are_not_set() {
    let rig = Rig::new();
    let week = Duration::from_secs(7 * 86_400);
    let set = LogOverrides {
        retention_age: Some(week),
        retention_bytes: Some(0),
        record_bytes_max: Some(77),
        ..LogOverrides::default()
    };
    assert_eq!(rig.log.update(|overrides| *overrides = set.clone()).unwrap(), set);
    rig.logs.close().unwrap();
    let defaults = LogSettings {
        retention_bytes: Some(1 << 30),
        segment_age_max: Some(week),
        retain_for_readers_bytes: Some(5),
        ..small_segments()
    };
    let rig = Rig::open(&rig.disk, by_hand(defaults.clone())).unwrap();
    assert_eq!(rig.log.overrides(), set);
    let expected = LogSettings {
        retention_age: Some(week),
        retention_bytes: None,
        record_bytes_max: Some(77),
        ..defaults.clone()
    };
    assert_eq!(*rig.log.settings(), expected);
    rig.log.update(|overrides| *overrides = LogOverrides::default()).unwrap();
    assert_eq!(*rig.log.settings(), defaults);
}

#[test]
fn settings_that_cannot_be_are_refused_and_change_nothing() {
    let rig = Rig::new();
    let before = rig.disk.steps();
    let change = |change: &dyn Fn(&mut LogOverrides)| match rig.log.update(change) {
        Err(UpdateError::Setting(SettingError::OutOfRange { name, actual, .. })) => (name, actual),
        other => panic!("{other:?}"),
    };
    let second = Duration::from_secs(1);
    assert_eq!(change(&|o| o.segment_bytes_max = Some(4095)), ("segment_bytes_max", 4095));
    let most = (4 << 30) + 1;
    assert_eq!(change(&|o| o.segment_bytes_max = Some(most)), ("segment_bytes_max", most));
    assert_eq!(change(&|o| o.batch_bytes_max = Some(0)), ("batch_bytes_max", 0));
    assert_eq!(change(&|o| o.segment_age_max = Some(second / 2)), ("segment_age_max_ms", 500));
    assert_eq!((rig.disk.steps(), rig.log.overrides()), (before, LogOverrides::default()));
    rig.log.update(|o| o.segment_age_max = Some(Duration::ZERO)).unwrap();
    let options = LogOverrides { index_bytes_max: Some(1), ..LogOverrides::default() };
    assert!(rig.logs.create(&LogName::parse("x").unwrap(), options).is_err());
    assert!(rig.logs.get("x").is_none());
}

#[test]
fn a_change_that_fails_leaves_the_settings_as_they_were() {
    let rig = Rig::new();
    let change = || rig.log.update(|overrides| overrides.retention_bytes = Some(1 << 20));
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        rig.disk.fail(op, 0, std::io::ErrorKind::StorageFull);
        assert!(matches!(change(), Err(UpdateError::Io(_))), "{op:?}");
        assert_eq!(rig.log.settings().retention_bytes, None, "{op:?}");
    }
    change().unwrap();
    let rig = rig.killed();
    assert_eq!(rig.log.settings().retention_bytes, Some(1 << 20));
}

#[test]
fn a_change_is_whole_or_not_after_a_cut_behind_every_call() {
    let script = |disk: &SimDisk| {
        let Ok(rig) = Rig::open(disk, by_hand(small_segments())) else { return 0 };
        let change = |n| rig.log.update(|overrides| overrides.retention_bytes = Some(n)).is_ok();
        let first = change(1);
        u64::from(first) + u64::from(first && change(2))
    };
    let whole = SimDisk::new();
    assert_eq!(script(&whole), 2);
    for step in 0..=whole.steps() {
        let disk = SimDisk::new();
        disk.cut_power_after(step);
        let answered = script(&disk);
        let random = (0..20).map(|seed| Tear::Random(step * 20 + seed));
        for tear in [Tear::LoseAll, Tear::KeepAll].into_iter().chain(random) {
            let rig = Rig::open(&disk.after_power_cut(tear), by_hand(small_segments())).unwrap();
            let found = rig.log.settings().retention_bytes.unwrap_or(0);
            assert!(found >= answered, "cut after call {step}, {tear:?}: {found} of {answered}");
        }
    }
}

#[test]
fn a_preview_tells_what_a_trim_then_does() {
    let rig = Rig::new();
    let all = rig.fill(30);
    let end = rig.log.bounds().end;
    for before in [all[0].0, all[7].0, all[20].0, end] {
        let steps = rig.disk.steps();
        let told = rig.log.trim_preview(before).unwrap();
        assert_eq!(rig.disk.steps(), steps);
        let held = rig.log.summary().unwrap().stored_bytes;
        assert_eq!(rig.log.trim(before).unwrap(), told);
        let left = rig.log.summary().unwrap().stored_bytes;
        assert!(held - left <= told.bytes && told.bytes <= held - left + 72, "{told:?}");
    }
    assert_eq!(rig.log.describe().unwrap().segments, 0);
    assert!(rig.log.trim_preview(end.plus(1)).is_err());
}

#[test]
fn a_log_tells_its_size_its_times_and_its_pace() {
    let time = SimTime::at(Duration::from_secs(1000));
    let options = Options { time: std::sync::Arc::new(time.clone()), ..by_hand(small_segments()) };
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    let empty = rig.log.describe().unwrap();
    assert_eq!((empty.segments, empty.oldest_time_us, empty.newest_time_us), (0, None, None));
    for _ in 0..20 {
        time.pass(Duration::from_secs(1));
        rig.append(&Batch { payload: vec![0; 200], records: NonZeroU32::new(3).unwrap() });
        rig.logs.look_around();
        rig.logs.work();
    }
    let told = rig.log.describe().unwrap();
    assert_eq!(told.segments, rig.files(".store").len());
    assert_eq!(
        (told.oldest_time_us, told.newest_time_us),
        (Some(1_001_000_000), Some(1_020_000_000))
    );
    assert_eq!((told.records_per_s, told.bytes_per_s), (3.0, 288.0));
    assert!(!told.summary.is_damaged);
    let files: u64 = rig
        .files(".store")
        .iter()
        .take(told.segments - 1)
        .map(|path| rig.disk.bytes(path).unwrap().len() as u64)
        .sum();
    assert!((files..files + 4096).contains(&told.summary.stored_bytes), "{told:?}");
    assert!(rig.logs.sync_latency().max_us > 0);
}

#[test]
fn r3_a_batch_that_is_there_is_a_duplicate_also_when_it_is_too_large_by_now() {
    let rig = Rig::new();
    let id = ProducerId::from_bytes([7; 16]).unwrap();
    let send = |sequence| {
        let producer = Some(Producer { id, epoch: 0, sequence });
        let batch = Append {
            payload: &[1; 100],
            records: ONE,
            durability: Durability::Synced,
            expected: None,
            producer,
        };
        let pending = rig.log.append_batch(batch);
        rig.logs.work();
        pending
    };
    assert!(!send(0).unwrap().is_duplicate());
    rig.log.update(|overrides| overrides.batch_bytes_max = Some(50)).unwrap();
    assert!(send(0).unwrap().is_duplicate());
    assert_eq!(send(1).unwrap_err(), AppendError::TooLarge { bytes: 100, limit: 50 });
}
