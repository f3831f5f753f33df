//! Tables in plain text.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// Spaces between columns.
const GAP: u16 = 2;

/// Rows of cells, aligned by column; further columns are aligned as the last one named.
pub fn table<C: ToString>(
    alignments: &[CellAlignment],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| cell.to_string())));
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if at == 0 { 0 } else { GAP }, 0));
        column.set_cell_alignment(alignments[at.min(alignments.len() - 1)]);
    }
    table.trim_fmt() + "\n"
}
