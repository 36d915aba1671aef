#!/usr/bin/env node
// Builds a Vite project that renders on the server into what `ssr build` and
// `ssr image` take:
//
//   node scripts/build-site.mjs SITE OUTDIR
//
//   OUTDIR/client                  the assets, with index.html as the template
//   OUTDIR/server/entry-server.js  one ES module that imports nothing
//
// The project follows Vite's own convention: index.html, src/entry-client.* and
// src/entry-server.*. Its configuration and its own copy of Vite are used. A
// project with a build of another shape has a script "ssr-build" in its
// package.json that leaves dist/client and dist/server/entry-server.js.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const CONVENTION =
  'a site has index.html, src/entry-client.* and src/entry-server.* as in https://vite.dev/guide/ssr';

class Refusal extends Error {}

async function main([site, out]) {
  if (!site || !out) {
    throw new Refusal('usage: node scripts/build-site.mjs SITE OUTDIR');
  }
  const outDir = resolve(out);
  const manifest = readManifest(site);
  const root = realpathSync(site);
  install(root);
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  if (manifest.scripts?.['ssr-build']) {
    npm(root, 'run', 'ssr-build');
    take(root, outDir);
  } else {
    await build(root, outDir);
  }
}

function readManifest(site) {
  const path = join(site, 'package.json');
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Refusal(`${path}: ${error.message}; ${CONVENTION}`);
  }
}

/** Installs the project's dependencies where that has never been done. */
function install(root) {
  if (existsSync(join(root, 'node_modules'))) return;
  const locked = existsSync(join(root, 'package-lock.json'));
  console.error(`site: installing the dependencies of ${root}`);
  npm(root, locked ? 'ci' : 'install', '--no-audit', '--no-fund');
}

function npm(root, ...args) {
  // What npm says belongs to stderr here: stdout is for results.
  const { status, error } = spawnSync('npm', args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (error) throw new Refusal(`npm: ${error.message}`);
  if (status !== 0)
    throw new Refusal(`npm ${args.join(' ')} failed in ${root}`);
}

/** Takes over what the project's own build has left. */
function take(root, outDir) {
  const server = join('dist', 'server', 'entry-server.js');
  for (const path of [join('dist', 'client'), server]) {
    if (!existsSync(join(root, path))) {
      throw new Refusal(`npm run ssr-build left no ${path} in ${root}`);
    }
  }
  cpSync(join(root, 'dist', 'client'), join(outDir, 'client'), {
    recursive: true,
  });
  cpSync(join(root, 'dist', 'server'), join(outDir, 'server'), {
    recursive: true,
  });
}

async function build(root, outDir) {
  const entry = findEntry(root);
  const vite = await loadVite(root);
  // Plugins and frameworks look at the working directory and at NODE_ENV.
  process.chdir(root);
  process.env.NODE_ENV = 'production';
  const common = { root, logLevel: 'warn', mode: 'production' };

  console.error('site: building the assets');
  await vite.build({
    ...common,
    build: { outDir: join(outDir, 'client'), emptyOutDir: true },
  });

  console.error(`site: bundling ${entry}`);
  const result = await vite.build({
    ...common,
    // Left as it is, it would be decided when the module is evaluated, with both
    // codes of a framework in the bundle.
    define: { 'process.env.NODE_ENV': '"production"' },
    ssr: {
      // Nothing is resolved at run time, and nothing comes from Node.
      noExternal: true,
      target: 'webworker',
      // Without "worker" some frameworks give their browser build, which
      // cannot render on a server.
      resolve: { conditions: ['worker', 'browser', 'module', 'production'] },
    },
    build: {
      outDir: join(outDir, 'server'),
      emptyOutDir: true,
      copyPublicDir: false,
      minify: false,
      sourcemap: true,
      ssr: entry,
      ...oneFile(vite),
    },
  });
  check(result, entry);
}

function findEntry(root) {
  if (!existsSync(join(root, 'index.html'))) {
    throw new Refusal(`${root} has no index.html; ${CONVENTION}`);
  }
  const candidates = ['js', 'jsx', 'ts', 'tsx', 'mjs'].map(
    (kind) => `src/entry-server.${kind}`,
  );
  const entry = candidates.find((path) => existsSync(join(root, path)));
  if (!entry) {
    throw new Refusal(
      `${root} has none of ${candidates.join(', ')}; ${CONVENTION}`,
    );
  }
  return entry;
}

/** The project's own Vite, so that its plugins fit. */
async function loadVite(root) {
  try {
    const require = createRequire(join(root, 'package.json'));
    const path = join(
      dirname(require.resolve('vite/package.json')),
      'dist/node/index.js',
    );
    return await import(pathToFileURL(path));
  } catch (error) {
    throw new Refusal(
      `cannot load the project's vite (${error.message}); run npm install in ${root}`,
    );
  }
}

/** The option by which this version of Vite writes a single file. */
function oneFile(vite) {
  const output = { entryFileNames: 'entry-server.js', format: 'es' };
  return Number.parseInt(vite.version, 10) >= 8
    ? { rolldownOptions: { output: { ...output, codeSplitting: false } } }
    : { rollupOptions: { output: { ...output, inlineDynamicImports: true } } };
}

/** Refuses a bundle that would need something at run time. */
function check(result, entry) {
  const chunks = [result]
    .flat()
    .flatMap(({ output }) => output.filter(({ type }) => type === 'chunk'));
  const own = new Set(chunks.map(({ fileName }) => fileName));
  const imports = chunks.flatMap((chunk) => [
    ...chunk.imports,
    ...chunk.dynamicImports,
  ]);
  const missing = [...new Set(imports)].filter((name) => !own.has(name));
  if (missing.length > 0) {
    throw new Refusal(
      `${entry} imports ${missing.join(', ')}, which the module does not have: ` +
        'there is no Node inside it; leave these out or replace them',
    );
  }
  if (chunks.length !== 1) {
    throw new Refusal(
      `${entry} became ${chunks.length} files (${[...own].join(', ')}) instead of one`,
    );
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(
    `site: ${error instanceof Refusal ? error.message : error.stack}`,
  );
  process.exitCode = 1;
}
