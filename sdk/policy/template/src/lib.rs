//! A policy: what it judges is in `evaluate`, what can be set is in `MySettings`.

use writ_policy::prelude::*;

/// Caps the lifetime of tokens, and leaves restricted scopes out.
// Name here what it uses: reads("net.ip"), codes("outside_network"), claims("tenant").
#[writ_policy::policy(codes("nothing_left"))]
pub fn evaluate(request: &Request, settings: &MySettings) -> Result<Outcome, Fault> {
    let restricted = |scope: &str| settings.restricted.iter().any(|one| one.matches(scope));
    let granted = allow(request)
        .retain_scopes(|scope| !restricted(scope))
        .at_most(settings.lifetime_max);
    if granted.scopes().is_empty() {
        return deny("nothing_left")
            .reason("all of the scopes are restricted")
            .into();
    }
    granted.into()
}

/// What a binding can set.
#[derive(Settings)]
pub struct MySettings {
    /// How many seconds a token lives at most.
    #[setting(default = 300)]
    lifetime_max: u32,
    /// Scopes that are not given: `courses:publish`, `admin:*`.
    #[setting(default = [])]
    restricted: Vec<ScopePattern>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        writ_policy::testing::check_cases::<Policy>("cases");
    }

    #[test]
    fn a_test_in_rust() {
        let request = writ_policy::testing::request()
            .scopes(["courses:read"])
            .build();
        let settings = MySettings {
            lifetime_max: 60,
            restricted: Vec::new(),
        };
        let outcome = evaluate(&request, &settings).unwrap();
        let granted = writ_policy::testing::granted(&request, &outcome).unwrap();
        assert_eq!(granted.lifetime_seconds, 60);
    }
}
