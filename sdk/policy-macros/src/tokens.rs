//! What both macros need of a parser: lists split at commas, attributes, doc comments, literals,
//! complaints.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// What is wrong, and where: becomes a compile error there.
pub(crate) struct Complaint {
    span: Span,
    message: String,
}

pub(crate) fn complain<T>(span: Span, message: impl Into<String>) -> Result<T, Complaint> {
    let message = message.into();
    Err(Complaint { span, message })
}

impl Complaint {
    pub(crate) fn into_tokens(self) -> TokenStream {
        let mut message: TokenTree = Literal::string(&self.message).into();
        message.set_span(self.span);
        let mut arguments = Group::new(Delimiter::Brace, message.into());
        arguments.set_span(self.span);
        let mut bang = Punct::new('!', Spacing::Alone);
        bang.set_span(self.span);
        let tokens: [TokenTree; 3] = [
            Ident::new("compile_error", self.span).into(),
            bang.into(),
            arguments.into(),
        ];
        tokens.into_iter().collect()
    }
}

/// Splits at the commas that are outside of brackets of any kind. A trailing comma adds nothing.
pub(crate) fn split_at_commas(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut parts = vec![Vec::new()];
    let mut depth = 0_usize;
    let mut arrow = false;
    for token in tokens {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' if !arrow => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(Vec::new());
                    arrow = false;
                    continue;
                }
                _ => {}
            }
            arrow = punct.as_char() == '-' && punct.spacing() == Spacing::Joint;
        } else {
            arrow = false;
        }
        if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The attributes at the front, as what is within `#[..]`, and what follows them.
pub(crate) fn attributes(tokens: Vec<TokenTree>) -> (Vec<Vec<TokenTree>>, Vec<TokenTree>) {
    let mut attributes = Vec::new();
    let mut rest = tokens.into_iter().peekable();
    while matches!(rest.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#') {
        rest.next();
        if let Some(TokenTree::Group(group)) = rest.next() {
            attributes.push(group.stream().into_iter().collect());
        }
    }
    (attributes, rest.collect())
}

/// The text of all `doc = ".."` attributes, lines joined and trimmed.
pub(crate) fn documentation(attributes: &[Vec<TokenTree>]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let [
            TokenTree::Ident(name),
            TokenTree::Punct(_),
            TokenTree::Literal(text),
        ] = attribute.as_slice()
            && name.to_string() == "doc"
            && let Some(text) = text_of(text)
        {
            lines.push(text.trim().to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}

/// `name`, `name = tokens` or `name(tokens)`.
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) span: Span,
    pub(crate) value: Vec<TokenTree>,
}

pub(crate) fn argument(tokens: Vec<TokenTree>) -> Result<Argument, Complaint> {
    let mut tokens = tokens.into_iter();
    let Some(TokenTree::Ident(name)) = tokens.next() else {
        return complain(Span::call_site(), "expected a name");
    };
    let span = name.span();
    let name = name.to_string();
    let value = match tokens.next() {
        None => Vec::new(),
        Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => tokens.collect(),
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            group.stream().into_iter().collect()
        }
        Some(other) => return complain(other.span(), "expected `=` or `(..)`"),
    };
    Ok(Argument { name, span, value })
}

/// String literals with commas between them.
pub(crate) fn texts(tokens: Vec<TokenTree>) -> Result<Vec<String>, Complaint> {
    let parts = split_at_commas(tokens.into_iter().collect());
    parts.iter().map(|part| one_text(part)).collect()
}

/// One string literal.
pub(crate) fn one_text(tokens: &[TokenTree]) -> Result<String, Complaint> {
    match tokens {
        [TokenTree::Literal(literal)] => match text_of(literal) {
            Some(text) => Ok(text),
            None => complain(literal.span(), "expected a text in quotes"),
        },
        [other, ..] => complain(other.span(), "expected a text in quotes"),
        [] => complain(Span::call_site(), "expected a text in quotes"),
    }
}

/// What a string literal says, or `None` for other literals.
fn text_of(literal: &Literal) -> Option<String> {
    let source = literal.to_string();
    if let Some(raw) = source.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
        let inner = raw.get(hashes..raw.len() - hashes)?;
        return Some(inner.strip_prefix('"')?.strip_suffix('"')?.to_owned());
    }
    let inner = source.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next()? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '0' => text.push('\0'),
            'u' => {
                let code: String = characters.by_ref().take_while(|c| *c != '}').collect();
                let code = code.trim_start_matches('{').replace('_', "");
                text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
            }
            'x' => {
                let code: String = characters.by_ref().take(2).collect();
                text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
            }
            '\n' => while characters.next_if(|c| c.is_whitespace()).is_some() {},
            quoted => text.push(quoted),
        }
    }
    Some(text)
}

/// A text as the source of a string literal.
pub(crate) fn quoted(text: &str) -> String {
    Literal::string(text).to_string()
}
