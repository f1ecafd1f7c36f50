//! Puts an application's tenant into its tokens: labels that administrators attach become claims
//! that APIs read.

use writ_policy::prelude::*;

/// Adds the claims `tenant` and `environment` from the application's labels.
#[writ_policy::policy(
    claims("tenant", "environment"),
    codes("tenant_missing", "tenant_unknown")
)]
pub fn evaluate(request: &Request, settings: &Claims) -> Result<Outcome, Fault> {
    let mut granted = allow(request);
    match request.application.label(&settings.tenant_label) {
        Some(tenant) => {
            let known = |tenants: &Vec<String>| tenants.iter().any(|one| one == tenant);
            if !settings.tenants.as_ref().is_none_or(known) {
                return deny("tenant_unknown")
                    .reason(["the tenant ", tenant, " is not listed"].concat())
                    .into();
            }
            granted = granted.claim("tenant", tenant);
        }
        None if settings.tenant_required => {
            return deny("tenant_missing")
                .reason(["there is no label ", &settings.tenant_label].concat())
                .description("the application belongs to no tenant")
                .into();
        }
        None => {}
    }
    if let Some(label) = &settings.environment_label
        && let Some(environment) = request.application.label(label)
    {
        granted = granted.claim("environment", environment);
    }
    granted.into()
}

/// Which labels.
#[derive(Settings)]
pub struct Claims {
    /// The label that becomes the claim `tenant`.
    #[setting(default = "tenant")]
    tenant_label: String,
    /// Whether an application without it gets no token.
    #[setting(default = true)]
    tenant_required: bool,
    /// The tenants there are. Left out: any.
    tenants: Option<Vec<String>>,
    /// The label that becomes the claim `environment`. Left out: there is no such claim.
    environment_label: Option<String>,
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
