//! What comes in at the OAuth endpoints before it means anything: the form in the body and the
//! `Authorization` header. Strict: what two parsers could read in two ways is refused.
//!
//! No error here carries a value, nor a name that is not one of ours: people put secrets in the
//! wrong places, and errors end up in logs.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Largest body of an OAuth endpoint, in bytes: an assertion with a long certificate chain fits.
pub const FORM_BYTES_MAX: usize = 64 * 1024;
/// Most parameters in one form: no grant type has a third of them.
pub const FORM_PARAMETERS_MAX: usize = 64;

/// The parameters that may be repeated (RFC 8707 §2, RFC 8693 §2.1).
const REPEATABLE: [&str; 2] = ["audience", "resource"];

/// The parameters that errors may name: those of the specifications, which no secret looks like.
const NAMEABLE: [&str; 27] = [
    "actor_token",
    "actor_token_type",
    "assertion",
    "audience",
    "authorization_details",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "dpop_jkt",
    "grant_type",
    "nonce",
    "password",
    "redirect_uri",
    "refresh_token",
    "requested_token_type",
    "resource",
    "scope",
    "state",
    "subject_token",
    "subject_token_type",
    "token",
    "token_type_hint",
    "username",
];

/// Which parameter an error is about: its name where that is a known one, else its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A parameter of the specifications.
    Known(&'static str),
    /// Another one: the how-manieth in the body, from 1.
    Nth(usize),
}

impl Parameter {
    fn new(name: &str, index: usize) -> Self {
        match NAMEABLE.iter().find(|known| **known == name) {
            Some(known) => Self::Known(known),
            None => Self::Nth(index + 1),
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(name) => write!(f, "parameter {name}"),
            Self::Nth(nth) => write!(f, "parameter number {nth}"),
        }
    }
}

/// Why a form is refused: the caller's fault, `invalid_request` (RFC 6749 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Another charset than UTF-8 was declared.
    #[error("the charset must be UTF-8")]
    Charset,
    /// Another content type than `application/x-www-form-urlencoded`, or none, or several.
    #[error("the content type must be application/x-www-form-urlencoded")]
    ContentType,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("{0} has a malformed percent-escape")]
    Escape(Parameter),
    /// A value without a name.
    #[error("{0} has no name")]
    Nameless(Parameter),
    /// A parameter is there twice (RFC 6749 §3.2).
    #[error("{0} is repeated")]
    Repeated(Parameter),
    /// The body is longer than [`FORM_BYTES_MAX`].
    #[error("the body is longer than {FORM_BYTES_MAX} bytes")]
    TooLarge,
    /// There are more than [`FORM_PARAMETERS_MAX`] parameters.
    #[error("there are more than {FORM_PARAMETERS_MAX} parameters")]
    TooMany,
    /// The decoded bytes are not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(Parameter),
}

/// A parsed form. Parameters without a value are left out, as if they had not been sent
/// (RFC 6749 §3.2), though they may not be repeated either.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Parses a body.
    ///
    /// # Errors
    /// The body is not one form that everybody reads alike; see [`FormError`].
    pub fn parse(content_type: Option<&[u8]>, body: &'a [u8]) -> Result<Self, FormError> {
        check_content_type(content_type.unwrap_or_default())?;
        if body.len() > FORM_BYTES_MAX {
            return Err(FormError::TooLarge);
        }
        let mut form: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        let pairs = body.split(|&b| b == b'&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index == FORM_PARAMETERS_MAX {
                return Err(FormError::TooMany);
            }
            let nth = Parameter::Nth(index + 1);
            let (name, value) = split_at_first(pair, b'=').unwrap_or((pair, b""));
            let name = decode(name).map_err(|fault| fault.of(nth))?;
            if name.is_empty() {
                return Err(FormError::Nameless(nth));
            }
            let parameter = Parameter::new(&name, index);
            let value = decode(value).map_err(|fault| fault.of(parameter))?;
            let repeatable = REPEATABLE.contains(&name.as_ref());
            if !repeatable && form.iter().any(|(known, _)| *known == name) {
                return Err(FormError::Repeated(parameter));
            }
            form.push((name, value));
        }
        form.retain(|(_, value)| !value.is_empty());
        Ok(Self(form))
    }

    /// The value of a parameter, the first where it may be repeated.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a parameter, in order.
    pub fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_ref())
    }

    /// The names of all parameters that have a value, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

impl fmt::Debug for Form<'_> {
    /// Shows how many parameters there are, and nothing that was sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form")
            .field("parameters", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// `application/x-www-form-urlencoded`, with any parameters except a foreign charset.
fn check_content_type(value: &[u8]) -> Result<(), FormError> {
    let value = std::str::from_utf8(value).map_err(|_| FormError::ContentType)?;
    let mut parts = value.split(';').map(|part| part.trim_matches([' ', '\t']));
    let essence = parts.next().unwrap_or_default();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(FormError::ContentType);
    }
    for part in parts.filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or(FormError::ContentType)?;
        let value = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .unwrap_or(value);
        if name.eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(FormError::Charset);
        }
    }
    Ok(())
}

fn split_at_first(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Why a piece of a form does not decode.
enum DecodeFault {
    Escape,
    Utf8,
}

impl DecodeFault {
    fn of(self, parameter: Parameter) -> FormError {
        match self {
            Self::Escape => FormError::Escape(parameter),
            Self::Utf8 => FormError::Utf8(parameter),
        }
    }
}

/// Decodes `+` and `%xx`. Bytes that are neither pass as they are, so most pieces are borrowed.
fn decode(piece: &[u8]) -> Result<Cow<'_, str>, DecodeFault> {
    if !piece.iter().any(|b| matches!(b, b'%' | b'+')) {
        return std::str::from_utf8(piece)
            .map(Cow::Borrowed)
            .map_err(|_| DecodeFault::Utf8);
    }
    let mut out = Vec::with_capacity(piece.len());
    let mut bytes = piece.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes
                    .next()
                    .and_then(hex_digit)
                    .ok_or(DecodeFault::Escape)?;
                let low = bytes
                    .next()
                    .and_then(hex_digit)
                    .ok_or(DecodeFault::Escape)?;
                (high << 4) | low
            }
            other => other,
        });
    }
    String::from_utf8(out)
        .map(Cow::Owned)
        .map_err(|_| DecodeFault::Utf8)
}

fn hex_digit(byte: &u8) -> Option<u8> {
    let digit = char::from(*byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Why an `Authorization` header is not what was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationError {
    /// The right scheme, but what follows is not what the scheme demands.
    #[error("the Authorization header is malformed")]
    Malformed,
    /// Another authentication scheme.
    #[error("the Authorization header has another scheme")]
    OtherScheme,
}

/// An application id and a secret as somebody presents them: nothing is known about them yet.
pub struct BasicCredentials {
    /// The presented `client_id`; never empty.
    pub client_id: String,
    /// The presented secret; may be empty.
    pub presented_secret: Zeroizing<String>,
}

impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicCredentials(redacted)")
    }
}

/// What follows the scheme, if it is this one (RFC 9110 §11.1: in any case, then spaces).
fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Result<&'a [u8], AuthorizationError> {
    let (found, rest) = split_at_first(value, b' ').unwrap_or((value, b""));
    if found.eq_ignore_ascii_case(scheme.as_bytes()) {
        Ok(rest.trim_ascii())
    } else {
        Err(AuthorizationError::OtherScheme)
    }
}

/// Parses `Basic` credentials (RFC 7617), of which id and secret are form-encoded each before
/// they are joined (RFC 6749 §2.3.1). Base64 must be canonical and padded.
///
/// # Errors
/// The scheme is another one, or the credentials do not decode.
pub fn parse_basic_authorization(value: &[u8]) -> Result<BasicCredentials, AuthorizationError> {
    let encoded = after_scheme(value, "Basic")?;
    let decoded = STANDARD
        .decode(encoded)
        .map_err(|_| AuthorizationError::Malformed)?;
    let decoded = Zeroizing::new(decoded);
    let (id, secret) = split_at_first(&decoded, b':').ok_or(AuthorizationError::Malformed)?;
    let client_id = decode(id)
        .map_err(|_| AuthorizationError::Malformed)?
        .into_owned();
    let secret = decode(secret)
        .map_err(|_| AuthorizationError::Malformed)?
        .into_owned();
    if client_id.is_empty() {
        return Err(AuthorizationError::Malformed);
    }
    Ok(BasicCredentials {
        client_id,
        presented_secret: Zeroizing::new(secret),
    })
}

/// How an access token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenScheme {
    /// Whoever has it may use it (RFC 6750 §2.1).
    Bearer,
    /// With a proof that its key is held (RFC 9449 §7.1).
    Dpop,
}

/// Parses an access token of either scheme.
///
/// # Errors
/// The scheme is another one, or what follows is not a token in form.
pub fn parse_token(value: &[u8]) -> Result<(TokenScheme, &str), AuthorizationError> {
    match parse_token_of(value, "DPoP") {
        Err(AuthorizationError::OtherScheme) => {
            parse_bearer(value).map(|token| (TokenScheme::Bearer, token))
        }
        found => found.map(|token| (TokenScheme::Dpop, token)),
    }
}

/// Parses a `Bearer` token (RFC 6750 §2.1).
///
/// # Errors
/// The scheme is another one, or what follows is not a token in form.
pub fn parse_bearer(value: &[u8]) -> Result<&str, AuthorizationError> {
    parse_token_of(value, "Bearer")
}

fn parse_token_of<'a>(value: &'a [u8], scheme: &str) -> Result<&'a str, AuthorizationError> {
    let token = after_scheme(value, scheme)?;
    let body = token.trim_ascii_end();
    let unpadded = body
        .iter()
        .rposition(|&b| b != b'=')
        .and_then(|last| body.get(..=last));
    let b64token = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    match unpadded {
        Some(text) if text.iter().all(b64token) => {
            std::str::from_utf8(body).map_err(|_| AuthorizationError::Malformed)
        }
        _ => Err(AuthorizationError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded");

    fn parse(body: &str) -> Result<Form<'_>, FormError> {
        Form::parse(FORM, body.as_bytes())
    }

    #[test]
    fn a_usual_form_is_read() {
        let form =
            parse("grant_type=client_credentials&scope=a%3Ab+c%3Ad&x&y=&&caf%c3%a9=1").unwrap();
        assert_eq!(form.get("grant_type"), Some("client_credentials"));
        assert_eq!(form.get("scope"), Some("a:b c:d"));
        assert_eq!(form.get("x"), None);
        assert_eq!(form.get("y"), None);
        assert_eq!(
            form.names().collect::<Vec<_>>(),
            ["grant_type", "scope", "café"]
        );
        assert_eq!(parse(""), Ok(Form::default()));
        assert_eq!(parse("a=b=c").unwrap().get("a"), Some("b=c"));
    }

    #[test]
    fn only_resource_and_audience_repeat() {
        let form = parse("resource=a&audience=x&resource=b&audience=y&resource=").unwrap();
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(form.all("audience").collect::<Vec<_>>(), ["x", "y"]);
        let scope = Parameter::Known("scope");
        assert_eq!(parse("scope=a&scope=b"), Err(FormError::Repeated(scope)));
        assert_eq!(parse("scope=&scope=a"), Err(FormError::Repeated(scope)));
        assert_eq!(parse("scope=a&s%63ope=a"), Err(FormError::Repeated(scope)));
        assert_eq!(
            parse("a=1&own=1&own=2"),
            Err(FormError::Repeated(Parameter::Nth(3)))
        );
    }

    #[test]
    fn malformed_forms_are_refused() {
        let scope = Parameter::Known("scope");
        for body in [
            "scope=%",
            "scope=%4",
            "scope=%4g",
            "scope=a%+1",
            "scope=%%41",
            "scope=% 41",
        ] {
            assert_eq!(parse(body), Err(FormError::Escape(scope)), "{body}");
        }
        assert_eq!(
            parse("a=1&%zz=1"),
            Err(FormError::Escape(Parameter::Nth(2)))
        );
        for body in ["scope=%ff", "scope=%c3", "scope=%ed%a0%80", "scope=%c0%80"] {
            assert_eq!(parse(body), Err(FormError::Utf8(scope)), "{body}");
        }
        assert_eq!(
            Form::parse(FORM, b"scope=\xff"),
            Err(FormError::Utf8(scope))
        );
        assert_eq!(
            Form::parse(FORM, b"\xff=1"),
            Err(FormError::Utf8(Parameter::Nth(1)))
        );
        assert_eq!(
            parse("=secret"),
            Err(FormError::Nameless(Parameter::Nth(1)))
        );
    }

    #[test]
    fn limits_are_exact() {
        let many: Vec<String> = (0..64).map(|i| format!("p{i}=1")).collect();
        assert!(parse(&many.join("&")).is_ok());
        assert_eq!(
            parse(&format!("{}&q=1", many.join("&"))),
            Err(FormError::TooMany)
        );
        let long = format!("a={}", "x".repeat(FORM_BYTES_MAX - 2));
        assert!(parse(&long).is_ok());
        assert_eq!(parse(&format!("{long}x")), Err(FormError::TooLarge));
    }

    #[test]
    fn the_content_type_must_be_that_of_a_form() {
        for good in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded ; charset=UTF-8",
            "application/x-www-form-urlencoded;charset=\"utf-8\"",
            "application/x-www-form-urlencoded; boundary=x",
        ] {
            assert!(Form::parse(Some(good.as_bytes()), b"").is_ok(), "{good}");
        }
        for bad in [
            "",
            "application/json",
            "application/x-www-form-urlencoded, text/plain",
            "\u{e9}",
        ] {
            assert_eq!(
                Form::parse(Some(bad.as_bytes()), b""),
                Err(FormError::ContentType),
                "{bad}"
            );
        }
        assert_eq!(Form::parse(None, b""), Err(FormError::ContentType));
        let latin1 = Some(&b"application/x-www-form-urlencoded; charset=iso-8859-1"[..]);
        assert_eq!(Form::parse(latin1, b""), Err(FormError::Charset));
    }

    #[test]
    fn nothing_that_was_sent_is_shown() {
        let form = parse("client_secret=canary&canary=canary").unwrap();
        assert!(!format!("{form:?}").contains("canary"));
        for body in [
            "canary=%zz",
            "canary=1&canary=2",
            "=canary",
            "%zzcanary=1",
            "canary=%ff",
        ] {
            let error = parse(body).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("canary"),
                "{error:?}"
            );
        }
        let basic = parse_basic_authorization(b"Basic Y2FuYXJ5OmNhbmFyeQ==").unwrap();
        assert!(!format!("{basic:?}").contains("canary"));
    }

    fn basic(pair: &str) -> Result<(String, String), AuthorizationError> {
        let header = format!("Basic {}", STANDARD.encode(pair));
        parse_basic_authorization(header.as_bytes())
            .map(|found| (found.client_id, found.presented_secret.to_string()))
    }

    #[test]
    fn basic_credentials_are_decoded_twice() {
        // RFC 6749 §2.3.1.
        let found = parse_basic_authorization(b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW").unwrap();
        assert_eq!(found.client_id, "s6BhdRkqt3");
        assert_eq!(found.presented_secret.as_str(), "gX1fBat3bV");
        assert_eq!(
            basic("a%3Ab:c%2Bd+e:f"),
            Ok(("a:b".into(), "c+d e:f".into()))
        );
        assert_eq!(basic("id:"), Ok(("id".into(), String::new())));
        assert!(parse_basic_authorization(b"basic   czZCaGRSa3F0MzpnWDFmQmF0M2JW").is_ok());
    }

    #[test]
    fn other_credentials_are_refused() {
        let malformed = Err(AuthorizationError::Malformed);
        for pair in ["", "no colon", ":secret", "id:%zz", "%f:x", "id:%ff"] {
            assert_eq!(basic(pair), malformed, "{pair}");
        }
        for header in [
            "Basic",
            "Basic ",
            "Basic czp4=",
            "Basic cz p4",
            "Basic czp4 czp4",
            "Basic _w==",
        ] {
            let found = parse_basic_authorization(header.as_bytes());
            assert_eq!(found.err(), Some(AuthorizationError::Malformed), "{header}");
        }
        // The unused bits of the last character are set, and padding is missing.
        for header in ["Basic YTpi=", "Basic YTp=", "Basic YTo", "Basic YTp="] {
            assert!(
                parse_basic_authorization(header.as_bytes()).is_err(),
                "{header}"
            );
        }
        for header in ["", "Bearer x", "Basically x", "Basic\tx"] {
            let found = parse_basic_authorization(header.as_bytes());
            assert_eq!(
                found.err(),
                Some(AuthorizationError::OtherScheme),
                "{header}"
            );
        }
    }

    #[test]
    fn bearer_tokens_have_their_form() {
        assert_eq!(
            parse_bearer(b"Bearer a.b-c_d~e+f/1=="),
            Ok("a.b-c_d~e+f/1==")
        );
        assert_eq!(parse_bearer(b"bearer  x"), Ok("x"));
        for header in [
            "Bearer",
            "Bearer ",
            "Bearer ==",
            "Bearer a=b",
            "Bearer a b",
            "Bearer \u{e9}",
        ] {
            assert_eq!(
                parse_bearer(header.as_bytes()),
                Err(AuthorizationError::Malformed),
                "{header}"
            );
        }
        assert_eq!(
            parse_bearer(b"Basic x"),
            Err(AuthorizationError::OtherScheme)
        );
        assert_eq!(parse_bearer(b""), Err(AuthorizationError::OtherScheme));
    }

    fn encode(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    proptest! {
        #[test]
        fn nothing_panics(body: Vec<u8>, content_type: Vec<u8>) {
            let _ = Form::parse(Some(&content_type), &body);
            let _ = Form::parse(FORM, &body);
            let _ = parse_basic_authorization(&body);
            let _ = parse_bearer(&body);
            let basic = format!("Basic {}", STANDARD.encode(&body));
            let _ = parse_basic_authorization(basic.as_bytes());
        }

        #[test]
        fn what_looks_like_a_form_never_panics_nor_repeats(body in "[a-c%&=+0-9]{0,60}") {
            if let Ok(form) = parse(&body) {
                let mut names: Vec<_> = form.names().collect();
                names.sort_unstable();
                let count = names.len();
                names.dedup();
                prop_assert_eq!(names.len(), count);
            }
        }

        #[test]
        fn a_written_form_reads_back(pairs in btree_map(".{1,8}", ".{0,12}", 0..20)) {
            let write = |(name, value): (&String, &String)| {
                format!("{}={}", encode(name), encode(value))
            };
            let body = pairs.iter().map(write).collect::<Vec<_>>().join("&");
            let form = parse(&body).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(form.get(name).unwrap_or_default(), value.as_str());
            }
        }

        #[test]
        fn written_credentials_read_back(id in ".{1,20}", secret in ".{0,60}") {
            let found = basic(&format!("{}:{}", encode(&id), encode(&secret)));
            prop_assert_eq!(found, Ok((id, secret)));
        }
    }
}
