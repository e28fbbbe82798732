// Reads commands as JSON lines, calls the client under test, writes what happens as JSON lines.
import readline from 'node:readline';
import WebSocket from 'ws';

export const say = (event, rest = {}) => process.stdout.write(`${JSON.stringify({ event, ...rest })}\n`);

// Browsers have WebSocket; Node has it from version 22 on. Nothing else of a client's environment is touched.
export function provideWebSocket(onFrame = () => {}) {
  globalThis.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols);
      say('dialled', { url: String(url) });
      this.addEventListener('message', ({ data }) => onFrame(JSON.parse(data)));
    }
  };
}

export async function serve(client) {
  let stop = () => {};
  const commands = {
    configure: (command) => client.configure(command),
    execute: async ({ text, variables }) => say('result', { payload: await client.execute(text, variables) }),
    subscribe: ({ text, variables }) => {
      stop = client.subscribe(text, variables, {
        next: (payload) => say('data', { payload }),
        error: (error) => say('failed', { message: described(error) }),
      });
    },
    unsubscribe: () => stop(),
  };
  say('started');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line);
    try {
      await commands[command](rest);
    } catch (error) {
      say('failed', { message: described(error) });
    }
  }
  process.exit(0);
}

const described = (error) => error?.errors?.map((one) => one.message).join('; ') || error?.message || String(error);
