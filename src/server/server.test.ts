/** Listeners: access control, limits and shutdown. */
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { get, request, type IncomingMessage } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { grantAccess } from '../../tests/support/access.ts';
import { FakeService, STORE_ID } from '../../tests/support/fake-service.ts';
import { A_HOST } from '../../tests/support/host.ts';
import { ask } from '../../tests/support/http.ts';
import { isLoopback, parseListen } from './address.ts';
import { openLog } from './log.ts';
import { openServer, type RunningServer, type ServerOptions } from './server.ts';
import { carriesToken, ensureToken, readToken } from './token.ts';

const TOKEN = 'correct-horse-battery-staple-0123456789';
const CONFIGURED = { text: TOKEN, isConfigured: true };
const BEARER = `Authorization: Bearer ${TOKEN}\r\n`;
let directory: string;
let service: FakeService;
const running: RunningServer[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-server-'));
  service = new FakeService();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()));
  rmSync(directory, { recursive: true, force: true });
});

async function serve(changes: Partial<ServerOptions> = {}): Promise<RunningServer> {
  const token = { text: TOKEN, isConfigured: false };
  const standard = { version: '0.1.0', log: openLog('silent'), socket: undefined, token, webDirectory: undefined };
  const server = await openServer({ service, ...standard, listen: { host: '127.0.0.1', port: 0 }, ...changes });
  running.push(server);
  if (server.url !== null && !('token' in changes)) grantAccess(server.url, TOKEN);
  return server;
}
const urlOf = (server: RunningServer): string => server.url ?? '';
const portOf = (server: RunningServer): number => Number(new URL(urlOf(server)).port);

describe('without the token', () => {
  const reserve = { method: 'POST', body: { store: STORE_ID, bytes: 1, key: 'k', ttlSeconds: 1 } };
  it.each([
    ['a generated one', { text: TOKEN, isConfigured: false }],
    ['none at all', undefined],
  ] as const)('TCP gives figures without names and changes nothing: %s', async (_, token) => {
    const server = await serve({ token });
    for (const path of [
      '/api/v1/status',
      '/api/v1/stores',
      '/api/v1/images',
      '/api/v1/reservations',
      '/api/v1/events',
      '/api/v1/openapi.json',
    ])
      expect([path, (await ask(urlOf(server), path)).status]).toEqual([path, 401]);
    const changes = [
      ask(urlOf(server), '/api/v1/admission/reserve', reserve),
      ask(urlOf(server), '/api/v1/admission/check', { method: 'POST', body: { store: STORE_ID, bytes: 1 } }),
      ask(urlOf(server), '/api/v1/rescan', { method: 'POST', body: {} }),
      ask(urlOf(server), '/api/v1/reservations/k', { method: 'DELETE' }),
      ask(urlOf(server), '/metrics', { method: 'POST', body: {} }),
    ];
    expect((await Promise.all(changes)).map(({ status }) => status)).toEqual([401, 401, 401, 401, 401]);
    expect([service.asked, service.held.size]).toEqual([[], 0]);
    const { status, text } = await ask(urlOf(server), '/metrics');
    expect([status, text]).toEqual([200, expect.stringMatching(/^plimsoll_store_available_bytes\{store="[^"]*"\} 64424509440$/m)]);
    expect(text).not.toMatch(/\/srv|plimsoll_image_|mount=/);
  });

  it('the Unix socket and a request with the token get all samples', async () => {
    const socket = join(directory, 's');
    const server = await serve({ socket });
    for (const base of [socket, urlOf(server)])
      expect((await ask(base, '/metrics')).text).toMatch(/mount="\/srv"[^]*plimsoll_image_capacity_bytes\{/);
  });
});

describe('by a loopback address', () => {
  it.each(['localhost', 'LOCALHOST:80', '127.0.0.1', '127.0.0.1:9', '[::1]', '[::1]:9464'])('Host: %s is let in', async (host) => {
    const { status } = await ask(urlOf(await serve()), '/api/v1/stores', { headers: { host } });
    expect(status).toBe(200);
  });

  it.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:80', '10.0.0.1', 'localhost@evil.example', '[::2]'])(
    'Host: %s is misdirected, on every path',
    async (host) => {
      const server = await serve();
      for (const path of ['/api/v1/stores', '/metrics', '/', '/nothing']) {
        const { status, json } = await ask(urlOf(server), path, { headers: { host } });
        expect([path, status, json]).toEqual([path, 421, { error: expect.objectContaining({ kind: 'refused', code: 'HOST_FOREIGN' }) }]);
      }
    },
  );

  it.each([
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:1' },
    { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
  ])('a page of another site is refused: %j', async (headers) => {
    const server = await serve();
    const body = { store: STORE_ID, bytes: 1, key: 'k', ttlSeconds: 1 };
    const { status, json } = await ask(urlOf(server), '/api/v1/admission/reserve', { method: 'POST', headers, body });
    expect([status, json]).toEqual([403, { error: expect.objectContaining({ code: 'ORIGIN_FOREIGN' }) }]);
    expect((await ask(urlOf(server), '/api/v1/stores', { headers })).status).toBe(403);
    expect(service.asked).toEqual([]);
  });

  it('its own page is let in, and a link from elsewhere', async () => {
    const server = await serve();
    const body = { store: STORE_ID, bytes: 1 };
    const origin = `http://localhost:${portOf(server)}`;
    const own = await ask(urlOf(server), '/api/v1/admission/check', {
      method: 'POST',
      body,
      headers: { host: new URL(origin).host, origin },
    });
    const link = await ask(urlOf(server), '/', { headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' } });
    expect([own.status, link.status]).toEqual([200, 200]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp', ''])(
    'a body that is %j and not JSON is refused',
    async (type) => {
      const { status, json } = await ask(urlOf(await serve()), '/api/v1/rescan', {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': type },
      });
      expect([status, json]).toEqual([415, { error: expect.objectContaining({ kind: 'usage', code: 'CONTENT_TYPE' }) }]);
      expect(service.asked).toEqual([]);
    },
  );

  it.each(['0.0.0.0', '::', '192.168.1.1', 'host.example'])('%s is not listened on with a token that was generated', async (host) => {
    await expect(serve({ listen: { host, port: 0 } })).rejects.toMatchObject({ kind: 'usage', code: 'LISTEN_NEEDS_TOKEN' });
  });
});

describe('with a token', () => {
  it.each([
    [undefined, 401],
    ['Bearer wrong', 401],
    [`Bearer ${TOKEN}x`, 401],
    [`Bearer ${TOKEN.slice(1)}`, 401],
    [`Basic ${TOKEN}`, 401],
    ['Bearer ', 401],
    [`Bearer ${TOKEN}`, 200],
    [`bearer  ${TOKEN}`, 200],
  ])('Authorization: %s gets %i', async (authorization, expected) => {
    const server = await serve({ token: CONFIGURED });
    const headers = authorization === undefined ? {} : { authorization };
    for (const path of ['/api/v1/stores', '/api/v1/openapi.json', '/metrics', '/metrics?x', '//api/v1/stores'].slice(
      0,
      expected === 200 ? 3 : 5,
    )) {
      const answer = await ask(urlOf(server), path, { headers });
      expect([path, answer.status]).toEqual([path, expected]);
      if (expected === 401)
        expect([answer.headers['www-authenticate'], answer.json]).toEqual([
          'Bearer realm="plimsoll"',
          { error: expect.objectContaining({ code: 'TOKEN_WRONG' }) },
        ]);
    }
  });

  it.each([
    '/%61pi/v1/stores',
    '/api/%761/stores',
    '/%6detrics',
    '/metric%73',
    '/%61%70%69/v1/openapi.json',
    '/%61pi/v1/events',
    '//metrics',
  ])('%s is no way around it', async (path) => {
    const server = await serve({ token: CONFIGURED });
    const { status, json, headers } = await ask(urlOf(server), path);
    expect([status, json]).toEqual([401, { error: expect.objectContaining({ code: 'TOKEN_WRONG' }) }]);
    expect(headers['www-authenticate']).toBe('Bearer realm="plimsoll"');
  });

  it('the page itself is given to all, by any name, and any address is listened on', async () => {
    const server = await serve({ token: CONFIGURED, listen: { host: '0.0.0.0', port: 0 } });
    const { status } = await ask(`http://127.0.0.1:${portOf(server)}`, '/', { headers: { host: 'vm7.example' } });
    expect(status).toBe(200);
  });

  it('comparing says yes to the token alone', () => {
    expect([`Bearer ${TOKEN}`, `Bearer ${TOKEN} `, TOKEN, '', undefined].map((one) => carriesToken(one, TOKEN))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('ensureToken()', () => {
  it('makes a file that only its owner reads, and gives the same token again', async () => {
    const { path, text } = await ensureToken(directory);
    expect([(statSync(path).mode % 0o1000).toString(8), text]).toEqual(['600', expect.stringMatching(/^[0-9a-f]{64}$/)]);
    expect(await ensureToken(directory)).toEqual({ path, text });
    rmSync(path);
    expect((await ensureToken(directory)).text).not.toBe(text);
  });
  it('refuses a file that others may read', async () => {
    const { path } = await ensureToken(directory);
    chmodSync(path, 0o644);
    await expect(ensureToken(directory)).rejects.toMatchObject({ code: 'TOKEN_FILE_MODE' });
  });
});

describe('readToken()', () => {
  const fileOf = (text: string, mode: number): string => {
    const path = join(directory, 'token');
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };
  it.each([0o600, 0o400, 0o640, 0o440])('takes a file of mode %o', async (mode) => {
    expect(await readToken(fileOf(`${TOKEN}\n`, mode))).toBe(TOKEN);
  });
  it.each([0o644, 0o604, 0o660, 0o666, 0o601, 0o620])('refuses one of mode %o', async (mode) => {
    await expect(readToken(fileOf(TOKEN, mode))).rejects.toMatchObject({ kind: 'refused', code: 'TOKEN_FILE_MODE' });
  });
  it.each(['', 'short', 'x'.repeat(31), `${'x'.repeat(20)} ${'x'.repeat(20)}`, `${TOKEN}\n${TOKEN}`, `${TOKEN}ü`])(
    'refuses %j',
    async (text) => {
      await expect(readToken(fileOf(text, 0o600))).rejects.toMatchObject({ kind: 'usage', code: 'TOKEN_FILE' });
    },
  );
  it('says that there is none', async () => {
    await expect(readToken(join(directory, 'nothing'))).rejects.toMatchObject({ kind: 'not-found', code: 'IO_ENOENT' });
  });
});

describe('the Unix socket', () => {
  it('is for owner and group, in a directory that is made, and asks nothing more', async () => {
    const socket = join(directory, 'run', 'plimsoll.sock');
    await serve({ listen: undefined, socket });
    const { mode } = statSync(socket);
    expect([(mode % 0o1000).toString(8), (statSync(join(directory, 'run')).mode % 0o1000).toString(8)]).toEqual(['660', '750']);
    const { status } = await ask(socket, '/api/v1/stores', { headers: { host: 'anything' } });
    expect(status).toBe(200);
  });

  it('is removed at the end, and only by its creator', async () => {
    const socket = join(directory, 's');
    const server = await serve({ socket });
    await expect(serve({ listen: undefined, socket })).rejects.toMatchObject({ kind: 'conflict', code: 'SOCKET_IN_USE' });
    expect((await ask(socket, '/api/v1/stores')).status).toBe(200);
    await server.close();
    expect(existsSync(socket)).toBe(false);
  });

  it('is taken over from one who died', async () => {
    const socket = join(directory, 's');
    const dead = createServer().listen(socket);
    await new Promise((resolve) => dead.once('listening', resolve));
    // A second name stays when the first is removed: a socket file without anybody behind it.
    const { linkSync, renameSync } = await import('node:fs');
    linkSync(socket, `${socket}.kept`);
    await new Promise((resolve) => dead.close(resolve));
    renameSync(`${socket}.kept`, socket);
    expect(lstatSync(socket).isSocket()).toBe(true);
    await serve({ listen: undefined, socket });
    expect((await ask(socket, '/api/v1/stores')).status).toBe(200);
  });

  it.each(['file', 'directory', 'link'])('does not replace a %s', async (what) => {
    const socket = join(directory, 's');
    if (what === 'file') writeFileSync(socket, 'precious');
    else if (what === 'directory') mkdirSync(socket);
    else symlinkSync('elsewhere', socket);
    await expect(serve({ listen: undefined, socket })).rejects.toMatchObject({ kind: 'refused', code: 'SOCKET_NO_SOCKET' });
    expect(lstatSync(socket).isSocket()).toBe(false);
  });

  it('is not created where every user could replace it; a sticky directory suffices', async () => {
    const shared = join(directory, 'shared');
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    await expect(serve({ socket: join(shared, 's') })).rejects.toMatchObject({ kind: 'refused', code: 'SOCKET_DIRECTORY_UNSAFE' });
    chmodSync(shared, 0o1777);
    expect((await serve({ socket: join(shared, 's') })).socket).toBe(join(shared, 's'));
  });

  it('has a path that the kernel can hold', async () => {
    await expect(serve({ socket: join(directory, 'x'.repeat(100)) })).rejects.toMatchObject({ kind: 'usage', code: 'SOCKET_PATH_LONG' });
  });
});

describe('too much', () => {
  it('of a body: 413', async () => {
    const body = { store: STORE_ID, bytes: 1, image: undefined, key: 'x'.repeat(70_000) };
    const { status, json } = await ask(urlOf(await serve()), '/api/v1/admission/check', { method: 'POST', body });
    expect([status, json]).toEqual([413, { error: expect.objectContaining({ kind: 'over-budget', code: 'BODY_TOO_LARGE' }) }]);
  });

  it('of a body that does not say how long it is: 413, before it has ended', async () => {
    const server = await serve();
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request(
        `${urlOf(server)}/api/v1/rescan`,
        { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` } },
        resolve,
      );
      asked.on('error', reject);
      for (let piece = 0; piece < 10; piece += 1) asked.write(' '.repeat(10_000));
    });
    expect(answer.statusCode).toBe(413);
    answer.destroy();
  });

  it.each([
    ['address', `/api/v1/images?search=${'x'.repeat(20_000)}`, {}],
    ['header', '/api/v1/images', { cookie: 'x'.repeat(20_000) }],
  ])('of an %s: 431', async (_, path, headers) => {
    const { status, json } = await ask(urlOf(await serve()), path, { headers });
    expect([status, json]).toEqual([431, { error: expect.objectContaining({ kind: 'over-budget', code: 'HEADERS_TOO_LARGE' }) }]);
  });

  it('of what is no HTTP: 400', async () => {
    const text = await raw(await serve(), 'HELLO\r\n\r\n');
    expect(text).toMatch(/^HTTP\/1\.1 400 .*"code":"REQUEST_INVALID"/s);
  });

  it('of time: a head that never ends is cut off', async () => {
    const server = await serve({ limits: { headMs: 300, requestMs: 400 } });
    const text = await raw(server, 'GET / HTTP/1.1\r\nHost: localhost\r\n');
    expect(text).toMatch(/^(HTTP\/1\.1 4\d\d .*)?$/s);
  });

  it('of connections: 503, while the earlier ones are served', async () => {
    const server = await serve({ limits: { connections: 3 } });
    const idle = await Promise.all([1, 2, 3].map(() => openSocket(server)));
    const { status, json } = await ask(urlOf(server), '/api/v1/stores');
    expect([status, json]).toEqual([503, { error: expect.objectContaining({ kind: 'busy', code: 'CONNECTIONS_MANY' }) }]);
    idle[0]?.write(`GET /api/v1/alerts HTTP/1.1\r\nHost: localhost\r\n${BEARER}Connection: close\r\n\r\n`);
    expect(await textOf(idle[0] as Socket)).toContain('200 OK');
    for (const one of idle) one.destroy();
  });
});

describe('connections of one listener', () => {
  it('leave the places of the other: the Unix socket answers while TCP is full', async () => {
    const socket = join(directory, 's');
    const server = await serve({ socket, limits: { connections: 3 } });
    const idle = await Promise.all(Array.from({ length: 6 }, () => openSocket(server)));
    expect((await ask(urlOf(server), '/api/v1/stores').catch(() => ({ status: 'closed' }))).status).not.toBe(200);
    const answers = await Promise.all([1, 2, 3].map(() => ask(socket, '/api/v1/stores')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    for (const one of idle) one.destroy();
  });
});

describe('a decision that does not come', () => {
  it('is answered with 503, and the server serves on', async () => {
    service.delay = new Promise(() => {});
    const server = await serve({ limits: { decisionMs: 200 } });
    for (const [verb, more] of [
      ['check', {}],
      ['reserve', { key: 'k', ttlSeconds: 1 }],
    ] as const) {
      const { status, json } = await ask(urlOf(server), `/api/v1/admission/${verb}`, {
        method: 'POST',
        body: { store: STORE_ID, bytes: 1, ...more },
      });
      expect([status, json]).toEqual([503, { error: expect.objectContaining({ kind: 'busy', code: 'ANSWER_TOO_SLOW' }) }]);
    }
    expect((await ask(urlOf(server), '/api/v1/stores')).status).toBe(200);
  });
});

describe('what goes wrong inside', () => {
  it('is told without its insides', async () => {
    service.queryStores = () => {
      throw new TypeError('secret of /etc/plimsoll');
    };
    const { status, text, json } = await ask(urlOf(await serve()), '/api/v1/stores');
    expect([status, json]).toEqual([500, { error: expect.objectContaining({ kind: 'bug', code: 'INTERNAL' }) }]);
    expect(text).not.toMatch(/secret|TypeError|at .*\.ts/);
  });
});

describe('every answer', () => {
  it.each(['/', '/api/v1/stores', '/nothing', '/metrics'])('to %s lets a browser run nothing of others', async (path) => {
    const { headers } = await ask(urlOf(await serve()), path);
    expect(headers).toMatchObject({
      'content-security-policy': expect.stringMatching(/^default-src 'self'; .*frame-ancestors 'none'$/),
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
  });
});

describe('the dashboard', () => {
  it('is given out with its files, and nothing beside it', async () => {
    const webDirectory = join(directory, 'web');
    mkdirSync(join(webDirectory, 'assets'), { recursive: true });
    writeFileSync(join(webDirectory, 'index.html'), '<!doctype html><title>plimsoll</title>');
    writeFileSync(join(webDirectory, 'assets', 'app-1234.js'), 'export {};');
    writeFileSync(join(webDirectory, '.hidden'), 'secret');
    writeFileSync(join(directory, 'secret'), 'secret');
    symlinkSync('/etc/passwd', join(webDirectory, '..', 'passwd'));
    const url = urlOf(await serve({ webDirectory }));
    const page = await ask(url, '/');
    const script = await ask(url, '/assets/app-1234.js');
    expect([page.status, page.text, page.headers['cache-control']]).toEqual([200, expect.stringContaining('<title>plimsoll'), 'no-cache']);
    expect([script.status, script.headers['content-type']]).toEqual([200, expect.stringContaining('javascript')]);
    expect(script.headers['cache-control']).toContain('immutable');
    for (const path of [
      '/../secret',
      '/..%2fsecret',
      '/%2e%2e/secret',
      '/assets/..%2f..%2fsecret',
      '/assets/../../secret',
      '/.hidden',
      '/..%5csecret',
      '//etc/passwd',
      '/%00',
    ]) {
      const { status, text } = await ask(url, path);
      expect([path, status >= 400 && status < 500, text.includes('secret') && !text.includes(path)]).toEqual([path, true, false]);
    }
  });

  it('says that it was not built', async () => {
    const { status, text, headers } = await ask(urlOf(await serve()), '/');
    expect([status, headers['content-type'], text]).toEqual([200, 'text/plain; charset=utf-8', expect.stringContaining('not built')]);
  });
});

describe('events', () => {
  it('begin with all stores and go on with what happens; names break no line', async () => {
    const server = await serve();
    const stream = await subscribe(server);
    const gone = { type: 'image-gone', host: null, store: STORE_ID, id: 'x', path: 'a\nb\r\ndata: {"forged":1}\u2028' } as const;
    service.tell(gone);
    const text = await readUntil(stream, /event: image-gone\n[^\n]*\n\n/);
    const events = text.split('\n\n').filter((one) => one.includes('event:'));
    const data = events.map((one) => JSON.parse(/\ndata: ([^\n]*)$/.exec(one)?.[1] ?? '') as unknown);
    expect(data).toEqual([{ type: 'hello', host: A_HOST, stores: [service.view] }, gone]);
    expect(stream.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  });

  it('beat while nothing happens', async () => {
    const server = await serve({ limits: { events: { subscribers: 2, queuedBytes: 2 ** 20, heartbeatMs: 50 } } });
    expect(await readUntil(await subscribe(server), /\n: still here\n\n/)).toContain('event: hello');
  });

  it('are for so many subscribers; a place becomes free again', async () => {
    const server = await serve({ limits: { events: { subscribers: 1, queuedBytes: 2 ** 20, heartbeatMs: 1000 } } });
    const first = await subscribe(server);
    const { status, json } = await ask(urlOf(server), '/api/v1/events');
    expect([status, json]).toEqual([503, { error: expect.objectContaining({ kind: 'busy', code: 'SUBSCRIBERS_MANY' }) }]);
    first.destroy();
    await expect.poll(async () => (await subscribe(server)).statusCode).toBe(200);
  });

  it('disconnect only subscribers that read too slowly', async () => {
    const server = await serve({ limits: { events: { subscribers: 9, queuedBytes: 1_000_000, heartbeatMs: 1000 } } });
    const slow = await openSocket(server);
    slow.write(`GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n${BEARER}\r\n`);
    const quick = await subscribe(server);
    let seen = 0;
    quick.on('data', (chunk: Buffer) => {
      seen += chunk.length;
    });
    await expect.poll(() => service.listeners.size).toBe(1);
    const closed = new Promise((resolve) => {
      slow.on('close', resolve);
      slow.on('error', () => {});
    });
    slow.pause();
    const big = { type: 'image-gone', host: null, store: 'x'.repeat(100_000), id: 'x', path: 'x' } as const;
    for (let count = 0; count < 200; count += 1) {
      service.tell(big);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await expect.poll(() => seen).toBeGreaterThan(200 * 100_000);
    slow.resume();
    await closed;
  });

  it('end with the server, also for a client that does not read', async () => {
    const server = await serve();
    const stuck = await openSocket(server);
    stuck.on('error', () => {});
    stuck.write(
      `POST /api/v1/rescan HTTP/1.1\r\nHost: localhost\r\n${BEARER}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    );
    const stream = await subscribe(server);
    const ended = new Promise((resolve) => stream.on('close', resolve));
    stream.resume();
    await server.close();
    await ended;
    expect(service.listeners.size).toBe(0);
  });
});

describe('addresses', () => {
  it.each([
    ['127.0.0.1:9464', { host: '127.0.0.1', port: 9464 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    [':0', { host: '127.0.0.1', port: 0 }],
    ['8080', { host: '127.0.0.1', port: 8080 }],
    ['vm7.example:1', { host: 'vm7.example', port: 1 }],
  ])('%s is understood', (text, expected) => expect(parseListen(text, '--listen')).toEqual(expected));
  it.each(['', 'localhost', '::1:80', '127.0.0.1:65536', '1.2.3.4:x', 'http://localhost:1'])('%j is not', (text) =>
    expect(() => parseListen(text, '--listen')).toThrow(/--listen/),
  );
  it('know what only this machine can reach', () => {
    expect(['127.0.0.1', '127.8.9.1', '::1', 'localhost', '0.0.0.0', '::', '128.0.0.1', '127.evil.example'].map(isLoopback)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

function openSocket(server: RunningServer): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(portOf(server), '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

async function textOf(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

async function raw(server: RunningServer, text: string): Promise<string> {
  const socket = await openSocket(server);
  socket.write(text);
  return textOf(socket);
}

function subscribe(server: RunningServer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = get(`${urlOf(server)}/api/v1/events`, { agent: false, headers: { authorization: `Bearer ${TOKEN}` } }, (response) => {
      response.on('error', () => {});
      resolve(response);
    });
    asked.on('error', reject);
  });
}

function readUntil(stream: IncomingMessage, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (pattern.test(text)) resolve(text);
    });
    stream.on('close', () => reject(new Error(`ended with ${text}`)));
  });
}
