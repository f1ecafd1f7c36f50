//! Gives scopes by the caller's network: from elsewhere the restricted ones are not there.

use writ_policy::prelude::*;

/// Gives the restricted scopes to callers inside the listed networks only.
#[writ_policy::policy(reads("net.ip"), codes("outside_network"))]
pub fn evaluate(request: &Request, settings: &Networks) -> Result<Outcome, Fault> {
    let ip = request.attributes.ip("net.ip")?;
    if settings.networks.iter().any(|network| network.contains(ip)) {
        return allow(request).into();
    }
    let restricts = |scope: &str| {
        settings
            .restricted
            .iter()
            .any(|pattern| pattern.matches(scope))
    };
    let granted = allow(request).retain_scopes(|scope| !restricts(scope));
    if granted.scopes().is_empty() {
        return deny("outside_network")
            .reason(format!("{ip} is in none of the networks"))
            .description("tokens with these scopes are not given to this network")
            .into();
    }
    let granted = match settings.lifetime_outside {
        Some(seconds) => granted.at_most(seconds),
        None => granted,
    };
    granted.note("network", "outside").into()
}

/// Where, and what.
#[derive(Settings)]
pub struct Networks {
    /// Networks or single addresses: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
    networks: Vec<Network>,
    /// Scopes that are given inside of them only: `courses:publish`, `admin:*`.
    #[setting(default = ["*"])]
    restricted: Vec<ScopePattern>,
    /// How many seconds a token lives at most that is given elsewhere.
    lifetime_outside: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn cases() {
        let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
        writ_policy::testing::check_cases::<Policy>(cases);
    }
}
