#!/usr/bin/env node
// Builds a Vite project with server rendering into the input of `ssr build` and
// `ssr image`:
//
//   node scripts/build-site.mjs SITE OUTDIR
//
//   OUTDIR/client                  the assets, with index.html as the template
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
}

async function build(root, outDir) {
  const entry = findEntry(root);
  const vite = await loadVite(root);
  // Plugins and frameworks depend on the working directory and on NODE_ENV.
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
  const imports = chunks.flatMap((chunk) => [
    ...chunk.imports,
    ...chunk.dynamicImports,
  ]);
  const missing = [...new Set(imports)].filter((name) => !own.has(name));
  if (missing.length > 0) {
    throw new BuildError(
      `${entry} imports ${missing.join(', ')}, which is not in the bundle: ` +
        'the engine has no Node modules; remove or replace these imports',
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
