const columns = 32;
const rows = 8;
const pitch = 10;
const cell = 8;

/**
 * The memory of a board as 256 cells, filled from the top left. All cells of one
 * kind are a single path, which keeps the markup small.
 */
export function MemoryMap({ parts }) {
  const { ram, system, k3s, site, sites } = parts;
  const paths = { system: '', k3s: '', odd: '', even: '', free: '' };
  const perCell = ram / (columns * rows);
  const firstSite = system + k3s;
  const firstFree = firstSite + sites * site;

  for (let i = 0; i < columns * rows; i++) {
    const at = (i + 0.5) * perCell;
    let kind = 'free';
    if (at < system) kind = 'system';
    else if (at < firstSite) kind = 'k3s';
    else if (at < firstFree)
      kind = Math.floor((at - firstSite) / site) % 2 ? 'odd' : 'even';
    const x = (i % columns) * pitch + 1;
    const y = Math.floor(i / columns) * pitch + 1;
    paths[kind] += `M${x} ${y}h${cell}v${cell}h-${cell}z`;
  }

  return (
    <svg
      class="memory-map"
      viewBox={`0 0 ${columns * pitch} ${rows * pitch}`}
      role="img"
      aria-label={`${sites} sites of ${site} MB each and ${firstSite} MB for the system, out of ${ram} MB`}
    >
      {Object.entries(paths).map(([kind, path]) => (
        <path key={kind} class={`cell-${kind}`} d={path} />
      ))}
    </svg>
  );
}
