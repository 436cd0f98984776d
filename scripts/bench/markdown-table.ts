/** A table as Markdown has it: the first column to the left, figures to the right. */

export const tableRow = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

export const table = (columns: readonly string[], rows: readonly (readonly string[])[]): string[] =>
  [columns, columns.map((_, index) => (index === 0 ? '---' : '--:')), ...rows].map(tableRow);
