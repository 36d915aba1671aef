import { useEffect, useState } from 'preact/hooks';
import { backendNames } from '../data/boards.js';

const architectures = {
  x86_64: 'x86-64, 64-bit',
  x64: 'x86-64, 64-bit',
  aarch64: 'Arm, 64-bit (aarch64)',
  arm64: 'Arm, 64-bit (aarch64)',
  arm: 'Arm, 32-bit',
};

/** The plate at the bottom of every page, which shows what rendered it. */
export function Footer({ env }) {
  const { SSR_SERVER, SSR_ARCH, SSR_BACKEND, SSR_HOSTNAME } = env;
  return (
    <footer class="site-footer">
      <div class="plate">
        <p class="plate-title">This site is running on</p>
        <dl>
          <Row name="Server" value={SSR_SERVER} />
          <Row name="Processor" value={architectures[SSR_ARCH] ?? SSR_ARCH} />
          <Row
            name="Back end"
            value={backendNames[SSR_BACKEND] ?? SSR_BACKEND}
          />
          <Row name="Host" value={SSR_HOSTNAME} />
          <Live />
        </dl>
      </div>
      <p class="colophon">
        Preact and MDX, rendered on the server and hydrated in your browser. The
        lettering and the drawings were made for this site by scripts in its
        source.
      </p>
    </footer>
  );
}

function Row({ name, value }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value || 'not stated'}</dd>
    </div>
  );
}

// Values that are only known in the browser. The elements are marked because they
// are the only place where the document may differ from the server's HTML.
function Live() {
  const [time, setTime] = useState(null);
  const [hydrated, setHydrated] = useState(false);
  useEffect(() => {
    setHydrated(true);
    setTime(renderTime());
  }, []);
  return (
    <>
      <div>
        <dt>First page rendered in</dt>
        <dd data-live="render-time">
          {hydrated ? (time ?? 'not stated') : '…'}
        </dd>
      </div>
      <div>
        <dt>Hydration</dt>
        <dd data-live="hydration" class={hydrated ? 'led led-on' : 'led'}>
          {hydrated ? 'done' : 'waiting for JavaScript'}
        </dd>
      </div>
    </>
  );
}

/** The duration of `render` from the Server-Timing header, as text. */
function renderTime() {
  const [navigation] = performance.getEntriesByType('navigation');
  const timing = navigation?.serverTiming?.find(
    (entry) => entry.name === 'render',
  );
  if (!timing) return null;
  const { duration } = timing;
  return `${duration.toFixed(duration < 10 ? 2 : 0)} ms`;
}
