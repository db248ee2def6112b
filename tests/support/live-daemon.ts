/** The built daemon, run as a user runs it, and what it says of where it answers. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { grantAccess } from './access.ts';
import { COMMAND, type Ended, plimsoll, type Running, start } from './command.ts';
import { HANG_MS } from './hang.ts';

const LOOK_MS = 50;

/** A daemon with state and socket in a directory of its own, which goes when it is closed. */
export class LiveDaemon {
  readonly #words: readonly string[];
  readonly #place = mkdtempSync(join(tmpdir(), 'plimsoll-live-'));
  #running: Running | undefined;
  /** Where it answers, with a slash at its end. */
  url = '';

  private constructor(words: readonly string[]) {
    this.#words = words;
  }

  /** Starts `plimsoll serve` with `words`, and waits until it answers. */
  static async start(...words: readonly string[]): Promise<LiveDaemon> {
    const daemon = new LiveDaemon(words);
    await daemon.again();
    return daemon;
  }

  get socket(): string {
    return join(this.#place, 'socket');
  }

  /** Starts it once more after `kill`, where it was before. */
  async again(): Promise<void> {
    const listen = this.url === '' ? '127.0.0.1:0' : new URL(this.url).host;
    const own = ['--listen', listen, '--socket', this.socket, '--state', join(this.#place, 'state')];
    const running = start(process.execPath, [COMMAND, 'serve', ...own, ...this.#words], { env: { TMPDIR: this.#place } });
    this.#running = running;
    const deadline = Date.now() + HANG_MS;
    for (let url = ''; url === ''; await pause(LOOK_MS)) {
      url = /http:\/\/[\d.:]+/.exec(running.stdout())?.[0] ?? '';
      if (url !== '') this.url = `${url}/`;
      else if (Date.now() > deadline) throw new Error(`plimsoll serve says nothing: ${running.stderr()}`);
    }
    // A configured token_file replaces the generated token.
    const generated = join(this.#place, 'state', 'token');
    if (existsSync(generated)) grantAccess(this.url, readFileSync(generated, 'utf8').trim());
  }

  /** Without warning, as a power cut. */
  async kill(): Promise<void> {
    this.#running?.kill('SIGKILL');
    await this.#running?.ended;
  }

  /** What a command answers that asks this daemon. */
  ask(...words: readonly string[]): Promise<Ended> {
    return plimsoll(words, { env: { PLIMSOLL_SOCKET: this.socket } });
  }

  async close(): Promise<void> {
    this.#running?.kill('SIGTERM');
    await this.#running?.ended;
    rmSync(this.#place, { recursive: true, force: true });
  }
}
