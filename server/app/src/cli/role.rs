//! `writ role …`: named sets of scopes.

use clap::{Args, Subcommand};
use ureq::http::Method;
use writ_api::{ChangeRole, CreateRole, Role as Entity};

use super::Failure;
use super::output::{Details, Out, detail, details};
use super::remote::{Call, Change, Client, Connection, Creation, Listing, Read, Removal};

/// Roles: named sets of scopes that can be assigned to applications
#[derive(Args, Debug)]
pub struct Role {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Create a role
    #[command(after_help = "Example:
  writ role create Publisher courses:read courses:publish")]
    Create {
        /// Its name, unique
        name: String,
        /// Its scopes, of any API resources
        scopes: Vec<String>,
        #[command(flatten)]
        creation: Creation,
    },
    /// List all roles
    #[command(after_help = "Example:
  writ role list --json | jq -r '.[].name'")]
    List {
        /// Only the one with this name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show a role
    #[command(after_help = "Example:
  writ role show role_3 --as-of 2026-03-03T09:00:00Z")]
    Show {
        /// Its id
        role: String,
        #[command(flatten)]
        read: Read,
    },
    /// Change a role's name, or all its scopes
    #[command(after_help = "Example:
  writ role change role_3 --scopes 'courses:read courses:publish'")]
    Change {
        /// Its id
        role: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        /// All its scopes, separated by spaces
        #[arg(long)]
        scopes: Option<String>,
        #[command(flatten)]
        change: Change,
    },
    /// Remove a role
    #[command(after_help = "Example:
  writ role remove role_3 --cascade --reason 'the team is gone'")]
    Remove {
        /// Its id
        role: String,
        #[command(flatten)]
        removal: Removal,
    },
}

impl Role {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        let mut client = Client::open(&self.connection)?;
        match self.verb {
            Verb::Create {
                name,
                scopes,
                creation,
            } => {
                let scopes = words(&scopes);
                let call = Call::create(&["roles"], creation).body(&CreateRole { name, scopes })?;
                client.show(out, call, describe)
            }
            Verb::List { name, listing } => {
                let filters = [("name", name)];
                let header = &["id", "name", "scopes"];
                client.list(
                    out,
                    &["roles"],
                    &listing,
                    &filters,
                    header,
                    |role: Entity| vec![role.id, role.name, role.scopes.join(" ")],
                )
            }
            Verb::Show { role, read } => {
                client.show(out, Call::get(&["roles", &role], &read), describe)
            }
            Verb::Change {
                role,
                name,
                scopes,
                change,
            } => {
                if name.is_none() && scopes.is_none() {
                    let text = "nothing to change: give --name or --scopes";
                    return Err(Failure::Usage(text.to_owned()));
                }
                let scopes = scopes.map(|scopes| words(&[scopes]));
                let call = Call::change(Method::PATCH, &["roles", &role], &change)
                    .body(&ChangeRole { name, scopes })?;
                client.show(out, call, describe)
            }
            Verb::Remove { role, removal } => {
                let call = Call::remove(&["roles", &role], &removal);
                client.done(out, call, &format!("removed {role}"))
            }
        }
    }
}

/// Names that were given one by one, or several in one argument.
pub fn words(given: &[String]) -> Vec<String> {
    let words = given.iter().flat_map(|text| text.split_whitespace());
    words.map(str::to_owned).collect()
}

fn describe(role: Entity) -> Details {
    vec![
        detail("id", role.id),
        detail("name", role.name),
        details("scopes", role.scopes),
        detail("created", role.created_at),
        detail("version", role.version.to_string()),
    ]
}
