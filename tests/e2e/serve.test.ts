/** `plimsoll serve` as a user starts it: where it answers, what it refuses, how it ends. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StatusReport } from '#wire';
import { COMMAND, plimsoll, type Running, start } from '../support/command.ts';
import { ask } from '../support/http.ts';

let directory: string;
const running: Running[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-serve-'));
  mkdirSync(join(directory, 'vm'));
  for (const name of ['a.qcow2', 'b.qcow2']) await plimsoll(['create', '-q', '-f', 'qcow2', join(directory, 'vm', name), '1G']);
});
afterEach(async () => {
  for (const one of running.splice(0)) {
    one.kill('SIGKILL');
    await one.ended;
  }
  rmSync(directory, { recursive: true, force: true });
});

function begin(...words: string[]): Running {
  const env = { TMPDIR: directory, XDG_RUNTIME_DIR: directory };
  const one = start(process.execPath, [COMMAND, 'serve', ...words], { env, cwd: directory });
  running.push(one);
  return one;
}

/** The line that says where it answers. */
async function told(one: Running): Promise<string> {
  await expect.poll(() => one.stdout() + one.stderr()).toMatch(/\n/);
  await expect.poll(() => one.stdout(), { message: one.stderr() }).toMatch(/^Monitoring .*\n/);
  return one.stdout();
}
const urlIn = (text: string): string => /http:\/\/\S+/.exec(text)?.[0] ?? '';
/** The address with the token, as a terminal shows it. */
const openUrlIn = (text: string): string => `${urlIn(text)}/#token=${readFileSync(join(directory, 'state', 'token'), 'utf8').trim()}`;
const usual = (): string[] => ['--listen', '127.0.0.1:0', '--socket', join(directory, 's'), '--state', join(directory, 'state'), 'vm'];

describe('serve', () => {
  it('prints its stores and its addresses, for HTTP and the socket', async () => {
    const one = begin(...usual());
    const text = await told(one);
    expect(text).toMatch(
      /^Monitoring (1 store \(2 images\)|1 directory \(initial scan in progress\))\. Listening on http:\/\/127\.0\.0\.1:\d+ \(the token is in .*\/state\/token\)\n/,
    );
    const images = async (): Promise<unknown> =>
      ((await ask(openUrlIn(text), '/api/v1/status')).json as StatusReport).stores[0]?.imageCount;
    await expect.poll(images).toBe(2);
    expect([(await ask(urlIn(text), '/api/v1/status')).status, (await ask(urlIn(text), '/metrics')).status]).toEqual([401, 200]);
    const { json } = await ask(openUrlIn(text), '/api/v1/status');
    const [store] = (json as StatusReport).stores;
    expect([store?.directories, store?.imageCount]).toEqual([[join(directory, 'vm')], 2]);
    const status = await plimsoll(['status', '--socket', join(directory, 's')]);
    expect([status.code, status.stdout]).toEqual([0, expect.stringContaining('2 images')]);
    expect((statSync(join(directory, 's')).mode % 0o1000).toString(8)).toBe('660');
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'exits with 0 on %s, also while a client listens to events, and removes its socket',
    async (signal) => {
      const one = begin(...usual());
      const url = openUrlIn(await told(one));
      const events = ask(url, '/api/v1/events').catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 200));
      one.kill(signal);
      const { code, stderr } = await one.ended;
      expect([code, existsSync(join(directory, 's'))]).toEqual([0, false]);
      await events;
      for (const line of stderr.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ level: 'info', msg: expect.any(String) });
    },
  );

  it('creates a demonstration store, serves it, and removes it', async () => {
    const one = begin('--demo', '--listen', '127.0.0.1:0');
    const text = await told(one);
    expect(text).toMatch(/^Monitoring 1 (store \(\d+ images\)|directory \(initial scan in progress\))\. /);
    await expect.poll(() => one.stdout()).toMatch(/PLIMSOLL_SOCKET=\S+\n/);
    expect(readdirSync(directory).filter((name) => name.startsWith('plimsoll-demo-'))).toHaveLength(1);
    const socket = /PLIMSOLL_SOCKET=(\S+)/.exec(one.stdout())?.[1] ?? '';
    expect((await ask(urlIn(text), '/api/v1/stores')).status).toBe(200);
    const status = async (): Promise<number | null> => (await plimsoll(['status'], { env: { PLIMSOLL_SOCKET: socket } })).code;
    await expect.poll(status).toBe(0);
    one.kill('SIGTERM');
    expect((await one.ended).code).toBe(0);
    expect(readdirSync(directory).filter((name) => name.startsWith('plimsoll-demo-'))).toEqual([]);
  });

  it('fails if the default port is taken, and uses a free one on request', async () => {
    const taken = createServer().listen(9464, '127.0.0.1');
    // Taken by this test or by another program on this host.
    await new Promise((resolve) => taken.once('listening', resolve).once('error', resolve));
    const own = ['--socket', join(directory, 's'), '--state', join(directory, 'state'), 'vm'];
    const { code, stderr, stdout } = await begin(...own).ended;
    expect([code, stdout, stderr]).toEqual([18, '', expect.stringContaining('address already in use')]);
    expect(stderr).toContain('--listen auto');
    const text = await told(begin('--listen', 'auto', ...own));
    await new Promise((resolve) => taken.close(resolve));
    expect(urlIn(text)).toMatch(/^http:\/\/127\.0\.0\.1:(?!9464$)\d+$/);
  });

  it('answers a request for an unknown path with the monitored directories', async () => {
    const one = begin(...usual());
    await told(one);
    const path = '/proc/nowhere';
    const { code, stderr } = await plimsoll(['admit', '--bytes', '1M', '--store', path, '--socket', join(directory, 's')]);
    expect([code, stderr.includes(path), stderr.includes(join(directory, 'vm'))]).toEqual([12, true, true]);
  });

  it('serves the named directories instead of a demonstration', async () => {
    const text = await told(begin('--demo', ...usual()));
    const stores = async (): Promise<StatusReport['stores']> =>
      ((await ask(openUrlIn(text), '/api/v1/status')).json as StatusReport).stores;
    await expect.poll(async () => (await stores())[0]?.directories).toEqual([join(directory, 'vm')]);
  });

  it('reads a configuration file, which the command line overrides', async () => {
    const token = 'x'.repeat(40);
    writeFileSync(join(directory, 'token'), `${token}\n`, { mode: 0o600 });
    const config = `[serve]\nlisten = "0.0.0.0:0"\nsocket = "${join(directory, 'overruled')}"\nstate_directory = "${join(directory, 'state')}"\ntoken_file = "${join(directory, 'token')}"\nlog_level = "silent"\n[rules]\nfloor = "1G"\n[[store]]\ndirectories = ["${join(directory, 'vm')}"]\npolicy = "growth"\n`;
    writeFileSync(join(directory, 'c.toml'), config);
    const one = begin('--config', 'c.toml', '--socket', join(directory, 's'));
    const text = await told(one);
    expect(text).toContain(`(the token is in ${join(directory, 'token')})`);
    const url = `http://127.0.0.1:${new URL(urlIn(text)).port}`;
    expect((await ask(url, '/api/v1/stores')).status).toBe(401);
    const stores = async (): Promise<unknown> => (await ask(url, '/api/v1/stores', { headers: { authorization: `Bearer ${token}` } })).json;
    await expect.poll(stores).toMatchObject([{ rules: { policy: 'growth', floor: 2 ** 30 } }]);
    expect([existsSync(join(directory, 's')), existsSync(join(directory, 'overruled'))]).toEqual([true, false]);
    one.kill('SIGTERM');
    const { stdout, stderr } = await one.ended;
    expect([stderr, `${stdout}${stderr}`.includes(token)]).toEqual(['', false]);
  });

  it('refuses', async () => {
    const socket = join(directory, 's');
    writeFileSync(join(directory, 'bad.toml'), '[serve]\nintervall = "1s"\n');
    writeFileSync(join(directory, 'open.toml'), `[serve]\ntoken_file = "${join(directory, 'bad.toml')}"\n`);
    chmodSync(join(directory, 'bad.toml'), 0o644);
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const port = (taken.address() as { port: number }).port;
    const refused: readonly (readonly [readonly string[], number, string])[] = [
      [['--config', 'bad.toml'], 2, 'line 2: serve.intervall: unknown key; did you mean interval?'],
      [['--config', 'nowhere.toml', 'vm'], 12, 'nowhere.toml'],
      [['--config', 'open.toml', '--state', 'state', '--socket', socket, 'vm'], 15, 'mode is 0644'],
      [['--listen', '0.0.0.0:0', '--socket', socket, '--state', 'state', 'vm'], 2, 'token'],
      [['--listen', `127.0.0.1:${port}`, '--socket', socket, '--state', 'state', 'vm'], 18, 'address already in use'],
      [['--listen', 'nonsense', '--socket', socket, '--state', 'state', 'vm'], 2, '127.0.0.1:9464'],
      [['--listen', 'off', '--socket', 'off', '--state', 'state', 'vm'], 2, '--socket'],
      [['--listen', 'off', '--socket', join(directory, 'vm'), '--state', 'state', 'vm'], 15, 'socket'],
    ];
    for (const [words, code, text] of refused) {
      const ended = await begin(...words).ended;
      expect([words, ended.code, ended.stdout, ended.stderr]).toEqual([words, code, '', expect.stringContaining(text)]);
    }
    taken.close();
    expect(existsSync(socket)).toBe(false);
  });
});

describe('config check', () => {
  it('prints the effective configuration, which can be read back with the same effect', async () => {
    writeFileSync(
      join(directory, 'c.toml'),
      '[serve]\nsocket = "off"\nstate_directory = "/s"\n[rules]\nfloor = "1.5G"\n[[store]]\ndirectories = ["/srv/a \\"b\\"", "/c"]\n',
    );
    const first = await plimsoll(['config', 'check', 'c.toml'], { cwd: directory });
    expect([first.code, first.stderr, first.stdout]).toEqual([0, '', expect.stringContaining('directories = ["/srv/a \\"b\\"", "/c"]')]);
    expect(first.stdout).toMatch(/full_interval = "6h"[^]*relieve = "30m"[^]*time = "24h"/);
    writeFileSync(join(directory, 'd.toml'), first.stdout);
    expect((await plimsoll(['config', 'check', 'd.toml'], { cwd: directory })).stdout).toBe(first.stdout);
  });

  it('reports every error with its line: 2', async () => {
    writeFileSync(join(directory, 'c.toml'), '[serve]\nlisten = 1\n[rules]\npolcy = "growth"\n');
    const { code, stdout } = await plimsoll(['config', 'check', 'c.toml'], { cwd: directory });
    expect([code, stdout]).toEqual([
      2,
      'c.toml: line 2: serve.listen: is 1, expected an address such as "127.0.0.1:9464", or "off"\nc.toml: line 4: rules.polcy: unknown key; did you mean policy?\n',
    ]);
  });

  it.each([
    ['[serve]\nlisten = "0.0.0.0:1"\n[[store]]\ndirectories = ["/a"]\n', 'LISTEN_NEEDS_TOKEN|no token_file'],
    ['[serve]\nlisten = "x"\n[[store]]\ndirectories = ["/a"]\n', 'serve.listen'],
    ['[rules.critical]\npercent = 50\n[[store]]\ndirectories = ["/a"]\n', 'critical.percent'],
    ['[serve]\n', 'no directories'],
  ])('finds what only shows when it is used: %j', async (text, expected) => {
    writeFileSync(join(directory, 'c.toml'), text);
    const { code, stderr } = await plimsoll(['config', 'check', 'c.toml'], { cwd: directory });
    expect([code, stderr]).toEqual([2, expect.stringMatching(new RegExp(expected))]);
  });
});
