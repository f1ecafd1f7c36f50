//! `writ settings …`: what is server-wide and can change a decision or a token.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use ureq::http::Method;
use writ_api::Settings as Entity;

use super::Failure;
use super::output::{Out, clean};
use super::remote::{Call, Change, Client, Connection, Read};

/// Settings of the whole server, changed by events like everything else
#[derive(Args, Debug)]
pub struct Settings {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show all settings
    #[command(after_help = "Example:
  writ settings show")]
    Show(Read),
    /// Change settings
    #[command(after_help = "Examples:
  writ settings set tokens.lifetime_seconds=600
  writ settings set scopes.unauthorized=drop keys.rotate_after_days=30 --reason 'OPS-7'")]
    Set {
        /// Settings with their new values
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        change: Change,
    },
}

impl Settings {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self.verb {
            Verb::Show(read) => {
                let mut client = Client::open(&self.connection)?;
                show(out, &mut client, Call::get(&["settings"], &read))
            }
            Verb::Set { settings, change } => {
                let settings = parse(&settings)?;
                let mut client = Client::open(&self.connection)?;
                let call = Call::change(Method::PATCH, &["settings"], &change).body(&settings)?;
                show(out, &mut client, call)
            }
        }
    }
}

fn show(out: &mut Out, client: &mut Client, call: Call) -> Result<(), Failure> {
    let value = client.send(call)?.value;
    if out.is_json() {
        return out.value(&value);
    }
    let members = value.as_object().into_iter().flatten();
    for (key, value) in members {
        out.line(format_args!("{key}={}", shown(value)))?;
    }
    Ok(())
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), |text| clean(text).into_owned())
}

/// The settings as the server takes them. Which value is right is the server's to say; that there
/// is such a setting can be said at once.
fn parse(given: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut settings = Map::new();
    for setting in given {
        let Some((key, text)) = setting.split_once('=') else {
            let text = format!("`{setting}` is no setting: write KEY=VALUE");
            return Err(Failure::Usage(text));
        };
        let value = match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => text.parse().map_or_else(|_| text.into(), |n: u64| n.into()),
        };
        let one = Map::from_iter([(key.to_owned(), value.clone())]);
        if let Err(error) = serde_json::from_value::<Entity>(Value::Object(one)) {
            return Err(Failure::Usage(format!("`{setting}`: {error}")));
        }
        if settings.insert(key.to_owned(), value).is_some() {
            return Err(Failure::Usage(format!("`{key}` is set twice")));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_by_their_types() {
        let given = ["scopes.combine_apis=true", "tokens.lifetime_seconds=600"];
        let settings = parse(&given.map(str::to_owned)).unwrap_or_default();
        assert_eq!(
            Value::Object(settings).to_string(),
            r#"{"scopes.combine_apis":true,"tokens.lifetime_seconds":600}"#
        );
        for bad in [
            "tokens.lifetime_seconds",
            "tokens.lifetime_seconds=soon",
            "lifetime=3",
        ] {
            assert!(matches!(
                parse(&[bad.to_owned()]),
                Err(Failure::Usage(text)) if text.contains(bad)
            ));
        }
    }
}
