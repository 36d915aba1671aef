import mdx from '@mdx-js/rollup';
import remarkGfm from 'remark-gfm';
import { defineConfig } from 'vite';
import { devRender } from './dev-render.js';

export default defineConfig(({ isSsrBuild }) => ({
  appType: 'custom',
  plugins: [
    {
      enforce: 'pre',
      ...mdx({ jsxImportSource: 'preact', remarkPlugins: [remarkGfm] }),
    },
    devRender(),
  ],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    // Both builds must name an asset alike, so neither may inline one.
    assetsInlineLimit: 0,
    emptyOutDir: true,
    sourcemap: isSsrBuild === true,
    target: isSsrBuild ? 'es2023' : 'baseline-widely-available',
    minify: !isSsrBuild,
    copyPublicDir: !isSsrBuild,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // One file: the engine loads a single module.
        codeSplitting: false,
        ...(isSsrBuild && { entryFileNames: '[name].js' }),
      },
    },
  },
  ssr: {
    // Nothing is resolved at run time, and nothing comes from Node.
    noExternal: true,
    target: 'webworker',
  },
}));
