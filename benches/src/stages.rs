//! The stages of a request, each for itself: for criterion, which says how long one takes, and for
//! callgrind, which counts its instructions. Each stage is the server's own code, with evidence that the
//! stage before has made.

use crate::{World, scope};
use actix_web::rt::{System, SystemRunner};
use aws_lc_rs::rand::SystemRandom as AwsRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use writ::dpop::{NonceRule, verify_proof};
use writ::form::Form;
use writ::http;
use writ::issue::{
    AuthenticatedApplication, Caller, Entitlement, Permit, PresentedCredentials, Request,
    SignedToken, TokenAnswer, authenticate, entitle, judge, record, sign,
};
use writ::jose::ForeignKey;
use writ_core::{
    Algorithm, ApplicationId, Authentication, AuthenticationMethod, Command, PolicyTarget,
    RecordMode,
};

/// Somebody who measures.
pub trait Meter {
    /// Measures what `run` does with what `set_up` makes, and not how that is made.
    fn stage<I, O>(&mut self, name: &str, set_up: impl FnMut() -> I, run: impl FnMut(I) -> O);
}

/// All that the stages need.
struct Stages<'a> {
    world: &'a World,
    system: SystemRunner,
    key: EcdsaKeyPair,
    /// The application that proves itself by an assertion.
    keyed: String,
    next: AtomicU64,
}

/// Measures every stage, in the order of a request.
///
/// # Panics
/// When a stage does not do what it should: nothing else is measured by mistake.
pub fn measure(world: &World, meter: &mut impl Meter) {
    let stages = Stages::new(world);
    stages.parse(meter);
    stages.authenticate(meter);
    stages.entitle(meter);
    stages.judge(meter);
    stages.sign(meter);
    stages.record(meter);
    stages.render(meter);
    stages.validate(meter);
    stages.whole(meter);
}

impl<'a> Stages<'a> {
    fn new(world: &'a World) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let keyed = world.create_judged(0).id;
        let registered = ForeignKey::from_jwk(&jwk(&key))
            .expect("a key")
            .to_registered();
        let authentication = Authentication {
            methods: vec![AuthenticationMethod::PrivateKeyJwt],
            keys: vec![registered],
            ..Authentication::default()
        };
        crate::execute(
            &world.app,
            Command::ChangeAuthentication {
                application: keyed.parse().expect("an id"),
                authentication: Some(Box::new(authentication)),
            },
        );
        Self {
            world,
            system: System::new(),
            key,
            keyed,
            next: AtomicU64::new(0),
        }
    }

    fn parse(&self, meter: &mut impl Meter) {
        let body = self.form();
        let kind: &[u8] = b"application/x-www-form-urlencoded";
        let parse = |(): ()| Form::parse(Some(kind), body.as_bytes()).expect("a form");
        assert_eq!(parse(()).get("grant_type"), Some("client_credentials"));
        meter.stage("parse", || (), parse);
    }

    fn authenticate(&self, meter: &mut impl Meter) {
        let (app, index) = (&self.world.app, self.world.app.index());
        let run = |credentials: PresentedCredentials<'_>| {
            let caller = Caller {
                credentials: &credentials,
                certificate: None,
                source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            };
            let found = self.system.block_on(authenticate(app, &index, caller));
            found.expect("authentic")
        };
        let secret = || PresentedCredentials::Secret {
            client_id: &self.world.client_id,
            presented_secret: &self.world.client_secret,
            method: AuthenticationMethod::ClientSecretPost,
        };
        meter.stage("authenticate/client_secret", secret, run);

        let assertion = self.assertion();
        let signed = || PresentedCredentials::Assertion {
            client_id: None,
            assertion: &assertion,
        };
        // Whether it was presented before is asked afterwards, by `Spent`.
        meter.stage("authenticate/private_key_jwt", signed, run);

        let (proof, now) = (self.proof(), app.now());
        let check = |(): ()| {
            let nonces = NonceRule::Optional(&app.nonces);
            verify_proof(&proof, "POST", HTU, now, None, nonces).expect("a proof")
        };
        meter.stage("authenticate/dpop_proof", || (), check);
    }

    fn entitle(&self, meter: &mut impl Meter) {
        let scope = scope(Algorithm::ES256);
        let request = self.request(&scope);
        let application = self.authenticated(&request);
        let index = self.world.app.index();
        meter.stage(
            "entitle",
            || application.clone(),
            |application| {
                entitle(&self.world.app, &index, application, &request, None).expect("entitled")
            },
        );
    }

    fn judge(&self, meter: &mut impl Meter) {
        for policies in [0, 1, 3] {
            let judged = self.world.create_judged(policies);
            let scope = scope(Algorithm::ES256);
            let mut request = self.request(&scope);
            request.credentials = PresentedCredentials::Secret {
                client_id: &judged.id,
                presented_secret: &judged.secret,
                method: AuthenticationMethod::ClientSecretPost,
            };
            let entitlement = self.entitlement(&request);
            let app = &self.world.app;
            let run = |entitlement| judge(app, entitlement, &request).expect("a permit");
            let id: ApplicationId = judged.id.parse().expect("an id");
            let target = PolicyTarget::Application(id);
            assert_eq!(app.index().bound(target).len(), policies);
            meter.stage(&format!("judge/{policies}"), || entitlement.clone(), run);
        }
    }

    fn sign(&self, meter: &mut impl Meter) {
        for algorithm in Algorithm::ALL {
            let scope = scope(algorithm);
            let request = self.request(&scope);
            let entitlement = self.entitlement(&request);
            let run = |permit| sign(&self.world.app, permit).expect("signed");
            meter.stage(
                &format!("sign/{algorithm}"),
                || self.permit(&entitlement, &request),
                run,
            );
        }
    }

    fn record(&self, meter: &mut impl Meter) {
        let scope = scope(Algorithm::ES256);
        let request = self.request(&scope);
        let entitlement = self.entitlement(&request);
        for (mode, name) in [
            (RecordMode::Off, "record/off"),
            (RecordMode::Buffered, "record/buffered"),
            (RecordMode::Durable, "record/durable"),
        ] {
            self.world.record(mode);
            let run = |signed| {
                let recorded = self
                    .system
                    .block_on(record(&self.world.app, &request, signed));
                recorded.expect("recorded")
            };
            meter.stage(name, || self.signed(&entitlement, &request), run);
        }
        self.world.record(RecordMode::Off);
    }

    fn render(&self, meter: &mut impl Meter) {
        let answer = self.answer();
        let run = |(): ()| http::token_answer(&answer);
        assert_eq!(run(()).status().as_u16(), 200);
        meter.stage("render", || (), run);
    }

    fn validate(&self, meter: &mut impl Meter) {
        let app = &self.world.app;
        for algorithm in Algorithm::ALL {
            let token = self.answer_of(algorithm).access_token().to_owned();
            let run = |(): ()| self.world.validate_at_first_sight(&token);
            meter.stage(&format!("validate/{algorithm}"), || (), run);
        }
        let token = self.answer().access_token().to_owned();
        let run = |(): ()| app.validate_token(&token).expect("a good token");
        meter.stage("validate/again", || (), run);
    }

    /// All stages in a row, but for what HTTP does.
    fn whole(&self, meter: &mut impl Meter) {
        let scope = scope(Algorithm::ES256);
        let request = self.request(&scope);
        let run = |(): ()| {
            let issued = writ::issue::issue(&self.world.app, &request);
            self.system.block_on(issued).expect("a token")
        };
        meter.stage("issue/ES256/off", || (), run);
    }

    fn form(&self) -> String {
        format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=ES256%3Apublish+ES256%3Aread",
            self.world.client_id, self.world.client_secret
        )
    }

    /// For two scopes.
    fn request<'s>(&'s self, scope: &'s str) -> Request<'s> {
        self.world.request(&[], scope)
    }

    fn authenticated(&self, request: &Request<'_>) -> AuthenticatedApplication {
        let (app, index) = (&self.world.app, self.world.app.index());
        let found = authenticate(app, &index, request.caller());
        self.system.block_on(found).expect("authentic")
    }

    fn entitlement(&self, request: &Request<'_>) -> Entitlement {
        let application = self.authenticated(request);
        let app = &self.world.app;
        entitle(app, &app.index(), application, request, None).expect("entitled")
    }

    fn permit(&self, entitlement: &Entitlement, request: &Request<'_>) -> Permit {
        judge(&self.world.app, entitlement.clone(), request).expect("a permit")
    }

    fn signed(&self, entitlement: &Entitlement, request: &Request<'_>) -> SignedToken {
        sign(&self.world.app, self.permit(entitlement, request)).expect("signed")
    }

    fn answer(&self) -> TokenAnswer {
        self.answer_of(Algorithm::ES256)
    }

    fn answer_of(&self, algorithm: Algorithm) -> TokenAnswer {
        let scope = scope(algorithm);
        let request = self.request(&scope);
        let issued = writ::issue::issue(&self.world.app, &request);
        self.system.block_on(issued).expect("a token")
    }

    /// A text that was not there before.
    fn jti(&self) -> String {
        format!("jti-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// What the application presents that has a key.
    fn assertion(&self) -> String {
        let now = self.world.app.now().seconds();
        let claims = json!({
            "iss": self.keyed, "sub": self.keyed, "aud": "https://writ.example",
            "iat": now, "exp": now + 300, "jti": self.jti(),
        });
        self.jws(&json!({ "alg": "ES256", "typ": "JWT" }), &claims)
    }

    /// A proof that somebody holds the key.
    fn proof(&self) -> String {
        let header = json!({ "alg": "ES256", "typ": "dpop+jwt", "jwk": jwk(&self.key) });
        let now = self.world.app.now().seconds();
        let claims = json!({ "htm": "POST", "htu": HTU, "iat": now, "jti": self.jti() });
        self.jws(&header, &claims)
    }

    fn jws(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&AwsRandom::new(), message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signature.expect("signed"));
        format!("{message}.{signature}")
    }
}

/// The address that a proof is for.
const HTU: &str = "https://writ.example/oauth2/token";

/// The public part of a key as a JWK (RFC 7518 §6.2).
fn jwk(key: &EcdsaKeyPair) -> Value {
    // 0x04, then both coordinates (SEC 1 §2.3.3).
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
}
