import { useEffect, useState } from 'preact/hooks';
import { MemoryMap } from '../components/memory-map.jsx';
import { choices, divide, limits, parseBudget } from '../data/budget.js';
import { figures, k3sMemory } from '../data/figures.js';

export function Memory({ query }) {
  const [settings, setSettings] = useState(() => parseBudget(query));
  const set = (name, value) =>
    setSettings((before) => ({ ...before, [name]: value }));
  // Following a link to this page with another query keeps the component mounted.
  useEffect(() => setSettings(parseBudget(query)), [query]);

  const parts = divide(settings);
  return (
    <div class="page">
      <h1>How many sites fit on your board?</h1>
      <p class="lead">
        Every site is a container with its own process. Memory is usually the
        first resource to run out on a small board, so this page adds it up.
      </p>
      <div class="budget">
        <form action="/memory" method="get">
          <label for="board">Board</label>
          <select
            id="board"
            name="board"
            value={settings.board}
            onChange={(event) => set('board', event.currentTarget.value)}
          >
            {choices.map(({ id, name }) => (
              <option key={id} value={id} selected={id === settings.board}>
                {name}
              </option>
            ))}
          </select>
          <Slider
            name="system"
            label="The operating system uses"
            value={settings.system}
            onValue={set}
          />
          <Slider
            name="site"
            label="One site uses"
            value={settings.site}
            onValue={set}
          />
          <label class="check">
            <input
              type="checkbox"
              name="k3s"
              checked={settings.k3s}
              onChange={(event) => set('k3s', event.currentTarget.checked)}
            />
            <span>{`A k3s agent also runs (${k3sMemory} MB)`}</span>
          </label>
          <button class="button without-script" type="submit">
            Work it out
          </button>
        </form>
        <div class="result">
          <output class="count" for="board system site">
            <b>{parts.sites}</b>
            {parts.sites === 1 ? ' site' : ' sites'}
          </output>
          <MemoryMap parts={parts} />
          <ul class="legend">
            <li class="key-system">{`System ${parts.system} MB`}</li>
            {parts.k3s > 0 && <li class="key-k3s">{`k3s ${parts.k3s} MB`}</li>}
            <li class="key-sites">{`Sites ${parts.sites * parts.site} MB`}</li>
            <li class="key-free">{`Free ${parts.free} MB`}</li>
          </ul>
          <p>
            {`On the same board, with a Node 20 container of ${figures.nodeMemory} MB for each site: ${parts.node}.`}
          </p>
        </div>
      </div>
      <h2>Where the figures come from</h2>
      <p>
        {`One container of this site, with its shim, was measured at ${figures.siteMemory} MB after 1000 pages, and at ${figures.idleSiteMemory} MB when idle, on an x86-64 machine; a container that runs the same site in Node 20 under runc, at ${figures.nodeMemory} MB. Most of a site’s memory is compiled code and other pages that containers of the same image share: each further one adds ${figures.replicaMemory} MB, and ${figures.manyContainers} of them use ${figures.manyMemory} MB together. The budget assumes that every site is different and counts the full amount for each. Concurrent renders and large pages need more, so leave some headroom. The figure for the k3s agent is from the `}
        <a href="https://docs.k3s.io/reference/resource-profiling">
          k3s documentation
        </a>
        {'. For your operating system, see the output of '}
        <code>free -m</code>
        {'.'}
      </p>
    </div>
  );
}

function Slider({ name, label, value, onValue }) {
  const { min, max, step } = limits[name];
  return (
    <>
      <label for={name}>
        {`${label} `}
        <b>{`${value} MB`}</b>
      </label>
      <input
        id={name}
        name={name}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        onInput={(event) => onValue(name, Number(event.currentTarget.value))}
      />
    </>
  );
}
