//! As much of TOML 1.0 as case files need. Left out: floats, dates without quotes, numbers that are
//! not decimal.

use std::collections::BTreeMap;

/// A table.
pub(super) type Table = BTreeMap<String, Toml>;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Toml {
    Flag(bool),
    Int(i64),
    Text(String),
    List(Vec<Toml>),
    Table(Table),
}

/// Reads a document.
///
/// The error says in which line, and what was expected there.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    let mut reader = Reader { rest: text };
    let document = reader.document();
    document.map_err(|what| {
        let read = text.len() - reader.rest.len();
        let line = 1 + text
            .bytes()
            .take(read)
            .filter(|byte| *byte == b'\n')
            .count();
        format!("line {line}: {what}")
    })
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Table, String> {
        let mut root = Table::new();
        // The table that keys go to: the path to it from the root.
        let mut path: Vec<String> = Vec::new();
        loop {
            self.skip_lines();
            if self.rest.is_empty() {
                return Ok(root);
            }
            if self.take("[[") {
                path = self.key()?;
                self.expect("]]")?;
                let Some((last, parents)) = path.split_last() else {
                    return Err("expected a name".to_owned());
                };
                let parent = descend(&mut root, parents)?;
                let list = parent.entry(last.clone());
                match list.or_insert_with(|| Toml::List(Vec::new())) {
                    Toml::List(list) => list.push(Toml::Table(Table::new())),
                    _ => return Err(format!("{last} is not a list of tables")),
                }
            } else if self.take("[") {
                path = self.key()?;
                self.expect("]")?;
                descend(&mut root, &path)?;
            } else {
                let table = descend(&mut root, &path)?;
                self.pair(table)?;
            }
            self.end_of_line()?;
        }
    }

    fn pair(&mut self, table: &mut Table) -> Result<(), String> {
        let key = self.key()?;
        self.expect("=")?;
        self.skip_blanks();
        let value = self.value()?;
        let Some((last, parents)) = key.split_last() else {
            return Err("expected a name".to_owned());
        };
        let table = descend(table, parents)?;
        if table.insert(last.clone(), value).is_some() {
            return Err(format!("{last} is given twice"));
        }
        Ok(())
    }

    fn key(&mut self) -> Result<Vec<String>, String> {
        let mut parts = Vec::new();
        loop {
            self.skip_blanks();
            let part = if self.rest.starts_with(['"', '\'']) {
                self.text()?
            } else {
                let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let end = self.rest.find(|c| !bare(c)).unwrap_or(self.rest.len());
                if end == 0 {
                    return Err("expected a name".to_owned());
                }
                self.split(end).to_owned()
            };
            parts.push(part);
            self.skip_blanks();
            if !self.take(".") {
                return Ok(parts);
            }
        }
    }

    fn value(&mut self) -> Result<Toml, String> {
        if self.rest.starts_with(['"', '\'']) {
            return self.text().map(Toml::Text);
        }
        if self.take("[") {
            return self.list();
        }
        if self.take("{") {
            return self.table();
        }
        let end = |c: char| c.is_whitespace() || ",]}#".contains(c);
        let word = self.split(self.rest.find(end).unwrap_or(self.rest.len()));
        match word {
            "true" => Ok(Toml::Flag(true)),
            "false" => Ok(Toml::Flag(false)),
            _ => match word.replace('_', "").parse() {
                Ok(int) => Ok(Toml::Int(int)),
                Err(_) => Err(format!("expected a value, found {word:?}")),
            },
        }
    }

    fn list(&mut self) -> Result<Toml, String> {
        let mut list = Vec::new();
        loop {
            self.skip_lines();
            if self.take("]") {
                return Ok(Toml::List(list));
            }
            list.push(self.value()?);
            self.skip_lines();
            if !self.take(",") {
                self.expect("]")?;
                return Ok(Toml::List(list));
            }
        }
    }

    fn table(&mut self) -> Result<Toml, String> {
        let mut table = Table::new();
        loop {
            self.skip_blanks();
            if self.take("}") {
                return Ok(Toml::Table(table));
            }
            self.pair(&mut table)?;
            self.skip_blanks();
            if !self.take(",") {
                self.expect("}")?;
                return Ok(Toml::Table(table));
            }
        }
    }

    fn text(&mut self) -> Result<String, String> {
        if self.take("'''") {
            return self.until("'''").map(without_first_line_break);
        }
        if self.take("'") {
            let text = self.until("'")?;
            return one_line(text);
        }
        let long = self.take("\"\"\"");
        if !long {
            self.expect("\"")?;
        }
        let mut text = String::new();
        loop {
            if long && self.take("\"\"\"") {
                return Ok(without_first_line_break(text));
            }
            if !long && self.take("\"") {
                return one_line(text);
            }
            let mut characters = self.rest.chars();
            match characters.next() {
                None => return Err("a text does not end".to_owned()),
                Some('\\') => {
                    self.rest = characters.as_str();
                    self.escape(&mut text)?;
                }
                Some(character) => {
                    text.push(character);
                    self.rest = characters.as_str();
                }
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let mut characters = self.rest.chars();
        let escaped = characters.next();
        self.rest = characters.as_str();
        let length = match escaped {
            Some('u') => 4,
            Some('U') => 8,
            Some('\n') => {
                self.rest = self.rest.trim_start();
                return Ok(());
            }
            Some(other) => {
                text.push(match other {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    '"' | '\\' => other,
                    _ => return Err(format!("\\{other} is not an escape")),
                });
                return Ok(());
            }
            None => return Err("a text does not end".to_owned()),
        };
        let code = self.rest.get(..length).unwrap_or_default();
        let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        match code {
            Some(character) => {
                text.push(character);
                self.split(length);
                Ok(())
            }
            None => Err("not a character".to_owned()),
        }
    }

    fn until(&mut self, mark: &str) -> Result<String, String> {
        match self.rest.find(mark) {
            Some(at) => {
                let text = self.split(at).to_owned();
                self.split(mark.len());
                Ok(text)
            }
            None => Err("a text does not end".to_owned()),
        }
    }

    fn split(&mut self, at: usize) -> &str {
        let (taken, rest) = self.rest.split_at(at);
        self.rest = rest;
        taken
    }

    fn take(&mut self, mark: &str) -> bool {
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, mark: &str) -> Result<(), String> {
        self.skip_blanks();
        if self.take(mark) {
            Ok(())
        } else {
            Err(format!("expected {mark}"))
        }
    }

    fn end_of_line(&mut self) -> Result<(), String> {
        self.skip_blanks();
        self.skip_comment();
        if self.rest.is_empty() || self.take("\n") || self.take("\r\n") {
            Ok(())
        } else {
            Err("expected the end of the line".to_owned())
        }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_comment(&mut self) {
        if self.rest.starts_with('#') {
            self.split(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn skip_lines(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.skip_comment();
        }
    }
}

/// The table at this path, made when it is not there; of a list of tables, the last.
fn descend<'t>(mut table: &'t mut Table, path: &[String]) -> Result<&'t mut Table, String> {
    for name in path {
        let next = table.entry(name.clone());
        let next = next.or_insert_with(|| Toml::Table(Table::new()));
        table = match next {
            Toml::Table(table) => table,
            Toml::List(list) => match list.last_mut() {
                Some(Toml::Table(table)) => table,
                _ => return Err(format!("{name} is not a table")),
            },
            _ => return Err(format!("{name} is not a table")),
        };
    }
    Ok(table)
}

fn without_first_line_break(text: String) -> String {
    match text.strip_prefix('\n') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}

fn one_line(text: String) -> Result<String, String> {
    if text.contains('\n') {
        Err("a text does not end in its line".to_owned())
    } else {
        Ok(text)
    }
}

/// The value as JSON text.
pub(super) fn json(value: &Toml) -> String {
    match value {
        Toml::Flag(flag) => flag.to_string(),
        Toml::Int(int) => int.to_string(),
        Toml::Text(text) => json_text(text),
        Toml::List(list) => {
            let each: Vec<String> = list.iter().map(json).collect();
            format!("[{}]", each.join(","))
        }
        Toml::Table(table) => {
            let mut each = Vec::new();
            for (name, value) in table {
                each.push(format!("{}:{}", json_text(name), json(value)));
            }
            format!("{{{}}}", each.join(","))
        }
    }
}

fn json_text(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}
