// The page of docs/examples/js in jsdom: what it shows is written as JSON lines, commands come as they do for the clients.
import { createRequire } from 'node:module';
import { JSDOM } from 'jsdom';
import * as esbuild from 'esbuild';
import { provideWebSocket, say, serve } from './commands.mjs';

provideWebSocket();
const { window } = new JSDOM('<!doctype html>');
globalThis.document = window.document;
globalThis.window = window;
globalThis.navigator ??= window.navigator;

// What a user's bundler does with JSX.
const packages = 'external';
await esbuild.build({
  entryPoints: ['examples/FleetTable.jsx', 'examples/amplifyTransport.js', 'examples/apolloTransport.js'],
  outdir: 'built', bundle: true, format: 'esm', jsx: 'automatic', packages, outExtension: { '.js': '.mjs' },
});
const { createElement } = createRequire(import.meta.url)('react');
const { createRoot } = await import('react-dom/client');
const { FleetTable } = await import('./built/FleetTable.mjs');
let root;

let shown = '';
setInterval(() => {
  const rows = [...document.querySelectorAll('tr')].map((row) => [...row.children].map((cell) => cell.textContent));
  if (JSON.stringify(rows) !== shown) {
    shown = JSON.stringify(rows);
    say('shown', { rows });
  }
}, 20);

async function transportOf({ library, url, region, apiKey }) {
  if (library === 'amplify') {
    const { Amplify } = await import('aws-amplify');
    Amplify.configure({ API: { GraphQL: { endpoint: url, region, defaultAuthMode: 'apiKey', apiKey } } });
    const { amplifyTransport } = await import('./built/amplifyTransport.mjs');
    return amplifyTransport();
  }
  const { apolloClient, apolloTransport } = await import('./built/apolloTransport.mjs');
  return apolloTransport(() => apolloClient({ url, region, auth: { type: 'API_KEY', apiKey } }), { settleMs: 500, retryMs: 200 });
}

await serve({
  async configure(options) {
    root = createRoot(document.body.appendChild(document.createElement('div')));
    root.render(createElement(FleetTable, { transport: await transportOf(options) }));
    say('configured');
  },
  execute: () => root.unmount(),
});
