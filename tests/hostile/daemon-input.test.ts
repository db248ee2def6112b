/** Bad names, bad requests and bad clients before a daemon: every output stays readable, and every listener keeps its access control. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImagePage, ImageView } from '#wire';
import { readExposition } from '../support/exposition.ts';
import { tokenOf } from '../support/access.ts';
import { ask } from '../support/http.ts';
import { Cleanup, type DaemonProcess, DaemonProcess as Process, pause } from './daemon-process.ts';

const MiB = 1024 * 1024;
const cleanup = new Cleanup();
const token = randomBytes(32).toString('hex');
let directory: string;
let vm: string;
/** Asks for a token; the other one does not. */
let guarded: DaemonProcess;
let open: DaemonProcess;

const bytes = (...list: (number | string)[]): Buffer =>
  Buffer.concat(list.map((one) => (typeof one === 'string' ? Buffer.from(one) : Buffer.of(one))));

/** Names of strangers, and what their paths are in JSON. */
const NAMES: readonly (readonly [Buffer, string])[] = [
  [bytes('a', 0xff, '.raw'), 'a\udcff.raw'],
  [bytes('a', 0xfe, '.raw'), 'a\udcfe.raw'],
  [bytes('a\ufffd.raw'), 'a\ufffd.raw'],
  [bytes(0xed, 0xa0, 0x80, '.raw'), '\udced\udca0\udc80.raw'],
  [bytes('new\nline.raw'), 'new\nline.raw'],
  [bytes('\u001b[31mred\u001b]0;title\u0007.raw'), '\u001b[31mred\u001b]0;title\u0007.raw'],
  [bytes('\u202egnp.raw'), '\u202egnp.raw'],
  [bytes('quote"back\\slash\'bar|.raw'), 'quote"back\\slash\'bar|.raw'],
  [bytes('<img src=x onerror=alert(1)>.raw'), '<img src=x onerror=alert(1)>.raw'],
  [bytes('\u0085\u009b31m.raw'), '\u0085\u009b31m.raw'],
];

beforeAll(async () => {
  directory = cleanup.path(mkdtempSync(join(tmpdir(), 'plimsoll-input-')));
  vm = join(directory, 'vm\n\u001b[31m\u202e');
  mkdirSync(vm);
  for (const [name] of NAMES) {
    const path = Buffer.concat([Buffer.from(`${vm}/`), name]);
    writeFileSync(path, '');
    truncateSync(path, MiB);
  }
  writeFileSync(join(directory, 'token'), token, { mode: 0o600 });
  writeFileSync(join(directory, 'guarded.toml'), `[serve]\ntoken_file = ${JSON.stringify(join(directory, 'token'))}\n`);
  const words = ['--config', join(directory, 'guarded.toml')];
  guarded = await cleanup.ready({ directory: join(directory, 'guarded'), stores: [vm], words });
  open = await cleanup.ready({ directory: join(directory, 'open'), stores: [vm] });
});
afterAll(() => cleanup.all());

/** No control character but the line's end, nothing that turns text around, nothing that is half a character. */
const HARMFUL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufffd]|\p{Surrogate}/u;

describe('untrusted names', () => {
  it('are all present in the API, each under an id of its own', async () => {
    const { images } = (await open.ask('/api/v1/images')).json as ImagePage;
    expect(images.map(({ path }) => path).sort()).toEqual(NAMES.map(([, name]) => `${vm}/${name}`).sort());
    expect(new Set(images.map(({ id }) => id)).size).toBe(NAMES.length);
    for (const { id, path } of images) {
      expect((await open.ask(`/api/v1/images/${id}`)).json).toMatchObject({ id, path });
      expect((await open.ask(`/api/v1/images/${id}/history`)).status).toBe(200);
    }
  });

  it('are distinguished in events: an event names the image that changed', async () => {
    const { images } = (await open.ask('/api/v1/images')).json as ImagePage;
    const name = Buffer.concat([Buffer.from(`${vm}/`), bytes('a', 0xfe, '.raw')]);
    truncateSync(name, 2 * MiB);
    await open.rescanned();
    const after = (await open.ask('/api/v1/images')).json as ImagePage;
    const lengths = (list: readonly ImageView[]): Map<string, number | null> => new Map(list.map(({ path, length }) => [path, length]));
    const before = lengths(images);
    const changed = [...lengths(after.images)].filter(([path, length]) => before.get(path) !== length);
    expect(changed).toEqual([[`${vm}/a\udcfe.raw`, 2 * MiB]]);
  });

  it('fulfil the reservations made for them', async () => {
    const path = `${vm}/new\nimage.raw`;
    expect((await open.reserve(vm, 'key\n\u001b[31m\u202e', MiB, { path, overcommit: true })).status).toBe(201);
    writeFileSync(path, '');
    truncateSync(path, MiB);
    await open.rescanned();
    expect(await open.heldKeys()).toEqual([]);
  });

  it('give no duplicate metric, and pass promtool', async () => {
    const { text } = await open.ask('/metrics');
    const families = readExposition(text);
    expect(families.get('plimsoll_image_length_bytes')?.samples.length).toBeGreaterThanOrEqual(NAMES.length);
    expect(text).not.toMatch(HARMFUL);
    const { status, stderr, stdout, error } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect([error, status, stdout, stderr]).toEqual([undefined, 0, '', '']);
  });

  it('are escaped in a terminal, in the line of a monitor, and in the log', async () => {
    await open.ask('/api/v1/no/\u001b%1b[31m'.replace('\u001b', ''));
    await open.reserve(vm, 'log\n\u001b[31m', MiB, { overcommit: true });
    const { message } = (await open.ask('/api/v1/admission/check', { method: 'POST', body: { store: vm, bytes: 1 } })).json as {
      message: string;
    };
    expect(message.length).toBeGreaterThan(0);
    for (const words of [['status'], ['check'], ['admit', '--bytes', '1', '--store', vm, '--explain'], ['release', 'log\n\u001b[31m']]) {
      const { stdout, stderr } = await open.command(...words);
      expect([words[0], HARMFUL.exec(stdout + stderr)]).toEqual([words[0], null]);
      if (words[0] === 'check') expect(stdout.trimEnd().split('\n')).toHaveLength(1);
    }
    const log = open.process.stderr();
    expect(HARMFUL.exec(log.replaceAll('\u202e', ''))).toBeNull();
    for (const line of log.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ msg: expect.any(String) });
  });

  it('break no event', async () => {
    const socket = connect(open.socket);
    socket.write('GET /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await expect.poll(() => text).toContain('event: hello');
    truncateSync(Buffer.concat([Buffer.from(`${vm}/`), bytes('a', 0xff, '.raw')]), 3 * MiB);
    await expect.poll(() => text).toContain('event: image');
    socket.destroy();
    const data = text.split('\n').filter((line) => line.startsWith('data: {"type":"image"'));
    expect(data.map((line) => (JSON.parse(line.slice(6)) as { image: ImageView }).image.path)).toContain(`${vm}/a\udcff.raw`);
  });
});

describe('a listener with a token', () => {
  it.each([
    '/api/v1/status',
    '/%61pi/v1/status',
    '/api/%76%31/status',
    '/%6detrics',
    '/metrics/',
    '/metrics;x',
    '/metrics?x',
    '//api/v1/status',
    '/api/v1/events',
    '/%61pi/v1/events',
    '/api%2Fv1%2Fstatus',
  ])('%s is closed without it', async (path) => {
    expect((await ask(guarded.url, path)).status).toBe(401);
    expect((await ask(guarded.url, path, { headers: { authorization: `Bearer ${token.slice(0, -1)}0x` } })).status).toBe(401);
  });

  it('accepts the token', async () => {
    expect((await ask(guarded.url, '/api/v1/status', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it('never shows it', async () => {
    const { text } = await ask(guarded.url, '/api/v1/status', { headers: { authorization: `Bearer ${token}` } });
    const page = await guarded.command('status', '--json');
    expect([text, guarded.process.stdout(), guarded.process.stderr(), page.stdout].filter((one) => one.includes(token))).toEqual([]);
  });
});

describe('the static files', () => {
  it.each([
    '/../../../../etc/passwd',
    '/..%2f..%2f..%2f..%2fetc/passwd',
    '/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
    '/..%5c..%5c..%5cetc%5cpasswd',
    '/%2fetc/passwd',
    '//etc/passwd',
    '/assets/..%2f..%2fmain.js',
    '/assets/../../main.js',
    '/index.html%00.js',
    '/%00',
    '/%c0%ae%c0%ae/etc/passwd',
    '/..;/main.js',
    '/.git/config',
    '/%ff',
    '/%',
  ])('%s leads nowhere', async (path) => {
    const { status, text } = await ask(open.url, path);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(text).not.toMatch(/root:|import|\[core\]/);
  });
});

/** A request with the token of the daemon, where it is one of this host. */
function withToken(text: string | Buffer): string | Buffer {
  const access = `host: localhost\r\nauthorization: Bearer ${tokenOf(open.url) ?? ''}\r\n`;
  return typeof text === 'string' ? text.replaceAll('host: localhost\r\n', access) : text;
}

/** The response to `text`, until the server ends the connection or, after its first bytes, is silent for `silence` ms. */
function raw(text: string | Buffer, silence = 3000): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(open.url).port), '127.0.0.1');
    let heard = '';
    const end = (): void => {
      socket.destroy();
      resolve(heard);
    };
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      socket.setTimeout(silence, end);
    });
    socket.on('error', end);
    socket.on('close', end);
    socket.write(withToken(text));
  });
}

const statuses = (heard: string): string[] => [...heard.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status ?? '');

describe('requests that are not valid', () => {
  const post = 'POST /api/v1/rescan HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';
  it.each([
    ['two lengths', `${post}content-length: 2\r\ncontent-length: 40\r\n\r\n{}`],
    ['a length and chunks', `${post}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/status HTTP/1.1\r\n\r\n`],
    ['a negative length', `${post}content-length: -1\r\n\r\n`],
    ['a length that is no number', `${post}content-length: 0x2\r\n\r\n{}`],
    ['an unknown coding', `${post}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
    ['a bad chunk', `${post}transfer-encoding: chunked\r\n\r\nzz\r\n\r\n`],
    ['a folded header', 'GET / HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b: c\r\n\r\n'],
    ['a blank before the colon', 'GET / HTTP/1.1\r\nhost : localhost\r\n\r\n'],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a NUL', 'GET /\0 HTTP/1.1\r\nhost: localhost\r\n\r\n'],
    ['binary', randomBytes(300)],
    ['too long a header', `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`],
  ])('%s: refused once, and nothing behind it is taken for a request', async (_name, text) => {
    const [first, ...others] = statuses(await raw(text));
    expect([first?.[0] ?? '4', others]).toEqual(['4', []]);
  });

  it('in a row on one connection are answered in order', async () => {
    const one = 'GET /api/v1/alerts HTTP/1.1\r\nhost: localhost\r\n\r\n';
    const heard = await raw(`${one}${one}GET /nowhere HTTP/1.1\r\nhost: evil.example\r\n\r\n${one}`, 1000);
    expect(statuses(heard)).toEqual(['200', '200', '421', '200']);
  });

  it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', 'localhost@evil.example', '[::1].evil.example', '', '0'])(
    'Host: %s, to which a name was rebound, is refused',
    async (host) => {
      const heard = await raw(`GET /api/v1/status HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
      expect(statuses(heard)).toEqual([host === '' ? expect.stringMatching(/^4/) : '421']);
    },
  );

  it('too large a body is refused, and numbers out of range, and unknown fields', async () => {
    const big = await open.ask('/api/v1/admission/check', { method: 'POST', body: { store: 'x'.repeat(100_000), bytes: 1 } });
    expect(big.status).toBe(413);
    for (const body of [
      { store: vm, bytes: 2 ** 60 },
      { store: vm, bytes: -1 },
      { store: vm, bytes: 1.5 },
      { store: vm, bytes: '1' },
      { store: vm, bytes: 1, unknown: 1 },
      { store: `${vm}\0`, bytes: 1 },
      '{"store":"/","bytes":1,"__proto__":{"policy":"x"}}',
      '{"store":"/","bytes":1',
      '[]',
      'null',
    ]) {
      const { status, json } = await open.ask('/api/v1/admission/check', { method: 'POST', body });
      expect([body, status >= 400 && status < 500, json]).toEqual([
        body,
        true,
        { error: expect.objectContaining({ kind: expect.any(String) }) },
      ]);
    }
  });
});

describe('clients that hang', () => {
  it('slow heads, idle connections and subscribers that never read delay no other client', async () => {
    const port = Number(new URL(open.url).port);
    const sockets: Socket[] = [];
    const add = (text: string, socket: Socket): void => {
      socket.on('error', () => {});
      socket.write(text);
      socket.pause();
      sockets.push(socket);
    };
    for (let count = 0; count < 100; count += 1) add('GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\nx: ', connect(port, '127.0.0.1'));
    for (let count = 0; count < 60; count += 1) add('GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n', connect(open.socket));
    await pause(200);
    for (let count = 0; count < 20; count += 1) await open.ask('/api/v1/rescan', { method: 'POST', body: {} });
    expect((await ask(open.url, '/api/v1/status')).status).toBe(200);
    // A head without end is disconnected after ten seconds.
    await expect.poll(() => sockets.slice(0, 100).filter((one) => !one.destroyed && one.resume().readable).length).toBe(0);
    for (const one of sockets) one.destroy();
    await expect.poll(async () => (await ask(open.url, '/api/v1/status')).status).toBe(200);
  });
});

describe('a configuration', () => {
  it('with an unknown key prevents the start, and the error gives the line', async () => {
    const config = join(directory, 'bad.toml');
    writeFileSync(config, '[serve]\nlisten = "off"\ntokenfile = "x"\n\n[[store]]\ndirectories = ["/srv"]\nfloor_byte = 1\n');
    const daemon = cleanup.watch(new Process({ directory: join(directory, 'bad'), stores: [], words: ['--config', config] }));
    const { code, stderr } = await daemon.process.ended;
    expect([code, stderr]).toEqual([2, expect.stringMatching(/line 3: .*tokenfile/)]);
  });
});
