//! Whether what a policy answered is an answer, and one within what it was asked. This is where
//! "a policy only shrinks what is granted" is enforced, so that trying a policy shows the same.

use crate::descriptor::fit_name;
use crate::limits::{
    CLAIM_BYTES, CLAIMS, CLAIMS_BYTES, JSON_DEPTH, NOTES, NOTES_BYTES, TEXT_BYTES, brief,
};
use crate::trouble::Trouble;
use crate::types::{Decision, Denial, Descriptor, Grant, Named, Note, Outcome, Request, Value};

/// The claims that say who, for whom, what and how long, and the members that an answer of
/// introspection has beside them (RFC 7662 §2.2). No policy touches them.
pub const RESERVED_CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "azp",
    "scope",
    "cnf",
    "act",
    "may_act",
    "authorization_details",
    "acr",
    "amr",
    "auth_time",
    "sid",
    "active",
    "token_type",
    "username",
];

/// Checks an outcome against the limits, the request and the descriptor, and brings its lists into
/// their order.
pub(crate) fn accept(
    outcome: Outcome,
    request: &Request,
    descriptor: &Descriptor,
) -> Result<Outcome, Trouble> {
    check_notes(&outcome.notes)?;
    let decision = match outcome.decision {
        Decision::Allow(grant) => Decision::Allow(accept_grant(grant, request, descriptor)?),
        Decision::Deny(denial) => {
            check_denial(&denial, descriptor)?;
            Decision::Deny(denial)
        }
    };
    Ok(Outcome {
        decision,
        notes: outcome.notes,
    })
}

fn check_notes(notes: &[Note]) -> Result<(), Trouble> {
    if notes.len() > NOTES {
        return Err(Trouble::output(format!(
            "{} notes; the limit is {NOTES}",
            notes.len()
        )));
    }
    for note in notes {
        if !fit_name(&note.name) {
            return Err(Trouble::output("a note without a fit name"));
        }
        short("a note", &note.text)?;
    }
    let bytes = notes.iter().map(|note| note.name.len() + note.text.len());
    at_most("notes", bytes.sum(), NOTES_BYTES)
}

fn check_denial(denial: &Denial, descriptor: &Descriptor) -> Result<(), Trouble> {
    if !descriptor.codes.contains(&denial.code) {
        return Err(Trouble::output(format!(
            "it denies with the code `{}`, which its descriptor does not have",
            brief(&denial.code)
        )));
    }
    short("the reason", &denial.reason)?;
    short(
        "the description",
        denial.description.as_deref().unwrap_or_default(),
    )
}

fn accept_grant(
    mut grant: Grant,
    request: &Request,
    descriptor: &Descriptor,
) -> Result<Grant, Trouble> {
    if let Some(scopes) = &mut grant.scopes {
        scopes.sort();
        scopes.dedup();
        if let Some(scope) = scopes.iter().find(|scope| !request.scopes.contains(scope)) {
            return Err(overstepped(format!(
                "it grants the scope `{}`, which it was not asked about",
                brief(scope)
            )));
        }
    }
    if let Some(lifetime) = grant.lifetime_seconds
        && lifetime > request.lifetime_seconds
    {
        return Err(overstepped(format!(
            "it grants {lifetime} s; at most {} s were asked about",
            request.lifetime_seconds
        )));
    }
    if grant.lifetime_seconds == Some(0) {
        return Err(Trouble::output(
            "it grants a lifetime of 0 s; denying is another answer",
        ));
    }
    if grant.claims.len() > CLAIMS {
        return Err(Trouble::output(format!(
            "{} claims; the limit is {CLAIMS}",
            grant.claims.len()
        )));
    }
    grant.claims.sort_by(|a, b| a.name.cmp(&b.name));
    for claim in &grant.claims {
        if RESERVED_CLAIMS.contains(&claim.name.as_str()) {
            return Err(overstepped(format!(
                "the claim `{}` is the server's own",
                claim.name
            )));
        }
        if !descriptor.claims.contains(&claim.name) {
            return Err(overstepped(format!(
                "it adds the claim `{}`, which its descriptor does not have",
                brief(&claim.name)
            )));
        }
        check_claim(&claim.name, &claim.value)?;
    }
    let bytes = |claim: &Named| claim.name.len() + size(&claim.value);
    at_most("claims", grant.claims.iter().map(bytes).sum(), CLAIMS_BYTES)?;
    if let Some([claim, _]) = grant.claims.array_windows().find(|[a, b]| a.name == b.name) {
        return Err(Trouble::output(format!(
            "it adds the claim `{}` twice",
            claim.name
        )));
    }
    Ok(grant)
}

fn at_most(what: &str, bytes: usize, limit: usize) -> Result<(), Trouble> {
    if bytes > limit {
        return Err(Trouble::output(format!(
            "{bytes} bytes of {what}; the limit is {limit}"
        )));
    }
    Ok(())
}

/// About what a value takes in a token.
fn size(value: &Value) -> usize {
    match value {
        Value::Flag(_) | Value::Int(_) => 0,
        Value::Text(text) | Value::Json(text) => text.len(),
        // Quotes and a comma each.
        Value::Texts(texts) => texts.iter().map(|text| text.len() + 3).sum(),
    }
}

fn check_claim(name: &str, value: &Value) -> Result<(), Trouble> {
    let bytes = size(value);
    if bytes > CLAIM_BYTES {
        return Err(Trouble::output(format!(
            "the claim `{name}` has {bytes} bytes; the limit is {CLAIM_BYTES}"
        )));
    }
    if let Value::Json(text) = value {
        check_json(text)
            .map_err(|problem| Trouble::output(format!("the claim `{name}`: {problem}")))?;
    }
    Ok(())
}

/// Whether a text is JSON that does not nest too deep.
pub(crate) fn check_json(text: &str) -> Result<(), String> {
    // The depth first and without recursion: no parser sees what nests too deep.
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH {
            return Err(format!("it nests deeper than {JSON_DEPTH}"));
        }
    }
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    // Again as it was read: the parser has a way of its own to have JSON in a text.
    if depth_of(&value) > JSON_DEPTH {
        return Err(format!("it nests deeper than {JSON_DEPTH}"));
    }
    Ok(())
}

/// How deep a value nests. What was parsed is never too deep to walk.
fn depth_of(value: &serde_json::Value) -> usize {
    let below = |depth: Option<usize>| 1 + depth.unwrap_or(0);
    match value {
        serde_json::Value::Array(items) => below(items.iter().map(depth_of).max()),
        serde_json::Value::Object(members) => below(members.values().map(depth_of).max()),
        _ => 0,
    }
}

fn short(what: &str, text: &str) -> Result<(), Trouble> {
    if text.len() > TEXT_BYTES {
        return Err(Trouble::output(format!(
            "{what} has {} bytes; the limit is {TEXT_BYTES}",
            text.len()
        )));
    }
    Ok(())
}

fn overstepped(reason: String) -> Trouble {
    Trouble::Overstepped { reason }
}
