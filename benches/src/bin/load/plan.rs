//! What is measured: subjects, each at some number of connections, in sets that are run in turn within
//! the same minute as what they are compared with.

use std::fmt;
use writ_core::{Algorithm, RecordMode};

/// One thing that a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The reference server that only parses and answers.
    Bare,
    /// The reference server that signs.
    Sign(Algorithm),
    /// A token.
    Token(Token),
    /// A token while an administrator makes a thousand changes a second.
    Mix(Token),
    /// Whether a token is good that was asked about before.
    IntrospectSeen(Algorithm),
    /// Whether a token is good that the server sees for the first time.
    IntrospectFirst(Algorithm),
    /// The public keys.
    Jwks,
    /// A token on a new connection: a whole TLS handshake for each.
    Handshake(Algorithm),
    /// `oidc-provider`.
    Peer(Algorithm),
}

/// Which kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The algorithm of its signature.
    pub algorithm: Algorithm,
    /// How many policies judge it.
    pub policies: usize,
    /// How it is recorded.
    pub record: RecordMode,
    /// Whether it is asked for with TLS.
    pub tls: bool,
}

impl Token {
    /// As DESIGN §9 means it: recorded durably, over plain HTTP.
    pub const fn of(algorithm: Algorithm, policies: usize) -> Self {
        Self {
            algorithm,
            policies,
            record: RecordMode::Durable,
            tls: false,
        }
    }

    const fn recorded(self, record: RecordMode) -> Self {
        Self { record, ..self }
    }

    const fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = match self.record {
            RecordMode::Durable => "durable",
            RecordMode::Buffered => "buffered",
            RecordMode::Off => "off",
        };
        let transport = if self.tls { "tls" } else { "plain" };
        let (algorithm, policies) = (self.algorithm, self.policies);
        write!(f, "{algorithm}/p{policies}/{record}/{transport}")
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => f.write_str("bare"),
            Self::Sign(algorithm) => write!(f, "bare+sign/{algorithm}"),
            Self::Token(token) => write!(f, "token/{token}"),
            Self::Mix(token) => write!(f, "mix/{token}"),
            Self::IntrospectSeen(algorithm) => write!(f, "introspect/{algorithm}/seen"),
            Self::IntrospectFirst(algorithm) => write!(f, "introspect/{algorithm}/first"),
            Self::Jwks => f.write_str("jwks"),
            Self::Handshake(algorithm) => write!(f, "handshake/{algorithm}"),
            Self::Peer(algorithm) => write!(f, "oidc-provider/{algorithm}"),
        }
    }
}

impl Subject {
    /// Whether it is there to be compared with.
    pub fn is_reference(self) -> bool {
        matches!(self, Self::Bare | Self::Sign(_))
    }

    /// What it cannot do without: the reference that signs the same, or the one that signs nothing.
    pub fn floor(self) -> Self {
        match self {
            Self::Token(token) | Self::Mix(token) => Self::Sign(token.algorithm),
            Self::Handshake(algorithm) | Self::Peer(algorithm) => Self::Sign(algorithm),
            Self::Bare
            | Self::Sign(_)
            | Self::IntrospectSeen(_)
            | Self::IntrospectFirst(_)
            | Self::Jwks => Self::Bare,
        }
    }

    /// The same without what makes it special: what DESIGN §9 compares it with.
    pub fn without(self) -> Option<Self> {
        match self {
            Self::Mix(token) => Some(Self::Token(token)),
            Self::Token(token) if token.tls => Some(Self::Token(Token {
                tls: false,
                ..token
            })),
            Self::Peer(algorithm) => Some(Self::Token(Token::of(algorithm, 0))),
            _ => None,
        }
    }

    /// The least of the rate of the same [without](Self::without) that DESIGN §9 allows.
    pub fn goal_of_rate(self) -> Option<f64> {
        match self {
            Self::Mix(_) => Some(0.95),
            Self::Token(token) if token.tls => Some(0.88),
            _ => None,
        }
    }

    /// The most that 99 of 100 answers may take by DESIGN §9, in milliseconds.
    pub fn goal_p99_ms(self) -> Option<f64> {
        match self {
            Self::Mix(_) => Some(5.0),
            _ => None,
        }
    }

    /// The most processor time of the server that DESIGN §9 allows, in microseconds.
    pub fn goal_us(self) -> Option<f64> {
        use Algorithm::{ES256, EdDSA, RS256};
        let token = match self {
            Self::Token(token) if token.record == RecordMode::Durable && !token.tls => token,
            Self::IntrospectSeen(_) => return Some(14.0),
            Self::IntrospectFirst(EdDSA) => return Some(44.0),
            Self::Handshake(_) => return Some(215.0),
            _ => return None,
        };
        match (token.algorithm, token.policies) {
            (ES256, 0) => Some(33.0),
            (ES256, 1) => Some(41.0),
            (EdDSA, 0) => Some(25.0),
            (EdDSA, 1) => Some(33.0),
            (RS256, 0) => Some(265.0),
            (RS256, 1) => Some(272.0),
            _ => None,
        }
    }
}

/// Subjects that are run in turn, at one number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// How many connections.
    pub connections: usize,
    /// In this order, and back again in the next round.
    pub subjects: Vec<Subject>,
}

/// How a row is called: what `--only` looks for.
pub fn row(subject: Subject, connections: usize) -> String {
    format!("{subject}/c{connections}")
}

fn set(connections: usize, subjects: &[Subject]) -> Set {
    Set {
        connections,
        subjects: subjects.to_vec(),
    }
}

/// Every row of DESIGN §9, and how cost goes with the number of connections.
pub fn usual() -> Vec<Set> {
    use Algorithm::{ES256, EdDSA, RS256};
    use Subject::{
        Bare, Handshake, IntrospectFirst, IntrospectSeen, Jwks, Mix, Peer, Sign, Token as T,
    };
    let es256 = Token::of(ES256, 0);
    vec![
        set(
            64,
            &[
                Bare,
                Sign(ES256),
                T(es256),
                T(Token::of(ES256, 1)),
                T(Token::of(ES256, 3)),
                T(es256.recorded(RecordMode::Buffered)),
                T(es256.recorded(RecordMode::Off)),
                T(es256.over_tls()),
                Handshake(ES256),
                IntrospectSeen(ES256),
                Jwks,
            ],
        ),
        set(
            64,
            &[
                Bare,
                Sign(EdDSA),
                T(Token::of(EdDSA, 0)),
                T(Token::of(EdDSA, 1)),
                IntrospectSeen(EdDSA),
                IntrospectFirst(EdDSA),
            ],
        ),
        set(
            64,
            &[
                Bare,
                Sign(RS256),
                T(Token::of(RS256, 0)),
                T(Token::of(RS256, 1)),
            ],
        ),
        set(16, &[Bare, Sign(ES256), T(es256), Mix(es256), Peer(ES256)]),
        set(1, &[Bare, Sign(ES256), T(es256)]),
        set(256, &[Bare, Sign(ES256), T(es256)]),
    ]
}

/// The first figures, in a minute.
pub fn quick() -> Vec<Set> {
    use Algorithm::{ES256, EdDSA};
    use Subject::{Bare, IntrospectSeen, Mix, Sign, Token as T};
    let es256 = Token::of(ES256, 0);
    vec![
        set(
            64,
            &[
                Bare,
                Sign(ES256),
                T(es256),
                T(Token::of(ES256, 1)),
                T(es256.over_tls()),
                IntrospectSeen(ES256),
            ],
        ),
        set(64, &[Bare, Sign(EdDSA), T(Token::of(EdDSA, 0))]),
        set(16, &[Bare, Sign(ES256), T(es256), Mix(es256)]),
    ]
}

/// Everything with everything: algorithm × policies × record × transport × connections, with what is not
/// a token at each number of connections.
pub fn matrix() -> Vec<Set> {
    let mut sets = Vec::new();
    for connections in [1, 16, 64, 256] {
        for algorithm in Algorithm::ALL {
            let mut subjects = vec![Subject::Bare, Subject::Sign(algorithm)];
            for record in [RecordMode::Durable, RecordMode::Buffered, RecordMode::Off] {
                for tls in [false, true] {
                    for policies in crate::fixture::POLICIES {
                        subjects.push(Subject::Token(Token {
                            algorithm,
                            policies,
                            record,
                            tls,
                        }));
                    }
                }
            }
            subjects.extend([
                Subject::Mix(Token::of(algorithm, 0)),
                Subject::IntrospectSeen(algorithm),
                Subject::IntrospectFirst(algorithm),
                Subject::Handshake(algorithm),
            ]);
            if algorithm == Algorithm::ES256 {
                subjects.push(Subject::Jwks);
            }
            // Its library has no PS256 in this set-up that would be fair.
            if algorithm != Algorithm::PS256 {
                subjects.push(Subject::Peer(algorithm));
            }
            sets.push(Set {
                connections,
                subjects,
            });
        }
    }
    sets
}

/// What is left of a plan for someone who asks for rows with `wanted` in their name: these, what they
/// are compared with, and at another number of connections where that is given.
pub fn select(sets: Vec<Set>, wanted: &[String], connections: &[usize]) -> Vec<Set> {
    let mut selected: Vec<Set> = Vec::new();
    for set in sets {
        let numbers = match connections {
            [] => vec![set.connections],
            given => given.to_vec(),
        };
        for connections in numbers {
            let named = |subject: &Subject| {
                let name = row(*subject, connections);
                wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()))
            };
            let chosen: Vec<Subject> = set.subjects.iter().copied().filter(named).collect();
            let needed = |subject: &Subject| {
                let of = |one: &Subject| {
                    one.floor() == *subject
                        || one.without() == Some(*subject)
                        || *subject == Subject::Bare
                };
                chosen.contains(subject) || chosen.iter().any(of)
            };
            let subjects: Vec<Subject> = set.subjects.iter().copied().filter(needed).collect();
            let set = Set {
                connections,
                subjects,
            };
            if !set.subjects.is_empty() && !selected.contains(&set) {
                selected.push(set);
            }
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_compared_has_what_it_is_compared_with_in_its_set() {
        for set in [usual(), quick(), matrix()].concat() {
            for subject in &set.subjects {
                let compared = [
                    Some(Subject::Bare),
                    Some(subject.floor()),
                    subject.without(),
                ];
                for other in compared.into_iter().flatten() {
                    let fine = set.subjects.contains(&other);
                    assert!(fine, "{subject} has no {other} at c{}", set.connections);
                }
            }
        }
    }

    #[test]
    fn the_usual_run_has_every_goal() {
        use Algorithm::{ES256, EdDSA, RS256};
        let all: Vec<Subject> = usual().into_iter().flat_map(|set| set.subjects).collect();
        for algorithm in [ES256, EdDSA, RS256] {
            for policies in [0, 1] {
                let subject = Subject::Token(Token::of(algorithm, policies));
                assert!(all.contains(&subject) && subject.goal_us().is_some());
            }
        }
        assert!(all.contains(&Subject::Mix(Token::of(ES256, 0))));
        assert!(all.contains(&Subject::Handshake(ES256)));
        assert!(all.contains(&Subject::IntrospectFirst(EdDSA)));
    }

    #[test]
    fn the_matrix_is_whole() {
        let tokens = matrix().into_iter().flat_map(|set| set.subjects);
        let tokens = tokens.filter(|subject| matches!(subject, Subject::Token(_)));
        assert_eq!(tokens.count(), 4 * 3 * 3 * 2 * 4);
    }

    #[test]
    fn a_selection_keeps_what_is_compared_with() {
        let wanted = ["token/EdDSA/p1".to_owned()];
        let sets = select(usual(), &wanted, &[]);
        assert_eq!(
            sets,
            [set(
                64,
                &[
                    Subject::Bare,
                    Subject::Sign(Algorithm::EdDSA),
                    Subject::Token(Token::of(Algorithm::EdDSA, 1)),
                ]
            )]
        );
        let sets = select(usual(), &["token/ES256/p0/durable/tls".to_owned()], &[7]);
        let names: Vec<String> = sets[0].subjects.iter().map(|one| row(*one, 7)).collect();
        assert_eq!(
            names,
            [
                "bare/c7",
                "bare+sign/ES256/c7",
                "token/ES256/p0/durable/plain/c7",
                "token/ES256/p0/durable/tls/c7",
            ]
        );
        assert!(select(usual(), &["nothing".to_owned()], &[]).is_empty());
        assert_eq!(select(usual(), &[], &[]), usual());
    }
}
