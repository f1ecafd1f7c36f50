//! Who talks to Writ: an administrator through the management API, an application through the token
//! endpoint.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Answer, Call, Http};

/// An administrator with a token for the management API.
#[derive(Clone, Debug)]
pub struct Admin {
    http: Http,
    token: String,
}

/// A machine client that knows its secret.
#[derive(Clone, Debug)]
pub struct Application {
    http: Http,
    /// Its id, on the wire `client_id`.
    pub id: String,
    /// One of its secrets.
    pub secret: String,
}

impl Admin {
    /// Signs in with the credentials of a data directory's `admin.json`.
    pub fn sign_in(http: &Http, admin_json: &Path) -> Self {
        let admin = Application::from_file(http, admin_json);
        let token = admin.access_token(&[("resource", "urn:writ:management")]);
        Self {
            http: http.clone(),
            token,
        }
    }

    /// An administrator who holds this token.
    pub fn with_token(http: &Http, token: &str) -> Self {
        Self {
            http: http.clone(),
            token: token.to_owned(),
        }
    }

    /// The token in use.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request of the management API; `path` is what follows `/api/v1`.
    pub fn call<'a>(&'a self, method: &'a str, path: &str) -> Call<'a> {
        self.http
            .call(method, &format!("/api/v1{path}"))
            .bearer(&self.token)
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send()
    }

    /// POST with JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send()
    }

    /// PUT with JSON.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path).json(body).send()
    }

    /// PATCH with JSON.
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path).json(body).send()
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path).send()
    }

    /// Registers an API resource; answers its id.
    #[track_caller]
    pub fn register_api(&self, identifier: &str, profile: &Value, scopes: &[&str]) -> String {
        let scopes: Vec<Value> = scopes.iter().map(|name| json!({ "name": name })).collect();
        let body = json!({
            "identifier": identifier,
            "name": identifier,
            "profile": profile,
            "scopes": scopes,
        });
        self.post("/api-resources", &body).expect(201).text("id")
    }

    /// Registers an application with one secret.
    #[track_caller]
    pub fn register_application(&self, name: &str) -> Application {
        let id = self
            .post("/applications", &json!({ "name": name }))
            .expect(201)
            .text("id");
        let secret = self.add_secret(&id);
        Application {
            http: self.http.clone(),
            id,
            secret,
        }
    }

    /// Makes one more secret for an application.
    #[track_caller]
    pub fn add_secret(&self, application: &str) -> String {
        self.post(&format!("/applications/{application}/secrets"), &json!({}))
            .expect(201)
            .text("secret")
    }

    /// Grants an application scopes of an API resource.
    #[track_caller]
    pub fn grant(&self, application: &Application, api: &str, scopes: &[&str]) {
        self.post(
            &format!("/applications/{}/authorized-apis", application.id),
            &json!({ "api": api, "scopes": scopes }),
        )
        .expect(201);
    }

    /// Every event of the log, from its beginning.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        /// More than any test makes.
        const MOST: usize = 100_000;
        let mut events = Vec::new();
        loop {
            let from = events.len();
            assert!(from < MOST, "the log has no end");
            let page = self
                .get(&format!("/events?from={from}&limit=100"))
                .expect(200);
            match &page.json()["items"] {
                Value::Array(items) if items.is_empty() => return events,
                Value::Array(items) => events.extend(items.iter().cloned()),
                _ => panic!("a page of events has items: {page}"),
            }
        }
    }

    /// The number of events, which is the position that the next event will have.
    #[track_caller]
    pub fn head(&self) -> usize {
        self.events().len()
    }
}

impl Application {
    /// One with credentials from elsewhere.
    pub fn new(http: &Http, id: &str, secret: &str) -> Self {
        Self {
            http: http.clone(),
            id: id.to_owned(),
            secret: secret.to_owned(),
        }
    }

    /// One with the credentials of an `admin.json` or `demo.json`.
    pub fn from_file(http: &Http, file: &Path) -> Self {
        let text = std::fs::read(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let credentials: Value = serde_json::from_slice(&text).expect("credentials are JSON");
        let member = |name: &str| match &credentials[name] {
            Value::String(text) => text.clone(),
            _ => panic!("{} has no {name}", file.display()),
        };
        Self::new(http, &member("client_id"), &member("client_secret"))
    }

    /// Asks for a token with the client credentials grant and these further parameters.
    #[track_caller]
    pub fn token(&self, parameters: &[(&str, &str)]) -> Answer {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend_from_slice(parameters);
        self.http
            .call("POST", "/oauth2/token")
            .basic(&self.id, &self.secret)
            .form(&form)
            .send()
    }

    /// The token that such a request gets.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn access_token(&self, parameters: &[(&str, &str)]) -> String {
        self.token(parameters).expect(200).text("access_token")
    }
}
