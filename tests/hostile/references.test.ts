/** Names found inside images: what is followed, what is refused, and that nothing is opened which the policy does not allow. */
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { examineImage } from '#sandbox';
import type { ImageReport } from '#wire';
import { qemuImg } from '../support/qemu.ts';
import { aQcow2 } from '../support/qcow2-builder.ts';
import { aQed } from '../support/qed-builder.ts';

let directory: string;
let images: string;
let outside: string;

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'plimsoll-references-')));
  images = join(directory, 'images');
  outside = join(directory, 'outside');
  mkdirSync(images);
  mkdirSync(outside);
  aQcow2().write(join(outside, 'secret.qcow2'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const overlay = (name: string, backing: string | Uint8Array, format: string | undefined = 'qcow2'): string =>
  aQcow2().withBackingFile(backing, format).write(join(images, name));
const codes = (report: ImageReport): string[] => report.findings.map((one) => one.code);
const statuses = (report: ImageReport): string[] => report.chain.map((link) => link.status);

describe('a backing name that is never looked up', () => {
  it.each([
    ['json:', 'json:{"driver":"file","filename":"base.qcow2"}'],
    ['nbd', 'nbd://127.0.0.1:10809/x'],
    ['nbd over a socket', 'nbd:unix:/run/x.sock'],
    ['file:', 'file:base.qcow2'],
    ['http', 'http://localhost/base.qcow2'],
    ['an unknown scheme', 'x:y'],
    ['fat: of a directory', 'fat:rw:/etc'],
    ['host_device', 'host_device:/dev/sda'],
  ])('%s', async (_what, name) => {
    aQcow2().write(join(images, name.replaceAll('/', '_')));
    const report = await examineImage(overlay('top.qcow2', name));
    expect(statuses(report)).toEqual(['refused']);
    expect(report.chain[0]).toMatchObject({ name, path: null, reason: expect.stringContaining('never opened') });
    expect(codes(report)).toContain('REFERENCE_NOT_FOLLOWED');
    expect(report.error).toBeUndefined();
    expect(report.commitment).not.toBeNull();
  });
});

describe('a backing file outside of the tree', () => {
  it.each([
    ['absolute', () => '/etc/passwd'],
    ['with dots', () => '../outside/secret.qcow2'],
    ['with many dots', () => '../'.repeat(40) + 'etc/passwd'],
    ['through a directory that is there', () => '../images/../outside/secret.qcow2'],
    ['absolute, beside', () => join(outside, 'secret.qcow2')],
  ])('%s is refused by the place it leads to', async (_what, name) => {
    const report = await examineImage(overlay('top.qcow2', name(), 'raw'));
    expect(report.chain).toMatchObject([{ status: 'refused', path: null, length: null, capacity: null }]);
    expect(codes(report)).toContain('REFERENCE_NOT_FOLLOWED');
  });

  it.each([
    ['a symbolic link to a file', (): void => symlinkSync(join(outside, 'secret.qcow2'), join(images, 'base.qcow2')), 'base.qcow2'],
    ['a symbolic link to a directory', (): void => symlinkSync(outside, join(images, 'sub')), 'sub/secret.qcow2'],
  ])('through %s is refused', async (_what, prepare, name) => {
    prepare();
    expect(statuses(await examineImage(overlay('top.qcow2', name)))).toEqual(['refused']);
  });

  it('is not taken for inside because its directory has the same prefix', async () => {
    mkdirSync(`${images}-of-others`);
    aQcow2().write(join(`${images}-of-others`, 'base.qcow2'));
    expect(statuses(await examineImage(overlay('top.qcow2', '../images-of-others/base.qcow2')))).toEqual(['refused']);
  });

  it('is not taken for inside because both directories show the same replacement character', async () => {
    const [mine, theirs] = [0xff, 0xfe].map((byte) => Buffer.concat([Buffer.from(`${directory}/`), Buffer.of(byte)])) as [Buffer, Buffer];
    mkdirSync(mine);
    mkdirSync(theirs);
    const top = Buffer.concat([mine, Buffer.from('/top.qcow2')]);
    writeFileSync(Buffer.concat([theirs, Buffer.from('/base.qcow2')]), aQcow2().bytes());
    writeFileSync(
      top,
      aQcow2()
        .withBackingFile(Buffer.concat([Buffer.from('../'), Buffer.of(0xfe), Buffer.from('/base.qcow2')]), 'qcow2')
        .bytes(),
    );
    expect(statuses(await examineImage(top))).toEqual(['refused']);
  });

  it.each(['itself', 'through a link'])('is followed when --allow-dir names its directory %s', async (how) => {
    const named = how === 'itself' ? outside : join(directory, 'link');
    if (how !== 'itself') symlinkSync(outside, named);
    const report = await examineImage(overlay('top.qcow2', '../outside/secret.qcow2'), { allowDirectories: [named] });
    expect(report.chain).toMatchObject([{ status: 'opened', path: join(outside, 'secret.qcow2'), format: 'qcow2', capacity: 2 ** 20 }]);
  });
});

describe('a backing file that is not a regular file', () => {
  it.each([
    ['a fifo', (path: string): void => void execFileSync('mkfifo', [path])],
    ['a directory', (path: string): void => mkdirSync(path)],
    ['a link to a device', (path: string): void => symlinkSync('/dev/zero', path)],
    ['a link to itself', (path: string): void => symlinkSync('base', path)],
  ])('%s is not opened', async (_what, make) => {
    make(join(images, 'base'));
    const report = await examineImage(overlay('top.qcow2', 'base', 'raw'));
    expect(['refused', 'error']).toContain(report.chain[0]?.status);
    expect(report.chain[0]).toMatchObject({ path: null, length: null });
  });
});

describe('a backing name of strange bytes', () => {
  it.each([
    ['NUL', 'base\0.qcow2', 'refused'],
    ['1023 characters', 'x'.repeat(1023), 'error'],
    ['a newline', 'base\n.qcow2', 'opened'],
    ['an escape sequence', '\u001b[2Jbase', 'opened'],
    ['a byte order mark', '\ufeffbase', 'opened'],
    ['a right-to-left override', 'base\u202egpj.qcow2', 'opened'],
    ['no UTF-8', Buffer.from([0x62, 0xff, 0xfe]), 'opened'],
  ])('%s: %j is %s', async (_what, name, status) => {
    if (status === 'opened') writeFileSync(Buffer.concat([Buffer.from(`${images}/`), Buffer.from(name)]), aQcow2().bytes());
    aQcow2().write(join(images, 'base')); // the file that the name without the strange bytes would match
    const report = await examineImage(overlay('top.qcow2', name));
    expect(statuses(report)).toEqual([status]);
    if (status === 'opened') expect(report.chain[0]?.path).not.toBe(join(images, 'base'));
    for (const finding of report.findings) expect(finding.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e\ufeff]/);
  });
});

describe('a chain', () => {
  const loops: [string, () => void][] = [
    ['at itself', () => void overlay('top.qcow2', 'top.qcow2')],
    ['at itself by another path', () => void overlay('top.qcow2', `../images/./top.qcow2`)],
    ['of two', () => void [overlay('top.qcow2', 'b.qcow2'), overlay('b.qcow2', 'top.qcow2')]],
    ['of two below the first', () => void [overlay('top.qcow2', 'b.qcow2'), overlay('b.qcow2', 'c.qcow2'), overlay('c.qcow2', 'b.qcow2')]],
    ['through a symbolic link', () => void [overlay('top.qcow2', 'link.qcow2'), symlinkSync('top.qcow2', join(images, 'link.qcow2'))]],
    ['through a hard link', () => linkSync(overlay('top.qcow2', 'hard.qcow2'), join(images, 'hard.qcow2'))],
    ['through its data file', () => void aQcow2().withDataFile('top.qcow2').write(join(images, 'top.qcow2'))],
  ];
  it.each(loops)('that loops %s is refused by name', async (_what, make) => {
    make();
    const report = await examineImage(join(images, 'top.qcow2'));
    expect(report.error).toMatchObject({ kind: 'refused', code: 'CHAIN_LOOP' });
    expect(report.chain.at(-1)).toMatchObject({ status: 'refused' });
  });

  it.each([
    [16, undefined],
    [17, 'CHAIN_TOO_DEEP'],
    [40, 'CHAIN_TOO_DEEP'],
  ])('of %i backing files: %s', async (depth, code) => {
    for (let index = 0; index < depth; index += 1) overlay(`${index}.qcow2`, `${index + 1}.qcow2`);
    aQcow2().write(join(images, `${depth}.qcow2`));
    const report = await examineImage(join(images, '0.qcow2'));
    expect(report.error?.code).toBe(code);
    expect(report.chain).toHaveLength(16);
  });

  it('continues from the location of each name, as in QEMU: beside the name, not beside the target of a link', async () => {
    mkdirSync(join(images, 'elsewhere'));
    aQcow2()
      .withBackingFile('base.qcow2', 'qcow2')
      .write(join(images, 'elsewhere', 'top.qcow2'));
    symlinkSync('elsewhere/top.qcow2', join(images, 'top.qcow2'));
    aQcow2({ capacity: 3 * 2 ** 20 }).write(join(images, 'base.qcow2'));
    const judged = JSON.parse(await qemuImg(directory, 'info', '--backing-chain', '--output=json', join(images, 'top.qcow2'))) as {
      filename: string;
    }[];
    expect(judged.map((one) => one.filename)).toEqual([join(images, 'top.qcow2'), join(images, 'base.qcow2')]);
    const report = await examineImage(join(images, 'top.qcow2'), { allowDirectories: [images] });
    expect(report.chain).toMatchObject([{ status: 'opened', path: join(images, 'base.qcow2'), capacity: 3 * 2 ** 20 }]);
    expect(statuses(await examineImage(join(images, 'elsewhere', 'top.qcow2')))).toEqual(['missing']);
  });

  it('with a damaged or foreign backing file still has the figures of its top', async () => {
    writeFileSync(join(images, 'broken'), aQcow2().withField('clusterBits', 40).bytes());
    const broken = await examineImage(overlay('top.qcow2', 'broken'));
    expect(broken).toMatchObject({ chain: [{ status: 'error', reason: expect.stringContaining('cluster_bits') }] });
    expect(broken.commitment).not.toBeNull();
    const raw = await examineImage(overlay('other.qcow2', 'broken', 'raw'));
    expect(raw.chain).toMatchObject([{ status: 'opened', format: 'raw' }]);
    const lying = await examineImage(overlay('lying.qcow2', 'other.qcow2', '\u001b[31mraw'));
    expect(lying.chain).toMatchObject([{ status: 'opened' }]);
    for (const finding of lying.findings) expect(finding.message).not.toContain('\u001b');
  });
});

describe('an external data file', () => {
  it.each(['json:{}', '/etc/passwd', '../outside/secret.qcow2', ''])('%j is refused', async (name) => {
    const report = await examineImage(aQcow2().withDataFile(name).write(join(images, 'top.qcow2')));
    expect(report.chain).toMatchObject([{ role: 'data', status: 'refused', path: null, length: null }]);
    expect(report.error).toBeUndefined();
  });

  it('is followed beside the image', async () => {
    writeFileSync(join(images, 'data.raw'), Buffer.alloc(4096));
    const report = await examineImage(aQcow2().withDataFile('data.raw').write(join(images, 'top.qcow2')));
    expect(report.chain).toMatchObject([{ role: 'data', status: 'opened', path: join(images, 'data.raw'), length: 4096, reach: 2 ** 20 }]);
  });
});

describe('the backing file of a QED image', () => {
  const top = (name: string): string => {
    const path = join(images, 'top.qed');
    writeFileSync(path, aQed().withBacking(name).bytes());
    return path;
  };

  it.each(['json:{}', '/etc/passwd', '../outside/secret.qcow2', 'nbd:localhost:1'])('%j is refused', async (name) => {
    const report = await examineImage(top(name));
    expect(report).toMatchObject({ format: 'qed', chain: [{ role: 'backing', status: 'refused', path: null, length: null }] });
    expect(report.error).toBeUndefined();
  });

  it('is followed beside the image, and behind another QED image', async () => {
    aQcow2().write(join(images, 'base.qcow2'));
    writeFileSync(join(images, 'middle.qed'), aQed().withBacking('base.qcow2').bytes());
    const report = await examineImage(top('middle.qed'));
    expect(report.chain.map(({ format, depth, status }) => [format, depth, status])).toEqual([
      ['qed', 1, 'opened'],
      ['qcow2', 2, 'opened'],
    ]);
    expect(codes(await examineImage(top('missing')))).toContain('REFERENCE_MISSING');
    expect((await examineImage(top('top.qed'))).error?.code).toBe('CHAIN_LOOP');
  });
});
