//! One call of the API: who calls, for what, and how it is answered.
//!
//! A [`Handler`] is an `async fn(Call) -> Result<Response, Problem>`: it decodes what the call holds, calls `control`, and encodes.
//! An [`Operation`] is a handler at its method and path.

use std::{
    future::Future,
    str::FromStr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::{Bytes, to_bytes},
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use control::{Control, View};
use http::{Method, StatusCode};
use identity::{Action, Caller, Origin, Verb};
use model::{ProjectId, Timestamp};
use serde::Serialize;

use crate::v3::{
    answer,
    errors::Problem,
    fields::{Fields, UnknownFields, shorten},
    list::{self, Filter, Query},
};

/// What all calls share.
pub(crate) struct App {
    /// The verbs.
    pub(crate) control: Control,
    /// What happens to fields that are not known.
    pub(crate) unknown: UnknownFields,
}

/// One call.
pub(crate) struct Call {
    app: Arc<App>,
    /// Who calls.
    pub(crate) caller: Caller,
    /// The parameters behind the path.
    pub(crate) query: Query,
    path: Vec<(String, String)>,
    body: Bytes,
}

/// Largest body that is read. The gateway refuses longer ones before; this is for whoever mounts the router elsewhere.
const BODY_MAX: usize = 1 << 20;

impl Call {
    /// The verbs.
    pub(crate) fn control(&self) -> &Control {
        &self.app.control
    }

    /// The state of now, for answers and for looking at what is about to be changed.
    pub(crate) fn now(&self) -> View {
        self.app.control.view(&self.caller)
    }

    /// The time of now, for what depends on it in an answer.
    pub(crate) fn moment(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The state of now, if the caller may read that kind of thing.
    pub(crate) fn view(&self, resource: &'static str, verb: Verb) -> Result<View, Problem> {
        self.view_as(Action::elb(resource, verb))
    }

    /// The state of now, if the caller may do that.
    pub(crate) fn view_as(&self, action: Action) -> Result<View, Problem> {
        identity::authorize(&self.caller, action)?;
        Ok(self.now())
    }

    /// An id from the path. Text that is no id names nothing, so it is not found.
    pub(crate) fn id<T: FromStr>(&self, name: &'static str) -> Result<T, Problem> {
        let text = self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        text.parse().map_err(|_| Problem::not_found(name.trim_end_matches("_id"), shorten(text)))
    }

    /// The fields of the body.
    pub(crate) fn fields(&self, wrapper: &'static str) -> Result<Fields<'_>, Problem> {
        Ok(Fields::open(&self.body, wrapper, &self.app.unknown)?)
    }

    /// The fields of a body that has no wrapper.
    pub(crate) fn bare_fields(&self) -> Result<Fields<'_>, Problem> {
        Ok(Fields::open_bare(&self.body, &self.app.unknown)?)
    }

    /// The items of a batch, each an object.
    pub(crate) fn items(&self, wrapper: &'static str, most: usize) -> Result<Vec<Fields<'_>>, Problem> {
        Ok(Fields::open_items(&self.body, wrapper, most, &self.app.unknown)?)
    }

    /// The ids of a batch.
    pub(crate) fn id_list<T: FromStr>(&self, wrapper: &'static str, most: usize) -> Result<Vec<T>, Problem> {
        Ok(Fields::open_ids(&self.body, wrapper, most, &self.app.unknown)?)
    }

    /// Answers with one object.
    pub(crate) fn one(&self, status: StatusCode, wrapper: &'static str, value: impl Serialize) -> Response {
        answer::one(status, wrapper, value, self.request_id())
    }

    /// Answers with the page of `items` that the query asks for.
    pub(crate) fn page<'a, T: ?Sized, I: Ord + ToString + FromStr, W: Serialize>(
        &self,
        wrapper: &'static str,
        view: &View,
        filters: &[Filter<View, T>],
        id: impl Fn(&T) -> I,
        items: Vec<&'a T>,
        encode: impl Fn(&'a T) -> W,
    ) -> Result<Response, Problem> {
        let page = list::page(&self.query, view, filters, id, items)?;
        let values: Vec<_> = page.items.into_iter().map(encode).collect();
        Ok(answer::page(wrapper, values, page.info, self.request_id()))
    }

    /// Answers that it is done and there is nothing to show.
    pub(crate) fn gone(&self) -> Response {
        answer::gone(self.request_id())
    }

    /// The request's id.
    pub(crate) fn request_id(&self) -> &str {
        &self.caller.origin.request_id
    }
}

/// What does an operation: it decodes what the call holds, calls `control`, and encodes.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// Does it.
    fn run(self, call: Call) -> impl Future<Output = Result<Response, Problem>> + Send;
}

impl<H, F> Handler for H
where
    H: FnOnce(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Problem>> + Send,
{
    fn run(self, call: Call) -> impl Future<Output = Result<Response, Problem>> + Send {
        self(call)
    }
}

/// An operation: its method, its path, and what does it.
pub(crate) struct Operation {
    /// Its method.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test that walks the contract reads it"))]
    pub(crate) method: Method,
    /// Its path, with parameters in braces.
    pub(crate) path: &'static str,
    /// What does it; problems become answers with the request's id.
    pub(crate) route: MethodRouter<Arc<App>>,
}

impl Operation {
    /// An operation that a handler does.
    pub(crate) fn new(method: Method, path: &'static str, handler: impl Handler) -> Self {
        let run = async move |call: Call| {
            let request_id = call.request_id().to_owned();
            handler.run(call).await.unwrap_or_else(|problem| problem.answer(&request_id))
        };
        let filter = MethodFilter::try_from(method.clone()).expect("our operations have standard methods");
        Self { method, path, route: on(filter, run) }
    }
}

impl FromRequest<Arc<App>> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let request_id = request_id(&parts);
        let refuse = |problem: Problem| problem.answer(&request_id);
        let caller = parts.extensions.remove::<Caller>();
        let caller = caller.ok_or_else(|| refuse(Problem::internal("no caller was put into the request")))?;
        let path = match RawPathParams::from_request_parts(&mut parts, app).await {
            Ok(path) => path.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            Err(_) => return Err(refuse(Problem::unknown_uri(parts.uri.path()))),
        };
        let body = to_bytes(body, BODY_MAX).await;
        let body =
            body.map_err(|_| refuse(Problem::invalid("the body is longer than 1 MiB, or ended too early")))?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let call = Self { app: Arc::clone(app), caller, query, path, body };
        match call.id::<ProjectId>("project_id") {
            Ok(project) if project == call.caller.project => Ok(call),
            _ => Err(refuse(Problem::other_project())),
        }
    }
}

/// The id that the gateway gave the request; empty if there is none.
pub(crate) fn request_id(parts: &http::request::Parts) -> String {
    let caller = parts.extensions.get::<Caller>().map(|caller| &caller.origin);
    let origin = caller.or_else(|| parts.extensions.get::<Origin>());
    origin.map(|origin| origin.request_id.clone()).unwrap_or_default()
}
