//! Pages of lists.

use super::call::Call;
use super::failure::Failure;
use super::query::number;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::Display;
use std::str::FromStr;
use writ_api::Page;

/// Largest `limit`.
const LIMIT_MAX: usize = 200;
/// `limit` where none is given.
const LIMIT: usize = 50;
/// Most things that a filter looks at for one page: a page can be shorter than asked for and still
/// not be the last, so that a search over a million does not hold up everybody else.
const SCANNED: usize = 100_000;

/// The most items that a call wants on one page.
///
/// # Errors
/// Not a number from 1 to 200.
pub(super) fn limit(call: &Call) -> Result<usize, Failure> {
    let Some(text) = call.query("limit") else {
        return Ok(LIMIT);
    };
    let limit = number(text).and_then(|number| usize::try_from(number).ok());
    limit
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| {
            let detail = format!("the query parameter limit must be 1 to {LIMIT_MAX}");
            Failure::malformed("query_malformed", detail)
        })
}

/// The id after which a page begins.
///
/// # Errors
/// Not a cursor.
pub(super) fn after<T: FromStr>(call: &Call) -> Result<Option<T>, Failure> {
    call.query("after").map(decode).transpose()
}

fn decode<T: FromStr>(cursor: &str) -> Result<T, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let detail = "the query parameter after must be the `next` of a page of this list";
        Failure::malformed("cursor_invalid", detail)
    })
}

/// One page of things that come in the order of their ids.
pub(super) fn page<T, V>(
    items: impl Iterator<Item = T>,
    limit: usize,
    keep: impl Fn(&T) -> bool,
    id: impl Fn(&T) -> String,
    view: impl Fn(&T) -> V,
) -> Page<V> {
    let mut page = Page {
        items: Vec::new(),
        next: None,
    };
    let mut last = None;
    for (scanned, item) in items.enumerate() {
        if scanned == SCANNED || (page.items.len() == limit && keep(&item)) {
            page.next = last.map(cursor);
            break;
        }
        if page.items.len() < limit && keep(&item) {
            page.items.push(view(&item));
        }
        last = Some(id(&item));
    }
    page
}

/// What stands for an id, or a place, in `next` and `after`.
pub(super) fn cursor(id: impl Display) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn walk(count: u32, limit: usize, keep: impl Fn(&u32) -> bool) -> (Vec<u32>, usize) {
        let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let items = (0..count).filter(|item| after.is_none_or(|after| *item > after));
            let page = page(items, limit, &keep, u32::to_string, |item| *item);
            all.extend(page.items);
            pages += 1;
            match page.next {
                Some(next) => after = Some(decode::<u32>(&next).unwrap()),
                None => return (all, pages),
            }
        }
    }

    #[test]
    fn pages_join_to_the_list() {
        assert_eq!(walk(10, 5, |_| true), ((0..10).collect(), 2));
        assert_eq!(walk(0, 5, |_| true), (vec![], 1));
        assert_eq!(walk(10, 2, |item| item % 4 == 0), (vec![0, 4, 8], 2));
    }

    #[test]
    fn a_long_search_goes_in_steps() {
        let (found, pages) = walk(250_000, 5, |item| *item == 240_000);
        assert_eq!((found, pages), (vec![240_000], 3));
    }

    proptest! {
        #[test]
        fn any_cursor_is_read_or_refused(cursor in "\\PC{0,20}") {
            let read = decode::<writ_core::RoleId>(&cursor);
            let refused = matches!(read, Err(Failure::Malformed { .. }));
            prop_assert!(refused || read.is_ok());
        }
    }
}
