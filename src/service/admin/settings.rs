//! A log's settings on the wire, and their change.

use std::time::Duration;

use super::{named, wide};
use crate::log::{AppendError, LogOverrides, LogSettings, SettingError, UpdateError};
use crate::proto::admin_service::{LogSettings as Wire, UpdateLogRequest, UpdateLogResponse};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::limits::Limits;
use crate::service::refusal::{BadRequest, Refusal, brief};

/// A setting that can follow the server's again.
struct Setting {
    name: &'static str,
    /// Its value in a message, if it is set.
    value: fn(&Wire) -> Option<u64>,
    reset: fn(&mut LogOverrides),
}

/// All of them, by their names in the message.
const SETTINGS: [Setting; 8] = [
    Setting {
        name: "segment_bytes_max",
        value: |wire| wire.segment_bytes_max,
        reset: |own| own.segment_bytes_max = None,
    },
    Setting {
        name: "segment_age_max_ms",
        value: |wire| wire.segment_age_max_ms,
        reset: |own| own.segment_age_max = None,
    },
    Setting {
        name: "retention_bytes",
        value: |wire| wire.retention_bytes,
        reset: |own| own.retention_bytes = None,
    },
    Setting {
        name: "retention_age_ms",
        value: |wire| wire.retention_age_ms,
        reset: |own| own.retention_age = None,
    },
    Setting {
        name: "record_bytes_max",
        value: |wire| wire.record_bytes_max.map(u64::from),
        reset: |own| own.record_bytes_max = None,
    },
    Setting {
        name: "batch_bytes_max",
        value: |wire| wire.batch_bytes_max.map(u64::from),
        reset: |own| own.batch_bytes_max = None,
    },
    Setting {
        name: "retain_for_readers_bytes",
        value: |wire| wire.retain_for_readers_bytes,
        reset: |own| own.retain_for_readers_bytes = None,
    },
    Setting {
        name: "archive",
        value: |wire| wire.archive.map(u64::from),
        reset: |own| own.archive = None,
    },
];

pub(super) fn update(
    backend: &Backend,
    caller: &Caller,
    request: &UpdateLogRequest,
) -> Result<UpdateLogResponse, Refusal> {
    let name = named(&request.log)?;
    let set = read(&request.settings, &backend.limits())?;
    let permit = backend.guard.permit_to_change(caller, name)?;
    let resets = read_resets(request)?;
    let changed = permit.update(|own| {
        resets.iter().for_each(|setting| (setting.reset)(own));
        merge(own, &set);
    });
    let own = changed.map_err(|error| match error {
        UpdateError::Setting(error) => BadRequest::from(error).into(),
        UpdateError::Unavailable if !backend.guard.storage_works() => AppendError::Failed.into(),
        UpdateError::Unavailable => Refusal::Stopping,
        UpdateError::Deleted => AppendError::Deleted.into(),
        UpdateError::Io(error) => Refusal::Files(error),
    })?;
    backend.changed(caller, "log_updated", name, shown(&own).collect());
    let settings = Some(written(&own)).into();
    Ok(UpdateLogResponse { settings, ..UpdateLogResponse::default() })
}

/// The settings of a request, as far as it sets any. The storage checks the rest of their ranges.
pub(super) fn read(wire: &Wire, limits: &Limits) -> Result<LogOverrides, BadRequest> {
    if let Some(record) = wire.record_bytes_max {
        let max = wide(limits.record_bytes_max);
        let (name, actual) = ("record_bytes_max", u64::from(record));
        if actual == 0 || actual > max {
            return Err(SettingError::OutOfRange { name, actual, min: 1, max }.into());
        }
    }
    Ok(LogOverrides {
        segment_bytes_max: wire.segment_bytes_max,
        index_bytes_max: None,
        segment_age_max: wire.segment_age_max_ms.map(Duration::from_millis),
        batch_bytes_max: wire.batch_bytes_max,
        record_bytes_max: wire.record_bytes_max,
        retention_bytes: wire.retention_bytes,
        retention_age: wire.retention_age_ms.map(Duration::from_millis),
        retain_for_readers_bytes: wire.retain_for_readers_bytes,
        archive: wire.archive,
    })
}

/// Settings that were set for a log, as a message.
pub(super) fn written(own: &LogOverrides) -> Wire {
    Wire {
        segment_bytes_max: own.segment_bytes_max,
        segment_age_max_ms: own.segment_age_max.map(milliseconds),
        retention_bytes: own.retention_bytes,
        retention_age_ms: own.retention_age.map(milliseconds),
        record_bytes_max: own.record_bytes_max,
        batch_bytes_max: own.batch_bytes_max,
        retain_for_readers_bytes: own.retain_for_readers_bytes,
        archive: own.archive,
        ..Wire::default()
    }
}

/// Settings in force, all of them set.
pub(super) fn in_force(settings: &LogSettings, limits: &Limits) -> Wire {
    let server = u32::try_from(limits.record_bytes_max).unwrap_or(u32::MAX);
    let record_bytes_max = settings.record_bytes_max.map_or(server, |own| own.min(server));
    Wire {
        segment_bytes_max: Some(settings.segment_bytes_max),
        segment_age_max_ms: Some(settings.segment_age_max.map_or(0, milliseconds)),
        retention_bytes: Some(settings.retention_bytes.unwrap_or_default()),
        retention_age_ms: Some(settings.retention_age.map_or(0, milliseconds)),
        record_bytes_max: Some(record_bytes_max),
        batch_bytes_max: Some(settings.batch_bytes_max),
        retain_for_readers_bytes: Some(settings.retain_for_readers_bytes.unwrap_or_default()),
        archive: Some(settings.archive),
        ..Wire::default()
    }
}

/// Settings as a line of the server's log has them.
pub(super) fn shown(own: &LogOverrides) -> impl Iterator<Item = (&'static str, String)> {
    let wire = written(own);
    SETTINGS.iter().filter_map(move |setting| {
        (setting.value)(&wire).map(|value| (setting.name, value.to_string()))
    })
}

fn read_resets(request: &UpdateLogRequest) -> Result<Vec<&'static Setting>, BadRequest> {
    let find = |(place, name): (usize, &String)| {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let setting = setting.ok_or_else(|| BadRequest::NoSetting { place, name: brief(name) })?;
        match (setting.value)(&request.settings) {
            Some(_) => Err(BadRequest::SetAndReset { name: setting.name }),
            None => Ok(setting),
        }
    };
    request.reset.iter().enumerate().map(find).collect()
}

/// Takes over what is set.
fn merge(own: &mut LogOverrides, set: &LogOverrides) {
    own.segment_bytes_max = set.segment_bytes_max.or(own.segment_bytes_max);
    own.segment_age_max = set.segment_age_max.or(own.segment_age_max);
    own.batch_bytes_max = set.batch_bytes_max.or(own.batch_bytes_max);
    own.record_bytes_max = set.record_bytes_max.or(own.record_bytes_max);
    own.retention_bytes = set.retention_bytes.or(own.retention_bytes);
    own.retention_age = set.retention_age.or(own.retention_age);
    own.retain_for_readers_bytes = set.retain_for_readers_bytes.or(own.retain_for_readers_bytes);
    own.archive = set.archive.or(own.archive);
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protobuf::MessageFull as _;

    use super::*;

    /// A message in which every field is set.
    fn full() -> Wire {
        in_force(&LogSettings::default(), &Limits::default())
    }

    #[test]
    fn every_setting_of_the_message_can_be_set_and_reset() {
        let fields: BTreeSet<String> =
            Wire::descriptor().fields().map(|field| field.name().to_owned()).collect();
        let named = SETTINGS.iter().map(|setting| setting.name.to_owned()).collect();
        assert_eq!(fields, named);
        for setting in &SETTINGS {
            assert!((setting.value)(&full()).is_some(), "{}", setting.name);
            assert_eq!((setting.value)(&Wire::default()), None, "{}", setting.name);
            let mut own = read(&full(), &Limits::default()).unwrap();
            (setting.reset)(&mut own);
            assert_eq!((setting.value)(&written(&own)), None, "{}", setting.name);
        }
    }

    #[test]
    fn settings_are_written_as_they_are_read_and_all_are_taken_over() {
        let set = read(&full(), &Limits::default()).unwrap();
        assert_eq!(written(&set), full());
        let mut own = LogOverrides::default();
        merge(&mut own, &set);
        assert_eq!(own, set);
        merge(&mut own, &LogOverrides::default());
        assert_eq!(own, set, "what is not set stays");
    }

    #[test]
    fn a_line_has_what_is_set() {
        let own = LogOverrides {
            retention_bytes: Some(7),
            archive: Some(true),
            ..LogOverrides::default()
        };
        let expected = [("retention_bytes", "7"), ("archive", "1")];
        let expected = expected.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(shown(&own).collect::<Vec<_>>(), expected);
    }
}
