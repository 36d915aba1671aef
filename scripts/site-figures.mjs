#!/usr/bin/env node
// Updates the figures that the demo site quotes to the tables in bench/results:
//
//   node scripts/site-figures.mjs
//
// Each entry of `sources` names the cell that a figure of
// images/site/src/data/figures.js comes from.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FIGURES = new URL('../images/site/src/data/figures.js', import.meta.url);
const RESULTS = new URL('../bench/results/', import.meta.url);

// `table` matches the first cell of a table's header, `column` another cell of it
// and `row` the first cell of a row. Patterns leave open what varies between
// measurements, such as the number of rounds.
const afterLoad = { file: 'lifecycle.md', table: /^MB of PSS after/ };
const atRest = { file: 'lifecycle.md', table: /^MB of PSS, \d+ s after/ };
const many = { file: 'lifecycle.md', table: /^many containers/ };
const guide = { file: 'render.md', table: 'page', row: '`/guide`' };

const sources = {
  siteMemory: { ...afterLoad, row: 'ours', column: 'one container' },
  replicaMemory: {
    ...afterLoad,
    row: 'ours',
    column: /^each (further|additional)/,
  },
  nodeMemory: { ...afterLoad, row: 'Node, runc', column: 'one container' },
  idleSiteMemory: { ...atRest, row: 'ours', column: 'one container' },
  manyContainers: { ...many, row: 'ours', column: 'containers' },
  manyMemory: { ...many, row: 'ours', column: /^MB of PSS/ },
  pageBytes: { ...guide, column: 'bytes' },
  renderNode: { ...guide, column: 'Node' },
  renderNative: { ...guide, column: 'native QuickJS' },
  renderInstance: { ...guide, column: 'ours' },
};

/** The tables of a Markdown text, each as a list of rows of cells, header first. */
function tables(markdown) {
  const found = [];
  let table = null;
  for (const line of markdown.split('\n')) {
    if (!line.startsWith('|')) {
      table = null;
      continue;
    }
    if (table === null) {
      table = [];
      found.push(table);
    }
    if (/^\|[-:| ]+\|$/.test(line)) continue;
    table.push(
      line
        .slice(1, line.lastIndexOf('|'))
        .split('|')
        .map((cell) => cell.trim()),
    );
  }
  return found;
}

const matches = (pattern, cell) =>
  pattern instanceof RegExp ? pattern.test(cell) : pattern === cell;

/** The number that one of `sources` points at. */
function find({ file, table, row, column }) {
  const where = `${file}: table '${table}', row '${row}', column '${column}'`;
  const markdown = readFileSync(new URL(file, RESULTS), 'utf8');
  const rows = tables(markdown).find(([header]) => matches(table, header[0]));
  if (!rows) throw new Error(`${where}: no such table`);
  const index = rows[0].findIndex((cell) => matches(column, cell));
  if (index < 0) throw new Error(`${where}: no such column`);
  const cells = rows.find(([first]) => matches(row, first));
  if (!cells) throw new Error(`${where}: no such row`);
  // A ratio in brackets may follow the number.
  const number = /^\d+(\.\d+)?(?= \(|$)/.exec(cells[index]);
  if (!number) throw new Error(`${where}: '${cells[index]}' is not a number`);
  return Number(number[0]);
}

/** All measured figures, by their names on the site. */
export function measured() {
  return Object.fromEntries(
    Object.entries(sources).map(([name, source]) => [name, find(source)]),
  );
}

function update() {
  let text = readFileSync(FIGURES, 'utf8');
  for (const [name, value] of Object.entries(measured())) {
    const line = new RegExp(`^(  ${name}: )[\\d.]+(?=,$)`, 'm');
    if (!line.test(text)) throw new Error(`figures.js has no line '${name}:'`);
    text = text.replace(line, (_, start) => start + value);
  }
  writeFileSync(FIGURES, text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) update();
