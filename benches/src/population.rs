//! A server as large as anybody's: two hundred API resources of twenty scopes, and applications with
//! a secret and five grants of four scopes each. Events only, made without deciding anything.

use crate::log::{parse, recorded};
use writ_core::{
    ApiId, ApiResourceCreated, ApplicationCreated, ApplicationId, ApplicationSecretAdded, Event,
    GrantAdded, GrantMode, Index, Labels, Millis, Recorded, Scope, ScopeName, SecretId,
    TokenProfile, TokenSettings, codec,
};
use writ_ledger::Engine;
use writ_ledger::engine::Entry;

/// API resources.
pub const APIS: u32 = 200;
/// Scopes of each.
pub const SCOPES: u32 = 20;
/// Grants of an application.
pub const GRANTS: u32 = 5;
/// Scopes of a grant.
pub const GRANTED: u32 = 4;
/// Events of an application: its creation, a secret, the grants.
pub const EVENTS: u64 = 2 + GRANTS as u64;
/// Events that one append makes durable.
const BATCH: usize = 20_000;

/// Where it is put into a log.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    applications: u64,
    begin: u64,
    at: u64,
    first_api: u32,
}

/// Numbers that are spread out, one for each number.
#[must_use]
pub fn spread(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// The identifier of an API resource.
#[must_use]
pub fn identifier(api: u32) -> String {
    format!("https://api-{api}.example/v1")
}

/// The name of a scope.
#[must_use]
pub fn scope(api: u32, number: u32) -> String {
    format!("api{api}:scope-{number}")
}

/// The API resource of a grant, by its number among the application's. The grants of one application
/// are for different ones.
#[must_use]
pub fn granted_api(application: u64, grant: u32) -> u32 {
    let share = APIS / GRANTS;
    (spread(application) >> 20) as u32 % share + grant * share
}

/// The scopes of a grant.
#[must_use]
pub fn granted_scopes(application: u64, grant: u32) -> [u32; GRANTED as usize] {
    let first = (spread(application) >> (grant + 8)) as u32;
    [0, 1, 2, 3].map(|n| (first % SCOPES + n * 3) % SCOPES)
}

impl Population {
    /// After what an index has.
    #[must_use]
    pub fn after(index: &Index, applications: u64) -> Self {
        let apis = index.apis(None).map(|api| api.id.0 + 1);
        Self {
            applications,
            begin: index.next_position().0,
            at: index.last_at().0.max(1_772_528_400_000),
            first_api: apis.max().unwrap_or(0),
        }
    }

    /// The id of an application: the moment first, then what nobody guesses.
    #[must_use]
    pub fn application(&self, number: u64) -> ApplicationId {
        let random = u128::from(spread(number)) << 12 | 2 << 62;
        ApplicationId(u128::from(self.at + number) << 80 | 7 << 76 | random)
    }

    fn api(&self, api: u32) -> ApiId {
        ApiId(self.first_api + api)
    }

    /// How many events it is.
    #[must_use]
    pub fn events(&self) -> u64 {
        u64::from(APIS) + self.applications * EVENTS
    }

    /// One of its events, by its number.
    #[must_use]
    pub fn event(&self, number: u64) -> Recorded {
        let event = match number.checked_sub(u64::from(APIS)) {
            None => self.api_created(number as u32),
            Some(later) => self.of_application(later / EVENTS, (later % EVENTS) as u32),
        };
        // An application in each millisecond, so that its id is of its own.
        let at = Millis(self.at + number.saturating_sub(u64::from(APIS)) / EVENTS);
        recorded(self.begin + number, at, number, event)
    }

    fn api_created(&self, api: u32) -> Event {
        let scopes = (0..SCOPES).map(|number| Scope {
            name: parse(&scope(api, number)),
            description: None,
        });
        ApiResourceCreated {
            id: self.api(api),
            identifier: parse(&identifier(api)),
            name: parse(&format!("API {api}")),
            requires_authorization: true,
            profile: TokenProfile::default(),
            guards: Vec::new(),
            scopes: scopes.collect(),
        }
        .into()
    }

    fn of_application(&self, number: u64, event: u32) -> Event {
        let application = self.application(number);
        let Some(grant) = event.checked_sub(2) else {
            return match event {
                0 => ApplicationCreated {
                    id: application,
                    name: parse(&format!("Batch job {number}")),
                    labels: Labels::default(),
                    token_settings: TokenSettings::default(),
                }
                .into(),
                _ => ApplicationSecretAdded {
                    application,
                    secret: SecretId(application.0 ^ 1),
                    digest: [number as u8; 32],
                    expires_at: None,
                }
                .into(),
            };
        };
        let api = granted_api(number, grant);
        let scopes = granted_scopes(number, grant).map(|number| scope(api, number));
        GrantAdded {
            application,
            api: self.api(api),
            mode: GrantMode::None,
            scopes: scopes.map(|name| parse::<ScopeName>(&name)).to_vec(),
        }
        .into()
    }

    /// Appends all of it to a log.
    ///
    /// # Panics
    /// When the disk has no room, or the log has another head.
    pub fn append_to(&self, engine: &dyn Engine) {
        let mut entries = Vec::with_capacity(BATCH);
        let mut head = self.begin;
        for number in 0..self.events() {
            let recorded = self.event(number);
            let entities = recorded.event.entities();
            entries.push(Entry {
                bytes: codec::encode(&recorded).unwrap_or_else(|error| panic!("{error}")),
                entities: entities.iter().map(ToString::to_string).collect(),
            });
            if entries.len() == BATCH || number + 1 == self.events() {
                let appended = engine.append(head, &entries);
                head = appended.unwrap_or_else(|error| panic!("{error}"));
                entries.clear();
            }
        }
    }
}
