//! `#[policy(..)]`: from a function to a policy.

use proc_macro::{Delimiter, Span, TokenStream, TokenTree};

use crate::tokens::{
    Complaint, argument, attributes, complain, documentation, one_text, quoted, split_at_commas,
    texts,
};

#[derive(Default)]
struct Arguments {
    name: Option<String>,
    codes: Vec<String>,
    claims: Vec<String>,
    reads: Vec<String>,
}

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Complaint> {
    let arguments = read_arguments(arguments)?;
    let (attributes, signature) = attributes(item.clone().into_iter().collect());
    let function = read_function(signature)?;

    let name = match &arguments.name {
        Some(name) => quoted(name),
        None => "::core::env!(\"CARGO_PKG_NAME\")".to_owned(),
    };
    let doc = quoted(&documentation(&attributes));
    let [codes, claims, reads] =
        [&arguments.codes, &arguments.claims, &arguments.reads].map(|texts| list(texts));
    let (evaluate, settings) = (&function.name, &function.settings);
    let visibility = &function.visibility;

    let policy = format!(
        "/// This crate's policy, for tests; the server sees it by its exports.
        #[allow(dead_code)]
        #[derive(Clone, Copy, Debug)]
        {visibility} struct Policy;

        impl ::writ_policy::Policy for Policy {{
            type Settings = {settings};

            fn descriptor() -> ::writ_policy::Descriptor {{
                ::writ_policy::Descriptor {{
                    name: ::std::string::String::from({name}),
                    version: ::std::string::String::from(::core::env!(\"CARGO_PKG_VERSION\")),
                    doc: ::std::string::String::from({doc}),
                    settings: <{settings} as ::writ_policy::Settings>::schema(),
                    reads: {reads},
                    codes: {codes},
                    claims: {claims},
                }}
            }}

            fn evaluate(
                request: &::writ_policy::Request,
                settings: &{settings},
            ) -> ::core::result::Result<::writ_policy::Outcome, ::writ_policy::Fault> {{
                {evaluate}(request, settings)
            }}
        }}

        #[cfg(target_arch = \"wasm32\")]
        const _: () = {{
            type Guest = ::writ_policy::guest::Exported<Policy>;
            ::writ_policy::bindings::export_policy!(
                Guest with_types_in ::writ_policy::bindings
            );
        }};"
    );
    let Ok(policy) = policy.parse::<TokenStream>() else {
        return complain(Span::call_site(), "the settings type is not one");
    };
    Ok([item, policy].into_iter().collect())
}

fn read_arguments(tokens: TokenStream) -> Result<Arguments, Complaint> {
    let mut read = Arguments::default();
    for part in split_at_commas(tokens) {
        let argument = argument(part)?;
        match argument.name.as_str() {
            "name" => read.name = Some(one_text(&argument.value)?),
            "codes" => read.codes = texts(argument.value)?,
            "claims" => read.claims = texts(argument.value)?,
            "reads" => read.reads = texts(argument.value)?,
            _ => {
                let message = "expected codes(..), claims(..), reads(..) or name = \"..\"";
                return complain(argument.span, message);
            }
        }
    }
    Ok(read)
}

struct Function {
    name: String,
    /// The source of what is before `fn`, of which the policy has the visibility.
    visibility: String,
    /// The source of the type behind the second parameter's `&`.
    settings: String,
}

fn read_function(tokens: Vec<TokenTree>) -> Result<Function, Complaint> {
    const SHAPE: &str = "a policy is `fn name(request: &Request, settings: &MySettings) \
                         -> Result<Outcome, Fault>`";
    let mut tokens = tokens.into_iter();
    let is_fn =
        |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    let visibility: TokenStream = tokens.by_ref().take_while(|token| !is_fn(token)).collect();
    let visibility = visibility.to_string();
    let Some(TokenTree::Ident(name)) = tokens.next() else {
        return complain(Span::call_site(), SHAPE);
    };
    let parameters = match tokens.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            split_at_commas(group.stream())
        }
        _ => return complain(name.span(), format!("{SHAPE}, without generics")),
    };
    let [_, settings] = parameters.as_slice() else {
        return complain(name.span(), SHAPE);
    };
    let after_colon = settings
        .iter()
        .skip_while(|token| !matches!(token, TokenTree::Punct(p) if p.as_char() == ':'))
        .skip(1);
    let mut after_colon = after_colon.cloned();
    match after_colon.next() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == '&' => {}
        _ => return complain(name.span(), SHAPE),
    }
    let settings: TokenStream = after_colon.collect();
    Ok(Function {
        name: name.to_string(),
        visibility,
        settings: settings.to_string(),
    })
}

fn list(texts: &[String]) -> String {
    let mut texts: Vec<&String> = texts.iter().collect();
    texts.sort();
    texts.dedup();
    let each = texts
        .iter()
        .map(|text| format!("::std::string::String::from({})", quoted(text)));
    format!("::std::vec![{}]", each.collect::<Vec<_>>().join(", "))
}
