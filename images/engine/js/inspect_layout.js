// Lines and columns of shown values, as Node's util.inspect breaks them.

/** Where a line ends. */
const LINE = 80;
/** What Node reserves of it for what is around the entries. */
const RESERVED = 10;
/** Arrays with more items are shown in columns. */
const FEW = 6;
const MOST_COLUMNS = 15;
/** Columns are about this many times as high as wide. */
const HEIGHT = 2.5;

/**
 * The entries in brackets: on one line if they are short and `mayJoin` says so. `prefix` is what
 * comes before the bracket.
 */
export function lay(entries, open, close, indent, prefix, mayJoin) {
  if (entries.length === 0) return open + close;
  const length = entries.reduce((sum, entry) => sum + entry.length + 2, 0);
  const fits = length + indent + prefix.length <= LINE - RESERVED;
  // An error's stack takes lines already.
  const hasLines =
    prefix.includes('\n') || entries.some((entry) => entry.includes('\n'));
  if (mayJoin && fits && !hasLines)
    return `${open} ${entries.join(', ')} ${close}`;
  const indented = entries.map((entry) => entry.replaceAll('\n', '\n  '));
  return `${open}\n  ${indented.join(',\n  ')}\n${close}`;
}

/** The items of an array as rows of columns, or as they are if they are few or long. */
export function inColumns(entries, indent, isNumeric) {
  const rest = /^\.\.\. \d+ more items?$/.test(entries.at(-1) ?? '') ? 1 : 0;
  const items = entries.slice(0, entries.length - rest);
  const hasOther = items.some(
    (item) => item.includes('\n') || item.startsWith('<'),
  );
  if (items.length <= FEW || hasOther) return entries;
  const lengths = items.map((item) => item.length + 2);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const widest = Math.max(...lengths);
  if (widest * 3 + indent >= LINE || (total / widest <= 5 && widest - 2 > FEW))
    return entries;
  const bias = Math.sqrt(widest - total / entries.length);
  const width = Math.max(widest - 3 - bias, 1);
  const columns = Math.min(
    Math.round(Math.sqrt(HEIGHT * width * items.length) / width),
    Math.floor((LINE - indent) / widest),
    12,
    MOST_COLUMNS,
  );
  if (columns <= 1) return entries;
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...lengths.filter((_, at) => at % columns === column)),
  );
  const rows = [];
  for (let from = 0; from < items.length; from += columns) {
    const row = items.slice(from, from + columns);
    const last = row.length - 1;
    const cells = row.map((item, column) => {
      const separated = column === last ? item : `${item}, `;
      if (isNumeric)
        return separated.padStart(widths[column] - (column === last ? 2 : 0));
      return column === last ? item : separated.padEnd(widths[column]);
    });
    rows.push(cells.join(''));
  }
  return [...rows, ...entries.slice(items.length)];
}
