//! `#[derive(Settings)]`: from a struct to its schema and the function that reads it.

use proc_macro::{Delimiter, Span, TokenStream, TokenTree};

use crate::tokens::{
    Argument, Complaint, argument, attributes, complain, documentation, one_text, quoted,
    split_at_commas,
};

struct Field {
    /// In Rust.
    field: String,
    /// In the binding.
    name: String,
    kind: String,
    default: Option<String>,
    doc: String,
}

pub(crate) fn expand(item: TokenStream) -> Result<TokenStream, Complaint> {
    let (item_attributes, rest) = attributes(item.into_iter().collect());
    let check = check_function(&item_attributes)?;
    let mut rest = rest
        .into_iter()
        .skip_while(|token| !matches!(token, TokenTree::Ident(w) if w.to_string() == "struct"));
    rest.next();
    let Some(TokenTree::Ident(name)) = rest.next() else {
        return complain(Span::call_site(), "settings are a struct with named fields");
    };
    let fields = match rest.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let parts = split_at_commas(group.stream());
            parts
                .into_iter()
                .map(field)
                .collect::<Result<Vec<_>, _>>()?
        }
        _ => {
            let message = "settings are a struct with named fields, without generics";
            return complain(name.span(), message);
        }
    };
    let code = implementation(&name.to_string(), &fields, check.as_deref());
    match code.parse() {
        Ok(tokens) => Ok(tokens),
        Err(_) => complain(name.span(), "a default or a type here is not Rust"),
    }
}

fn implementation(name: &str, fields: &[Field], check: Option<&str>) -> String {
    let option = |default: &Option<String>| match default {
        Some(default) => {
            format!("::core::option::Option::Some(::writ_policy::Value::from({default}))")
        }
        None => "::core::option::Option::None".to_owned(),
    };
    let mut schema = String::new();
    let mut read = String::new();
    let mut unwrapped = String::new();
    for (number, one) in fields.iter().enumerate() {
        let Field {
            field,
            name,
            kind,
            default,
            doc,
        } = one;
        let (name, doc, default) = (quoted(name), quoted(doc), option(default));
        schema += &format!("::writ_policy::settings::schema::<{kind}>({name}, {default}, {doc}), ");
        read += &format!(
            "let field_{number} = ::writ_policy::settings::read::<{kind}>(
                values, {name}, || {default}, &mut problems);\n"
        );
        unwrapped += &format!(
            "{field}: match field_{number} {{
                ::core::option::Option::Some(value) => value,
                ::core::option::Option::None => return ::core::result::Result::Err(problems),
            }}, "
        );
    }
    let check = match check {
        Some(check) => format!(
            "if let ::core::result::Result::Err(problem) = {check}(&settings) {{
                return ::core::result::Result::Err(::std::vec![problem]);
            }}"
        ),
        None => String::new(),
    };
    let problems = if fields.is_empty() {
        "let _ = values;
         let problems: ::std::vec::Vec<::writ_policy::Problem> = ::std::vec::Vec::new();"
    } else {
        "let mut problems: ::std::vec::Vec<::writ_policy::Problem> = ::std::vec::Vec::new();"
    };
    format!(
        "impl ::writ_policy::Settings for {name} {{
            fn schema() -> ::std::vec::Vec<::writ_policy::Setting> {{
                ::std::vec![{schema}]
            }}

            fn read(
                values: &[::writ_policy::Named],
            ) -> ::core::result::Result<Self, ::std::vec::Vec<::writ_policy::Problem>> {{
                {problems}
                {read}
                if !problems.is_empty() {{
                    return ::core::result::Result::Err(problems);
                }}
                let settings = Self {{ {unwrapped} }};
                {check}
                ::core::result::Result::Ok(settings)
            }}
        }}"
    )
}

/// `#[settings(check = function)]`.
fn check_function(attributes: &[Vec<TokenTree>]) -> Result<Option<String>, Complaint> {
    let mut check = None;
    for argument in arguments_of(attributes, "settings")? {
        if argument.name != "check" {
            return complain(argument.span, "expected check = function");
        }
        check = Some(source(argument.value));
    }
    Ok(check)
}

fn field(tokens: Vec<TokenTree>) -> Result<Field, Complaint> {
    let (attributes, rest) = attributes(tokens);
    let colon = rest
        .iter()
        .position(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ':'));
    let Some((before, [_, kind @ ..])) = colon.map(|at| rest.split_at(at)) else {
        return complain(Span::call_site(), "settings are a struct with named fields");
    };
    let Some(TokenTree::Ident(ident)) = before.last() else {
        return complain(Span::call_site(), "settings are a struct with named fields");
    };
    let field = ident.to_string();
    let mut read = Field {
        name: field.trim_start_matches("r#").to_owned(),
        field,
        kind: source(kind.to_vec()),
        default: None,
        doc: documentation(&attributes),
    };
    let mut required = None;
    for argument in arguments_of(&attributes, "setting")? {
        match argument.name.as_str() {
            "default" => read.default = Some(source(argument.value)),
            "doc" => read.doc = one_text(&argument.value)?,
            "name" => read.name = one_text(&argument.value)?,
            "required" => required = Some(argument.span),
            _ => {
                let message = "expected default = .., doc = \"..\", name = \"..\" or required";
                return complain(argument.span, message);
            }
        }
    }
    match required {
        Some(span) if read.default.is_some() => {
            complain(span, "a setting with a default is not required")
        }
        _ => Ok(read),
    }
}

/// The arguments of all attributes `name(..)`.
fn arguments_of(attributes: &[Vec<TokenTree>], name: &str) -> Result<Vec<Argument>, Complaint> {
    let mut arguments = Vec::new();
    for attribute in attributes {
        if let [TokenTree::Ident(word), TokenTree::Group(group)] = attribute.as_slice()
            && word.to_string() == name
        {
            for part in split_at_commas(group.stream()) {
                arguments.push(argument(part)?);
            }
        }
    }
    Ok(arguments)
}

fn source(tokens: Vec<TokenTree>) -> String {
    tokens.into_iter().collect::<TokenStream>().to_string()
}
