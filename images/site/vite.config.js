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
    // Both builds must use the same asset URLs, so neither may inline assets.
    assetsInlineLimit: 0,
    emptyOutDir: true,
    sourcemap: isSsrBuild === true,
    target: isSsrBuild ? 'es2023' : 'baseline-widely-available',
    minify: !isSsrBuild,
    copyPublicDir: !isSsrBuild,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        // The engine loads a single module.
        codeSplitting: false,
        ...(isSsrBuild && { entryFileNames: '[name].js' }),
      },
    },
  },
  ssr: {
    // Bundle all imports: the engine resolves none and has no Node modules.
    noExternal: true,
    target: 'webworker',
  },
}));
