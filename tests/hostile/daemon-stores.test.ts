/** Stores that go away and come back, and images that turn into something else, under a daemon that holds space on them. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImagePage } from '#wire';
import { canMount, withFilesystem } from '../support/loop-mount.ts';
import { Cleanup, type DaemonProcess } from './daemon-process.ts';

const MiB = 1024 * 1024;
const cleanup = new Cleanup();
let directory: string;
beforeEach(() => {
  directory = cleanup.path(mkdtempSync(join(tmpdir(), 'plimsoll-stores-')));
});
afterEach(() => cleanup.all());

function image(path: string): void {
  writeFileSync(path, '');
  truncateSync(path, MiB);
}

/** However often something is mounted there, and whether it is. */
function unmountAll(path: string): void {
  while (readFileSync('/proc/self/mounts', 'utf8').includes(` ${path} `)) execFileSync('umount', ['--lazy', path]);
}

async function presences(daemon: DaemonProcess): Promise<string[]> {
  return (await daemon.status()).stores.map(({ presence, mount }) => `${mount} ${presence}`).sort();
}

const root = canMount('stores that are unmounted under the daemon');

describe.runIf(root)('a store that is unmounted', () => {
  it('is vanished and critical, keeps its reservations, refuses new ones, and recovers when it is mounted again', async () => {
    const disk = join(directory, 'disk');
    writeFileSync(disk, '');
    truncateSync(disk, 64 * MiB);
    execFileSync('mkfs.ext4', ['-q', '-F', disk]);
    const mount = join(directory, 'mnt');
    mkdirSync(mount);
    const mountIt = (): unknown => execFileSync('mount', ['-o', 'loop', disk, mount]);
    const unmountIt = (): unknown => execFileSync('umount', ['--lazy', mount]);
    mountIt();
    try {
      mkdirSync(join(mount, 'vm'));
      image(join(mount, 'vm', 'a.raw'));
      const daemon = await cleanup.ready({ directory, stores: [join(mount, 'vm')] });
      const { id } = await daemon.onlyStore();
      expect((await daemon.reserve(join(mount, 'vm'), 'one', MiB)).status).toBe(201);

      unmountIt();
      await daemon.rescanned();
      expect(await presences(daemon)).toContain(`${mount} vanished`);
      const gone = (await daemon.status()).stores.find((store) => store.id === id);
      expect([gone?.reserved, gone?.fits]).toEqual([MiB, null]);
      expect(await daemon.heldKeys()).toEqual(['one']);
      const refused = await daemon.reserve(id, 'two', MiB);
      expect([refused.status, refused.json]).toEqual([
        409,
        expect.objectContaining({ error: expect.objectContaining({ code: 'FIT_UNKNOWN' }) }),
      ]);
      const check = await daemon.command('check');
      expect([check.code, check.stdout]).toEqual([2, expect.stringContaining('vanished')]);
      expect((await daemon.command('status')).stdout).toMatch(/vanished/);
      expect((await daemon.ask('/metrics')).text).toMatch(/^plimsoll_store_present\{.*\} 0$/m);

      mountIt();
      await daemon.rescanned();
      const back = (await daemon.status()).stores.find((store) => store.id === id);
      expect([back?.presence, back?.reserved, back?.imageCount]).toEqual(['present', MiB, 1]);
      expect(back?.findings.map(({ code }) => code)).toContain('STORE_CAME_BACK');
      expect((await daemon.reserve(join(mount, 'vm'), 'two', MiB)).status).toBe(201);
      // A daemon that starts while it is absent still holds its reservations.
      await daemon.kill();
      unmountIt();
      const later = await cleanup.ready({ directory, stores: [mount] });
      expect(await later.heldKeys()).toEqual(['one', 'two']);
      mountIt();
      await later.rescanned();
      expect((await later.status()).stores.find((store) => store.id === id)?.reserved).toBe(2 * MiB);
    } finally {
      unmountAll(mount);
    }
  });

  it('and one mounted over it is another store; reservations stay on the first', async () => {
    const vm = join(directory, 'vm');
    mkdirSync(vm);
    image(join(vm, 'a.raw'));
    const daemon = await cleanup.ready({ directory, stores: [vm] });
    const { id } = await daemon.onlyStore();
    expect((await daemon.reserve(vm, 'one', MiB, { overcommit: true })).status).toBe(201);
    await using other = await withFilesystem('tmpfs', 8 * MiB);
    execFileSync('mount', ['--bind', other.path, vm]);
    try {
      await daemon.rescanned();
      const stores = new Map((await daemon.status()).stores.map((store) => [store.id, store]));
      expect([stores.size, stores.get(id)?.presence, stores.get(id)?.reserved]).toEqual([2, 'vanished', MiB]);
      const over = [...stores.values()].find((store) => store.id !== id);
      expect([over?.presence, over?.reserved, over?.size]).toEqual(['present', 0, 8 * MiB]);
      expect((await daemon.reserve(vm, 'two', MiB)).json).toMatchObject({ admitted: true, store: over?.id });
    } finally {
      unmountAll(vm);
    }
    await daemon.rescanned();
    expect((await daemon.status()).stores.find((store) => store.id === id)).toMatchObject({ presence: 'present', reserved: MiB });
    expect(await daemon.heldKeys()).toEqual(['one', 'two']);
  });
});

describe('a directory', () => {
  it('that is removed and created again loses no reservation', async () => {
    const vm = join(directory, 'vm');
    mkdirSync(vm);
    image(join(vm, 'a.raw'));
    const daemon = await cleanup.ready({ directory, stores: [vm] });
    expect((await daemon.reserve(vm, 'one', MiB, { overcommit: true, path: join(vm, 'one.raw') })).status).toBe(201);
    rmSync(vm, { recursive: true });
    await daemon.rescanned();
    const [gone] = (await daemon.status()).stores;
    expect([gone?.presence, gone?.reserved]).toEqual(['vanished', MiB]);
    expect((await daemon.status()).findings.map(({ message }) => message).join()).toContain(vm);
    expect((await daemon.command('check')).code).toBe(2);
    mkdirSync(vm);
    image(join(vm, 'one.raw'));
    await daemon.rescanned();
    await expect.poll(async () => (await daemon.onlyStore()).presence).toBe('present');
    await expect.poll(() => daemon.heldKeys()).toEqual([]);
    expect((await daemon.ask('/api/v1/reservations?ended=true')).json).toMatchObject([{ key: 'one', state: 'fulfilled' }]);
  });

  it('no space is reserved for an existing image: it would be fulfilled at once, by an image that has not grown yet', async () => {
    const vm = join(directory, 'vm');
    mkdirSync(vm);
    image(join(vm, 'a.raw'));
    const daemon = await cleanup.ready({ directory, stores: [vm] });
    const refused = await daemon.reserve(vm, 'one', 2 * MiB, { overcommit: true, path: join(vm, 'a.raw') });
    expect([refused.status, refused.json]).toMatchObject([409, { error: { code: 'IMAGE_THERE' } }]);
    expect(await daemon.heldKeys()).toEqual([]);
  });

  it('that is a link is followed, and a later change of its target is reported', async () => {
    for (const name of ['one', 'two']) mkdirSync(join(directory, name));
    image(join(directory, 'one', 'a.raw'));
    const link = join(directory, 'link');
    symlinkSync('one', link);
    const daemon = await cleanup.ready({ directory, stores: [link] });
    expect((await daemon.onlyStore()).imageCount).toBe(1);
    symlinkSync('two', `${link}.new`);
    renameSync(`${link}.new`, link);
    await daemon.rescanned();
    expect((await daemon.onlyStore()).imageCount).toBe(0);
    expect((await daemon.status()).findings.map(({ message }) => message).join()).toContain(link);
  });
});

describe('files of nearly 2^53 bytes', () => {
  it('limit the figures of the store to that, with a finding, and leave every integer exact', async () => {
    const vm = cleanup.path(mkdtempSync(join('/dev/shm', 'plimsoll-absurd-')));
    for (const name of ['a.raw', 'b.raw', 'c.raw']) {
      writeFileSync(join(vm, name), '');
      truncateSync(join(vm, name), 2 ** 53 - 2 ** 16);
    }
    const daemon = await cleanup.ready({ directory, stores: [vm] });
    const { commitment, residual, headroom, fits, sum, findings } = await daemon.onlyStore();
    const most = Number.MAX_SAFE_INTEGER;
    expect([commitment, residual, fits, findings.map(({ code }) => code)]).toEqual([
      most,
      most,
      false,
      expect.arrayContaining(['SUMS_SATURATED']),
    ]);
    for (const figure of [headroom, sum.remaining, ...sum.components.map(({ bytes }) => bytes)])
      expect(Number.isSafeInteger(figure)).toBe(true);
    expect((await daemon.command('status', '--json')).code).toBe(0);
    expect((await daemon.command('check')).code).toBe(1);
  });
});

describe('a reservation that overcommits', () => {
  it('is refused if it exceeds the store, alone or with others, and blocks no other', async () => {
    const vm = join(directory, 'vm');
    mkdirSync(vm);
    const daemon = await cleanup.ready({ directory, stores: [vm] });
    const { size } = await daemon.onlyStore();
    const tooLarge = { json: { error: { code: 'RESERVATION_TOO_LARGE', kind: 'over-budget' } }, status: 413 };
    expect(await daemon.reserve(vm, 'huge', Number.MAX_SAFE_INTEGER, { overcommit: true })).toMatchObject(tooLarge);
    expect((await daemon.reserve(vm, 'half', Math.ceil(size / 2), { overcommit: true })).status).toBe(201);
    expect(await daemon.reserve(vm, 'other half', Math.ceil(size / 2) + 1, { overcommit: true })).toMatchObject(tooLarge);
    expect((await daemon.reserve(vm, 'small', MiB, { overcommit: true })).status).toBe(201);
  });
});

describe('an image that is replaced', () => {
  it.each([
    ['a fifo', (path: string) => execFileSync('mkfifo', [path])],
    ['a directory', (path: string) => mkdirSync(path)],
    ['a link to a device', (path: string) => symlinkSync('/dev/zero', path)],
    [
      'a socket',
      (path: string) => execFileSync('python3', ['-c', `import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])`, path]),
    ],
    ...(root ? [['a device', (path: string): unknown => execFileSync('mknod', [path, 'c', '1', '5'])] as const] : []),
  ] as const)('by %s is gone, and neither opened nor waited for', async (_name, make) => {
    const vm = join(directory, 'vm');
    mkdirSync(vm);
    for (const name of ['a.raw', 'b.raw']) image(join(vm, name));
    const daemon = await cleanup.ready({ directory, stores: [vm] });
    expect((await daemon.onlyStore()).imageCount).toBe(2);
    rmSync(join(vm, 'a.raw'));
    make(join(vm, 'a.raw'));
    expect(existsSync(join(vm, 'a.raw'))).toBe(true);
    await daemon.rescanned();
    const page = (await daemon.ask('/api/v1/images')).json as ImagePage;
    expect(page.images.map(({ path }) => path)).toEqual([join(vm, 'b.raw')]);
    expect((await daemon.reserve(vm, 'k', MiB, { overcommit: true })).status).toBe(201);
  });
});
