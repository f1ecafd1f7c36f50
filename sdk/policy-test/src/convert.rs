//! Between the SDK's types and the sandbox's. They are the same by the contract, and separate on
//! purpose: the server knows nothing of the SDK.

/// From the SDK to the sandbox.
pub mod to_sandbox {
    use writ_policy as sdk;
    use writ_sandbox as sandbox;

    /// A value.
    #[must_use]
    pub fn value(value: &sdk::Value) -> sandbox::Value {
        match value {
            sdk::Value::Flag(flag) => sandbox::Value::Flag(*flag),
            sdk::Value::Int(int) => sandbox::Value::Int(*int),
            sdk::Value::Text(text) => sandbox::Value::Text(text.clone()),
            sdk::Value::Texts(texts) => sandbox::Value::Texts(texts.clone()),
            sdk::Value::Json(json) => sandbox::Value::Json(json.clone()),
        }
    }

    /// Values with names.
    #[must_use]
    pub fn named(named: &[sdk::Named]) -> Vec<sandbox::Named> {
        let each = named.iter();
        each.map(|one| sandbox::Named::new(&one.name, value(&one.value)))
            .collect()
    }

    /// A request.
    #[must_use]
    pub fn request(request: &sdk::Request) -> sandbox::Request {
        let application = &request.application;
        let subject = |subject: &sdk::Subject| sandbox::Subject {
            id: subject.id.clone(),
            issuer: subject.issuer.clone(),
            claims: named(&subject.claims),
        };
        let api = |api: &sdk::Api| sandbox::Api {
            id: api.id.clone(),
            identifier: api.identifier.clone(),
            labels: named(&api.labels),
        };
        sandbox::Request {
            id: request.id.clone(),
            at: request.at,
            grant_type: request.grant_type.clone(),
            application: sandbox::Application {
                id: application.id.clone(),
                name: application.name.clone(),
                labels: named(&application.labels),
                roles: application.roles.clone(),
            },
            subject: request.subject.as_ref().map(subject),
            apis: request.apis.iter().map(api).collect(),
            scopes: request.scopes.clone(),
            lifetime_seconds: request.lifetime_seconds,
            attributes: named(&request.attributes),
            claims: named(&request.claims),
        }
    }
}

/// From the sandbox to the SDK.
pub mod from_sandbox {
    use writ_policy as sdk;
    use writ_sandbox as sandbox;

    /// A value.
    #[must_use]
    pub fn value(value: &sandbox::Value) -> sdk::Value {
        match value {
            sandbox::Value::Flag(flag) => sdk::Value::Flag(*flag),
            sandbox::Value::Int(int) => sdk::Value::Int(*int),
            sandbox::Value::Text(text) => sdk::Value::Text(text.clone()),
            sandbox::Value::Texts(texts) => sdk::Value::Texts(texts.clone()),
            sandbox::Value::Json(json) => sdk::Value::Json(json.clone()),
        }
    }

    fn named(named: &[sandbox::Named]) -> Vec<sdk::Named> {
        let each = named.iter();
        each.map(|one| sdk::Named::new(&one.name, value(&one.value)))
            .collect()
    }

    /// A request.
    #[must_use]
    pub fn request(request: &sandbox::Request) -> sdk::Request {
        let application = &request.application;
        let subject = |subject: &sandbox::Subject| sdk::Subject {
            id: subject.id.clone(),
            issuer: subject.issuer.clone(),
            claims: named(&subject.claims),
        };
        let api = |api: &sandbox::Api| sdk::Api {
            id: api.id.clone(),
            identifier: api.identifier.clone(),
            labels: named(&api.labels),
        };
        sdk::Request {
            id: request.id.clone(),
            at: request.at,
            grant_type: request.grant_type.clone(),
            application: sdk::Application {
                id: application.id.clone(),
                name: application.name.clone(),
                labels: named(&application.labels),
                roles: application.roles.clone(),
            },
            subject: request.subject.as_ref().map(subject),
            apis: request.apis.iter().map(api).collect(),
            scopes: request.scopes.clone(),
            lifetime_seconds: request.lifetime_seconds,
            attributes: named(&request.attributes),
            claims: named(&request.claims),
        }
    }

    /// An outcome.
    #[must_use]
    pub fn outcome(outcome: &sandbox::Outcome) -> sdk::Outcome {
        let decision = match &outcome.decision {
            sandbox::Decision::Allow(grant) => sdk::Decision::Allow(sdk::Grant {
                scopes: grant.scopes.clone(),
                lifetime_seconds: grant.lifetime_seconds,
                claims: named(&grant.claims),
            }),
            sandbox::Decision::Deny(denial) => sdk::Decision::Deny(sdk::Denial {
                code: denial.code.clone(),
                reason: denial.reason.clone(),
                description: denial.description.clone(),
            }),
        };
        let note = |note: &sandbox::Note| sdk::Note {
            name: note.name.clone(),
            text: note.text.clone(),
        };
        sdk::Outcome {
            decision,
            notes: outcome.notes.iter().map(note).collect(),
        }
    }

    /// A problem with a setting.
    #[must_use]
    pub fn problem(problem: &sandbox::Problem) -> sdk::Problem {
        sdk::Problem::new(&problem.setting, &problem.message)
    }

    /// A descriptor.
    #[must_use]
    pub fn descriptor(descriptor: &sandbox::Descriptor) -> sdk::Descriptor {
        let setting = |setting: &sandbox::Setting| sdk::Setting {
            name: setting.name.clone(),
            kind: match setting.kind {
                sandbox::SettingKind::Flag => sdk::SettingKind::Flag,
                sandbox::SettingKind::Int => sdk::SettingKind::Int,
                sandbox::SettingKind::Text => sdk::SettingKind::Text,
                sandbox::SettingKind::Texts => sdk::SettingKind::Texts,
                sandbox::SettingKind::Json => sdk::SettingKind::Json,
            },
            required: setting.required,
            default: setting.default.as_ref().map(value),
            doc: setting.doc.clone(),
        };
        sdk::Descriptor {
            name: descriptor.name.clone(),
            version: descriptor.version.clone(),
            doc: descriptor.doc.clone(),
            settings: descriptor.settings.iter().map(setting).collect(),
            reads: descriptor.reads.clone(),
            codes: descriptor.codes.clone(),
            claims: descriptor.claims.clone(),
        }
    }
}
