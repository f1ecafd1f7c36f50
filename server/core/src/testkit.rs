//! For tests of this crate and of others: a world to start from, builders, a log in memory,
//! given-when-then, and strategies that make commands which meet each other.
//!
//! Everything here is deterministic: ids are counted, time moves by a second a command. A [`Log`]
//! sends every event through its stored bytes, so that a test of rules tests the codec as well.

pub mod model;

use crate::command::{NewScope, NewSecret, NewSigningKey};
use crate::event::{Event, Idempotency, Recorded};
use crate::{
    Actor, Algorithm, ApiId, ApplicationId, Audience, Authentication, AuthenticationMethod,
    BindingId, BoundGrant, ClientMetadata, Command, CommandId, CredentialDigest, Decision,
    DetailsType, EventId, ExchangeMode, Facts, GrantMode, Identifier, Index, InitialAccessTokenId,
    IssuerId, IssuerKeys, Jti, Judgement, Kid, Labels, ManagementScope, Millis, Name,
    NewRegistration, PolicyDescriptor, PolicyDigest, PolicyMode, PolicyParameter, PolicyTarget,
    PolicyValue, PolicyValueKind, Position, ProfileChange, PublicJwk, Quota, QuotaMode, Refusal,
    RegisteredKey, RegistrationBounds, RoleId, ScopeName, SecretId, SecurityProfile,
    SenderConstraint, Submission, TokenExchange, TokenProfile, TokenSettings, TrustRule, codec,
    consider,
};
use proptest::prelude::*;

/// When the log of [`Log::base`] begins: 2026-03-03T09:00:00Z.
pub const BEGIN: Millis = Millis(1_772_528_400_000);
/// The management API.
pub const MANAGEMENT: ApiId = ApiId(0);
/// The API resource of the base world, [`COURSES_IDENTIFIER`], with [`COURSE_SCOPES`].
pub const COURSES: ApiId = ApiId(1);
/// The identifier of [`COURSES`].
pub const COURSES_IDENTIFIER: &str = "https://courses.example/api";
/// The scopes of [`COURSES`].
pub const COURSE_SCOPES: [&str; 5] = [
    "courses:read",
    "courses:read-approved",
    "courses:read-published",
    "courses:write",
    "courses:publish",
];
/// The administrator of the base world, with every management scope.
pub const ADMIN: ApplicationId = ApplicationId(1);
/// The secret of [`ADMIN`].
pub const ADMIN_SECRET: SecretId = SecretId(1);
/// The application of the base world, with a secret and no grant.
pub const JOB: ApplicationId = ApplicationId(2);
/// The secret of [`JOB`].
pub const JOB_SECRET: SecretId = SecretId(2);

/// A value from its text.
///
/// # Panics
/// When the text is not one.
#[must_use]
#[track_caller]
pub fn parse<T: std::str::FromStr>(text: &str) -> T {
    match text.parse() {
        Ok(value) => value,
        Err(_) => panic!("not a {}: {text:?}", std::any::type_name::<T>()),
    }
}

/// Scope names.
#[must_use]
#[track_caller]
pub fn scopes(names: &[&str]) -> Vec<ScopeName> {
    names.iter().map(|name| parse(name)).collect()
}

/// The names of all management scopes.
#[must_use]
pub fn all_management_scopes() -> Vec<ScopeName> {
    ManagementScope::ALL
        .iter()
        .map(|scope| scope.name())
        .collect()
}

/// A secret without end; its digest follows from its number.
#[must_use]
pub fn secret(number: u128) -> NewSecret {
    NewSecret {
        id: SecretId(number),
        digest: digest(number),
        expires_at: None,
    }
}

/// The digest of [`secret`].
#[must_use]
pub fn digest(number: u128) -> [u8; 32] {
    let mut digest = [0xd1; 32];
    digest[16..].copy_from_slice(&number.to_be_bytes());
    digest
}

/// A signing key that nobody could sign with, of the right form.
#[must_use]
#[track_caller]
pub fn signing_key(kid: &str, algorithm: Algorithm) -> NewSigningKey {
    let jwk = match algorithm {
        Algorithm::ES256 => PublicJwk::EC {
            crv: "P-256".into(),
            x: kid.into(),
            y: kid.into(),
        },
        Algorithm::EdDSA => PublicJwk::OKP {
            crv: "Ed25519".into(),
            x: kid.into(),
        },
        Algorithm::RS256 | Algorithm::PS256 => PublicJwk::RSA {
            e: "AQAB".into(),
            n: kid.into(),
        },
    };
    NewSigningKey {
        kid: parse(kid),
        algorithm,
        jwk,
    }
}

/// The kid of the first key of an algorithm in the base world: `es256-1` and so on.
#[must_use]
pub fn first_kid(algorithm: Algorithm) -> Kid {
    parse(&format!("{}-1", algorithm.as_str().to_lowercase()))
}

/// A token id made at a moment.
#[must_use]
pub fn jti(at: Millis, number: u64) -> Jti {
    Jti(u128::from(at.0) << 80 | 7 << 76 | 2 << 62 | u128::from(number & 0xffff_ffff))
}

/// An application with a token of the management API that has these scopes.
#[must_use]
#[track_caller]
pub fn application_actor(id: ApplicationId, names: &[&str]) -> Actor {
    Actor::Application {
        id,
        auth: "bearer".into(),
        jti: Some(jti(Millis(BEGIN.0 + 500), 1)),
        scopes: scopes(names),
    }
}

/// An application that authenticated as a client, at the revocation endpoint for one.
#[must_use]
pub fn client_actor(id: ApplicationId) -> Actor {
    Actor::Application {
        id,
        auth: "client_secret_basic".into(),
        jti: None,
        scopes: Vec::new(),
    }
}

/// [`ADMIN`] with a token that has every management scope.
#[must_use]
pub fn admin() -> Actor {
    full_actor(ADMIN)
}

/// An application with a token that has every management scope; what it may do is up to its grant.
#[must_use]
pub fn full_actor(id: ApplicationId) -> Actor {
    Actor::Application {
        id,
        auth: "bearer".into(),
        jti: Some(jti(Millis(BEGIN.0 + 500), 2)),
        scopes: all_management_scopes(),
    }
}

/// Whoever holds an initial access token.
#[must_use]
pub fn registrant(id: InitialAccessTokenId) -> Actor {
    Actor::InitialAccessToken { id }
}

/// An application that came with its registration access token.
#[must_use]
pub fn registered_actor(id: ApplicationId) -> Actor {
    Actor::Application {
        id,
        auth: "registration_access_token".into(),
        jti: None,
        scopes: Vec::new(),
    }
}

/// A person at the machine.
#[must_use]
pub fn operator() -> Actor {
    Actor::operator("test")
}

/// The command that begins a log: four keys, [`ADMIN`] with [`ADMIN_SECRET`].
#[must_use]
pub fn initialize() -> Command {
    Command::Initialize {
        log_id: "log-1".into(),
        administrator: ADMIN,
        name: parse("Administrator"),
        secret: secret(ADMIN_SECRET.0),
        keys: Algorithm::ALL
            .map(|algorithm| signing_key(first_kid(algorithm).as_str(), algorithm))
            .into(),
    }
}

/// Registers an API resource that needs grants, signed by RS256.
#[must_use]
#[track_caller]
pub fn create_api(identifier: &str, names: &[&str]) -> Command {
    Command::CreateApiResource {
        identifier: parse(identifier),
        name: parse("An API"),
        requires_authorization: true,
        profile: TokenProfile {
            algorithm: Algorithm::RS256,
            ..TokenProfile::default()
        },
        guards: Vec::new(),
        scopes: names.iter().map(|name| new_scope(name)).collect(),
    }
}

/// A scope without description.
#[must_use]
#[track_caller]
pub fn new_scope(name: &str) -> NewScope {
    NewScope {
        name: parse(name),
        description: None,
    }
}

/// Creates an application with nothing.
#[must_use]
#[track_caller]
pub fn create_application(id: u128, name: &str) -> Command {
    Command::CreateApplication {
        id: ApplicationId(id),
        name: parse(name),
        labels: Labels::default(),
        token_settings: TokenSettings::default(),
    }
}

/// A change of an application that changes nothing yet: for struct update syntax use its fields.
#[must_use]
pub fn change_application(id: ApplicationId) -> ApplicationChange {
    ApplicationChange {
        id,
        ..ApplicationChange::default()
    }
}

/// The fields of [`Command::ChangeApplication`], to be filled in one by one.
#[derive(Clone, Debug)]
pub struct ApplicationChange {
    /// Which one.
    pub id: ApplicationId,
    /// Its new name.
    pub name: Option<Name>,
    /// Whether it may authenticate.
    pub enabled: Option<bool>,
    /// Its new labels.
    pub labels: Option<Labels>,
    /// Its new token settings.
    pub token_settings: Option<TokenSettings>,
}

impl Default for ApplicationChange {
    fn default() -> Self {
        Self {
            id: JOB,
            name: None,
            enabled: None,
            labels: None,
            token_settings: None,
        }
    }
}

impl From<ApplicationChange> for Command {
    fn from(change: ApplicationChange) -> Self {
        let ApplicationChange {
            id,
            name,
            enabled,
            labels,
            token_settings,
        } = change;
        Self::ChangeApplication {
            id,
            name,
            enabled,
            labels,
            token_settings,
        }
    }
}

/// Disables or enables an application.
#[must_use]
pub fn enable(id: ApplicationId, enabled: bool) -> Command {
    ApplicationChange {
        enabled: Some(enabled),
        ..change_application(id)
    }
    .into()
}

/// Authorizes an application, in mode `none`.
#[must_use]
#[track_caller]
pub fn add_grant(application: ApplicationId, api: ApiId, names: &[&str]) -> Command {
    Command::AddGrant {
        application,
        api,
        mode: GrantMode::None,
        scopes: scopes(names),
    }
}

/// Adds [`secret`] of this number.
#[must_use]
pub fn add_secret(application: ApplicationId, number: u128) -> Command {
    Command::AddSecret {
        application,
        secret: secret(number),
    }
}

/// Creates a role.
#[must_use]
#[track_caller]
pub fn create_role(name: &str, names: &[&str]) -> Command {
    Command::CreateRole {
        name: parse(name),
        scopes: scopes(names),
    }
}

/// The digest of the policy of this number.
#[must_use]
pub fn policy_digest(number: u8) -> PolicyDigest {
    PolicyDigest([number; 32])
}

/// Uploads the policy of this number, which can add the claims `tier` and `tenant`.
#[must_use]
pub fn upload_policy(number: u8) -> Command {
    let parameter = PolicyParameter {
        name: "caps".into(),
        kind: PolicyValueKind::Texts,
        required: false,
        default: Some(PolicyValue::Texts(vec!["a".into()])),
        doc: "What it caps".into(),
    };
    Command::UploadPolicy {
        digest: policy_digest(number),
        bytes: 10_000,
        descriptor: Box::new(PolicyDescriptor {
            name: parse(&format!("policy-{number}")),
            version: "1.0.0".into(),
            doc: "Does something".into(),
            settings: vec![parameter],
            reads: vec!["net.ip".into()],
            codes: vec!["outside".into()],
            claims: vec!["tenant".into(), "tier".into()],
        }),
    }
}

/// The policy of this number with these claims, and a setting that tells apart.
#[must_use]
pub fn judgement(number: u8, setting: i64, claims: &[&str]) -> Judgement {
    let settings = [("cap".into(), PolicyValue::Int(setting))].into();
    let mut settings_digest = [number; 32];
    settings_digest[24..].copy_from_slice(&setting.to_be_bytes());
    Judgement {
        policy: policy_digest(number),
        settings,
        settings_digest,
        claims: claims.iter().map(|claim| (*claim).into()).collect(),
    }
}

/// Binds the policy of this number.
#[must_use]
pub fn bind_policy(target: PolicyTarget, number: u8) -> Command {
    Command::BindPolicy {
        target,
        mode: PolicyMode::Enforce,
        order: 100,
        judgement: judgement(number, 1, &["tier"]),
    }
}

/// Changes what a binding asks.
#[must_use]
pub fn rebind_policy(id: BindingId, judgement: Judgement) -> Command {
    Command::ChangePolicyBinding {
        id,
        mode: None,
        order: None,
        judgement: Some(judgement),
    }
}

/// A log in memory that plays the ledger: it decides, records, stores and applies.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// What the log adds up to.
    pub index: Index,
    /// The events, as they were made.
    pub recorded: Vec<Recorded>,
    /// The events, as they are stored.
    pub stored: Vec<Vec<u8>>,
    /// The clock: moved by a second before each command, and by hand.
    pub now: Millis,
    commands: u128,
}

impl Log {
    /// A log without any event.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            now: Millis(BEGIN.0 - 1000),
            ..Self::default()
        }
    }

    /// The base world: an initialized log, [`COURSES`] and [`JOB`].
    #[must_use]
    #[track_caller]
    pub fn base() -> Self {
        let mut log = Self::empty();
        log.run(&operator(), initialize());
        log.run(&admin(), create_api(COURSES_IDENTIFIER, &COURSE_SCOPES));
        log.run(&admin(), create_application(JOB.0, "Course publishing job"));
        log.run(&admin(), add_secret(JOB, JOB_SECRET.0));
        log
    }

    /// The base world with everything in it that [`histories`] are about: administrators of
    /// different authority, by grant (3) and by role (4), an application with a role (5), another
    /// API resource that it guards, a key that has retired, bindings of a policy. Application 6 and API resource 3 are
    /// there to be made.
    #[must_use]
    #[track_caller]
    pub fn populated() -> Self {
        let mut log = Self::base();
        let by = admin();
        let clerk: Vec<&str> = ManagementScope::ALL
            .iter()
            .map(|scope| scope.as_str())
            .filter(|name| *name != "writ:settings:write")
            .collect();
        let by_role = [
            "writ:applications:write",
            "writ:secrets:write",
            "writ:grants:write",
            "writ:roles:write",
            "writ:api-resources:write",
        ];
        for (id, name) in [(3, "Clerk"), (4, "Clerk by role"), (5, "Reader")] {
            log.run(&by, create_application(id, name));
            log.run(&by, add_secret(ApplicationId(id), id));
        }
        let rbac = |id, api, names: &[&str]| Command::AddGrant {
            application: ApplicationId(id),
            api,
            mode: GrantMode::Rbac,
            scopes: scopes(names),
        };
        log.run(&by, create_role("Readers", &COURSE_SCOPES[..4]));
        log.run(&by, create_role("Clerks", &by_role));
        log.run(&by, add_grant(ApplicationId(3), MANAGEMENT, &clerk));
        log.run(&by, rbac(4, MANAGEMENT, &clerk));
        log.run(&by, rbac(5, COURSES, &COURSE_SCOPES));
        for (id, role) in [(4, 1), (5, 0), (1, 0)] {
            let (application, role) = (ApplicationId(id), RoleId(role));
            log.run(&by, Command::AssignRole { application, role });
        }
        let mut api = create_api("urn:example:a", &["a:1", "a:2"]);
        if let Command::CreateApiResource { guards, .. } = &mut api {
            guards.push(ApplicationId(5));
        }
        log.run(&by, api);
        let key = signing_key("key-0", Algorithm::ES256);
        let kid = key.kid.clone();
        log.run(&by, Command::MakeSigningKey { key });
        log.run(&by, Command::RetireSigningKey { kid });
        log.run(&by, upload_policy(0));
        log.run(&by, bind_policy(PolicyTarget::ApiResource(COURSES), 0));
        log.run(
            &by,
            bind_policy(PolicyTarget::Application(ApplicationId(1)), 0),
        );
        log.run(&by, create_issuer("https://ci.example"));
        let (api, details_type) = (COURSES, details_type("publish"));
        log.run(&by, Command::PutDetailsType { api, details_type });
        log.now = log.now.plus_seconds(60);
        log
    }

    /// Runs a command that must be accepted and gives its events.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn run(&mut self, actor: &Actor, command: impl Into<Command>) -> Vec<Event> {
        let command = command.into();
        match self.attempt(actor, command.clone()) {
            Ok(events) => events,
            Err(refusal) => panic!("refused: {refusal}\n  {command:?}\n  by {actor:?}"),
        }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// When it is refused; nothing changed then.
    #[track_caller]
    pub fn attempt(
        &mut self,
        actor: &Actor,
        command: impl Into<Command>,
    ) -> Result<Vec<Event>, Refusal> {
        let submission = self.submission(actor, command);
        match self.submit(&submission)? {
            Decision::Events(events) => Ok(events),
            Decision::Repeat(_) => unreachable!("it has no idempotency key"),
        }
    }

    /// A submission with the next command id; moves the clock by a second.
    pub fn submission(&mut self, actor: &Actor, command: impl Into<Command>) -> Submission {
        self.now = self.now.plus_seconds(1);
        self.commands += 1;
        Submission::new(actor.clone(), CommandId(self.commands), command.into())
    }

    /// Decides a submission at the present time, and records what it gives.
    ///
    /// # Errors
    /// When it is refused; nothing changed then.
    #[track_caller]
    pub fn submit(&mut self, submission: &Submission) -> Result<Decision, Refusal> {
        let decision = consider(&self.index, submission, self.facts())?;
        if let Decision::Events(events) = &decision {
            self.record(submission, events);
        }
        Ok(decision)
    }

    /// The facts at the present time of this log: never before its last event.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts {
            now: self.now.max(self.index.last_at()),
        }
    }

    /// Records events that nothing was asked about.
    #[track_caller]
    pub fn record_event(&mut self, event: impl Into<Event>) {
        // A log of its own kind of beginning still needs a command; this one stands for any.
        let any = Command::RemoveExpiredSigningKeys;
        let submission = self.submission(&Actor::system("test"), any);
        self.record(&submission, &[event.into()]);
    }

    #[track_caller]
    fn record(&mut self, submission: &Submission, events: &[Event]) {
        let at = self.facts().now;
        for (sequence, event) in (0u32..).zip(events) {
            let recorded = Recorded {
                position: self.index.next_position(),
                id: EventId(u128::from(at.0) << 80 | self.recorded.len() as u128),
                at,
                actor: submission.actor.clone(),
                command: submission.command_id,
                sequence,
                of: u32::try_from(events.len()).unwrap_or(u32::MAX),
                idempotency: submission.idempotency,
                reason: submission.reason,
                correlation: submission.correlation.clone(),
                cause: submission.cause.clone(),
                event: event.clone(),
            };
            let bytes = match codec::encode(&recorded) {
                Ok(bytes) => bytes,
                Err(error) => panic!("an accepted event cannot be stored: {error}"),
            };
            let read = match codec::decode(recorded.position, &bytes) {
                Ok(read) => read,
                Err(error) => panic!("a stored event cannot be read: {error}"),
            };
            assert_eq!(
                read,
                as_stored(&recorded),
                "an event reads back as another one"
            );
            self.index.apply(&recorded);
            self.recorded.push(recorded);
            self.stored.push(bytes);
        }
    }

    /// The index that a restart would build, from the stored bytes alone.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    #[track_caller]
    pub fn replayed(&self) -> Index {
        let mut index = Index::default();
        for (position, bytes) in (0u64..).zip(&self.stored) {
            match codec::decode(Position(position), bytes) {
                Ok(recorded) => index.apply(&recorded),
                Err(error) => panic!("{error}"),
            }
        }
        index
    }
}

/// A recorded event without what is not stored: the scopes of the actor's token.
#[must_use]
pub fn as_stored(recorded: &Recorded) -> Recorded {
    let mut stored = recorded.clone();
    if let Actor::Application { scopes, .. } = &mut stored.actor {
        scopes.clear();
    }
    stored
}

/// Something that came before: a command that an operator runs, one that somebody runs, or an
/// event that just happened.
#[derive(Clone, Debug)]
pub enum Step {
    /// A command that must be accepted.
    Command(Actor, Command),
    /// An event, whatever the rules say.
    Event(Event),
}

impl<C: Into<Command>> From<(Actor, C)> for Step {
    fn from((actor, command): (Actor, C)) -> Self {
        Self::Command(actor, command.into())
    }
}

impl From<Command> for Step {
    fn from(command: Command) -> Self {
        Self::Command(operator(), command)
    }
}

impl From<Event> for Step {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// A test's beginning: the base world, and these steps.
#[must_use]
#[track_caller]
pub fn given<S: Into<Step>>(steps: impl IntoIterator<Item = S>) -> Given {
    Given { log: Log::base() }.and(steps)
}

/// A test's beginning: the base world as it is.
#[must_use]
#[track_caller]
pub fn given_base() -> Given {
    Given { log: Log::base() }
}

/// A test's beginning: a log without any event.
#[must_use]
pub fn given_nothing() -> Given {
    Given { log: Log::empty() }
}

/// What there is before the command that is tested.
#[derive(Clone, Debug)]
pub struct Given {
    /// The log so far.
    pub log: Log,
}

impl Given {
    /// And these steps too.
    #[must_use]
    #[track_caller]
    pub fn and<S: Into<Step>>(mut self, steps: impl IntoIterator<Item = S>) -> Self {
        for step in steps {
            match step.into() {
                Step::Command(actor, command) => drop(self.log.run(&actor, command)),
                Step::Event(event) => self.log.record_event(event),
            }
        }
        self
    }

    /// And this time passes.
    #[must_use]
    pub fn after_seconds(mut self, seconds: u64) -> Self {
        self.log.now = self.log.now.plus_seconds(seconds);
        self
    }

    /// When somebody asks this.
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better so")]
    #[track_caller]
    pub fn when(mut self, actor: Actor, command: impl Into<Command>) -> When {
        let before = self.log.index.clone();
        let command = command.into();
        let outcome = self.log.attempt(&actor, command.clone());
        if outcome.is_err() {
            assert_eq!(self.log.index, before, "a refusal changes nothing");
        }
        When {
            log: self.log,
            asked: format!("{command:?} by {actor:?}"),
            outcome,
        }
    }
}

/// The outcome of the command that is tested.
#[derive(Debug)]
#[must_use = "say what was expected"]
pub struct When {
    log: Log,
    asked: String,
    outcome: Result<Vec<Event>, Refusal>,
}

impl When {
    /// Then exactly these events happened. The log that is given back replays to the same index.
    ///
    /// # Panics
    /// When others happened, or it was refused.
    #[track_caller]
    pub fn then<E: Into<Event>>(self, events: impl IntoIterator<Item = E>) -> Given {
        let expected: Vec<Event> = events.into_iter().map(Into::into).collect();
        match self.outcome {
            Ok(events) => assert_eq!(events, expected, "{}", self.asked),
            Err(refusal) => panic!("refused: {refusal}\n  {}", self.asked),
        }
        assert_eq!(
            self.log.replayed(),
            self.log.index,
            "a restart changes the index"
        );
        Given { log: self.log }
    }

    /// Then it was accepted and nothing changed.
    ///
    /// # Panics
    /// When something happened, or it was refused.
    #[track_caller]
    pub fn then_nothing(self) -> Given {
        self.then(Vec::<Event>::new())
    }

    /// Then it was accepted, whatever happened.
    ///
    /// # Panics
    /// When it was refused.
    #[track_caller]
    pub fn then_accepted(self) -> Given {
        match self.outcome {
            Ok(_) => Given { log: self.log },
            Err(refusal) => panic!("refused: {refusal}\n  {}", self.asked),
        }
    }

    /// Then it was refused, for exactly this.
    ///
    /// # Panics
    /// When it was accepted, or refused for something else.
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better so")]
    #[track_caller]
    pub fn then_refused(self, refusal: Refusal) -> Given {
        match self.outcome {
            Err(found) => assert_eq!(found, refusal, "{}", self.asked),
            Ok(events) => panic!("accepted: {events:?}\n  {}", self.asked),
        }
        Given { log: self.log }
    }

    /// The refusal.
    ///
    /// # Panics
    /// When it was accepted.
    #[track_caller]
    pub fn refusal(self) -> Refusal {
        match self.outcome {
            Err(refusal) => refusal,
            Ok(events) => panic!("accepted: {events:?}\n  {}", self.asked),
        }
    }
}

/// One step of a generated history. Ids come from a small space so that steps meet each other.
#[derive(Clone, Debug)]
pub struct Action {
    /// How far the clock moves before it, in milliseconds.
    pub wait_ms: u64,
    /// Who asks.
    pub actor: Actor,
    /// What is asked.
    pub command: Command,
    /// The number of its idempotency key, if it has one.
    pub idempotency: Option<u8>,
    /// Its `If-Match`, if it has one.
    pub if_match: Option<IfMatch>,
}

/// The `If-Match` of a generated step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// The version that the subject has.
    Current,
    /// One that it does not have.
    Stale,
}

impl Action {
    /// Moves the log's clock and makes the submission of this step.
    pub fn submission(&self, log: &mut Log) -> Submission {
        log.now = Millis(log.now.0 + self.wait_ms);
        let mut submission = log.submission(&self.actor, self.command.clone());
        submission.idempotency = self.idempotency.map(|number| Idempotency {
            key: idempotency_key(number, &self.actor),
            body: idempotency_body(&self.command),
        });
        let subject = crate::decide::subject(&self.command);
        let current = log.index.version_of(&subject).unwrap_or_default();
        submission.if_match = self.if_match.map(|kind| match kind {
            IfMatch::Current => current,
            IfMatch::Stale => Position(current.0 + 1_000_000),
        });
        submission
    }
}

fn idempotency_key(number: u8, actor: &Actor) -> [u8; 32] {
    sha256(format!("{number}\n{}", actor.label()).as_bytes())
}

fn idempotency_body(command: &Command) -> [u8; 32] {
    sha256(format!("{command:?}").as_bytes())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// Histories of up to this many steps, to be run against [`Log::populated`].
pub fn histories(steps: usize) -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(actions(), 1..steps)
}

/// One step.
pub fn actions() -> impl Strategy<Value = Action> {
    let wait_ms = prop_oneof![
        20 => 0u64..5_000,
        4 => Just(3_600_000),
        1 => Just(25 * 3_600_000),
    ];
    let if_match = prop_oneof![Just(Some(IfMatch::Current)), Just(Some(IfMatch::Stale))];
    let local = prop_oneof![
        1 => server_commands(),
        2 => key_commands(),
        1 => token_commands(),
    ];
    let asked = prop_oneof![
        9 => (actors(), commands()),
        2 => registrations(),
        1 => (Just(Actor::system("test")), local),
    ];
    (
        wait_ms,
        asked,
        prop::option::weighted(0.15, 0u8..3),
        prop::option::weighted(0.1, if_match),
    )
        .prop_map(
            |(wait_ms, (actor, command), idempotency, if_match)| Action {
                wait_ms,
                actor,
                command,
                idempotency,
                if_match: if_match.flatten(),
            },
        )
}

/// Somebody: mostly administrators of different authority, sometimes the machine itself.
pub fn actors() -> impl Strategy<Value = Actor> {
    let management = all_management_scopes();
    let some = prop::sample::subsequence(management, 1..=ManagementScope::ALL.len());
    prop_oneof![
        8 => Just(admin()),
        8 => prop::sample::select(vec![3, 4]).prop_map(|id| full_actor(ApplicationId(id))),
        1 => application_ids().prop_map(full_actor),
        3 => (prop::sample::select(vec![1, 3, 4]).prop_map(ApplicationId), some).prop_map(|(id, scopes)| Actor::Application {
            id,
            auth: "bearer".into(),
            jti: Some(jti(Millis(BEGIN.0 + 500), 3)),
            scopes,
        }),
        1 => application_ids().prop_map(client_actor),
        4 => Just(operator()),
    ]
    .boxed()
}

/// One of six applications.
pub fn application_ids() -> impl Strategy<Value = ApplicationId> {
    (1u128..=6).prop_map(ApplicationId)
}

fn api_ids() -> impl Strategy<Value = ApiId> {
    prop_oneof![
        1 => Just(MANAGEMENT),
        5 => Just(COURSES),
        3 => Just(ApiId(2)),
        1 => Just(ApiId(3)),
    ]
}

fn role_ids() -> impl Strategy<Value = RoleId> {
    prop_oneof![4 => 0u32..=1, 1 => 2u32..=3].prop_map(RoleId)
}

fn names() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["One", "Two", "Three", "Vier"]).prop_map(|text| parse(text))
}

/// Identifiers that are wanted as such and as extra audiences.
fn identifiers() -> impl Strategy<Value = Identifier> {
    let texts = [
        COURSES_IDENTIFIER,
        "urn:example:a",
        "urn:example:b",
        "urn:example:c",
        crate::MANAGEMENT_IDENTIFIER,
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| parse(text))
}

/// Scopes that API resources have, come to have, or never have.
fn ordinary_scopes() -> impl Strategy<Value = ScopeName> {
    let mut texts = COURSE_SCOPES.to_vec();
    texts.extend(["a:1", "a:2", "b:1", "writ:new"]);
    prop::sample::select(texts).prop_map(|text| parse(text))
}

fn course_scopes() -> impl Strategy<Value = Vec<ScopeName>> {
    prop::sample::subsequence(scopes(&COURSE_SCOPES), 0..=COURSE_SCOPES.len())
}

fn management_scopes() -> impl Strategy<Value = Vec<ScopeName>> {
    prop_oneof![
        Just(all_management_scopes()),
        prop::sample::subsequence(all_management_scopes(), 0..=ManagementScope::ALL.len()),
    ]
}

/// An API resource with scopes, which mostly are its own.
fn granted_scopes() -> impl Strategy<Value = (ApiId, Vec<ScopeName>)> {
    prop_oneof![
        4 => course_scopes().prop_map(|scopes| (COURSES, scopes)),
        4 => management_scopes().prop_map(|scopes| (MANAGEMENT, scopes)),
        2 => (api_ids(), prop::collection::vec(ordinary_scopes(), 0..3)),
    ]
}

fn role_scopes() -> impl Strategy<Value = Vec<ScopeName>> {
    prop_oneof![
        3 => prop::collection::vec(ordinary_scopes(), 0..4),
        2 => course_scopes(),
        2 => management_scopes(),
        1 => (management_scopes(), course_scopes()).prop_map(|(a, b)| [a, b].concat()),
    ]
}

fn modes() -> impl Strategy<Value = GrantMode> {
    prop_oneof![3 => Just(GrantMode::None), 2 => Just(GrantMode::Rbac)]
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

fn constraints() -> impl Strategy<Value = SenderConstraint> {
    prop_oneof![
        6 => Just(SenderConstraint::None),
        1 => Just(SenderConstraint::Dpop),
        1 => Just(SenderConstraint::Mtls),
        1 => Just(SenderConstraint::Any),
    ]
}

fn profiles() -> impl Strategy<Value = TokenProfile> {
    let lifetime = prop::option::of(prop::sample::select(vec![0u32, 60, 86_400, 86_401]));
    (algorithms(), any::<bool>(), lifetime, constraints()).prop_map(
        |(algorithm, jwt, lifetime_seconds, sender_constraint)| TokenProfile {
            algorithm,
            typ: if jwt {
                crate::TokenType::Jwt
            } else {
                crate::TokenType::AtJwt
            },
            lifetime_seconds,
            sender_constraint,
        },
    )
}

fn token_settings() -> impl Strategy<Value = TokenSettings> {
    (
        any::<bool>(),
        prop::collection::vec(identifiers(), 0..3),
        prop::option::of(prop::sample::select(vec![0u32, 30, 7200])),
        constraints(),
    )
        .prop_map(
            |(by_id, extra_audiences, lifetime_seconds, sender_constraint)| TokenSettings {
                audience: if by_id {
                    Audience::ClientId
                } else {
                    Audience::Api
                },
                extra_audiences,
                lifetime_seconds,
                sender_constraint,
            },
        )
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::sample::select(vec!["", "prod", "test"]).prop_map(|value| {
        let pairs = if value.is_empty() {
            [].into()
        } else {
            [("env".into(), value.into())].into()
        };
        Labels::new(pairs).unwrap_or_default()
    })
}

fn kids() -> impl Strategy<Value = Kid> {
    let first = algorithms().prop_map(first_kid);
    let later = (0u8..3).prop_map(|n| parse(&format!("key-{n}")));
    prop_oneof![1 => first, 3 => later]
}

fn new_keys() -> impl Strategy<Value = NewSigningKey> {
    (kids(), algorithms()).prop_map(|(kid, algorithm)| signing_key(kid.as_str(), algorithm))
}

fn new_secrets() -> impl Strategy<Value = NewSecret> {
    let end = prop_oneof![
        4 => Just(None),
        1 => (0u64..100_000_000).prop_map(|ms| Some(Millis(BEGIN.0 + ms))),
    ];
    (1u128..=8, end).prop_map(|(number, expires_at)| NewSecret {
        expires_at,
        ..secret(number)
    })
}

fn settings_changes() -> impl Strategy<Value = crate::SettingsChange> {
    (
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
        prop::option::of(prop::sample::select(vec![0u32, 60, 900, 86_401])),
        prop::option::of(prop::sample::select(vec![300u32, 3600])),
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(
            |(drop, all, combine, lifetime, ahead, strict)| crate::SettingsChange {
                security_profile: strict.map(|strict| match strict {
                    true => SecurityProfile::Fapi2,
                    false => SecurityProfile::None,
                }),
                scopes_unauthorized: drop.map(|drop| match drop {
                    true => crate::UnauthorizedScopes::Drop,
                    false => crate::UnauthorizedScopes::Reject,
                }),
                scopes_omitted: all.map(|all| match all {
                    true => crate::OmittedScopes::All,
                    false => crate::OmittedScopes::None,
                }),
                scopes_combine_apis: combine,
                tokens_lifetime_seconds: lifetime,
                keys_publish_ahead_seconds: ahead,
                ..crate::SettingsChange::default()
            },
        )
}

/// A command of any kind.
pub fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => server_commands(),
        4 => api_commands(),
        6 => application_commands(),
        6 => grant_commands(),
        4 => role_commands(),
        2 => key_commands(),
        2 => token_commands(),
        4 => policy_commands(),
        6 => protection_commands(),
        1 => token_grants(),
    ]
    .boxed()
}

/// A public key of somebody else, of the right form.
#[must_use]
#[track_caller]
pub fn registered_key(number: u8) -> RegisteredKey {
    RegisteredKey {
        kid: Some(format!("key-{number}").into()),
        alg: None,
        jwk: signing_key(&format!("foreign-{number}"), Algorithm::ES256).jwk,
        certificate: None,
    }
}

/// Keys of an application, and nothing else.
#[must_use]
pub fn by_key(number: u8) -> Authentication {
    Authentication {
        methods: vec![AuthenticationMethod::PrivateKeyJwt],
        keys: vec![registered_key(number)],
        ..Authentication::default()
    }
}

/// Tokens of a trusted issuer, and nothing else.
#[must_use]
#[track_caller]
pub fn by_trust(issuer: IssuerId) -> Authentication {
    Authentication {
        methods: vec![AuthenticationMethod::WorkloadIdentity],
        trust: vec![TrustRule {
            name: parse("ci"),
            issuer,
            audience: parse("https://writ.example"),
            subject: parse("repo:acme/app:*"),
            claims: [].into(),
            lifetime_seconds: 3600,
        }],
        ..Authentication::default()
    }
}

/// Trusts an issuer whose keys are given.
#[must_use]
#[track_caller]
pub fn create_issuer(issuer: &str) -> Command {
    Command::CreateTrustedIssuer {
        issuer: parse(issuer),
        name: parse("CI"),
        keys: IssuerKeys::Keys(vec![registered_key(0)]),
        omits_issuer: false,
    }
}

/// Lets two applications register themselves in a day, by a secret in the header or by a key, with
/// these scopes of [`COURSES`].
#[must_use]
#[track_caller]
pub fn create_initial_access_token(names: &[&str]) -> Command {
    let grant = BoundGrant {
        api: COURSES,
        scopes: scopes(names),
    };
    Command::CreateInitialAccessToken {
        name: parse("CI"),
        digest: CredentialDigest(digest(50)),
        expires_at: BEGIN.plus_seconds(86_400),
        registrations: 2,
        bounds: RegistrationBounds {
            methods: vec![
                AuthenticationMethod::ClientSecretBasic,
                AuthenticationMethod::PrivateKeyJwt,
            ],
            name_prefix: Some(parse("ci-")),
        },
        labels: Labels::default(),
        grants: (!names.is_empty()).then_some(grant).into_iter().collect(),
    }
}

/// What an application says about itself that goes by a secret, or by a key.
#[must_use]
#[track_caller]
pub fn client_metadata(method: AuthenticationMethod) -> ClientMetadata {
    let keys = match method {
        AuthenticationMethod::PrivateKeyJwt => vec![registered_key(1)],
        _ => Vec::new(),
    };
    ClientMetadata {
        name: Some(parse("ci-job")),
        method,
        keys,
        jwks_uri: None,
        certificate_subject: None,
        sender_constraint: SenderConstraint::None,
    }
}

/// The digest of the registration access token that [`register`] gives an application.
#[must_use]
pub fn registration_digest(id: ApplicationId) -> CredentialDigest {
    CredentialDigest(digest(100 + id.0))
}

/// Registers an application by an initial access token, with all scopes that it can have.
#[must_use]
pub fn register(
    token: InitialAccessTokenId,
    application: ApplicationId,
    metadata: ClientMetadata,
) -> Command {
    Command::RegisterApplication {
        token,
        registration: Box::new(NewRegistration {
            application,
            digest: registration_digest(application),
            metadata,
            scopes: None,
        }),
        secret: secret(200 + application.0),
    }
}

/// Changes an application by its registration access token.
#[must_use]
pub fn change_registration(application: ApplicationId, metadata: ClientMetadata) -> Command {
    Command::ChangeRegistration {
        application,
        presented: registration_digest(application),
        metadata: Box::new(metadata),
        secret: secret(300 + application.0),
    }
}

/// A type of authorization details without a schema.
#[must_use]
#[track_caller]
pub fn details_type(name: &str) -> DetailsType {
    DetailsType {
        name: parse(name),
        description: None,
        schema: None,
    }
}

fn authentications() -> impl Strategy<Value = Option<Box<Authentication>>> {
    let strict = |profile| {
        move |mut own: Authentication| {
            own.profile = profile;
            Some(Box::new(own))
        }
    };
    let keys = || (0u8..3).prop_map(by_key);
    prop_oneof![
        2 => Just(None),
        2 => keys().prop_map(strict(SecurityProfile::None)),
        1 => keys().prop_map(strict(SecurityProfile::Fapi2)),
        1 => Just(strict(SecurityProfile::Fapi2)(Authentication::default())),
        3 => (0u32..3).prop_map(|id| Some(Box::new(by_trust(IssuerId(id))))),
    ]
}

fn protection_commands() -> BoxedStrategy<Command> {
    let quotas = prop::option::of(
        (0u32..3, any::<bool>()).prop_map(|(tokens, monitor)| Quota {
            per_hour: Some(tokens),
            mode: match monitor {
                true => QuotaMode::Monitor,
                false => QuotaMode::Enforce,
            },
            ..Quota::default()
        }),
    );
    let exchanges = prop::option::of(prop::collection::vec(application_ids(), 0..3).prop_map(
        |subjects| TokenExchange {
            subjects,
            mode: ExchangeMode::Delegation,
        },
    ));
    let types = || prop::sample::select(vec!["publish", "archive"]);
    let granted = prop_oneof![
        2 => Just((ApplicationId(5), COURSES)),
        1 => (application_ids(), api_ids()),
    ];
    let issuers = prop::sample::select(vec!["https://ci.example", "https://cd.example"]);
    let issuer_ids = || (0u32..3).prop_map(IssuerId);
    prop_oneof![
        4 => (application_ids(), authentications()).prop_map(|(application, authentication)| {
            Command::ChangeAuthentication { application, authentication }
        }),
        2 => (application_ids(), quotas)
            .prop_map(|(application, quota)| Command::ChangeQuota { application, quota }),
        2 => (application_ids(), exchanges)
            .prop_map(|(application, exchange)| Command::ChangeExchange { application, exchange }),
        4 => (granted, prop::collection::vec(types(), 0..2)).prop_map(
            |((application, api), names)| Command::ChangeGrantDetails {
                application,
                api,
                details: names.into_iter().map(|name| parse(name)).collect(),
            }
        ),
        3 => (api_ids(), types()).prop_map(|(api, name)| Command::PutDetailsType {
            api,
            details_type: details_type(name),
        }),
        1 => (api_ids(), types(), any::<bool>()).prop_map(|(api, name, cascade)| {
            Command::RemoveDetailsType { api, name: parse(name), cascade }
        }),
        3 => issuers.prop_map(create_issuer),
        1 => (issuer_ids(), prop::option::of(names()), prop::option::of(any::<bool>())).prop_map(
            |(id, name, omits_issuer)| Command::ChangeTrustedIssuer {
                id, name, keys: None, omits_issuer,
            }
        ),
        1 => issuer_ids().prop_map(|id| Command::RemoveTrustedIssuer { id }),
    ]
    .boxed()
}

/// Initial access tokens that come and go.
fn token_grants() -> BoxedStrategy<Command> {
    let names = prop::sample::select(vec![
        &[][..],
        &["courses:read"],
        &["courses:read", "courses:write"],
    ]);
    let token_ids = (0u32..3).prop_map(InitialAccessTokenId);
    let created = (names, 1u32..4, 0u64..10_000_000).prop_map(|(names, most, ms)| {
        let mut command = create_initial_access_token(names);
        if let Command::CreateInitialAccessToken {
            registrations,
            expires_at,
            ..
        } = &mut command
        {
            *registrations = most;
            *expires_at = Millis(BEGIN.0 + 86_400_000 + ms);
        }
        command
    });
    prop_oneof![
        6 => created,
        1 => token_ids.prop_map(|id| Command::RevokeInitialAccessToken { id }),
        1 => application_ids().prop_map(|application| Command::RevokeRegistration { application }),
    ]
    .boxed()
}

/// Applications that register themselves, and change or remove that again.
fn registrations() -> BoxedStrategy<(Actor, Command)> {
    let methods = || {
        prop::sample::select(vec![
            AuthenticationMethod::ClientSecretBasic,
            AuthenticationMethod::ClientSecretPost,
            AuthenticationMethod::PrivateKeyJwt,
        ])
    };
    // Mostly the first: what comes before in a history must fit what comes after.
    let token_ids = || prop_oneof![8 => Just(0u32), 1 => 1u32..3].prop_map(InitialAccessTokenId);
    let metadata = || {
        (methods(), constraints()).prop_map(|(method, sender_constraint)| ClientMetadata {
            sender_constraint,
            ..client_metadata(method)
        })
    };
    let mine = |id| registered_actor(id);
    prop_oneof![
        2 => (5u128..=6).prop_map(|id| {
            let application = ApplicationId(id);
            (admin(), Command::RevokeRegistration { application })
        }),
        1 => token_ids().prop_map(|id| {
            (admin(), Command::RevokeInitialAccessToken { id })
        }),
        3 => token_grants().prop_map(|command| (admin(), command)),
        6 => (token_ids(), token_ids(), 5u128..=6, metadata()).prop_map(|(by, token, id, metadata)| {
            (registrant(by), register(token, ApplicationId(id), metadata))
        }),
        6 => (5u128..=6, metadata()).prop_map(move |(id, metadata)| {
            let id = ApplicationId(id);
            (mine(id), change_registration(id, metadata))
        }),
        1 => (5u128..=6, 5u128..=6).prop_map(move |(id, other)| {
            let (application, other) = (ApplicationId(id), ApplicationId(other));
            let presented = registration_digest(other);
            (mine(application), Command::RemoveRegistration { application, presented })
        }),
    ]
    .boxed()
}

fn policy_targets() -> impl Strategy<Value = PolicyTarget> {
    prop_oneof![
        1 => Just(PolicyTarget::Server),
        3 => api_ids().prop_map(PolicyTarget::ApiResource),
        2 => application_ids().prop_map(PolicyTarget::Application),
    ]
}

fn policy_commands() -> BoxedStrategy<Command> {
    let modes = || {
        any::<bool>().prop_map(|shadow| match shadow {
            true => PolicyMode::Shadow,
            false => PolicyMode::Enforce,
        })
    };
    let claims = prop::sample::select(vec![
        vec![],
        vec!["tier"],
        vec!["tier", "tenant"],
        vec!["no"],
    ]);
    let judgements = || {
        (0u8..3, 0i64..3, claims.clone())
            .prop_map(|(number, setting, claims)| judgement(number, setting, &claims))
    };
    let ids = || (0u32..6).prop_map(BindingId);
    prop_oneof![
        2 => (0u8..3).prop_map(upload_policy),
        1 => (0u8..3).prop_map(|number| Command::RemovePolicy { digest: policy_digest(number) }),
        3 => (policy_targets(), modes(), 0u32..3, judgements()).prop_map(
            |(target, mode, order, judgement)| Command::BindPolicy { target, mode, order, judgement }
        ),
        3 => (
            ids(),
            prop::option::of(modes()),
            prop::option::of(0u32..3),
            prop::option::of(judgements()),
        )
            .prop_map(|(id, mode, order, judgement)| Command::ChangePolicyBinding {
                id, mode, order, judgement,
            }),
        1 => ids().prop_map(|id| Command::RollBackPolicyBinding { id }),
        1 => ids().prop_map(|id| Command::UnbindPolicy { id }),
    ]
    .boxed()
}

fn server_commands() -> BoxedStrategy<Command> {
    prop_oneof![
        1 => Just(initialize()),
        1 => (application_ids(), names(), new_secrets()).prop_map(|(application, name, secret)| {
            Command::RecoverAdministrator { application, name, secret }
        }),
        1 => (0..3u8).prop_map(|n| Command::SetLogKey { vkey: format!("log+{n}").into() }),
        1 => any::<[u8; 32]>().prop_map(|root| Command::AcceptRestore { size: 7, root }),
        1 => Just(Command::StartServer {
            version: "0.1.0".into(),
            engine: "none".into(),
            issuer: Some("https://writ.example".into()),
        }),
        5 => settings_changes().prop_map(|change| Command::ChangeSettings { change }),
    ]
    .boxed()
}

fn api_commands() -> BoxedStrategy<Command> {
    let guards = || prop::collection::vec(application_ids(), 0..3);
    let new_scopes = prop::collection::vec(ordinary_scopes(), 0..3).prop_map(|names| {
        let scope = |name| NewScope {
            name,
            description: None,
        };
        names.into_iter().map(scope).collect::<Vec<NewScope>>()
    });
    let create = (
        identifiers(),
        names(),
        any::<bool>(),
        profiles(),
        guards(),
        new_scopes,
    );
    let change = (
        api_ids(),
        prop::option::of(names()),
        prop::option::of(any::<bool>()),
        prop::option::of(profiles()),
        prop::option::of(guards()),
    );
    let description = prop::option::of(Just(parse("What it is for")));
    prop_oneof![
        2 => create.prop_map(|(identifier, name, requires_authorization, profile, guards, scopes)| {
            Command::CreateApiResource {
                identifier, name, requires_authorization, profile, guards, scopes,
            }
        }),
        2 => change.prop_map(|(id, name, requires_authorization, profile, guards)| {
            let profile = profile.map_or_else(ProfileChange::default, |profile| ProfileChange {
                algorithm: Some(profile.algorithm),
                typ: Some(profile.typ),
                lifetime_seconds: Some(profile.lifetime_seconds), sender_constraint: Some(profile.sender_constraint), });
            Command::ChangeApiResource { id, name, requires_authorization, profile, guards }
        }),
        1 => (api_ids(), any::<bool>())
            .prop_map(|(id, cascade)| Command::RemoveApiResource { id, cascade }),
        3 => (api_ids(), ordinary_scopes(), description).prop_map(|(api, name, description)| {
            Command::PutScope { api, scope: NewScope { name, description } }
        }),
        2 => (api_ids(), ordinary_scopes(), any::<bool>())
            .prop_map(|(api, name, cascade)| Command::RemoveScope { api, name, cascade }),
    ]
    .boxed()
}

fn application_commands() -> BoxedStrategy<Command> {
    let change = (
        application_ids(),
        prop::option::weighted(0.3, names()),
        prop::option::of(any::<bool>()),
        prop::option::weighted(0.3, labels()),
        prop::option::weighted(0.3, token_settings()),
    );
    prop_oneof![
        2 => (application_ids(), names(), labels(), token_settings()).prop_map(
            |(id, name, labels, token_settings)| {
                Command::CreateApplication { id, name, labels, token_settings }
            }
        ),
        1 => (application_ids(), names()).prop_map(|(id, name)| {
            create_application(id.0, name.as_str())
        }),
        4 => change.prop_map(|(id, name, enabled, labels, token_settings)| {
            Command::ChangeApplication { id, name, enabled, labels, token_settings }
        }),
        6 => (application_ids(), any::<bool>()).prop_map(|(id, enabled)| enable(id, enabled)),
        1 => (application_ids(), any::<bool>())
            .prop_map(|(id, cascade)| Command::RemoveApplication { id, cascade }),
        4 => (application_ids(), new_secrets())
            .prop_map(|(application, secret)| Command::AddSecret { application, secret }),
        2 => (application_ids(), new_secrets(), 0u32..=7_776_001).prop_map(
            |(application, secret, overlap_seconds)| {
                Command::RotateSecret { application, secret, overlap_seconds }
            }
        ),
        2 => (application_ids(), 1u128..=8).prop_map(|(application, secret)| {
            Command::RevokeSecret { application, secret: SecretId(secret) }
        }),
    ]
    .boxed()
}

fn grant_commands() -> BoxedStrategy<Command> {
    let some_scopes = granted_scopes().prop_map(|(api, scopes)| (api, Some(scopes)));
    let no_scopes = api_ids().prop_map(|api| (api, None));
    prop_oneof![
        5 => (application_ids(), granted_scopes(), modes()).prop_map(
            |(application, (api, scopes), mode)| Command::AddGrant { application, api, mode, scopes }
        ),
        3 => (application_ids(), prop_oneof![some_scopes, no_scopes], prop::option::of(modes()))
            .prop_map(|(application, (api, scopes), mode)| {
                Command::ChangeGrant { application, api, mode, scopes }
            }),
        1 => (application_ids(), api_ids())
            .prop_map(|(application, api)| Command::RemoveGrant { application, api }),
        3 => (application_ids(), role_ids())
            .prop_map(|(application, role)| Command::AssignRole { application, role }),
        2 => (application_ids(), role_ids())
            .prop_map(|(application, role)| Command::UnassignRole { application, role }),
    ].boxed()
}

fn role_commands() -> BoxedStrategy<Command> {
    prop_oneof![
        3 => (names(), role_scopes()).prop_map(|(name, scopes)| Command::CreateRole { name, scopes }),
        3 => (role_ids(), prop::option::of(names()), prop::option::of(role_scopes()))
            .prop_map(|(id, name, scopes)| Command::ChangeRole { id, name, scopes }),
        1 => (role_ids(), any::<bool>())
            .prop_map(|(id, cascade)| Command::RemoveRole { id, cascade }),
    ].boxed()
}

fn key_commands() -> BoxedStrategy<Command> {
    prop_oneof![
        3 => new_keys().prop_map(|key| Command::MakeSigningKey { key }),
        3 => kids().prop_map(|kid| Command::ActivateSigningKey { kid }),
        1 => kids().prop_map(|kid| Command::RetireSigningKey { kid }),
        2 => (kids(), prop::option::of(new_keys()))
            .prop_map(|(kid, replacement)| Command::RevokeSigningKey { kid, replacement }),
        3 => Just(Command::RemoveExpiredSigningKeys),
    ]
    .boxed()
}

fn token_commands() -> BoxedStrategy<Command> {
    let end = (0u64..200_000_000).prop_map(|ms| Millis(BEGIN.0 + ms));
    prop_oneof![
        4 => (0u64..4, application_ids(), end).prop_map(|(number, application, expires_at)| {
            Command::RevokeToken { jti: jti(BEGIN, number), application, expires_at }
        }),
        1 => (2u128..=6).prop_map(|id| Command::CutTokens { application: ApplicationId(id) }),
        1 => (any::<[u8; 32]>(), any::<u16>()).prop_map(|(root, records)| Command::SealIssuances {
            file: "issuances-1".into(),
            first: jti(BEGIN, 1),
            last: jti(BEGIN, 2),
            records: records.into(),
            root,
        }),
    ]
    .boxed()
}
