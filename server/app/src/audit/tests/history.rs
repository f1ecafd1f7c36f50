//! A server with a life: applications, policies, bindings, keys and settings change, it is stopped and
//! started, the clock jumps, and all the while tokens are asked for. One seed gives one life.

use crate::authorization_details::AuthorizationDetails;
use crate::client_certificate::tests::of_digest;
use crate::clock::{Random, SeededRandom};
use crate::config::{Config, Issuer};
use crate::dpop::DpopProof;
use crate::issue::tests::policies::{DENIES, FIRST_SCOPE, OTHER, READS, TALKS};
use crate::issue::{GrantType, IssueError, PresentedCredentials, Request, issue};
use crate::jose::{ForeignAlgorithm, mint};
use crate::policies::Pin;
use crate::testing::{Job, TestServer, blocking};
use std::net::IpAddr;
use std::time::Duration;
use tempfile::TempDir;
use writ_core::{
    Actor, Algorithm, ApiId, Ask, Audience, AuthenticationMethod, BindingId, Command, DetailsType,
    GrantMode, JsonText, Judgement, Labels, Millis, NewScope, OmittedScopes, PolicyMode,
    PolicySettings, PolicyTarget, PolicyValue, ProfileChange, RecordMode, RoleId, ScopeName,
    SenderConstraint, SettingsChange, Submission, TokenProfile, TokenSettings, UnauthorizedScopes,
};
use writ_sandbox::testkit::{honest, hostile, module};
use writ_sandbox::{Compiler, SandboxConfig};

/// The seed of the long run.
pub(super) const SEED: u64 = 6;

/// Reads five facts, loops as often as they and the clock say, denies once in sixteen milliseconds,
/// and notes the id of the decision.
pub(super) const FACTS: &str = r#"
(data $descriptor (i32.const 2048)
  "\00\04\00\00\07\00\00\00" "\08\04\00\00\05\00\00\00" "\00\00\00\00\00\00\00\00"
  "\00\00\00\00\00\00\00\00" "\70\0c\00\00\05\00\00\00" "\80\08\00\00\01\00\00\00"
  "\88\08\00\00\01\00\00\00")
(data $reads (i32.const 3184) "\98\0c\00\00\0b\00\00\00" "\a3\0c\00\00\0f\00\00\00"
  "\b2\0c\00\00\06\00\00\00" "\b8\0c\00\00\1d\00\00\00" "\d5\0c\00\00\0b\00\00\00"
  "auth.methodhttp.user_agentnet.iprequest.authorization_detailstime.minute")
(func $evaluate (param $request i32) (result i32)
  (local $left i32)
  (local.set $left
    (i32.add
      (i32.mul (i32.load (i32.add (local.get $request) (i32.const 108))) (i32.const 100))
      (i32.and (i32.load (i32.add (local.get $request) (i32.const 8))) (i32.const 63))))
  (loop $again
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (i32.gt_s (local.get $left) (i32.const 0))))
  (i32.store (i32.const 4096) (i32.const 1024))
  (i32.store (i32.const 4100) (i32.const 7))
  (i64.store align=4 (i32.const 4104) (i64.load align=4 (local.get $request)))
  (if (i32.eqz (i32.and (i32.load (i32.add (local.get $request) (i32.const 8))) (i32.const 15)))
    (then
      (i32.store8 (i32.const 2308) (i32.const 1))
      (i32.store (i32.const 2312) (i32.const 1038))
      (i32.store (i32.const 2316) (i32.const 7))
      (i32.store (i32.const 2320) (i32.const 1024))
      (i32.store (i32.const 2324) (i32.const 7))))
  (i32.store (i32.const 2340) (i32.const 4096))
  (i32.store (i32.const 2344) (i32.const 1))
  (i32.const 2304))
"#;

/// Leaves the last of the scopes that it is asked about.
const LAST_SCOPE: &str = r#"
(func $evaluate (param $request i32) (result i32)
  (i32.store8 (i32.const 2312) (i32.const 1))
  (i32.store (i32.const 2316)
    (i32.add
      (i32.load (i32.add (local.get $request) (i32.const 92)))
      (i32.mul (i32.const 8)
        (i32.sub (i32.load (i32.add (local.get $request) (i32.const 96))) (i32.const 1)))))
  (i32.store (i32.const 2320) (i32.const 1))
  (i32.const 2304))
"#;

const CAPS: &[u8] =
    include_bytes!("../../../../../policies/lifetime_cap_by_scope/lifetime_cap_by_scope.wasm");

pub(super) const APIS: [&str; 4] = [
    "https://courses.example/api",
    "https://grades.example/api",
    "https://files.example/api",
    "https://open.example/api",
];
const VERBS: [&str; 3] = ["publish", "read", "write"];
const ISSUERS: [&str; 2] = ["https://writ.example", "https://login.example"];

/// API resources with a type of authorization details each.
const DETAILED: usize = 2;

fn details(api: usize) -> String {
    format!("details-{api}")
}

/// How policies run: nothing is interrupted, however busy the machine is.
pub(super) fn sandbox() -> SandboxConfig {
    SandboxConfig {
        epoch_ticks: 1_000,
        ..SandboxConfig::default()
    }
}

/// A scope of an API resource.
pub(super) fn scope(api: usize, verb: &str) -> String {
    let host = APIS[api].split(['/', '.']).nth(2).unwrap();
    format!("{host}:{verb}")
}

/// A server and what there is to change.
pub(super) struct History {
    server: Option<TestServer>,
    random: SeededRandom,
    modules: Vec<Vec<u8>>,
    pub apis: Vec<ApiId>,
    pub jobs: Vec<Job>,
    pub decisions: usize,
    pub restarts: usize,
}

impl History {
    /// A server with API resources, applications and roles.
    pub(super) async fn begin(seed: u64) -> Self {
        let server = TestServer::new().restart_in(sandbox());
        server.clock.set("2030-01-01T08:59:00Z".parse().unwrap());
        let buffered = SettingsChange {
            issuance_record: Some(RecordMode::Buffered),
            ..SettingsChange::default()
        };
        server
            .execute(Command::ChangeSettings { change: buffered })
            .await;
        let mut apis = Vec::new();
        for (number, identifier) in APIS.iter().enumerate() {
            let scopes = VERBS.map(|verb| scope(number, verb));
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let profile = TokenProfile {
                lifetime_seconds: [None, Some(600), Some(3_600), None][number],
                ..TokenProfile::default()
            };
            apis.push(server.api(identifier, &scopes, profile).await);
        }
        let mut jobs = vec![server.admin.clone()];
        for number in 0..8 {
            let api = number % APIS.len();
            let scopes = VERBS.map(|verb| scope(api, verb));
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            let scopes = &scopes[..1 + number % 3];
            jobs.push(server.application(apis[api], scopes).await);
        }
        let history = Self {
            server: Some(server),
            random: SeededRandom::new(seed),
            modules: vec![
                honest(),
                honest(),
                module(OTHER),
                module(OTHER),
                module(FIRST_SCOPE),
                module(FIRST_SCOPE),
                module(LAST_SCOPE),
                module(LAST_SCOPE),
                module(DENIES),
                module(READS),
                module(FACTS),
                module(TALKS),
                module(TALKS),
                CAPS.to_vec(),
                hostile("unreachable"),
                hostile("loop"),
            ],
            apis,
            jobs,
            decisions: 0,
            restarts: 0,
        };
        for (number, api) in history.apis.iter().take(DETAILED).enumerate() {
            let details_type = DetailsType {
                name: details(number).parse().unwrap(),
                description: None,
                schema: Some(JsonText {
                    json: r#"{"required":["n"]}"#.into(),
                }),
            };
            let api = *api;
            history
                .run(Command::PutDetailsType { api, details_type })
                .await;
            for job in history.jobs[1..].iter().skip(number).step_by(APIS.len()) {
                let details = vec![details(number).parse().unwrap()];
                let application = job.id();
                let change = Command::ChangeGrantDetails {
                    application,
                    api,
                    details,
                };
                history.run(change).await;
            }
        }
        for role in 0..3 {
            let scopes = history.scopes();
            let name = format!("Role {role}").parse().unwrap();
            history.run(Command::CreateRole { name, scopes }).await;
        }
        history
    }

    /// Stops the server.
    pub(super) fn end(mut self) -> (TempDir, Config) {
        self.server.take().unwrap().stop()
    }

    pub(super) fn server(&self) -> &TestServer {
        self.server.as_ref().unwrap()
    }

    fn below(&self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap()
    }

    fn one_in(&self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn any<T: Clone>(&self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn scopes(&self) -> Vec<ScopeName> {
        let api = self.below(APIS.len());
        self.some_of(api)
    }

    fn some_of(&self, api: usize) -> Vec<ScopeName> {
        let chosen = VERBS.iter().filter(|_| !self.one_in(4));
        chosen
            .map(|verb| scope(api, verb).parse().unwrap())
            .collect()
    }

    /// Sometimes something changes; always somebody asks for a token.
    pub(super) async fn step(&mut self) {
        match self.below(2_000) {
            0..4 => self.restart(),
            4..70 => self.change().await,
            70..105 => self.bind().await,
            105..155 => self.rebind().await,
            155..165 => {
                let back = self.server().app.now().0 - 30_000;
                self.server().clock.set(Millis(back));
            }
            _ => {}
        }
        let millis = self.below(400) as u64;
        self.server().clock.advance(Duration::from_millis(millis));
        self.ask().await;
    }

    fn restart(&mut self) {
        self.restarts += 1;
        let unready = self.one_in(4);
        let issuer = Issuer::parse(self.any(&ISSUERS)).unwrap();
        let server = self.server.take().unwrap();
        if unready {
            // Neither compiled before nor to be compiled now.
            let _ = std::fs::remove_dir_all(server.data_dir().join("policy-cache"));
        }
        let compiler = match unready {
            true => Compiler::Child {
                program: "/nowhere".into(),
                args: Vec::new(),
            },
            false => Compiler::InProcess,
        };
        let sandbox = SandboxConfig {
            compiler,
            ..sandbox()
        };
        let change = |config: &mut Config| config.issuer = Some(issuer);
        self.server = Some(server.sandboxed(sandbox).restart_with(change));
    }

    /// Carries out a command; that the rules refuse some is part of the life.
    pub(super) async fn run(&self, command: Command) {
        let app = &self.server().app;
        let submission = Submission::new(Actor::operator("test"), app.command_id(), command);
        let _ = app.execute(submission).await;
    }

    async fn change(&self) {
        let application = self.any(&self.jobs[1..]).id();
        let number = self.below(APIS.len());
        let api = self.apis[number];
        let role = RoleId(self.below(3) as u32);
        let command = match self.below(12) {
            0 => Command::AddGrant {
                application,
                api,
                mode: self.any(&[GrantMode::None, GrantMode::None, GrantMode::Rbac]),
                scopes: self.some_of(number),
            },
            1 => Command::ChangeGrant {
                application,
                api,
                mode: Some(self.any(&[GrantMode::None, GrantMode::Rbac])),
                scopes: Some(self.some_of(number)),
            },
            2 if self.one_in(4) => Command::RemoveGrant { application, api },
            2 | 3 => Command::AssignRole { application, role },
            4 => Command::UnassignRole { application, role },
            5 => Command::ChangeRole {
                id: role,
                name: None,
                scopes: Some(self.scopes()),
            },
            6 => Command::ChangeApplication {
                id: application,
                name: Some(format!("Job {}", self.below(1_000)).parse().unwrap()),
                enabled: Some(!self.one_in(8)),
                labels: Some(self.labels()),
                token_settings: Some(TokenSettings {
                    audience: self.any(&[Audience::Api, Audience::ClientId]),
                    lifetime_seconds: self.any(&[None, Some(120), Some(7_200)]),
                    sender_constraint: self.constraint(),
                    ..TokenSettings::default()
                }),
            },
            7 => Command::ChangeApiResource {
                id: api,
                name: None,
                requires_authorization: Some(!self.one_in(3)),
                profile: ProfileChange {
                    algorithm: Some(self.any(&[Algorithm::ES256, Algorithm::EdDSA])),
                    typ: None,
                    lifetime_seconds: Some(self.any(&[None, Some(60), Some(1_200)])),
                    sender_constraint: Some(self.constraint()),
                },
                guards: None,
            },
            8 => Command::PutScope {
                api,
                scope: NewScope {
                    name: format!("extra:s{}", self.below(10)).parse().unwrap(),
                    description: None,
                },
            },
            9 => return self.rotate().await,
            10 => Command::CutTokens { application },
            _ => Command::ChangeSettings {
                change: SettingsChange {
                    scopes_unauthorized: Some(
                        self.any(&[UnauthorizedScopes::Reject, UnauthorizedScopes::Drop]),
                    ),
                    scopes_omitted: Some(self.any(&[OmittedScopes::None, OmittedScopes::All])),
                    scopes_combine_apis: Some(self.one_in(2)),
                    tokens_lifetime_seconds: Some(self.any(&[300, 900, 3_600])),
                    issuance_source_address: Some(self.one_in(2)),
                    ..SettingsChange::default()
                },
            },
        };
        self.run(command).await;
    }

    /// Mostly nothing, so that most requests come further.
    fn constraint(&self) -> SenderConstraint {
        match self.one_in(4) {
            true => self.any(&[
                SenderConstraint::Dpop,
                SenderConstraint::Mtls,
                SenderConstraint::Any,
            ]),
            false => SenderConstraint::None,
        }
    }

    fn labels(&self) -> Labels {
        let text = format!(r#"{{"tenant":"t{}"}}"#, self.below(5));
        serde_json::from_str(&text).unwrap()
    }

    /// Another key signs.
    async fn rotate(&self) {
        let algorithm = self.any(&[Algorithm::ES256, Algorithm::EdDSA]);
        let key = self.server().app.make_key(algorithm).await.unwrap();
        let kid = key.kid.clone();
        self.run(Command::MakeSigningKey { key }).await;
        self.run(Command::ActivateSigningKey { kid }).await;
    }

    async fn judgement(&self) -> Option<(Judgement, Pin)> {
        let module = self.any(&self.modules);
        let settings: PolicySettings = if module == CAPS {
            let caps = format!("*={}", 100 + 100 * self.below(5));
            [("caps".into(), PolicyValue::Texts(vec![caps.into()]))].into()
        } else {
            PolicySettings::new()
        };
        let policies = &self.server().app.policies;
        // A server that cannot compile now takes none.
        let (policy, upload) = blocking(|| policies.take(&module)).ok()?;
        self.run(upload).await;
        let pin = blocking(|| policies.prepare(policy, &settings)).ok()?;
        let declared = module != CAPS && !self.one_in(10);
        let claims = declared.then(|| "tier".into());
        Some((pin.judgement(settings, claims.into_iter().collect()), pin))
    }

    fn mode(&self) -> PolicyMode {
        self.any(&[PolicyMode::Enforce, PolicyMode::Shadow])
    }

    async fn bind(&self) {
        let Some((judgement, _pin)) = self.judgement().await else {
            return;
        };
        let target = match self.below(4) {
            0 => PolicyTarget::Server,
            1 | 2 => PolicyTarget::ApiResource(self.any(&self.apis)),
            _ => PolicyTarget::Application(self.any(&self.jobs[1..]).id()),
        };
        let (mode, order) = (self.mode(), self.below(3) as u32);
        self.run(Command::BindPolicy {
            target,
            mode,
            order,
            judgement,
        })
        .await;
    }

    async fn rebind(&self) {
        let index = self.server().app.index();
        let bound: Vec<BindingId> = index.policy_bindings(None).map(|one| one.id).collect();
        if bound.is_empty() {
            return;
        }
        let id = self.any(&bound);
        match self.below(6) {
            0 => {
                let Some((judgement, _pin)) = self.judgement().await else {
                    return;
                };
                let (mode, order) = (Some(self.mode()), None);
                let judgement = Some(judgement);
                self.run(Command::ChangePolicyBinding {
                    id,
                    mode,
                    order,
                    judgement,
                })
                .await;
            }
            1 => self.run(Command::RollBackPolicyBinding { id }).await,
            _ => self.run(Command::UnbindPolicy { id }).await,
        }
    }

    async fn ask(&mut self) {
        let number = self.below(self.jobs.len());
        let job = self.jobs[number].clone();
        // Mostly for the API resource that it was made for.
        let api = match number.checked_sub(1) {
            Some(number) if !self.one_in(5) => number % APIS.len(),
            _ => self.below(APIS.len()),
        };
        let resources: Vec<&str> = match self.below(24) {
            0..14 => Vec::new(),
            14..19 => vec![APIS[api]],
            19 => vec![APIS[api], self.any(&APIS)],
            20 => vec![writ_core::MANAGEMENT_IDENTIFIER, APIS[api]],
            21 => vec!["https://nobody.example/api"],
            22 => vec!["eyJ\u{e9} no identifier"],
            _ => vec![APIS[api]; 1 + self.below(20)],
        };
        let scope = match self.below(30) {
            0..3 => None,
            3 => Some(String::new()),
            4 => Some("  a".to_owned()),
            5 => Some(vec!["courses:read"; 99 + self.below(4)].join(" ")),
            6 => Some("writ_0123456789abcdefghijABCDEFGHIJ0123456789abcdef".to_owned()),
            7 => Some("nobody:knows".to_owned()),
            8 => {
                let (one, other) = (self.below(APIS.len()), self.below(APIS.len()));
                Some([scope(one, "read"), scope(other, "read")].join(" "))
            }
            9 => Some("writ:audit:read".to_owned()),
            _ => {
                let count = 1 + self.below(3);
                let scopes = (0..count).map(|_| scope(api, self.any(&VERBS)));
                Some(scopes.collect::<Vec<String>>().join(" "))
            }
        };
        let sources: [IpAddr; 3] = [
            "127.0.0.1".parse().unwrap(),
            "::ffff:192.0.2.7".parse().unwrap(),
            "2001:db8::1".parse().unwrap(),
        ];
        let asked = match self.below(20) {
            0..15 => None,
            15 => Some(format!(r#"[{{"type":"{}"}}]"#, details(api))),
            16 => Some(r#"[{"type":"no such type, and no name","n":1}]"#.to_owned()),
            n => Some(format!(
                r#"[{{"type":"{}","n":{n}.5,"a":{{"b":1}}}}]"#,
                details(api)
            )),
        };
        let asked = asked.map(|text| AuthorizationDetails::parse(&text).unwrap());
        let types = asked.as_ref().map(AuthorizationDetails::types);
        let types = types.unwrap_or_default();
        let request = Request {
            credentials: PresentedCredentials::Secret {
                client_id: &job.client_id,
                presented_secret: &job.client_secret,
                method: self.any(&[
                    AuthenticationMethod::ClientSecretBasic,
                    AuthenticationMethod::ClientSecretPost,
                ]),
            },
            ask: Ask {
                scope: scope.as_deref(),
                resources: &resources,
                details: &types,
                ..Ask::default()
            },
            source: self.any(&sources),
            user_agent: self.any(&[None, Some("job/1"), Some("caf\u{e9} \"quoted\"\u{1}")]),
            grant_type: GrantType::default(),
            exchange: None,
            certificate: self.any(&[None, Some(of_digest([7; 32]))]),
            proof: self.one_in(3).then(|| DpopProof {
                jkt: [9; 32],
                algorithm: ForeignAlgorithm::ES256,
                jti: mint::jti().into(),
                iat: self.server().app.now(),
            }),
            details: asked.clone(),
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        };
        let answer = issue(&self.server().app, &request).await;
        // Who is disabled is nobody, and nothing is recorded of nobody.
        if !matches!(answer, Err(IssueError::InvalidClient)) {
            self.decisions += 1;
        }
    }
}
