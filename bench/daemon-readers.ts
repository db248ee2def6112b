/**
 * Readers of a daemon's API, each on a connection of its own, for a number of seconds:
 *
 *   daemon-readers.ts PORT READERS SECONDS PAUSE_MS PATH...
 *
 * Every reader asks for the paths in turn, each beginning with another, and asks again `PAUSE_MS` after its answer is there;
 * prints how long each answer took, to its last byte, by path.
 */
import { Agent, get } from 'node:http';

export interface AnswerTimes {
  readonly path: string;
  /** Milliseconds, ascending. */
  readonly times: readonly number[];
  readonly bytes: number;
}

const [, , port, readers, seconds, pauseMs, ...paths] = process.argv;
const times = new Map(paths.map((path) => [path, [] as number[]]));
const bytes = new Map<string, number>();
const ends = performance.now() + Number(seconds) * 1000;

function ask(agent: Agent, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = get({ agent, host: '127.0.0.1', port: Number(port), path }, (response) => {
      let length = 0;
      response.on('data', (piece: Buffer) => (length += piece.length));
      response.on('end', () => (response.statusCode === 200 ? resolve(length) : reject(new Error(`${path}: ${response.statusCode}`))));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

async function read(reader: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  for (let turn = Math.floor((reader * paths.length) / Number(readers)); performance.now() < ends; turn += 1) {
    const path = paths[turn % paths.length] as string;
    const began = performance.now();
    bytes.set(path, await ask(agent, path));
    times.get(path)?.push(performance.now() - began);
    if (Number(pauseMs) > 0) await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)));
  }
  agent.destroy();
}

await Promise.all(Array.from({ length: Number(readers) }, (_, reader) => read(reader)));
const answers = paths.map(
  (path): AnswerTimes => ({
    path,
    times: (times.get(path) ?? []).toSorted((a, b) => a - b),
    bytes: bytes.get(path) ?? 0,
  }),
);
console.log(JSON.stringify(answers));
