//! Reading back the audit traces.

use model::{ProjectId, Trace};
use sqlx::Row;

use crate::{Error, Store};

/// Which traces are wanted; newest first.
#[derive(Clone, Copy, Debug)]
pub struct TraceFilter {
    /// Whose.
    pub project: ProjectId,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// The traces of a project, newest first.
    pub async fn traces(&self, filter: TraceFilter) -> Result<Vec<Trace>, Error> {
        let rows = sqlx::query(
            "SELECT body FROM traces WHERE project = $1 ORDER BY at_ms DESC, revision DESC LIMIT $2",
        )
        .bind(filter.project.to_string())
        .bind(i64::from(filter.limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(Error::Trace))
            .collect()
    }
}
