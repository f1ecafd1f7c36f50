//! A table for people: aligned columns, printed page by page. A later page may make a column
//! wider, never narrower, so that no more than a page is held.

use super::Failure;
use super::output::{Out, clean};

/// The columns of a table and how wide they are by now.
pub struct Table {
    header: &'static [&'static str],
    widths: Vec<usize>,
    begun: bool,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &'static [&'static str]) -> Self {
        let widths = header.iter().map(|name| name.len()).collect();
        Self {
            header,
            widths,
            begun: false,
        }
    }

    /// Prints rows, and the header before the first ones.
    pub fn rows(&mut self, out: &mut Out, rows: &[Vec<String>]) -> Result<(), Failure> {
        let cleaned = rows
            .iter()
            .map(|row| row.iter().map(|cell| clean(cell).into_owned()).collect());
        let cleaned: Vec<Vec<String>> = cleaned.collect();
        for row in &cleaned {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if !self.begun && !cleaned.is_empty() {
            self.begun = true;
            let header: Vec<_> = self.header.iter().map(|name| name.to_uppercase()).collect();
            out.line(self.aligned(&header))?;
        }
        for row in &cleaned {
            out.line(self.aligned(row))?;
        }
        Ok(())
    }

    fn aligned(&self, row: &[String]) -> String {
        let cells = row.iter().zip(&self.widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["id", "name"]);
        table.widths = vec![4, 4];
        let row = ["ab".to_owned(), "c".to_owned()];
        assert_eq!(table.aligned(&row), "ab    c");
    }
}
