//! What the commands about audit records share: whom to ask and trust, which stream is meant, and how a failure ends.

mod compared;
mod options;
mod parts;
mod points;
mod sheet;
mod show;
mod state;
mod told;
mod words;

pub(super) use compared::Compared;
pub(super) use options::{StreamOptions, TrailOptions, beside_of};
pub(super) use parts::{Continues, Flagged, GoesOn, Legacy, Part, Parts, Sight, alone, around};
pub(super) use points::{Point, Ways, point};
pub(super) use sheet::sheet;
pub(super) use show::{FlagLine, ProblemLine, RecordLine, Summary, by_seq, raw};
pub(super) use state::{DifferenceLine, StateLine};
pub(super) use told::{Counts, Facts, Told};
pub(super) use words::{one_line, timeline};

use std::fs;
use std::path::{Path, PathBuf};

use cairn_tree::checkpoint::LogKeys;
use cairn_tree::policy::PolicyVerifyError;
use cairn_tree::wire::v1::{AnswerError, Property};

use super::failure::Failure;
use super::terminal::{Form, Output};
use super::watch;
use crate::auditor::trail::{Seen, Trail, TrailError};
use crate::auditor::{AuditError, TileReader};
use crate::bounds;
use crate::fetch::{FetchError, Problem, Remote, shown};
use crate::files::{Durability, Hold, write_atomic};
use crate::monitor::{Case, contradiction};

/// Records that are asked for, from a head that is verified.
pub(super) struct Session {
    pub(super) trail: Trail,
    remote: std::sync::Arc<Remote>,
    keys: LogKeys,
    state: Option<PathBuf>,
    /// Nobody else uses the state file meanwhile.
    _hold: Option<Hold>,
}

/// How work with records ended that did not succeed.
pub(super) enum Ended {
    /// By what came of the server.
    Trail(TrailError),
    /// For another reason.
    Failure(Failure),
}

impl From<TrailError> for Ended {
    fn from(error: TrailError) -> Self {
        Self::Trail(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Session {
    /// What a command ends with. A fork is evidence: it is kept beside the state file, or else printed.
    pub(super) async fn end(
        self,
        ended: Result<(), Ended>,
        form: Form,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        match ended {
            Ok(()) => Ok(()),
            Err(ended) => Err(self.failure(ended, form, output).await),
        }
    }

    /// What a command fails with.
    pub(super) async fn failure(&self, ended: Ended, form: Form, output: &mut Output<'_>) -> Failure {
        let error = match ended {
            Ended::Failure(failure) => return failure,
            Ended::Trail(error) => error,
        };
        if let TrailError::Fork { smaller, larger } = &error {
            let mut reader = TileReader::new(std::sync::Arc::clone(&self.remote), bounds::PARALLEL_FETCHES);
            if let Ok(Some(case)) = contradiction(&mut reader, smaller.as_ref(), larger.as_ref()).await {
                return self.accuse(case, form, output);
            }
        }
        Failure::Refused(advised(&error))
    }

    fn accuse(&self, case: Case, form: Form, output: &mut Output<'_>) -> Failure {
        let path = self.state.as_deref().map(|state| watch::beside_state(state, case.name()));
        let url = self.remote.url().to_string();
        watch::accuse(case, (&self.keys, &url), path.as_deref(), form, output)
    }
}

/// Why there is no head to begin with.
fn no_head(error: &AuditError) -> Failure {
    let advice = match error {
        AuditError::Fetch(FetchError::Status { status: 404, .. }) => {
            "; --url is the address of a log, such as http://127.0.0.1:6962/logs/main, and a private log wants a token"
        }
        _ => "",
    };
    Failure::Refused(format!("{error}{advice}"))
}

/// What is said of an error, and what to do about it.
fn advised(error: &TrailError) -> String {
    let advice = match error {
        TrailError::Absent(_) | TrailError::Fetch(FetchError::Status { status: 404, .. }) => {
            ", or the token is not good for its tenant"
        }
        TrailError::Broken(_) => "; its operator has an incident to look into, see `cairn history`",
        TrailError::BrokenFirst { .. } => {
            "; its operator has an incident to look into, and `cairn search` shows the records that verify alone"
        }
        TrailError::Fetch(FetchError::Status { status: 401 | 403, .. }) => {
            "; an auditor's token with the right `read` is needed (cairnd token create --rights read,disclose:secret)"
        }
        TrailError::Fetch(FetchError::Status { status: 400, problem: Problem { field: Some(field), .. }, .. })
            if field == Property::Tenant.name() =>
        {
            "; give --tenant, or set CAIRN_TENANT"
        }
        TrailError::Answer(AnswerError::Checkpoint(PolicyVerifyError::Quorum(_))) => {
            "; what is newest may not be witnessed yet: repeat this later, or trust the log alone with --key"
        }
        TrailError::OtherLog { .. } => {
            "; each of them has its own part, which --log asks for and its own --key verifies"
        }
        TrailError::Stale { .. } | TrailError::Fork { .. } => {
            "; cairn watch --state FILE follows the log and keeps evidence"
        }
        TrailError::LeftOut { .. } => "; keep the log's checkpoint: its own signed tree has the record",
        _ => "",
    };
    format!("{}{advice}", shown(&error.to_string()))
}

/// Keeps a verified record with its proof, for `cairn verify record`; says where.
pub(super) fn save(folder: &Path, seen: &Seen) -> Result<String, Failure> {
    let unwritten = |error: &dyn core::fmt::Display| Failure::Refused(format!("--save {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(|error| unwritten(&error))?;
    // An id is a UUID and nothing else.
    let path = folder.join(format!("{}.json", seen.header().id));
    write_atomic(&path, &seen.to_saved(), Durability::Process).map_err(|error| unwritten(&error))?;
    Ok(path.display().to_string())
}
