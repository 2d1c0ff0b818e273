//! Tables for people: columns under a heading, or names beside their values.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::escape::Escaped;

/// How a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading. Text from the server is shown with its control bytes escaped.
pub(super) fn rows<const N: usize>(
    heading: [(&str, Align); N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = plain();
    table.set_header(heading.map(|(name, _)| name));
    for row in rows {
        table.add_row(row.map(|cell| Escaped(&cell).to_string()));
    }
    for (column, (_, align)) in table.column_iter_mut().zip(heading) {
        column.set_padding((0, 2));
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    trimmed(&table)
}

/// Names beside their values.
pub(super) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = plain();
    for (name, value) in pairs {
        table.add_row([name, Escaped(&value).to_string().as_str()]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    trimmed(&table)
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Without blanks at the ends of lines.
fn trimmed(table: &Table) -> String {
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_their_heading() {
        let table = rows(
            [("LOG", Align::Left), ("END", Align::Right), ("NOTE", Align::Left)],
            [["a", "7", ""], ["orders", "12345", "bad\u{1b}"]].map(|row| row.map(str::to_owned)),
        );
        assert_eq!(
            table,
            "LOG       END  NOTE\n\
             a           7\n\
             orders  12345  bad\\u{1b}"
        );
        assert_eq!(rows([("LOG", Align::Left)], []), "LOG");
    }

    #[test]
    fn names_stand_beside_their_values() {
        let table = pairs([("log", "orders".to_owned()), ("end offset", "7".to_owned())]);
        assert_eq!(table, "log         orders\nend offset  7");
    }
}
