import { BoardPicture } from '../components/board-picture.jsx';
import { Code } from '../components/scrolling.jsx';
import { boards } from '../data/boards.js';

const sizes = ['zero-w', '3-a-plus', '5'].map((id) =>
  boards.find((board) => board.id === id),
);

export function Home() {
  return (
    <>
      <section class="hero">
        <div class="hero-text">
          <h1>A server for websites, on a board this&nbsp;big.</h1>
          <p>
            containerd-shim-ssr renders JavaScript websites on the server, in
            WebAssembly, as ordinary containers. It is designed for computers as
            small as the Raspberry Pi Zero&nbsp;W.
          </p>
          <p class="actions">
            <a class="button" href="/guide">
              Run it
            </a>
            <a class="button quiet" href="/how-it-works">
              How it works
            </a>
          </p>
        </div>
        <figure class="life-size">
          <BoardPicture board={sizes[0]} lifeSize />
          <figcaption>
            <span class="dimension">65 mm</span>
            Raspberry Pi Zero W, roughly life-size
          </figcaption>
        </figure>
      </section>

      <section class="band two">
        <div>
          <h2>What is in the image</h2>
          <p>
            A site written with Preact, React, Vue, Svelte or Solid is built
            into one WebAssembly module and a directory of assets. Together they
            form an OCI image for the platform <code>wasi/wasm</code>: one tar
            layer, no base image, no native code. The same bytes run on every
            processor.
          </p>
        </div>
        <pre class="listing">
          <b>site</b>
          {'                 wasi/wasm\n├── '}
          <b>ssr.wasm</b>
          {
            '         QuickJS and the site,\n│                    already loaded\n└── '
          }
          <b>dist/</b>
          {
            '\n    ├── index.html   the template\n    └── assets/      scripts, styles,\n                     pictures'
          }
        </pre>
      </section>

      <section class="band">
        <h2>Three ways to run it</h2>
        <div class="ways">
          <div>
            <h3>Docker</h3>
            <Code>
              {`docker run \\
  --runtime=io.containerd.ssr.v1 \\
  --platform=wasi/wasm \\
  -p 8080:8080 site`}
            </Code>
            <p>On a workstation, alongside your other containers.</p>
          </div>
          <div>
            <h3>k3s</h3>
            <Code>
              {`spec:
  runtimeClassName: ssr
  containers:
    - image: site`}
            </Code>
            <p>On a cluster of boards, as an ordinary pod.</p>
          </div>
          <div>
            <h3>Neither</h3>
            <Code>
              {`ssr build dist/server/entry-server.js
ssr serve ssr.wasm dist`}
            </Code>
            <p>To try a site during development.</p>
          </div>
        </div>
      </section>

      <section class="band">
        <h2>From one core to four</h2>
        <p class="measure">
          On 64-bit processors, Cranelift compiles the module to machine code.
          On 32-bit Arm, Pulley interprets it. The drawings below show three of
          the <a href="/boards">nine boards</a>, all to the same scale.
        </p>
        <ul class="scale-row">
          {sizes.map((board) => (
            <li key={board.id} style={`--mm:${board.size[0]}`}>
              <a href={`/boards/${board.id}`}>
                <BoardPicture board={board} />
                <span>{board.name}</span>
              </a>
            </li>
          ))}
        </ul>
      </section>

      <section class="band two">
        <div>
          <h2>This page is an example</h2>
          <p>
            The page you are reading was rendered this way. The plate at the
            foot of each page names the server and the processor that rendered
            it, and how long that took. Your browser then hydrated the page
            without rendering it again.
          </p>
        </div>
        <ul class="tries">
          <li>
            <a href="/request">Your request</a>
            <span>A page that cannot be prerendered.</span>
          </li>
          <li>
            <a href="/memory">Memory budget</a>
            <span>Move a slider to see how many sites fit on your board.</span>
          </li>
        </ul>
      </section>
    </>
  );
}
