/** `plimsoll vet`, as it is built. */
import { copyFileSync, createReadStream, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { VetReport } from '#wire';
import { COMMAND, plimsoll, run } from '../support/command.ts';
import { aVhd } from '../support/vhd-builder.ts';
import { aVhdx } from '../support/vhdx-builder.ts';

let directory: string;
const at = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-vet-'));
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', at('good.qcow2'), '10G']);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', at('good.qcow2'), '-F', 'qcow2', at('overlay.qcow2')]);
  await run('qemu-img', ['create', '-q', '-f', 'raw', at('disk.raw'), '1M']);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('vet', () => {
  it('reports a valid image as safe, with the arguments to use: exit code 0', async () => {
    const { code, stdout, stderr } = await plimsoll(['vet', '-f', 'qcow2', at('good.qcow2')]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('SAFE TO ATTACH: to a guest');
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('a verdict never makes that safe');
    expect(stdout).toContain("<driver name='qemu' type='qcow2'/>");
    for (const line of stdout.split('\n').filter((one) => !one.includes(directory))) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('refuses with reason, offset and code: exit code 22', async () => {
    const { code, stdout } = await plimsoll(['vet', at('overlay.qcow2')]);
    expect(code).toBe(22);
    expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(/REFUSED.*read from another file.*At byte 8\. \[HAS_BACKING_FILE\]/);
  });

  it('escapes the name of a parent once', async () => {
    const name = new Uint8Array(512);
    Buffer.from('..\\é\x1b[2J', 'utf16le').swap16().copy(name);
    writeFileSync(at('child.vhd'), aVhd({ diskType: 'differencing' }).withHeader('parentUnicodeName', name).bytes());
    const { stdout } = await plimsoll(['vet', '-f', 'vhd', at('child.vhd')]);
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain('differencing image with the parent ..\\\\é\\x1b[2J.');
  });

  it('refuses a false declaration, and reports ambiguity between two readers: exit codes 22 and 23', async () => {
    expect((await plimsoll(['vet', '-f', 'raw', at('good.qcow2')])).code).toBe(22);
    // By its beginning raw, by its end VHD.
    await run('qemu-img', ['create', '-q', '-f', 'vpc', '-o', 'subformat=fixed', at('two.img'), '1M']);
    expect((await plimsoll(['vet', at('two.img')])).code).toBe(23);
    expect((await plimsoll(['vet', '-f', 'vpc', at('two.img')])).code).toBe(24);
  });

  it('exits with the worst verdict of several, in one document', async () => {
    const { code, stdout } = await plimsoll(['vet', '--json', '--sha256', at('good.qcow2'), at('overlay.qcow2'), at('disk.raw')]);
    const { schema, images } = JSON.parse(stdout) as { schema: string; images: VetReport[] };
    expect([code, schema, images.map(({ verdict }) => verdict)]).toEqual([22, 'plimsoll.vet/1', ['safe', 'refused', 'unrecognised']]);
    const [sum] = (await run('sha256sum', [at('good.qcow2')])).stdout.split(' ');
    expect(images[0]?.identity.sha256).toBe(sum);
  });

  it.each([
    ['vmdk', []],
    ['vmdk', ['-o', 'subformat=streamOptimized']],
    ['vpc', []],
    ['vhdx', []],
    ['vdi', []],
    ['qcow2', ['-o', 'extended_l2=on']],
  ] as const)('accepts a %s that qemu-img made %j for the use that its format has', async (format, options) => {
    await run('qemu-img', ['create', '-q', '-f', format, ...options, at(`made.${format}`), '8M']);
    const { code, stdout } = await plimsoll(['vet', '-f', format, at(`made.${format}`)]);
    expect([code, stdout.includes(`type='${format}'`)]).toEqual(format === 'qcow2' ? [0, true] : [24, false]);
  });

  it.each(['monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat'])(
    'refuses %s, and shows which files it asks for',
    async (subformat) => {
      await run('qemu-img', ['create', '-q', '-f', 'vmdk', '-o', `subformat=${subformat}`, at('many.vmdk'), '8M']);
      const { code, stdout } = await plimsoll(['vet', '-f', 'vmdk', at('many.vmdk')]);
      expect(code).toBe(22);
      expect(stdout).toMatch(/names another file \(extent\): many-\w+\.vmdk/);
    },
  );

  it.each([
    'nbd:localhost:1',
    'json:{"driver":"nbd"}',
    '-x',
    '--help',
    'fat:rw:.',
    'a,b=c.qcow2',
    'it\'s "quoted" $(touch pwned) `touch pwned`;touch pwned',
    'line\nbreak\u001b[2J\u202e',
    ' leading and trailing ',
    '~root',
    '\\',
  ])('prints commands that are safe to paste for a file named %j', async (name) => {
    const folder = mkdtempSync(at('names-'));
    const bash = (line: string): ReturnType<typeof run> => run('bash', ['-c', line], { cwd: folder });
    copyFileSync(at('good.qcow2'), join(folder, name));
    const { stdout } = await plimsoll(['vet', '--', name], { cwd: folder });
    const line = /^ +(qemu-img info (?:\\\n|.)*)$/m.exec(stdout)?.[1] ?? '';
    const opened = await bash(line);
    expect([opened.code, opened.stdout.includes('file format: qcow2')], `${line}\n${opened.stderr}`).toEqual([0, true]);
    // An image that may only be converted.
    await run('qemu-img', ['create', '-q', '-f', 'vdi', join(folder, 'plain'), '1M']);
    renameSync(join(folder, 'plain'), join(folder, name));
    const asJson = await plimsoll(['vet', '--json', '--', name], { cwd: folder });
    const { next } = (JSON.parse(asJson.stdout) as { images: VetReport[] }).images[0] as VetReport;
    const converted = await bash(next?.convert?.shell ?? 'false');
    expect(converted.code, converted.stderr).toBe(0);
    expect(readdirSync(folder).toSorted()).toEqual([name, `${name}.converted.qcow2`].toSorted());
    expect((await run('qemu-img', ['check', '-f', 'qcow2', join(folder, `${name}.converted.qcow2`)])).code).toBe(0);
    // It never overwrites a file.
    expect((await bash(next?.convert?.shell ?? 'true')).code).not.toBe(0);
  });

  it('judges standard input as it arrives', async () => {
    const running = spawn(process.execPath, [COMMAND, 'vet', '--json', '-']);
    createReadStream(at('overlay.qcow2')).pipe(running.stdin);
    let text = '';
    for await (const piece of running.stdout) text += String(piece);
    const { images } = JSON.parse(text) as { images: VetReport[] };
    expect(images[0]).toMatchObject({ path: null, verdict: 'refused', format: 'qcow2' });
  });

  it('applies a policy, and refuses an invalid one: exit code 2', async () => {
    writeFileSync(at('chains.json'), '{"chains": true}');
    expect((await plimsoll(['vet', '--policy', at('chains.json'), at('overlay.qcow2')])).code).toBe(0);
    writeFileSync(at('misspelt.json'), '{"chain": true}');
    const { code, stderr } = await plimsoll(['vet', '--policy', at('misspelt.json'), at('good.qcow2')]);
    expect(code).toBe(2);
    expect(stderr).toContain('chain is an unknown key, expected one of formats, ');
  });

  it.each(['good.qcow2', 'overlay.qcow2', 'disk.raw'])('--compare: qemu-img agrees with plimsoll on %s', async (name) => {
    const { stdout } = await plimsoll(['vet', '--json', '--compare', at(name)]);
    const { images } = JSON.parse(stdout) as { images: VetReport[] };
    expect(images[0]?.reasons.map(({ code }) => code)).not.toContain('QEMU_DISAGREES');
  });

  it('--compare reports a critical difference where qemu-img, without a format, would read a disk as something else', async () => {
    // A descriptor with a misplaced space is valid for QEMU and not for plimsoll's strict reader.
    const text = '# a comment\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/passwd" 0\n';
    const disk = Buffer.alloc(2 ** 20);
    disk.write(text);
    writeFileSync(at('guessed.img'), disk);
    const { code, stdout } = await plimsoll(['vet', '--json', '--compare', '-f', 'raw', at('guessed.img')]);
    const { images } = JSON.parse(stdout) as { images: VetReport[] };
    expect([code, images[0]?.verdict]).toEqual([22, 'refused']);
    // A disk of two sizes: a fixed VHD whose footer and geometry differ.
    await run('qemu-img', ['create', '-q', '-f', 'vpc', '-o', 'subformat=fixed,force_size=on', at('fixed.vhd'), '3M']);
    const fixed = await plimsoll(['vet', '--json', '--compare', '-f', 'vpc', at('fixed.vhd')]);
    expect((JSON.parse(fixed.stdout) as { images: VetReport[] }).images[0]?.reasons.map((one) => one.code)).not.toContain('QEMU_DISAGREES');
  });

  it('--compare skips a VHDX that was not closed, which qemu-img reads only after the repair that the note describes', async () => {
    const image = aVhdx();
    image.withBlock(0, image.blocks);
    image.addLogEntry(0, { sequenceNumber: 5, tail: 0, updates: [{ at: image.blocks, data: new Uint8Array(4096).fill(7) }] });
    const path = image.write(at("-o 'open'.vhdx"));
    expect((await run('qemu-img', ['info', '-f', 'vhdx', path])).code).not.toBe(0);
    const { images } = JSON.parse((await plimsoll(['vet', '--json', '--compare', path])).stdout) as { images: VetReport[] };
    expect([images[0]?.verdict, images[0]?.reasons.map(({ code }) => code)]).toEqual(['convert', ['LOG_PENDING', 'CONVERT_ONLY']]);
    // No command reads it without a repair.
    expect(images[0]?.next).toBe(null);
    const [, command = ''] = /: (qemu-img check .*)$/.exec(images[0]?.reasons[0]?.message ?? '') ?? [];
    expect((await run('sh', ['-c', command])).code).toBe(0);
    expect((await run('qemu-img', ['info', '-f', 'vhdx', path])).code).toBe(0);
  });

  it.each([
    ['monolithicFlat', 'split.vmdk', 'NAMES_OTHER_FILE', 'split-flat.vmdk'],
    ['twoGbMaxExtentSparse', 'split.vmdk', 'NAMES_OTHER_FILE', 'split-s001.vmdk'],
    ['twoGbMaxExtentSparse', 'split-s001.vmdk', 'VMDK_NO_DESCRIPTOR', 'one extent of a split image'],
  ])('says of a VMDK as qemu-img makes it what lacks in it: %s, %s', async (subformat, name, code, words) => {
    await run('qemu-img', ['create', '-q', '-f', 'vmdk', '-o', `subformat=${subformat}`, at('split.vmdk'), '1M']);
    const { images } = JSON.parse((await plimsoll(['vet', '--json', at(name)])).stdout) as { images: VetReport[] };
    expect(images[0]?.verdict).toBe('refused');
    expect(images[0]?.reasons.find((one) => one.code === code)?.message).toContain(words);
    for (const file of readdirSync(directory)) if (file.startsWith('split')) rmSync(at(file));
  });

  it.each([
    ['vpc', '700M', [4096, 'EFI PART']],
    ['vdi', '700M', [4096, 'EFI PART']],
    ['vmdk', '64M', [65_600, '_BHRfS_M']],
  ] as const)('does not mistake what the guest stored in a %s for a second reading', async (format, size, [place, sign]) => {
    // The signature on the disk, at offsets where the format may store what a raw disk would have there.
    await run('qemu-img', ['create', '-q', '-f', format, at(`sign.${format}`), size]);
    writeFileSync(at('pattern'), Buffer.from(sign.padEnd(512, '\0')));
    const raw = at('sign.raw');
    await run('qemu-img', ['create', '-q', '-f', 'raw', raw, size]);
    const disk = await open(raw, 'r+');
    for (const guest of [0, 512, 1024, 2048, 3584, 4096, 65_600 - 65_536, 65_600]) await disk.write(sign, guest, 'latin1');
    await disk.close();
    await run('qemu-img', ['convert', '-f', 'raw', '-O', format, raw, at(`sign.${format}`)]);
    const { code, stdout } = await plimsoll(['vet', '-f', format, at(`sign.${format}`)]);
    expect([code, place > 0], stdout).toEqual([24, true]);
  });

  it('judges the others when one cannot be judged', async () => {
    const { code, stdout } = await plimsoll(['vet', '--json', at('good.qcow2'), at('none'), directory, at('overlay.qcow2')]);
    const { images, errors } = JSON.parse(stdout) as { images: VetReport[]; errors: { kind: string }[] };
    expect([code, images.map(({ verdict }) => verdict), errors.map(({ kind }) => kind)]).toEqual([
      22,
      ['safe', 'refused'],
      ['not-found', 'refused'],
    ]);
  });

  it('--one-worker prints exactly the output of one worker for each image, with the same exit code', async () => {
    const images = [at('good.qcow2'), at('none'), at('overlay.qcow2'), directory, at('disk.raw')];
    for (const output of ['json', 'human']) {
      const [own, shared] = [
        await plimsoll(['vet', '--output', output, ...images]),
        await plimsoll(['vet', '--output', output, '--one-worker', ...images]),
      ];
      expect(shared).toEqual(own);
      expect(own.code).toBe(22);
    }
  });

  it('--one-worker judges standard input at its position among the files', async () => {
    const running = spawn(process.execPath, [COMMAND, 'vet', '--json', '--one-worker', at('good.qcow2'), '-', at('disk.raw')]);
    createReadStream(at('overlay.qcow2')).pipe(running.stdin);
    let text = '';
    for await (const piece of running.stdout) text += String(piece);
    const { images } = JSON.parse(text) as { images: VetReport[] };
    expect(images.map(({ path, verdict }) => [path, verdict])).toEqual([
      [at('good.qcow2'), 'safe'],
      [null, 'refused'],
      [at('disk.raw'), 'unrecognised'],
    ]);
  });

  it.each([[], ['--one-worker']])('%j exits on an interrupt with 130, and leaves no process behind', async (...flags) => {
    // Hashed one after the other, and long enough to be interrupted.
    await run('truncate', ['-s', '3G', at('long.raw')]);
    const words = ['vet', '--json', '--sha256', ...flags, at('good.qcow2'), ...Array.from({ length: 20 }, () => at('long.raw'))];
    const running = spawn(process.execPath, [COMMAND, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(running, 'exit');
    await once(running.stdout, 'data');
    const children = (await run('pgrep', ['-P', String(running.pid)])).stdout.split('\n').filter((pid) => pid !== '');
    running.stdout.resume();
    running.kill('SIGINT');
    expect((await exited)[0]).toBe(130);
    for (const pid of children) expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  it('cannot compare a stream: exit code 2', async () => {
    expect((await plimsoll(['vet', '--compare', '-'])).code).toBe(2);
  });

  it('opens only regular files: exit code 15; reports a missing one: 12', async () => {
    expect((await plimsoll(['vet', directory])).code).toBe(15);
    expect((await plimsoll(['vet', at('none')])).code).toBe(12);
  });
});
