//! Events as CloudEvents 1.0.2, in JSON: for people's tools. Nothing is stored in this form.

use serde_json::{Value, json};
use writ_api::Event;
use writ_core::{Position, codec};

use super::Failure;
use super::output::parse;

/// The part of a stored event that is mapped.
#[derive(serde::Deserialize)]
struct Stored {
    id: String,
    time: String,
    kind: String,
    kv: u64,
    actor: Actor,
    #[serde(default)]
    corr: Option<String>,
    #[serde(default)]
    cause: Option<String>,
    data: Value,
}

#[derive(serde::Deserialize)]
struct Actor {
    kind: String,
    id: String,
}

/// An event of the log of `source`, which is the issuer, as a CloudEvent.
///
/// `type` has the version of the kind, since nobody must take the data of one for that of another.
/// `position` is a string, since integers have 32 bits there (CloudEvents 1.0.2, "Type System").
pub fn cloud_event(event: &Event, source: &str) -> Result<Value, Failure> {
    let stored: Stored = parse(&event.event)?;
    let mut mapped = json!({
        "specversion": "1.0",
        "id": stored.id,
        "source": source,
        "type": format!("writ.{}.v{}", stored.kind, stored.kv),
    });
    let actor = format!("{}/{}", stored.actor.kind, stored.actor.id);
    let attributes = [
        ("subject", subject(event)),
        ("time", Some(stored.time)),
        ("datacontenttype", Some("application/json".to_owned())),
        ("actor", Some(actor)),
        ("correlationid", stored.corr),
        ("causationid", stored.cause),
        ("position", Some(event.position.to_string())),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            mapped[name] = value.into();
        }
    }
    mapped["data"] = stored.data;
    Ok(mapped)
}

/// What the event is about in the first place, as `--entity` calls it. Of an event that only a newer
/// version knows it is not said.
fn subject(event: &Event) -> Option<String> {
    let bytes = event.event.to_string();
    let recorded = codec::decode(Position(event.position), bytes.as_bytes()).ok()?;
    Some(recorded.event.entities().first()?.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// The mapping is what people's tools were built for.
    #[test]
    fn golden_events_are_mapped_as_they_were() {
        for (position, stored, mapped) in [
            (
                41,
                r#"{"v":1,"id":"01kjsesxm0000000000000000s","time":"2026-03-03T09:00:00.025Z","kind":"grant.added","kv":1,"actor":{"kind":"application","id":"01jdd2p000000000000000001a","auth":"bearer"},"cmd":"01kjsesxm0030000000000000s","seq":0,"of":1,"corr":"4bf92f3577b34da6a3ce929d0e0e4736","cause":"01kjsesxm0000000000000000r","data":{"application":"01jdd2p000000000000000001a","api":"api_7","mode":"rbac","scopes":["courses:publish","courses:read"]}}"#,
                r#"{"specversion":"1.0","id":"01kjsesxm0000000000000000s","source":"https://writ.example","type":"writ.grant.added.v1","subject":"application/01jdd2p000000000000000001a","time":"2026-03-03T09:00:00.025Z","datacontenttype":"application/json","actor":"application/01jdd2p000000000000000001a","correlationid":"4bf92f3577b34da6a3ce929d0e0e4736","causationid":"01kjsesxm0000000000000000r","position":"41","data":{"application":"01jdd2p000000000000000001a","api":"api_7","mode":"rbac","scopes":["courses:publish","courses:read"]}}"#,
            ),
            // Of a kind that this version does not know.
            (
                u64::MAX,
                r#"{"v":1,"id":"01kjsesxm0000000000000000s","time":"2026-03-03T09:00:00.025Z","kind":"moon.risen","kv":2,"actor":{"kind":"system","id":"start"},"cmd":"01kjsesxm0030000000000000s","seq":0,"of":1,"data":{}}"#,
                r#"{"specversion":"1.0","id":"01kjsesxm0000000000000000s","source":"https://writ.example","type":"writ.moon.risen.v2","time":"2026-03-03T09:00:00.025Z","datacontenttype":"application/json","actor":"system/start","position":"18446744073709551615","data":{}}"#,
            ),
        ] {
            let event = Event {
                position,
                event: serde_json::from_str(stored).unwrap(),
                reason: None,
            };
            let found = cloud_event(&event, "https://writ.example").unwrap();
            assert_eq!(found.to_string(), mapped);
        }
    }
}
