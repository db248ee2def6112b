/** A real `plimsoll serve` with a state directory, a socket and stores of its own, for tests that hurt it. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Reservation, StatusReport, StoreView } from '#wire';
import { grantAccess, tokenOf } from '../support/access.ts';
import { COMMAND, type Ended, plimsoll, type Running, start } from '../support/command.ts';
import { HANG_MS } from '../support/hang.ts';
import { type Answer, ask, type Ask } from '../support/http.ts';

export interface DaemonChoice {
  /** Holds `state/`, `s` (the socket) and whatever else. */
  readonly directory: string;
  readonly stores: readonly string[];
  readonly words?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class DaemonProcess {
  readonly socket: string;
  readonly state: string;
  readonly process: Running;

  constructor({ directory, stores, words = [], env = {} }: DaemonChoice) {
    mkdirSync(directory, { recursive: true });
    this.socket = join(directory, 's');
    this.state = join(directory, 'state');
    const usual = ['--listen', '127.0.0.1:0', '--socket', this.socket, '--state', this.state, '--interval', '1s'];
    this.process = start(process.execPath, [COMMAND, 'serve', ...usual, ...words, ...stores], { env, cwd: directory });
  }

  static async ready(choice: DaemonChoice): Promise<DaemonProcess> {
    const daemon = new DaemonProcess(choice);
    await daemon.answers();
    return daemon;
  }

  async answers(): Promise<void> {
    const ended = this.process.ended.then(({ code }) => `it ended with ${code}`);
    const until = Date.now() + HANG_MS;
    do {
      if (/^Monitoring .*\n/.test(this.process.stdout())) return this.#grant();
    } while ((await Promise.race([ended, pause(10)])) === undefined && Date.now() < until);
    throw new Error(`The daemon does not answer: ${this.process.stderr()}`);
  }

  /** Requests of this test to the daemon's TCP address carry its token from now on, unless a configured one is asked for. */
  #grant(): void {
    const file = join(this.state, 'token');
    if (this.url !== '' && existsSync(file)) grantAccess(this.url, readFileSync(file, 'utf8').trim());
  }

  /** With the token, for other processes. */
  get urlWithToken(): string {
    return `${this.url}/#token=${tokenOf(this.url) ?? ''}`;
  }

  get url(): string {
    return /http:\/\/[\d.:]+/.exec(this.process.stdout())?.[0] ?? '';
  }

  ask(path: string, choice: Ask = {}): Promise<Answer> {
    return ask(this.socket, path, choice);
  }

  reserve(store: string, key: string, bytes: number, rest: object = {}): Promise<Answer> {
    return this.ask('/api/v1/admission/reserve', { method: 'POST', body: { store, key, bytes, ttlSeconds: 3600, ...rest } });
  }

  release(key: string): Promise<Answer> {
    return this.ask(`/api/v1/reservations/${encodeURIComponent(key)}`, { method: 'DELETE' });
  }

  async heldKeys(): Promise<string[]> {
    const { json } = await this.ask('/api/v1/reservations');
    return (json as Reservation[]).map(({ key }) => key).sort();
  }

  async status(): Promise<StatusReport> {
    return (await this.ask('/api/v1/status')).json as StatusReport;
  }

  async onlyStore(): Promise<StoreView> {
    const [store] = (await this.status()).stores;
    return store as StoreView;
  }

  async codes(): Promise<string[]> {
    return (await this.status()).findings.map(({ code }) => code);
  }

  /** Looks at everything, and waits until that is over: a decision takes part in the look that is due. */
  async rescanned(): Promise<void> {
    await this.ask('/api/v1/rescan', { method: 'POST', body: {} });
    const { id } = await this.onlyStore();
    const { status } = await this.ask('/api/v1/admission/check', { method: 'POST', body: { store: id, bytes: 1 } });
    if (status !== 200) throw new Error(`no look: status ${status}`);
  }

  command(...words: string[]): Promise<Ended> {
    return plimsoll(words, { env: { PLIMSOLL_SOCKET: this.socket } });
  }

  /** As a power cut, or a person, would: nothing is closed. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.ended;
  }

  async stop(): Promise<Ended> {
    this.process.kill('SIGTERM');
    return this.process.ended;
  }
}

export function pause(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), milliseconds);
  });
}

/** Ends what a test began, whatever became of it. */
export class Cleanup {
  readonly #daemons: DaemonProcess[] = [];
  readonly #paths: string[] = [];

  async ready(choice: DaemonChoice): Promise<DaemonProcess> {
    return this.watch(await DaemonProcess.ready(choice));
  }

  watch(daemon: DaemonProcess): DaemonProcess {
    this.#daemons.push(daemon);
    return daemon;
  }

  path(path: string): string {
    this.#paths.push(path);
    return path;
  }

  async all(): Promise<void> {
    for (const daemon of this.#daemons.splice(0)) await daemon.kill();
    for (const path of this.#paths.splice(0)) rmSync(path, { recursive: true, force: true });
  }
}
