import { useEffect, useState } from 'preact/hooks';
import { MemoryMap } from '../components/memory-map.jsx';
import { choices, divide, limits, parseBudget } from '../data/budget.js';
import { figures } from '../data/figures.js';

export function Memory({ query }) {
  const [settings, setSettings] = useState(() => parseBudget(query));
  const set = (name, value) =>
    setSettings((before) => ({ ...before, [name]: value }));
  // A link to this page with another query keeps the component.
  useEffect(() => setSettings(parseBudget(query)), [query]);

  const parts = divide(settings);
  return (
    <div class="page">
      <h1>How many sites fit on your board?</h1>
      <p class="lead">
        Every site is a container with a process of its own. Memory is what runs
        out first on a small board, so here is the sum.
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
            label="The operating system takes"
            value={settings.system}
            onValue={set}
          />
          <Slider
            name="site"
            label="One site takes"
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
            <span>{`A k3s agent runs too (${figures.k3sMemory} MB)`}</span>
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
            {`The same board with a Node 20 server for each site, at ${figures.nodeMemory} MB once started: ${parts.node}.`}
          </p>
        </div>
      </div>
      <h2>Where the figures come from</h2>
      <p>
        {`A process that holds one site was measured at ${figures.siteMemory} MB resident, on the prototype, on an x86-64 machine. Most of that is compiled code, which several copies of one site can share. The sum counts it in full for each. Rendering at the same time and large pages come on top, so leave some room. What the operating system takes is yours to say: `}
        <code>free -m</code> tells.
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
