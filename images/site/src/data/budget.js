import { boards, findBoard, formatRam } from './boards.js';
import { figures, k3sMemory } from './figures.js';

export const choices = boards.flatMap((board) =>
  board.ram.map((ram) => ({
    id: `${board.id}.${ram}`,
    name: `${board.name}, ${formatRam(ram)}`,
    ram,
  })),
);

export const limits = {
  system: { min: 40, max: 400, step: 10, start: 120 },
  site: { min: 2, max: 128, step: 1, start: Math.ceil(figures.siteMemory) },
};

/** Parses the settings from a query string; invalid values fall back to the defaults. */
export function parseBudget(query) {
  const given = new Map(
    query.split('&').map((pair) => {
      const [name, value = ''] = pair.split('=');
      return [name, value];
    }),
  );
  const number = (name) => {
    const { min, max, start } = limits[name];
    const value = given.get(name) ?? '';
    if (!/^\d{1,4}$/.test(value)) return start;
    return Math.min(max, Math.max(min, Number(value)));
  };
  const [id, ram] = (given.get('board') ?? '').split('.');
  const known = findBoard(id)?.ram.includes(Number(ram));
  return {
    board: known ? `${id}.${ram}` : choices[0].id,
    system: number('system'),
    site: number('site'),
    k3s: given.get('k3s') === 'on',
  };
}

/** Divides up a board's memory. All values are in megabytes. */
export function divide({ board, system, site, k3s }) {
  const { ram } = choices.find((choice) => choice.id === board);
  const k3sShare = k3s ? k3sMemory : 0;
  const left = Math.max(0, ram - system - k3sShare);
  const sites = Math.floor(left / site);
  return {
    ram,
    system: Math.min(system, ram),
    k3s: Math.min(k3sShare, Math.max(0, ram - system)),
    sites,
    site,
    free: left - sites * site,
    node: Math.floor(left / figures.nodeMemory),
  };
}
