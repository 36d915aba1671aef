// console.table: rows and columns in a frame, as Node draws it.

import { inspect } from './inspect.js';

const INDEX = '(index)';
const VALUES = 'Values';

/** The table; undefined for what cannot be one. `columns` are the names of those to show. */
export function table(data, columns) {
  if (typeof data !== 'object' || data === null) return undefined;
  try {
    return framed(data, Array.isArray(columns) ? columns : undefined);
  } catch {
    // A proxy whose traps throw.
    return undefined;
  }
}

function framed(data, columns) {
  const { first, rows } = read(data);
  const names = [];
  let hasValues = false;
  const cells = rows.map(([index, value]) => {
    if (typeof value !== 'object' || value === null || first !== INDEX) {
      hasValues = true;
      return { index, own: new Map(), value };
    }
    const own = new Map();
    for (const name of Object.keys(value)) {
      if (columns && !columns.includes(name)) continue;
      if (!names.includes(name)) names.push(name);
      own.set(name, dataOf(value, name));
    }
    return { index, own };
  });
  const shownNames = columns ?? names;
  const head = [first, ...shownNames];
  const isMap = data instanceof Map;
  if (isMap) head.push('Key');
  if (hasValues) head.push(VALUES);
  const body = cells.map(({ index, own, ...rest }) => {
    const row = [index];
    for (const name of shownNames)
      row.push(own.has(name) ? inspect(own.get(name), 0) : '');
    if (isMap) row.push(inspect(rest.value[0], 0), inspect(rest.value[1], 0));
    else if (hasValues) row.push('value' in rest ? inspect(rest.value, 0) : '');
    return row;
  });
  return draw(head, body);
}

/** The name of the first column, and the rows with what stands in it. */
function read(data) {
  if (data instanceof Map || data instanceof Set)
    return { first: '(iteration index)', rows: numbered([...data]) };
  const rows = Object.keys(data).map((name) => [name, dataOf(data, name)]);
  return { first: INDEX, rows };
}

const numbered = (values) => values.map((value, at) => [String(at), value]);

/** A property without running its getter. */
function dataOf(object, name) {
  return Object.getOwnPropertyDescriptor(object, name)?.value;
}

function draw(head, body) {
  const widths = head.map(
    (name, at) =>
      2 + Math.max(name.length, ...body.map((row) => row[at].length)),
  );
  const line = (left, middle, right) =>
    left + widths.map((width) => '─'.repeat(width)).join(middle) + right;
  const row = (cells) =>
    `│${cells.map((cell, at) => ` ${cell}`.padEnd(widths[at])).join('│')}│`;
  return [
    line('┌', '┬', '┐'),
    row(head),
    line('├', '┼', '┤'),
    ...body.map(row),
    line('└', '┴', '┘'),
  ].join('\n');
}
