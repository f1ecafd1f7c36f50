//! Access reviews: who can get which scopes, through what, and what of it nobody uses.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use writ_core::{
    ApiId, ApiResource, Application, ApplicationId, GrantMode, Index, Millis, RoleId, ScopeName,
    Settings,
};

/// Through what an application gets the scopes of an API resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Through {
    /// A grant alone.
    Grant,
    /// A grant, as far as these roles have its scopes.
    Roles(Vec<RoleId>),
    /// Nothing: the API resource needs no authorization.
    Open,
}

/// What one application can get of one API resource.
#[derive(Clone, Debug)]
pub struct Access {
    /// The application.
    pub application: Arc<Application>,
    /// The API resource.
    pub api: Arc<ApiResource>,
    /// The scopes that a token can have; there can be none, and the token is for the API all the same.
    pub scopes: Vec<ScopeName>,
    /// Through what.
    pub through: Through,
}

/// What a review is narrowed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// One application.
    pub application: Option<ApplicationId>,
    /// One API resource.
    pub api: Option<ApiId>,
}

/// Where a review is: after this application and API resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub ApplicationId, pub ApiId);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl std::str::FromStr for Place {
    type Err = writ_core::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (application, api) = text.split_once('/').ok_or(writ_core::ParseIdError)?;
        Ok(Self(application.parse()?, api.parse()?))
    }
}

/// Who can get what, by application and API resource, after a place. Disabled applications are in it:
/// they could be enabled. Of each application only its grants and what is open are looked at.
pub fn review(index: &Index, wanted: Wanted, after: Option<Place>) -> impl Iterator<Item = Access> {
    let open: Arc<[ApiId]> = index
        .apis(None)
        .filter(|api| !api.requires_authorization)
        .map(|api| api.id)
        .collect();
    let first = wanted.application.or(after.map(|place| place.0));
    let from = first.and_then(|id| index.application(id));
    let rest = wanted.application.is_none();
    let rest = rest.then(|| index.applications(after.map(|place| place.0)));
    let applications = from.into_iter().chain(rest.into_iter().flatten());
    applications.flat_map(move |application| {
        let granted = application.grants().map(|grant| grant.api);
        let apis: BTreeSet<ApiId> = granted.chain(open.iter().copied()).collect();
        let apis = apis.into_iter().filter(move |api| {
            let place = Place(application.id, *api);
            after.is_none_or(|after| place > after)
                && wanted.api.is_none_or(|wanted| wanted == *api)
        });
        apis.filter_map(|api| access(index, application, index.api(api)?))
    })
}

/// What an application can get of an API resource, if anything.
#[must_use]
pub fn access(
    index: &Index,
    application: &Arc<Application>,
    api: &Arc<ApiResource>,
) -> Option<Access> {
    let (scopes, through) = match application.grant(api.id) {
        _ if !api.requires_authorization => (api.all_scopes(), Through::Open),
        None => return None,
        Some(grant) => {
            let through = match grant.mode {
                GrantMode::None => Through::Grant,
                GrantMode::Rbac => {
                    let gives = |role: &&RoleId| {
                        let bits = index.role(**role).and_then(|role| role.scopes.get(&api.id));
                        bits.is_some_and(|bits| !bits.intersection(&grant.scopes).is_empty())
                    };
                    Through::Roles(application.roles.iter().filter(gives).copied().collect())
                }
            };
            (index.granted(application, api.id), through)
        }
    };
    Some(Access {
        scopes: api.names(&scopes),
        application: Arc::clone(application),
        api: Arc::clone(api),
        through,
    })
}

/// Why an application gets nothing now, whatever it may have.
#[must_use]
pub fn unusable(
    application: &Application,
    settings: &Settings,
    now: Millis,
) -> Option<&'static str> {
    if !application.enabled {
        return Some("disabled");
    }
    let none = application.usable_methods(settings, now).next().is_none();
    none.then_some("no_credential")
}

/// What a token was for.
#[derive(Clone, Copy, Debug)]
pub struct Got<'a> {
    /// The scopes in it.
    pub scopes: &'a [ScopeName],
    /// The API resources that were named (RFC 8707).
    pub resources: &'a [Cow<'a, str>],
}

/// When what was last used, by the records of issuances.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The first record: nothing is known from before.
    pub first: Option<Millis>,
    tokens: BTreeMap<ApplicationId, Millis>,
    scopes: BTreeMap<(ApplicationId, ScopeName), Millis>,
    resources: BTreeMap<(ApplicationId, Box<str>), Millis>,
    credentials: BTreeMap<(ApplicationId, Box<str>), Millis>,
}

impl Usage {
    /// Takes a record: the application proved itself with a credential, and got scopes of API
    /// resources that it named, if it got a token.
    pub fn take(
        &mut self,
        at: Millis,
        application: ApplicationId,
        credential: &str,
        granted: Option<Got<'_>>,
    ) {
        let later = |known: &mut Millis| *known = (*known).max(at);
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        let key = (application, credential.into());
        later(self.credentials.entry(key).or_default());
        if let Some(got) = granted {
            later(self.tokens.entry(application).or_default());
            for scope in got.scopes {
                later(self.scopes.entry((application, scope.clone())).or_default());
            }
            for resource in got.resources {
                let key = (application, (**resource).into());
                later(self.resources.entry(key).or_default());
            }
        }
    }

    /// When an application last got a token.
    #[must_use]
    pub fn token(&self, application: ApplicationId) -> Option<Millis> {
        self.tokens.get(&application).copied()
    }

    /// When it last got a scope.
    #[must_use]
    pub fn scope(&self, application: ApplicationId, scope: &ScopeName) -> Option<Millis> {
        self.scopes.get(&(application, scope.clone())).copied()
    }

    /// When it last got a token for an API resource that it named.
    #[must_use]
    pub fn resource(&self, application: ApplicationId, identifier: &str) -> Option<Millis> {
        let key = (application, identifier.into());
        self.resources.get(&key).copied()
    }

    /// When it last proved itself with a credential.
    #[must_use]
    pub fn credential(&self, application: ApplicationId, credential: &str) -> Option<Millis> {
        let key = (application, credential.into());
        self.credentials.get(&key).copied()
    }
}

/// What can be got and was not, since a moment.
#[derive(Clone, Debug)]
pub struct Unused {
    /// What can be got.
    pub access: Access,
    /// Those of its scopes that were not got, with their last use.
    pub scopes: Vec<(ScopeName, Option<Millis>)>,
}

/// The grants of an application with scopes that were not got since a moment, and those without any
/// scope to get that no token was for. What is open to everybody is nobody's to give up, and left out.
pub fn unused<'a>(
    index: &'a Index,
    application: &'a Arc<Application>,
    usage: &'a Usage,
    since: Millis,
) -> impl Iterator<Item = Unused> + 'a {
    let before = move |last: Option<Millis>| last.is_none_or(|last| last < since);
    let apis = application.grants().map(|grant| grant.api);
    let granted = apis.filter_map(|api| access(index, application, index.api(api)?));
    let granted = granted.filter(|access| access.through != Through::Open);
    granted.filter_map(move |access| {
        let last = |scope: &ScopeName| usage.scope(application.id, scope);
        let all = access.scopes.iter();
        let scopes = all.map(|scope| (scope.clone(), last(scope)));
        let scopes: Vec<_> = scopes.filter(|(_, last)| before(*last)).collect();
        let named = usage.resource(application.id, access.api.identifier.as_str());
        let idle = access.scopes.is_empty() && before(named);
        (idle || !scopes.is_empty()).then_some(Unused { access, scopes })
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use writ_core::testkit::{self, Log, histories};
    use writ_core::{Ask, Binds, Denial, authorize};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// What a review says is what the token path gives when everything is asked for.
        #[test]
        fn a_review_is_what_the_token_path_gives(history in histories(60)) {
            let mut log = Log::populated();
            for action in history {
                let submission = action.submission(&mut log);
                let _ = log.submit(&submission);
            }
            let index = &log.index;
            let everything = Wanted::default();
            let all: Vec<Access> = review(index, everything, None).collect();
            for application in index.applications(None) {
                let now = log.facts().now;
                let works = application.usable_methods(index.settings(), now).next().is_some();
                let why = unusable(application, index.settings(), now);
                prop_assert_eq!(why.is_none(), application.enabled && works);
                if !application.enabled {
                    continue;
                }
                for api in index.apis(None) {
                    let identifier = api.identifier.to_string();
                    let bound = |dpop| Binds { dpop, certificate: !dpop };
                    let resources: &[&str] = &[&identifier];
                    let ask = |binds| Ask { resources, binds, ..Ask::default() };
                    let by = |dpop| authorize(index, application.id, ask(bound(dpop)));
                    // What the token is bound to is another question, unless nothing would do.
                    let given = match by(true).or_else(|_| by(false)) {
                        Err(Denial::SenderConstraintsDiffer) => continue,
                        given => given.ok(),
                    };
                    let said = all.iter().find(|it| it.application.id == application.id && it.api.id == api.id);
                    let (given, said) = (given.map(|it| it.scopes), said.map(|it| it.scopes.clone()));
                    let sorted = |scopes: Option<Vec<ScopeName>>| scopes.map(|mut scopes| { scopes.sort(); scopes });
                    prop_assert_eq!(sorted(given), sorted(said), "{} of {}", identifier, application.id);
                }
            }
            // Narrowed it is the same.
            for application in index.applications(None) {
                for api in index.apis(None) {
                    let (application, api) = (Some(application.id), Some(api.id));
                    let place = |it: &Access| Place(it.application.id, it.api.id);
                    for wanted in [
                        Wanted { application, api: None },
                        Wanted { application: None, api },
                        Wanted { application, api },
                    ] {
                        let kept = |it: &&Access| {
                            wanted.application.is_none_or(|id| it.application.id == id)
                                && wanted.api.is_none_or(|id| it.api.id == id)
                        };
                        let expected: Vec<Place> = all.iter().filter(kept).map(place).collect();
                        let found: Vec<Place> =
                            review(index, wanted, None).map(|it| place(&it)).collect();
                        prop_assert_eq!(&found, &expected);
                        if let Some(first) = expected.first() {
                            let rest: Vec<Place> =
                                review(index, wanted, Some(*first)).map(|it| place(&it)).collect();
                            prop_assert_eq!(&rest, &expected[1..]);
                        }
                    }
                }
            }
            // In steps it is the same.
            let mut place = None;
            for expected in &all {
                let next = review(index, everything, place).next().unwrap();
                let here = Place(next.application.id, next.api.id);
                prop_assert_eq!(here, Place(expected.application.id, expected.api.id));
                prop_assert_eq!(here.to_string().parse::<Place>(), Ok(here));
                place = Some(here);
            }
            prop_assert!(place.is_none_or(|place| review(index, everything, Some(place)).next().is_none()));
        }
    }

    #[test]
    fn what_was_not_used_is_told_with_its_last_use() {
        let mut log = Log::base();
        let names = ["courses:read", "courses:write"];
        log.run(
            &testkit::admin(),
            testkit::add_grant(testkit::JOB, testkit::COURSES, &names),
        );
        let read: ScopeName = names[0].parse().unwrap();
        let mut usage = Usage::default();
        usage.take(
            Millis(50),
            testkit::JOB,
            "s1",
            Some(Got {
                scopes: std::slice::from_ref(&read),
                resources: &[],
            }),
        );
        usage.take(Millis(20), testkit::JOB, "s2", None);
        assert_eq!(usage.first, Some(Millis(20)));
        assert_eq!(usage.token(testkit::JOB), Some(Millis(50)));
        assert_eq!(usage.credential(testkit::JOB, "s2"), Some(Millis(20)));
        let job = log.index.application(testkit::JOB).unwrap();
        let of_job = |since| {
            let mut found = unused(&log.index, job, &usage, since);
            found.next().map(|unused| unused.scopes)
        };
        let write: ScopeName = names[1].parse().unwrap();
        assert_eq!(of_job(Millis(50)), Some(vec![(write.clone(), None)]));
        assert_eq!(
            of_job(Millis(51)),
            Some(vec![(read, Some(Millis(50))), (write, None)])
        );
    }

    #[test]
    fn a_grant_without_scopes_is_used_by_tokens_for_its_api_resource() {
        let mut log = Log::base();
        let grant = testkit::add_grant(testkit::JOB, testkit::COURSES, &[]);
        log.run(&testkit::admin(), grant);
        let job = log.index.application(testkit::JOB).unwrap();
        let mut usage = Usage::default();
        let idle = |usage: &Usage| unused(&log.index, job, usage, Millis(50)).count();
        assert_eq!(idle(&usage), 1);
        let resources = [Cow::Borrowed(testkit::COURSES_IDENTIFIER)];
        let (scopes, resources) = (&[][..], &resources[..]);
        for (at, left) in [(49, 1), (50, 0)] {
            let got = Some(Got { scopes, resources });
            usage.take(Millis(at), testkit::JOB, "s1", got);
            assert_eq!(idle(&usage), left, "{at}");
        }
    }
}
