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
            containerd-shim-ssr renders JavaScript websites on the server,
            inside WebAssembly, as ordinary containers. The smallest computer it
            is made for is the Raspberry Pi Zero&nbsp;W.
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
            are an OCI image of the platform <code>wasi/wasm</code>: one tar
            layer, no base image, no native code. The same bytes run on every
            processor.
          </p>
        </div>
        <pre class="listing">
          <b>site</b>
          {'                 wasi/wasm\n├── '}
          <b>ssr.wasm</b>
          {
            '         QuickJS and the site,\n│                    already started\n└── '
          }
          <b>dist/</b>
          {
            '\n    ├── index.html   the template\n    └── assets/      scripts, styles,\n                     pictures'
          }
        </pre>
      </section>

      <section class="band">
        <h2>Three ways to start it</h2>
        <div class="ways">
          <div>
            <h3>Docker</h3>
            <Code>
              {`docker run \\
  --runtime=io.containerd.ssr.v1 \\
  --platform=wasi/wasm \\
  -p 8080:8080 site`}
            </Code>
            <p>On a workstation, next to your other containers.</p>
          </div>
          <div>
            <h3>k3s</h3>
            <Code>
              {`spec:
  runtimeClassName: ssr
  containers:
    - image: site`}
            </Code>
            <p>On a cluster of boards, as a pod like any other.</p>
          </div>
          <div>
            <h3>Neither</h3>
            <Code>
              {`ssr build dist/server/entry-server.js
ssr serve ssr.wasm dist`}
            </Code>
            <p>To try a site while you write it.</p>
          </div>
        </div>
      </section>

      <section class="band">
        <h2>From one core to four</h2>
        <p class="measure">
          Where the processor is 64-bit, Cranelift compiles the module to
          machine code. Where it is 32-bit Arm, Pulley interprets it. Here are
          three of the <a href="/boards">nine boards</a>, drawn to one scale.
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
          <h2>This page is the proof</h2>
          <p>
            You are looking at what it does. The plate at the foot of each page
            names the server and the processor that rendered it, and how long
            that took. Then your browser took the page over, without drawing it
            again.
          </p>
        </div>
        <ul class="tries">
          <li>
            <a href="/request">Your request</a>
            <span>A page that cannot be built beforehand.</span>
          </li>
          <li>
            <a href="/memory">Memory budget</a>
            <span>Drag a slider: how many sites fit on your board?</span>
          </li>
        </ul>
      </section>
    </>
  );
}
