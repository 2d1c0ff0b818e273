//! What administrators get from the guard: permits for single logs, the logs that a caller may see,
//! and the server as a whole.

use std::sync::Arc;

use super::{Act as _, Administer, Guard, Permit, Produce};
use crate::acl::Action;
use crate::log::{
    AckError, BackUpError, BackupName, CreateError, Description, Log, LogId, LogName, LogOverrides,
    LogSettings, Logs, MadeBackup, Offset, ReadError, Summary, TrimError, Trimmed, UpdateError,
};
use crate::own::AUDIT_LOG;
use crate::service::caller::Caller;
use crate::service::methods::Need;
use crate::service::refusal::{BadRequest, Denied, Limited, OverLimit, Refusal};

/// A log that a caller may see, because they may do something to it.
#[derive(Debug)]
pub(crate) struct Seen(Arc<Log>);

/// The right to back up some logs.
#[derive(Debug)]
pub(crate) struct BackupPermit {
    names: Vec<LogName>,
    /// These were all there were, so one that was deleted since is no longer wanted.
    are_all: bool,
}

impl Guard {
    /// Makes a log, if `caller` may administer one of that name. Blocks on the disk.
    pub(crate) fn create(
        &self,
        caller: &Caller,
        name: &LogName,
        overrides: LogOverrides,
    ) -> Result<Permit<Administer>, Refusal> {
        if caller.need() != Need::Permission(Administer::ACTION) {
            return Err(Refusal::NotAdmitted);
        }
        allow(caller, Administer::ACTION, name.as_str())?;
        Ok(Permit::of(self.make(name, overrides)?))
    }

    /// As `permit`, and makes the log if there is none, which blocks on the disk; `true` if it did.
    pub(crate) fn permit_or_create(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(Permit<Produce>, bool), Refusal> {
        match self.permit::<Produce>(caller, name) {
            Err(Refusal::NoLog { .. }) => {}
            other => return Ok((other?, false)),
        }
        let parsed = LogName::parse(name).map_err(BadRequest::from)?;
        match self.make(&parsed, LogOverrides::default()) {
            Ok(log) => Ok((Permit::of(log), true)),
            // Another made it at the same time.
            Err(Refusal::LogExists { .. }) => Ok((self.permit(caller, name)?, false)),
            Err(refusal) => Err(refusal),
        }
    }

    /// As `permit`, for a log that is not the server's own.
    pub(crate) fn permit_to_change(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Permit<Administer>, Refusal> {
        let permit = self.permit(caller, name)?;
        match name == AUDIT_LOG {
            true => Err(Refusal::OwnLog { name: name.to_owned() }),
            false => Ok(permit),
        }
    }

    /// Deletes the log of `permit`. Blocks on the disk.
    pub(crate) fn delete(
        &self,
        permit: &Permit<Administer>,
        expected_end: Offset,
        id: Option<LogId>,
    ) -> Result<(), Refusal> {
        // A permit is for one log, whatever is called so by now.
        let id = id.unwrap_or_else(|| permit.log.id());
        let deleted = self.logs.delete(permit.log_name(), Some(expected_end), Some(id));
        deleted.map_err(Refusal::Delete)
    }

    /// The logs whose names begin with `prefix` and come after `after`, on which `caller` may do
    /// anything, by name.
    pub(crate) fn seen<'a>(
        &self,
        caller: &'a Caller,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = Seen> + use<'a> {
        let actions = [Action::Consume, Action::Produce, Action::Admin];
        let may_see = move |name: &str| {
            let subject = caller.subject().as_str();
            actions.iter().any(|action| caller.policy().permits(subject, *action, name))
        };
        let logs = self.logs.list().into_iter();
        let asked = logs.filter(move |log| log.name() > after && log.name().starts_with(prefix));
        asked.filter(move |log| may_see(log.name())).map(Seen)
    }

    /// All logs together, if `caller` may administer every log.
    pub(crate) fn oversee(&self, caller: &Caller) -> Result<&Logs, Refusal> {
        if caller.need() != Need::Everywhere(Administer::ACTION) {
            return Err(Refusal::NotAdmitted);
        }
        allow(caller, Administer::ACTION, "*")?;
        Ok(&self.logs)
    }

    /// The logs of these names, or all if there is none, if `caller` may administer each of them.
    pub(crate) fn admit_backup(
        &self,
        caller: &Caller,
        named: &[String],
    ) -> Result<BackupPermit, Refusal> {
        if caller.need() != Need::Permission(Administer::ACTION) {
            return Err(Refusal::NotAdmitted);
        }
        let mut names = Vec::with_capacity(named.len());
        for name in named {
            let permit = self.permit::<Administer>(caller, name)?;
            names.push(LogName::parse_any(permit.log_name()).map_err(BadRequest::from)?);
        }
        if named.is_empty() {
            for log in self.logs.list() {
                // Which logs there are is not for everybody to know.
                let may = caller.policy().permits(
                    caller.subject().as_str(),
                    Administer::ACTION,
                    log.name(),
                );
                if !may {
                    return Err(denied(caller, Administer::ACTION, "*").into());
                }
                names.push(LogName::parse_any(log.name()).map_err(BadRequest::from)?);
            }
        }
        Ok(BackupPermit { names, are_all: named.is_empty() })
    }

    /// Makes a backup of the permit's logs, and checks it if that is wanted. Blocks on the disk,
    /// and may take long.
    pub(crate) fn back_up(
        &self,
        permit: &BackupPermit,
        name: &BackupName,
        is_checked: bool,
    ) -> Result<MadeBackup, BackUpError> {
        let is_wanted = |log: &&LogName| !permit.are_all || self.logs.get(log.as_str()).is_some();
        let names: Vec<LogName> = permit.names.iter().filter(is_wanted).cloned().collect();
        self.logs.back_up_as(name, &names, is_checked)
    }

    /// How clients' connections are encrypted.
    pub(crate) fn transport_security(&self) -> &'static str {
        self.authentication.transport_security()
    }

    fn make(&self, name: &LogName, overrides: LogOverrides) -> Result<Arc<Log>, Refusal> {
        self.logs.create(name, overrides).map_err(|error| match error {
            CreateError::Exists { name } => Refusal::LogExists { name },
            CreateError::TooMany { logs } => {
                let limit = self.logs.options().logs_max;
                OverLimit { limited: Limited::Logs, limit, actual: logs + 1 }.into()
            }
            CreateError::Setting(error) => BadRequest::from(error).into(),
            CreateError::Closed => Refusal::Stopping,
            CreateError::Failed(_) => AckError::Failed.into(),
            CreateError::Io(error) => Refusal::Files(error),
        })
    }
}

fn allow(caller: &Caller, action: Action, object: &str) -> Result<(), Refusal> {
    if caller.policy().permits(caller.subject().as_str(), action, object) {
        return Ok(());
    }
    Err(denied(caller, action, object).into())
}

fn denied(caller: &Caller, action: Action, object: &str) -> Denied {
    let (subject, object) = (caller.subject().clone(), object.to_owned());
    Denied { subject, action, object }
}

impl Seen {
    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn id(&self) -> LogId {
        self.0.id()
    }

    /// May block on the disk.
    pub(crate) fn summary(&self) -> Result<Summary, ReadError> {
        self.0.summary()
    }
}

impl<A> Permit<A> {
    fn of(log: Arc<Log>) -> Self {
        Self { log, action: std::marker::PhantomData }
    }
}

impl Permit<Administer> {
    /// May block on the disk.
    pub(crate) fn describe(&self) -> Result<Description, ReadError> {
        self.log.describe()
    }

    pub(crate) fn settings(&self) -> Arc<LogSettings> {
        self.log.settings()
    }

    /// May wait for a change under way.
    pub(crate) fn overrides(&self) -> LogOverrides {
        self.log.overrides()
    }

    /// Blocks on the disk.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut LogOverrides),
    ) -> Result<LogOverrides, UpdateError> {
        self.log.update(change)
    }

    /// The first offset that the log holds.
    pub(crate) fn start(&self) -> Offset {
        self.log.bounds().start
    }

    /// Blocks on the disk.
    pub(crate) fn trim(&self, before: Offset, dry_run: bool) -> Result<Trimmed, TrimError> {
        if dry_run { self.log.trim_preview(before) } else { self.log.trim(before) }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.log.is_damaged()
    }
}
