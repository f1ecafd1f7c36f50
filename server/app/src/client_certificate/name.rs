//! Distinguished names: as certificates have them (X.501), and as people write them (RFC 4514).

use std::fmt::{self, Write as _};
use std::iter::Peekable;
use std::mem::take;
use std::str::Chars;
use std::str::FromStr;
use x509_parser::asn1_rs::{Any, FromDer, Tag, ToDer};
use x509_parser::prelude::X509Name;

/// The short names of types: first those of RFC 4514 §3, then those that OpenSSL writes.
const SHORT: [(&str, &str); 22] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("SN", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("title", "2.5.4.12"),
    ("description", "2.5.4.13"),
    ("businessCategory", "2.5.4.15"),
    ("postalCode", "2.5.4.17"),
    ("name", "2.5.4.41"),
    ("GN", "2.5.4.42"),
    ("initials", "2.5.4.43"),
    ("dnQualifier", "2.5.4.46"),
    ("pseudonym", "2.5.4.65"),
    ("organizationIdentifier", "2.5.4.97"),
];

/// A distinguished name. Two are equal when they have the same attributes in the same order, those
/// of one part in any order, and each value is the same to the letter. RFC 5280 §7.1 would also
/// ignore case and runs of spaces; who registers a name can write it as it is, and the strict
/// comparison never takes one name for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(Vec<Vec<Attribute>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    /// Its type, dotted.
    oid: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// Text, in whichever of the ASN.1 types that are UTF-8 or less.
    Text(String),
    /// Anything else, in DER.
    Der(Vec<u8>),
}

impl Value {
    fn of(any: &Any<'_>) -> Option<Self> {
        let is_text = matches!(
            any.tag(),
            Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString
        );
        match std::str::from_utf8(any.data) {
            Ok(text) if is_text => Some(Self::Text(text.to_owned())),
            _ => any.to_der_vec().ok().map(Self::Der),
        }
    }
}

impl DistinguishedName {
    /// That of a certificate. The last part comes first (RFC 4514 §2.1).
    #[must_use]
    pub fn of(name: &X509Name<'_>) -> Option<Self> {
        let mut parts = Vec::new();
        for part in name.iter() {
            let mut attributes = Vec::new();
            for attribute in part.iter() {
                attributes.push(Attribute {
                    oid: attribute.attr_type().to_id_string(),
                    value: Value::of(attribute.attr_value())?,
                });
            }
            attributes.sort();
            parts.push(attributes);
        }
        parts.reverse();
        Some(Self(parts))
    }
}

/// A text is no distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a distinguished name is written as RFC 4514 says, such as CN=job,O=Acme: \
     `openssl x509 -noout -subject -nameopt RFC2253` shows that of a certificate"
)]
pub struct ParseDistinguishedNameError;

impl FromStr for DistinguishedName {
    type Err = ParseDistinguishedNameError;

    /// Reads RFC 4514. Spaces beside the separators mean nothing, as RFC 2253 §4 had it. The empty
    /// name is none here: it would be that of every certificate that has only alternative names.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self).ok_or(ParseDistinguishedNameError)
    }
}

fn parse(text: &str) -> Option<Vec<Vec<Attribute>>> {
    let mut input = text.chars().peekable();
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    loop {
        let oid = read_type(&mut input)?;
        let (value, end) = read_value(&mut input)?;
        part.push(Attribute { oid, value });
        if end == Some('+') {
            continue;
        }
        part.sort();
        parts.push(take(&mut part));
        if end.is_none() {
            return Some(parts);
        }
    }
}

fn read_type(input: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut name = String::new();
    loop {
        match input.next()? {
            '=' => break,
            c => name.push(c),
        }
    }
    let name = name.trim_matches(' ');
    let known = SHORT
        .iter()
        .find(|(short, _)| short.eq_ignore_ascii_case(name));
    match known {
        Some((_, oid)) => Some((*oid).to_owned()),
        None => is_dotted(name).then(|| name.to_owned()),
    }
}

fn is_dotted(oid: &str) -> bool {
    let is_number = |arc: &str| {
        let digits = !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit());
        digits && (arc == "0" || !arc.starts_with('0'))
    };
    oid.contains('.') && oid.split('.').all(is_number)
}

/// A value, and the separator behind it.
fn read_value(input: &mut Peekable<Chars<'_>>) -> Option<(Value, Option<char>)> {
    while input.next_if_eq(&' ').is_some() {}
    let in_hex = input.next_if_eq(&'#').is_some();
    let mut bytes = Vec::new();
    // Where the spaces begin that may be the last of it.
    let mut solid = 0;
    let end = loop {
        let Some(c) = input.next() else {
            break None;
        };
        match c {
            ',' | '+' => break Some(c),
            '"' | ';' | '<' | '>' | '\0' => return None,
            '\\' => {
                let c = input.next()?;
                match c.to_digit(16) {
                    Some(high) => {
                        let low = input.next()?.to_digit(16)?;
                        bytes.push(u8::try_from(high * 16 + low).ok()?);
                    }
                    None if " \"#+,;<=>\\".contains(c) => push(&mut bytes, c),
                    None => return None,
                }
                solid = bytes.len();
            }
            c => {
                push(&mut bytes, c);
                if c != ' ' {
                    solid = bytes.len();
                }
            }
        }
    };
    bytes.truncate(solid);
    let value = match in_hex {
        false => Value::Text(String::from_utf8(bytes).ok()?),
        true => {
            let der = hex(&bytes)?;
            let (rest, any) = Any::from_der(&der).ok()?;
            Value::of(&any).filter(|_| rest.is_empty())?
        }
    };
    Some((value, end))
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    let bytes = pairs.iter().map(byte).collect::<Option<Vec<_>>>()?;
    rest.is_empty().then_some(bytes)
}

impl fmt::Display for DistinguishedName {
    /// As RFC 4514 §2 writes it, letters beyond ASCII as they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            for (j, attribute) in part.iter().enumerate() {
                f.write_str(if j == 0 { "" } else { "+" })?;
                let known = SHORT.iter().find(|(_, oid)| *oid == attribute.oid);
                f.write_str(known.map_or(&*attribute.oid, |(short, _)| short))?;
                f.write_str("=")?;
                match &attribute.value {
                    Value::Text(text) => escape(text, f)?,
                    Value::Der(der) => {
                        f.write_str("#")?;
                        der.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// RFC 4514 §2.4.
fn escape(value: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let at_border = (i == 0 && matches!(c, ' ' | '#')) || (i == last && c == ' ');
        if at_border || "\"+,;<>\\".contains(c) {
            write!(f, "\\{c}")?;
        } else if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                write!(f, "\\{byte:02X}")?;
            }
        } else {
            f.write_char(c)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> DistinguishedName {
        text.parse().unwrap()
    }

    #[test]
    fn rfc_4514_section_4_its_examples_are_understood() {
        for text in [
            "UID=jsmith,DC=example,DC=net",
            "OU=Sales+CN=J.  Smith,DC=example,DC=net",
            "CN=James \\\"Jim\\\" Smith\\, III,DC=example,DC=net",
            "CN=Before\\0dAfter,DC=example,DC=net",
            "1.3.6.1.4.1.1466.0=#04024869",
            "CN=Lu\\C4\\8Di\\C4\\87",
        ] {
            assert_eq!(name(&name(text).to_string()), name(text), "{text}");
        }
        assert_eq!(name("CN=Lu\\C4\\8Di\\C4\\87").to_string(), "CN=Lučić");
    }

    #[test]
    fn one_name_is_written_in_several_ways() {
        let plain = name("CN=job,O=Acme\\, Inc.");
        for same in [
            "cn=job,o=Acme\\2C Inc.",
            "CN = job , O = Acme\\, Inc.",
            "2.5.4.3=job,2.5.4.10=Acme\\, Inc.",
            // A UTF8String and a PrintableString.
            "CN=#0c036a6f62,O=Acme\\, Inc.",
            "CN=#13036A6F62,O=Acme\\, Inc.",
        ] {
            assert_eq!(name(same), plain, "{same}");
        }
        assert_eq!(name("CN=a+UID=b"), name("UID=b+CN=a"));
        assert_eq!(
            name("emailAddress=a@b.example"),
            name("1.2.840.113549.1.9.1=a@b.example")
        );
    }

    #[test]
    fn another_name_is_another() {
        let plain = name("CN=job,O=Acme");
        for other in [
            "O=Acme,CN=job",
            "CN=job",
            "CN=job+O=Acme",
            "CN=Job,O=Acme",
            "CN=job\\ ,O=Acme",
            "CN=job,O=Acme,O=Acme",
            "CN=job,OU=Acme",
            "CN=job\\,O=Acme",
            // Octets that happen to be the letters.
            "CN=#04036a6f62,O=Acme",
        ] {
            assert_ne!(name(other), plain, "{other}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            "job",
            "CN",
            "=job",
            "CN=job,",
            "CN=job+",
            ",CN=job",
            "XX=job",
            "CN=\"job\"",
            "CN=job;O=Acme",
            "CN=job\\",
            "CN=job\\x",
            "CN=job\\4",
            "CN=\\ff",
            "CN=#",
            "CN=#0",
            "CN=#0c036a6f",
            "CN=#0c036a6f6200",
            "2.5.4.03=job",
            "2=job",
            "2.=job",
            "CN=a\0b",
        ] {
            assert_eq!(
                bad.parse::<DistinguishedName>(),
                Err(ParseDistinguishedNameError),
                "{bad:?}"
            );
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        // Of the types that are no text: octets, a T61String, a BMPString.
        let der = (
            prop_oneof![Just(4u8), Just(20), Just(30)],
            prop::collection::vec(any::<u8>(), 0..20),
        );
        let der = der.prop_map(|(tag, data)| {
            let length = u8::try_from(data.len()).unwrap();
            Value::Der([&[tag, length], &*data].concat())
        });
        prop_oneof![
            any::<String>().prop_map(Value::Text),
            "[ #+,\\\\=a]{0,6}".prop_map(Value::Text),
            der
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_written_is_read_as_the_same(
            parts in prop::collection::vec(
                prop::collection::vec((0..=SHORT.len(), value()), 1..3), 1..4
            )
        ) {
            let attribute = |(at, value): (usize, Value)| Attribute {
                oid: SHORT.get(at).map_or("1.3.6.1.4.1.1466.0", |known| known.1).to_owned(),
                value,
            };
            let part = |attributes: Vec<_>| {
                let mut part: Vec<_> = attributes.into_iter().map(attribute).collect();
                part.sort();
                part
            };
            let made = DistinguishedName(parts.into_iter().map(part).collect());
            prop_assert_eq!(made.to_string().parse(), Ok(made));
        }

        #[test]
        fn no_text_makes_it_panic(text: String, close in "[CN=#,+ \\\\0-9a-f]{0,20}") {
            let _ = text.parse::<DistinguishedName>();
            let _ = close.parse::<DistinguishedName>();
        }
    }
}
