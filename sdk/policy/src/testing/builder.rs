//! Requests for tests, in few words.

use super::clock;
use crate::{Api, Application, Named, Request, Subject, Value};

/// A request for tests: an application `app` without labels and roles asks for nothing, for 900
/// seconds, on 2026-01-01 at midnight.
#[must_use]
pub fn request() -> RequestBuilder {
    RequestBuilder(Request {
        id: "test".to_owned(),
        at: 1_767_225_600_000,
        grant_type: "client_credentials".to_owned(),
        application: Application {
            id: "app".to_owned(),
            name: "An application".to_owned(),
            labels: Vec::new(),
            roles: Vec::new(),
        },
        subject: None,
        apis: Vec::new(),
        scopes: Vec::new(),
        lifetime_seconds: 900,
        attributes: Vec::new(),
        claims: Vec::new(),
    })
}

/// What [`request`] builds.
#[derive(Clone, Debug)]
pub struct RequestBuilder(Request);

impl RequestBuilder {
    /// Asks for these scopes.
    #[must_use]
    pub fn scopes<'s>(mut self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        self.0.scopes.extend(scopes.into_iter().map(str::to_owned));
        self
    }

    /// For at most this many seconds.
    #[must_use]
    pub fn lifetime(mut self, seconds: u32) -> Self {
        self.0.lifetime_seconds = seconds;
        self
    }

    /// At this time: `2026-11-23T09:30:00Z`.
    ///
    /// # Panics
    /// When it is not written like that.
    #[must_use]
    #[track_caller]
    pub fn at(mut self, time: &str) -> Self {
        match clock::parse(time) {
            Some(at) => self.0.at = at,
            None => panic!("{time:?} is not a time like 2026-11-23T09:30:00Z"),
        }
        self
    }

    /// The application has this label.
    #[must_use]
    pub fn label(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.application.labels.push(Named::new(name, value));
        self
    }

    /// The application has this role.
    #[must_use]
    pub fn role(mut self, name: &str) -> Self {
        self.0.application.roles.push(name.to_owned());
        self
    }

    /// A fact about the request, as in [`attribute`](crate::attribute).
    #[must_use]
    pub fn attribute(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.attributes.push(Named::new(name, value));
        self
    }

    /// A claim that the token will have.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.claims.push(Named::new(name, value));
        self
    }

    /// For the API resource of this identifier too.
    #[must_use]
    pub fn api(mut self, identifier: &str) -> Self {
        self.0.apis.push(Api {
            id: format!("api_{}", self.0.apis.len() + 1),
            identifier: identifier.to_owned(),
            labels: Vec::new(),
        });
        self
    }

    /// About this subject, instead of the application itself.
    #[must_use]
    pub fn subject(mut self, id: &str, issuer: &str) -> Self {
        self.0.subject = Some(Subject {
            id: id.to_owned(),
            issuer: issuer.to_owned(),
            claims: Vec::new(),
        });
        self
    }

    /// The request, its lists sorted as a server has them; with the facts `time.*` of its time.
    #[must_use]
    pub fn build(self) -> Request {
        let mut request = self.0;
        for fact in clock::facts(request.at) {
            if !request.attributes.iter().any(|one| one.name == fact.name) {
                request.attributes.push(fact);
            }
        }
        super::sort(&mut request);
        request
    }
}
