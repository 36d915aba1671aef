#!/usr/bin/env node
// Builds a Vite project with server rendering into the input of `ssr build` and
// `ssr image`:
//
//   node scripts/build-site.mjs SITE OUTDIR
//
//   OUTDIR/client                  the assets, by their paths in URLs
//   OUTDIR/template.html           index.html, where the pages go
//   OUTDIR/server/entry-server.js  one ES module without imports
//
// The project follows Vite's convention: index.html, src/entry-client.* and
// src/entry-server.*. It is built with its own configuration and its own copy of
// Vite. A project that is built differently defines a script "ssr-build" in its
// package.json that creates dist/client and dist/server/entry-server.js.

import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const CONVENTION =
  'a site needs index.html, src/entry-client.* and src/entry-server.*, as described in https://vite.dev/guide/ssr';

/** An error for the user, shown without a stack. */
class BuildError extends Error {}

async function main([site, out]) {
  if (!site || !out) {
    throw new BuildError('usage: node scripts/build-site.mjs SITE OUTDIR');
  }
  const outDir = resolve(out);
  const manifest = readManifest(site);
  const root = realpathSync(site);
  install(root);
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(outDir, { recursive: true });
  if (manifest.scripts?.['ssr-build']) {
    npm(root, 'run', 'ssr-build');
    copyOutput(root, outDir);
  } else {
    await build(root, outDir);
  }
}

function readManifest(site) {
  const path = join(site, 'package.json');
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new BuildError(`${path}: ${error.message}; ${CONVENTION}`);
  }
}

/** Installs the project's dependencies unless node_modules exists. */
function install(root) {
  if (existsSync(join(root, 'node_modules'))) return;
  const locked = existsSync(join(root, 'package-lock.json'));
  console.error(`site: installing the dependencies of ${root}`);
  npm(root, locked ? 'ci' : 'install', '--no-audit', '--no-fund');
}

function npm(root, ...args) {
  // npm's output goes to stderr: stdout is for results.
  const { status, error } = spawnSync('npm', args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (error) throw new BuildError(`npm: ${error.message}`);
  if (status !== 0)
    throw new BuildError(`npm ${args.join(' ')} failed in ${root}`);
}

/** Copies the output of the project's own build. */
function copyOutput(root, outDir) {
  const server = join('dist', 'server', 'entry-server.js');
  for (const path of [join('dist', 'client'), server]) {
    if (!existsSync(join(root, path))) {
      throw new BuildError(
        `npm run ssr-build did not create ${path} in ${root}`,
      );
    }
  }
  cpSync(join(root, 'dist', 'client'), join(outDir, 'client'), {
    recursive: true,
  });
  cpSync(join(root, 'dist', 'server'), join(outDir, 'server'), {
    recursive: true,
  });
  const template = join(outDir, 'client', 'index.html');
  if (existsSync(template)) {
    renameSync(template, join(outDir, 'template.html'));
  }
}

async function build(root, outDir) {
  const entry = findEntry(root);
  const vite = await loadVite(root);
  // Plugins and frameworks depend on the working directory and on NODE_ENV.
  process.chdir(root);
  process.env.NODE_ENV = 'production';
  const common = { root, logLevel: 'warn', mode: 'production' };

  console.error('site: building the assets');
  const client = join(outDir, 'client');
  // The project's own settings of one environment would count for more than these.
  const forClient = { outDir: client, emptyOutDir: true, manifest: true };
  let base = '/';
  await vite.build({
    ...common,
    build: forClient,
    environments: { client: { build: forClient } },
    plugins: [
      {
        name: 'ssr:base',
        configResolved(config) {
          base = config.base;
        },
      },
    ],
  });
  expectFile(join(client, 'index.html'), root);
  placeBelowBase(outDir, client, base);

  console.error(`site: bundling ${entry}`);
  const forServer = {
    outDir: join(outDir, 'server'),
    emptyOutDir: true,
    copyPublicDir: false,
    minify: false,
    sourcemap: true,
    ssr: entry,
    ...oneFile(vite),
  };
  const result = await vite.build({
    ...common,
    // Otherwise it would be evaluated when the module loads, and the bundle would
    // contain both the development and the production code of a framework.
    define: { 'process.env.NODE_ENV': '"production"' },
    ssr: {
      // Bundle all imports: the engine resolves none and has no Node modules.
      noExternal: true,
      target: 'webworker',
      // Without "worker", some frameworks resolve to their browser build, which
      // cannot render on a server.
      resolve: { conditions: ['worker', 'browser', 'module', 'production'] },
    },
    build: forServer,
    environments: { ssr: { build: forServer } },
    plugins: isSolid(root) ? [solidEntry(join(root, entry))] : [],
  });
  check(result, entry);
  expectFile(join(outDir, 'server', 'entry-server.js'), root);
}

// The entry of a Solid site: the project's own, whose pages get what Solid's client needs to
// hydrate them. Solid leaves that to the server, which here is none of the project's.
const SOLID_ENTRY = '\0ssr:solid-entry';

function isSolid(root) {
  const { dependencies, devDependencies } = readManifest(root);
  return 'solid-js' in { ...dependencies, ...devDependencies };
}

function solidEntry(entry) {
  const path = JSON.stringify(entry);
  return {
    name: 'ssr:solid-entry',
    enforce: 'pre',
    resolveId: (_id, _importer, { isEntry }) =>
      isEntry ? SOLID_ENTRY : undefined,
    load: (id) =>
      id === SOLID_ENTRY
        ? `import * as site from ${path};
import { generateHydrationScript } from 'solid-js/web';
// A copy: the bundler would warn of exports that this site has no need of.
const exported = { ...site };
export default exported.default;
function hydrated(page) {
  const parts = typeof page === 'string' ? { html: page } : page;
  if (typeof parts?.html !== 'string' || [parts.head, parts.html].join().includes('_$HY')) return page;
  return { ...parts, head: (parts.head ?? '') + generateHydrationScript() };
}
const rendered = (page) => typeof page?.then === 'function' ? page.then(hydrated) : hydrated(page);
export const render = exported.render && ((...args) => rendered(exported.render(...args)));
`
        : undefined,
  };
}

/** Fails if the build has left no such file. */
function expectFile(path, root) {
  if (existsSync(path)) return;
  throw new BuildError(
    `the build of ${root} has succeeded without ${path}: its vite.config or one of its plugins writes elsewhere; ` +
      'remove that setting, or define a script "ssr-build" that creates dist/client and dist/server/entry-server.js',
  );
}

/**
 * Moves the assets to where the site's URLs have them, below Vite's `base`, and the template
 * out of them. A base of another host, or a relative one, leaves them at the root.
 */
function placeBelowBase(outDir, client, base) {
  renameSync(join(client, 'index.html'), join(outDir, 'template.html'));
  const below = base.startsWith('/') ? base.replace(/^\/+|\/+$/g, '') : '';
  if (below === '') return;
  const assets = join(outDir, 'assets');
  renameSync(client, assets);
  mkdirSync(dirname(join(client, below)), { recursive: true });
  renameSync(assets, join(client, below));
  // The server looks for the build's list of files at the top.
  renameSync(join(client, below, '.vite'), join(client, '.vite'));
}

function findEntry(root) {
  if (!existsSync(join(root, 'index.html'))) {
    throw new BuildError(`${root} has no index.html; ${CONVENTION}`);
  }
  const candidates = ['js', 'jsx', 'ts', 'tsx', 'mjs'].map(
    (kind) => `src/entry-server.${kind}`,
  );
  const entry = candidates.find((path) => existsSync(join(root, path)));
  if (!entry) {
    throw new BuildError(
      `${root} has no server entry (${candidates.join(', ')}); ${CONVENTION}`,
    );
  }
  return entry;
}

/** Loads the project's own Vite, which matches its plugins. */
async function loadVite(root) {
  try {
    const require = createRequire(join(root, 'package.json'));
    const path = join(
      dirname(require.resolve('vite/package.json')),
      'dist/node/index.js',
    );
    return await import(pathToFileURL(path));
  } catch (error) {
    throw new BuildError(
      `cannot load the project's vite (${error.message}); run npm install in ${root}`,
    );
  }
}

/** The option that makes this version of Vite write a single file. */
function oneFile(vite) {
  const output = { entryFileNames: 'entry-server.js', format: 'es' };
  return Number.parseInt(vite.version, 10) >= 8
    ? { rolldownOptions: { output: { ...output, codeSplitting: false } } }
    : { rollupOptions: { output: { ...output, inlineDynamicImports: true } } };
}

/** Rejects a bundle that is not a single file or imports something at run time. */
function check(result, entry) {
  const chunks = [result]
    .flat()
    .flatMap(({ output }) => output.filter(({ type }) => type === 'chunk'));
  const own = new Set(chunks.map(({ fileName }) => fileName));
  const outside = (kind) => {
    const names = chunks.flatMap((chunk) => chunk[kind]);
    return [...new Set(names)].filter((name) => !own.has(name));
  };
  const missing = outside('imports');
  if (missing.length > 0) {
    throw new BuildError(
      `${entry} imports ${missing.join(', ')}, which is not in the bundle: ` +
        'the engine has no Node modules; remove or replace these imports',
    );
  }
  const optional = outside('dynamicImports');
  if (optional.length > 0) {
    console.error(
      `site: ${entry} may import ${optional.join(', ')} later, which is not in the bundle: ` +
        'that import will fail, as the engine has no Node modules; many packages do without',
    );
  }
  if (chunks.length !== 1) {
    throw new BuildError(
      `${entry} was bundled into ${chunks.length} files (${[...own].join(', ')}) instead of one`,
    );
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(
    `site: ${error instanceof BuildError ? error.message : error.stack}`,
  );
  process.exitCode = 1;
}
