// node runtime/build.mjs: bundles the runtime into one file for Node.js 20 and newer, and the node scripts.
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { assembleAll } from './node-scripts.mjs';

const here = dirname(fileURLToPath(import.meta.url));

/** Supports `import text from './script.sh?raw'`, as the tests' bundler does. */
const rawText = {
  name: 'raw-text',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\?raw$/ }, ({ path, resolveDir }) => ({
      path: resolve(resolveDir, path.slice(0, -'?raw'.length)),
      namespace: 'raw-text',
    }));
    onLoad({ filter: /.*/, namespace: 'raw-text' }, async ({ path }) => ({
      contents: await readFile(path, 'utf8'),
      loader: 'text',
      watchFiles: [path],
    }));
  },
};

// First, as the bundle contains the scripts.
assembleAll();

await build({
  entryPoints: [resolve(here, 'src/cli/main.ts')],
  outfile: resolve(here, 'dist/k8s-upgrade.cjs'),
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  minify: true,
  keepNames: true,
  legalComments: 'none',
  banner: { js: '#!/usr/bin/env node' },
  plugins: [rawText],
  // Optional native modules of ssh2: it works without them, and the bundle stays one file.
  external: ['cpu-features', '*.node'],
  logLevel: 'warning',
});
