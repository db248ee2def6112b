/** The commands that ask a daemon, the built command against a server on a real socket; behind it a StoreService by hand. */
import { chmodSync, existsSync, linkSync, symlinkSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLog, openServer, type RunningServer } from '#server';
import type { AdmissionDecision, Alert, Reservation, StatusReport, StoreView } from '#wire';
import { COMMAND, type Ended, plimsoll, start } from '../support/command.ts';
import { A_HOST } from '../support/host.ts';
import { FakeService, STORE_ID } from '../support/fake-service.ts';

const GiB = 2 ** 30;
let directory: string;
let socket: string;
let service: FakeService;
let server: RunningServer | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-ask-'));
  mkdirSync(join(directory, 'vm'));
  socket = join(directory, 's');
  await watchWith({});
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(directory, { recursive: true, force: true });
});

async function watchWith(changes: Partial<StoreView>): Promise<void> {
  await server?.close();
  service = new FakeService({ directories: [join(directory, 'vm')], ...changes });
  server = await openServer({
    service,
    version: '0.1.0',
    log: openLog('silent'),
    listen: undefined,
    socket,
    token: undefined,
    webDirectory: undefined,
  });
}
async function noDaemon(): Promise<void> {
  await server?.close();
  server = undefined;
}
const ask = (...words: string[]): Promise<Ended> => plimsoll(words, { env: { PLIMSOLL_SOCKET: socket }, cwd: directory });

/** A socket whose listener answers with the given response. */
async function insteadOfDaemon(answer: Parameters<typeof createServer>[1]): Promise<Server> {
  await noDaemon();
  const other = createServer(answer).listen(socket);
  await new Promise((resolve) => other.once('listening', resolve));
  return other;
}

describe('admit', () => {
  it('admits with 0 and refuses with 10, and shows the components of the sum with --explain', async () => {
    const yes = await ask('admit', '--size', '10G', '--store', 'vm');
    expect([yes.code, yes.stdout, yes.stderr]).toEqual([0, 'Admitted. It fits.\n', '']);
    const no = await ask('admit', '--bytes', '40G', '--store', STORE_ID, '--explain');
    expect([no.code, no.stderr]).toEqual([10, '']);
    expect(no.stdout).toMatch(/^NOT admitted\. It does not fit\.\n/);
    for (const [name, bytes] of [
      ['available', '64,424,509,440'],
      ['floor', '1,073,741,824'],
      ['request', '42,949,672,960'],
      ['remaining', '-11,811,160,064'],
    ]) {
      expect(no.stdout).toMatch(new RegExp(`${bytes ?? ''} +-?[\\d.]+ GiB  ${name ?? ''}\\n`));
    }
  });

  it('reports an unknown answer with 11, and why', async () => {
    await watchWith({ sum: { policy: 'promise', components: [], remaining: null, unknown: 'an image cannot be read' } });
    const { code, stdout } = await ask('admit', '--bytes', '1', '--store', 'vm', '--explain');
    expect([code, stdout]).toEqual([11, expect.stringMatching(/^Unknown\. .*an image cannot be read/s)]);
  });

  it('passes on format, options, policy and share', async () => {
    const { code, stdout } = await ask(
      ...'admit --size 1G -f qcow2 -o cluster_size=2M -o lazy_refcounts=on --policy entitled --share 0.5 --json --store vm'.split(' '),
    );
    expect([code, (JSON.parse(stdout) as AdmissionDecision).schema]).toEqual([0, 'plimsoll.admission/1']);
    expect(service.asked).toEqual([{ store: join(directory, 'vm'), policy: 'entitled', idleShare: 0.5, bytes: expect.any(Number) }]);
  });

  it('reserves with --reserve, once per key, until the release', async () => {
    const words = ['admit', '--bytes', '20G', '--store', 'vm', '--reserve', '--key', 'web 7', '--ttl', '15m', '--for', 'vm/web.qcow2'];
    const first = await ask(...words);
    expect([first.code, first.stdout]).toEqual([0, expect.stringContaining('Reserved: 20 GiB with the key web 7, until ')]);
    expect((await ask(...words)).code).toBe(0);
    expect([...service.held.values()]).toMatchObject([{ key: 'web 7', bytes: 20 * GiB, path: join(directory, 'vm', 'web.qcow2') }]);
    expect((await ask('admit', '--bytes', '20G', '--store', 'vm', '--reserve', '--key', 'other')).code).toBe(10);
    expect((await ask('admit', '--bytes', '20G', '--store', 'vm', '--reserve', '--key', 'other', '--overcommit')).code).toBe(0);
    expect((await ask('admit', '--bytes', '1G', '--store', 'vm', '--reserve', '--key', 'web 7')).code).toBe(19);
    const released = await ask('release', 'web 7', '--json');
    expect([released.code, JSON.parse(released.stdout) as Reservation]).toMatchObject([0, { key: 'web 7', state: 'released' }]);
    const again = await ask('release', 'web 7');
    expect([again.code, again.stderr]).toEqual([12, 'plimsoll: Cannot release the reservation: web 7\n']);
  });

  it('scans the store without a daemon, with a notice; reserves nothing, and knows no growth', async () => {
    await noDaemon();
    expect((await plimsoll(['create', '-q', '-f', 'raw', join(directory, 'vm', 'a.raw'), '1M'])).code).toBe(0);
    const yes = await ask('admit', '--size', '1M', '--store', 'vm', '--json');
    expect([yes.code, yes.stderr]).toEqual([0, expect.stringMatching(/no daemon is listening.*\n.*scan/)]);
    const decision = JSON.parse(yes.stdout) as AdmissionDecision;
    expect([decision.admitted, decision.reservation, decision.sum.components.reduce((sum, component) => sum + component.bytes, 0)]).toEqual(
      [true, null, decision.sum.remaining],
    );
    expect((await ask('admit', '--size', '700T', '--store', 'vm/new.qcow2')).code).toBe(10);
    expect((await ask('admit', '--size', '1M', '--store', 'vm', '--policy', 'growth')).code).toBe(2);
    expect((await ask('admit', '--size', '1M', '--store', 'nowhere/vm')).code).toBe(12);
    expect((await ask('admit', '--size', '1M', '--store', STORE_ID)).code).toBe(12);
    const hold = await ask('admit', '--size', '1M', '--store', 'vm', '--reserve', '--key', 'k');
    expect([hold.code, hold.stdout]).toEqual([12, '']);
  });

  it.each([
    ['--store vm', '--size'],
    ['--store vm --size 1G --bytes 1G', 'both --size and --bytes'],
    ['--store vm --size 1G --reserve', '--key'],
    ['--store vm --size 1G --key k', '--reserve'],
    ['--store vm --size 1G --overcommit', '--reserve'],
    ['--store vm --size 1G --share 2', '--share'],
    ['--store vm --size 1G --reserve --key k --ttl 15', '--ttl'],
    ['--store vm --size 1G --policy hope', 'hope'],
    ['--size 1G', '--store'],
    ['--store vm --size 1G -o colour=red', 'colour'],
  ])('%s is misused', async (words, expected) => {
    const { code, stdout, stderr } = await ask('admit', ...words.split(' '));
    expect([code, stdout, stderr]).toEqual([2, '', expect.stringContaining(expected)]);
  });
});

describe('status', () => {
  it('explains to an unauthorized user how to get access: 18', async () => {
    chmodSync(socket, 0o000);
    const words = [process.execPath, COMMAND, 'status', '--socket', socket];
    // Root always has access.
    const [command = '', ...rest] = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups', ...words] : words;
    expect(await start(command, rest, { cwd: '/' }).ended).toMatchObject({
      code: 18,
      stdout: '',
      stderr: expect.stringContaining('of the group'),
    });
  });

  it("prints the daemon's status, with names escaped", async () => {
    const { code, stdout, stderr } = await ask('status');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/\/srv \(xfs\), 3 images, 1 unreadable: ok\n/);
    expect(stdout).toMatch(/remaining +29 GiB +31,138,512,896 {2}under the policy promise/);
    expect(stdout).toMatch(/\n {2}floor +\d/);
    expect(stdout).not.toContain('\u001b');
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('prints all of it with --json', async () => {
    const { stdout } = await ask('status', '--json');
    expect(JSON.parse(stdout) as StatusReport).toEqual(await service.status());
  });

  it('reports a missing daemon: 12', async () => {
    await noDaemon();
    expect(await ask('status')).toEqual({ code: 12, stdout: '', stderr: expect.stringMatching(/^plimsoll: .*no daemon is listening/) });
  });

  it.each([
    ['invalid JSON', 'hello'],
    ['no object', '3'],
    ['an unknown error', '{"error":{}}'],
  ])('says that what answers is no plimsoll: %s', async (_, body) => {
    const other = await insteadOfDaemon((_request, response) => void response.writeHead(body.includes('error') ? 500 : 200).end(body));
    const { code, stderr } = await ask('status');
    other.close();
    expect([code, stderr]).toEqual([11, expect.stringContaining('expected a plimsoll')]);
  });
});

describe('a daemon that does not answer', () => {
  const others: Server[] = [];
  afterEach(() => {
    for (const other of others.splice(0)) {
      other.closeAllConnections();
      other.close();
    }
  });
  const answer = (status: number, body: unknown) => async (): Promise<void> => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    others.push(await insteadOfDaemon((_request, response) => void response.writeHead(status).end(text)));
  };
  const busy = (code: string): object => ({ error: { kind: 'busy', code, message: 'Cannot answer the request' } });
  const decision = {
    schema: 'plimsoll.admission/1',
    admitted: true,
    store: STORE_ID,
    bytes: 1,
    sum: { policy: 'promise', components: [], remaining: 1, unknown: null },
    message: 'It fits.',
    scannedAt: '2026-11-23T12:00:00.000Z',
    reservation: null,
  };
  const situations: Readonly<Record<string, () => Promise<void>>> = {
    'a socket whose daemon died': async () => {
      const dead = createServer().listen(`${socket}.dead`);
      await new Promise((resolve) => dead.once('listening', resolve));
      await noDaemon();
      linkSync(`${socket}.dead`, socket);
      await new Promise((resolve) => dead.close(resolve));
    },
    'a link to a socket whose daemon died': async () => {
      const dead = createServer().listen(`${socket}.dead`);
      await new Promise((resolve) => dead.once('listening', resolve));
      await noDaemon();
      linkSync(`${socket}.dead`, `${socket}.stale`);
      symlinkSync(`${socket}.stale`, socket);
      await new Promise((resolve) => dead.close(resolve));
    },
    'a connection that is reset': async () => {
      others.push(await insteadOfDaemon((request) => void request.socket.destroy()));
    },
    'an answer that breaks off': async () => {
      others.push(
        await insteadOfDaemon((request, response) => {
          response.writeHead(200, { 'content-length': 1000 });
          response.write('{"schema":', () => request.socket.destroy());
        }),
      );
    },
    'too many connections': answer(503, busy('CONNECTIONS_MANY')),
    'an answer that comes too late': answer(503, busy('ANSWER_TOO_SLOW')),
    'a bug of its own': answer(500, { error: { kind: 'bug', code: 'INTERNAL', message: 'an internal error' } }),
    'an empty object': answer(200, {}),
    'an empty refusal': answer(409, { decision: {} }),
    'a yes without a sum': answer(200, { ...decision, sum: { ...decision.sum, remaining: null } }),
    'a yes to something else': answer(201, decision),
    'a redirection': answer(302, {}),
  };
  it.each(Object.keys(situations))('%s: unknown, in every command', async (name) => {
    await situations[name]?.();
    const image = join(directory, 'vm', 'web.qcow2');
    const create = await ask('create', '-q', '-f', 'qcow2', 'vm/web.qcow2', '900G');
    expect([create.code, existsSync(image), create.stderr]).toEqual([11, false, expect.stringContaining('--overcommit')]);
    const codes = await Promise.all(
      [
        ['admit', '--bytes', '7G', '--store', 'vm'],
        ['admit', '--bytes', '7G', '--store', 'vm', '--reserve', '--key', 'k'],
        ['release', 'k'],
        ['status'],
        ['check'],
      ].map(async (words) => (await ask(...words)).code),
    );
    expect(codes).toEqual([11, 11, 11, 11, 3]);
    const overcommitted = await ask('create', '-q', '--overcommit', '-f', 'qcow2', 'vm/web.qcow2', '900G');
    expect([overcommitted.code, existsSync(image), overcommitted.stderr]).toEqual([0, true, expect.stringContaining('overcommitted')]);
  });

  it('a daemon that hangs: unknown after 10 s, and nothing is created', async () => {
    others.push(await insteadOfDaemon(() => {}));
    const { code, stderr } = await ask('create', '-q', '-f', 'raw', 'vm/a.raw', '1M');
    expect([code, existsSync(join(directory, 'vm', 'a.raw')), stderr]).toEqual([
      11,
      false,
      expect.stringContaining('no answer within 10 s'),
    ]);
  });

  it('idle connections to its TCP address: it answers on the socket, and an image that does not fit is not created', async () => {
    await server?.close();
    const log = openLog('silent');
    const listen = { host: '127.0.0.1', port: 0 };
    server = await openServer({ service, version: '0.1.0', log, listen, socket, token: undefined, webDirectory: undefined });
    const port = Number(new URL(server.url ?? '').port);
    const idle = Array.from({ length: 300 }, () => connect(port, '127.0.0.1').on('error', () => {}));
    await Promise.all(idle.map((one) => new Promise((resolve) => one.once('connect', resolve).once('close', resolve))));
    const { code } = await ask('create', '-q', '-f', 'raw', 'vm/a.raw', '900G');
    for (const one of idle) one.destroy();
    expect([code, existsSync(join(directory, 'vm', 'a.raw'))]).toEqual([10, false]);
  });
});

describe('check', () => {
  const alert: Alert = {
    store: STORE_ID,
    level: 'warning',
    by: ['bytes'],
    since: '2026-11-23T12:00:00.000Z',
    message: 'only 3 GiB|left\nhere',
  };
  it.each([
    [{}, 0, 'OK', '29 GiB remaining under the policy promise'],
    [{ level: 'warning', alerts: [alert] }, 1, 'WARNING', 'only 3 GiB/left\\nhere'],
    [{ level: 'critical' }, 2, 'CRITICAL', 'critical'],
    [{ presence: 'vanished' }, 2, 'CRITICAL', 'vanished'],
    [{ level: 'unknown' }, 3, 'UNKNOWN', 'unknown'],
  ] as const)('%j: exit code %i', async (changes, expected, word, text) => {
    await watchWith(changes);
    const { code, stdout, stderr } = await ask('check');
    expect([code, stderr]).toEqual([expected, '']);
    expect(stdout.split('\n')).toHaveLength(2);
    expect(stdout.startsWith(`PLIMSOLL ${word} - /srv `)).toBe(true);
    expect(stdout).toContain(text);
    const [, figures = ''] = stdout.split(' | ');
    for (const figure of figures.trim().split(/ (?=')/)) expect(figure).toMatch(/^'[^'=]+'=(U|-?\d+B)(;;;0;\d+)?$/);
  });

  it('is unknown, never ok, without a daemon, without stores and when misused', async () => {
    service.queryStores = async () => [];
    service.status = async () => ({ schema: 'plimsoll.status/1', version: '0.1.0', startedAt: '', host: A_HOST, stores: [], findings: [] });
    expect(await ask('check')).toMatchObject({ code: 3, stdout: 'PLIMSOLL UNKNOWN - no stores\n' });
    await noDaemon();
    expect(await ask('check')).toMatchObject({ code: 3, stdout: expect.stringMatching(/^PLIMSOLL UNKNOWN - .*no daemon is listening/) });
    expect((await ask('check', '--nothing')).code).toBe(3);
    expect((await ask('check', '--help')).code).toBe(0);
  });
});

describe('create', () => {
  it('reserves the space through the daemon while it creates the image, and releases it', async () => {
    const held: Reservation[] = [];
    service.listeners.add((event) => event.type === 'reservation' && held.push(event.reservation));
    const { code, stderr } = await ask('create', '-f', 'qcow2', 'vm/web.qcow2', '1G');
    expect([code, stderr, existsSync(join(directory, 'vm', 'web.qcow2'))]).toEqual([0, '', true]);
    expect(held).toMatchObject([{ path: join(directory, 'vm', 'web.qcow2'), store: STORE_ID }]);
    expect(held[0]?.bytes).toBeGreaterThan(GiB);
    expect(service.held.size).toBe(0);
  });

  it('does not create an image that does not fit: 10, and the sum', async () => {
    const { code, stdout, stderr } = await ask('create', '-f', 'qcow2', 'vm/web.qcow2', '40G');
    expect([code, stdout, existsSync(join(directory, 'vm', 'web.qcow2'))]).toEqual([10, '', false]);
    expect(stderr).toMatch(/^NOT admitted\. It does not fit\.\n.* request\n.* remaining\n.*--overcommit/s);
    const json = await ask('create', '--json', '-f', 'qcow2', 'vm/web.qcow2', '40G');
    expect([json.code, (JSON.parse(json.stdout) as AdmissionDecision).admitted]).toEqual([10, false]);
  });

  it('creates it with --overcommit, with a notice', async () => {
    const { code, stderr } = await ask('create', '--overcommit', '-f', 'qcow2', 'vm/web.qcow2', '40G');
    expect([code, stderr, existsSync(join(directory, 'vm', 'web.qcow2'))]).toEqual([
      0,
      'plimsoll: overcommitted: It does not fit.\n',
      true,
    ]);
  });

  it('creates nothing if the fit is unknown: 11', async () => {
    await watchWith({ sum: { policy: 'promise', components: [], remaining: null, unknown: 'an image cannot be read' } });
    const { code } = await ask('create', '-f', 'raw', 'vm/web.raw', '1M');
    expect([code, existsSync(join(directory, 'vm', 'web.raw'))]).toEqual([11, false]);
  });

  it('counts an overlay by the data in its base, and keeps no reservation when the creation fails', async () => {
    await ask('create', '-q', '-f', 'qcow2', 'vm/base.qcow2', '20G');
    const overlay = ['-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'vm/overlay.qcow2'];
    expect((await ask('create', ...overlay)).code).toBe(0);
    expect((service.asked.at(-1) as { bytes: number }).bytes).toBeGreaterThan(20 * GiB);
    expect((await ask('create', ...overlay)).code).toBe(19);
    expect(service.held.size).toBe(0);
  });

  it('needs no daemon, and creates images on a store that is not monitored', async () => {
    mkdirSync(join(directory, 'elsewhere'));
    expect(await ask('create', '-q', '-f', 'raw', 'elsewhere/a.raw', '7T')).toEqual({ code: 0, stdout: '', stderr: '' });
    await noDaemon();
    expect(await ask('create', '-q', '-f', 'raw', 'vm/a.raw', '7T')).toEqual({ code: 0, stdout: '', stderr: '' });
    writeFileSync(socket, 'no socket');
    expect(await ask('create', '-q', '-f', 'raw', 'vm/b.raw', '7T')).toMatchObject({ code: 0 });
  });
});
