/**
 * A small real filesystem with a real `plimsoll serve` over it, as a user has it: asked by its commands and on its socket.
 * Its ledger and history lie on another filesystem.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AdmissionDecision, ImagePage, ImageView, ServeEvent, StoreView } from '#wire';
import { HANG_MS } from '../support/hang.ts';
import { COMMAND, type Ended, plimsoll, type Running, start } from '../support/command.ts';
import { ask } from '../support/http.ts';
import { type MountableKind, type MountedFilesystem, withFilesystem } from '../support/loop-mount.ts';

export interface StoreChoice {
  readonly sizeBytes: number;
  /** As in the configuration file. */
  readonly rules?: string;
  readonly mkfsArguments?: readonly string[];
}

const POLL_MS = 50;

export class WatchedStore {
  readonly mounted: MountedFilesystem;
  /** Where the images lie. */
  readonly directory: string;
  readonly #place: string;
  #daemon: Running | undefined;

  private constructor(mounted: MountedFilesystem, place: string) {
    this.mounted = mounted;
    this.#place = place;
    this.directory = join(mounted.path, 'vm');
  }

  static async open(kind: MountableKind, { sizeBytes, rules = '', mkfsArguments = [] }: StoreChoice): Promise<WatchedStore> {
    const mounted = await withFilesystem(kind, sizeBytes, mkfsArguments);
    const store = new WatchedStore(mounted, mkdtempSync(join(tmpdir(), 'plimsoll-watched-')));
    mkdirSync(store.directory);
    const serve = `[serve]\nlisten = "off"\nlog_level = "warn"\ninterval = "1s"\n`;
    writeFileSync(join(store.#place, 'c.toml'), `${serve}[rules]\n${rules}\n[[store]]\ndirectories = ["${store.directory}"]\n`);
    await store.serve();
    return store;
  }

  get socket(): string {
    return join(this.#place, 's');
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Starts the daemon, until it answers. */
  async serve(): Promise<void> {
    const words = ['serve', '--config', join(this.#place, 'c.toml'), '--socket', this.socket, '--state', join(this.#place, 'state')];
    const daemon = start(process.execPath, [COMMAND, ...words], { env: { TMPDIR: this.#place } });
    this.#daemon = daemon;
    for (const deadline = Date.now() + HANG_MS; Date.now() < deadline; ) {
      if (daemon.stdout().includes('Monitoring ')) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`The daemon does not answer: ${daemon.stderr()}`);
  }

  /** Ends the daemon as a crash would. */
  async kill(): Promise<void> {
    this.#daemon?.kill('SIGKILL');
    await this.#daemon?.ended;
    this.#daemon = undefined;
  }

  /** `plimsoll words`, which finds this daemon. */
  async run(...words: readonly string[]): Promise<Ended> {
    return plimsoll(words, { env: { PLIMSOLL_SOCKET: this.socket }, cwd: this.directory });
  }

  /** As `run`; throws unless the command ends with 0. */
  async must(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...words);
    if (code === 0) return stdout;
    throw new Error(`plimsoll ${words.join(' ')} ended with ${code ?? 'a signal'}: ${stderr}${stdout}`);
  }

  async view(): Promise<StoreView> {
    const { json } = await ask(this.socket, '/api/v1/stores');
    const [store] = json as readonly StoreView[];
    if (store === undefined) throw new Error('The daemon knows no store');
    return store;
  }

  async images(): Promise<readonly ImageView[]> {
    return ((await ask(this.socket, '/api/v1/images?limit=200')).json as ImagePage).images;
  }

  /** What the daemon decides after it has looked at what changed. */
  async decision(bytes: number): Promise<AdmissionDecision> {
    const body = { store: this.directory, bytes };
    return (await ask(this.socket, '/api/v1/admission/check', { method: 'POST', body })).json as AdmissionDecision;
  }

  /** Calls `hear` for each event from now on. Returns what ends that. */
  listen(hear: (event: ServeEvent) => void): () => void {
    const asked = request({ socketPath: this.socket, path: '/api/v1/events' }, (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        const parts = (text + chunk).split('\n\n');
        text = parts.pop() ?? '';
        for (const part of parts) {
          const data = /^data: (.*)$/m.exec(part)?.[1];
          if (data !== undefined) hear(JSON.parse(data) as ServeEvent);
        }
      });
      response.on('error', () => {});
    });
    asked.on('error', () => {});
    asked.end();
    return () => void asked.destroy();
  }

  /** What the filesystem has for files now. */
  available(): number {
    const { bavail, bsize } = statfsSync(this.mounted.path);
    return bavail * bsize;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.mounted.unmount();
    rmSync(this.#place, { recursive: true, force: true });
  }
}
