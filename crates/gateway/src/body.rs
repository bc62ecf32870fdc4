//! Reading a request's body whole, within bounds: signatures cover it, so it must be there before anything is decided.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Most bytes of a request's body: 1 MiB. The largest legal requests (batches of members) are far below.
pub const BODY_MAX: usize = 1024 * 1024;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBody {
    /// More than [`BODY_MAX`].
    #[error("the request body is larger than {BODY_MAX} bytes")]
    TooLong,
    /// It did not come in time.
    #[error("the request body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
    /// The connection broke, or the framing is wrong.
    #[error("the request body is incomplete")]
    Incomplete,
}

/// The whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, BadBody> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_MAX).collect()).await {
        Err(_) => Err(BadBody::TooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BadBody::TooLong),
        Ok(Err(_)) => Err(BadBody::Incomplete),
    }
}
