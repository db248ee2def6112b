/** A guest of an image, and what its disk must hold: sessions of real QEMU with the recommended format. */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Prng } from '../../differential/prng.ts';

/** First bytes of every format that a tool could take a file for. */
export const HEADERS: readonly Buffer[] = [
  qcow2Header(),
  Buffer.from('QED\0'),
  Buffer.from('KDMV\x01\0\0\0\x03\0\0\0', 'latin1'),
  Buffer.from('# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'),
  Buffer.concat([Buffer.from('<<< Oracle VM VirtualBox Disk Image >>>\n'), Buffer.alloc(24), Buffer.from([0x7f, 0x10, 0xda, 0xbe])]),
  Buffer.from('vhdxfile'),
  Buffer.from('conectix\0\0\0\x02\0\x01\0\0', 'latin1'),
  Buffer.from('koly\0\0\0\x04\0\0\x02\0', 'latin1'),
  Buffer.from('LUKS\xba\xbe\0\x01', 'latin1'),
  Buffer.from('WithoutFreeSpace'),
  Buffer.from('WithouFreSpacExt'),
  Buffer.from('Bochs Virtual HD Image'),
  Buffer.from('#!/bin/sh\n#V2.0 Format\nmodprobe cloop'),
  Buffer.from('QFI\xfb\0\0\0\x01', 'latin1'),
  Buffer.from('nbd:localhost:1'),
];

/** A header that names a file of the host. */
function qcow2Header(): Buffer {
  const bytes = Buffer.alloc(512);
  bytes.write('QFI\xfb', 'latin1');
  bytes.writeUInt32BE(2, 4);
  bytes.writeUInt32BE(104, 12);
  bytes.writeUInt32BE(11, 16);
  bytes.writeUInt32BE(16, 20);
  bytes.writeUInt32BE(2 ** 20, 28);
  bytes.write('/etc/passwd', 104);
  return bytes;
}

export interface Checked {
  /** 0 clean, 2 errors, 3 leaks, else what went wrong. */
  readonly code: number | null;
  readonly text: string;
}

export class Guest {
  readonly #path: string;
  readonly #format: 'qcow2' | 'raw';
  readonly #directory: string;
  #disk: Buffer;
  readonly capacity: number;

  constructor(path: string, format: 'qcow2' | 'raw', directory: string) {
    this.#path = path;
    this.#format = format;
    this.#directory = directory;
    this.#disk = this.readDisk();
    this.capacity = this.#disk.byteLength;
  }

  /** What QEMU reads of the disk. Throws: what qemu-img says. */
  readDisk(): Buffer {
    const raw = join(this.#directory, 'read.raw');
    const { status, stderr } = spawnSync('qemu-img', ['convert', '-f', this.#format, '-O', 'raw', this.#path, raw], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`qemu-img convert: ${stderr}`);
    const bytes = readFileSync(raw);
    rmSync(raw);
    return bytes;
  }

  /** One opening for writing, with a few requests. Returns what went wrong, '' when nothing did. */
  session(prng: Prng, clusterSize: number, trace?: string): string {
    const commands: string[] = [];
    // 1 where a discard may have left zeros.
    const unsettled = Buffer.alloc(this.capacity);
    const next = Buffer.from(this.#disk);
    for (let count = 1 + prng.below(6); count > 0; count -= 1) this.#request(prng, clusterSize, next, unsettled, commands);
    const words = ['-f', this.#format, '-d', prng.pick(['unmap', 'ignore']), '-t', 'writeback', ...commands, this.#path];
    const run =
      trace === undefined
        ? spawnSync('qemu-io', words, { encoding: 'utf8', timeout: 120_000 })
        : spawnSync('strace', ['-f', '-qq', '-e', 'trace=open,openat,connect,creat', '-o', trace, 'qemu-io', ...words], {
            encoding: 'utf8',
            timeout: 120_000,
          });
    if (run.status !== 0 || run.signal !== null)
      return `qemu-io ended with ${run.status ?? run.signal}: ${run.stderr}${run.stdout}`.slice(0, 500);
    const complaint = /failed|rror|orrupt|lost/i.exec(run.stdout + run.stderr);
    if (complaint !== null) return `qemu-io: ${(run.stdout + run.stderr).slice(0, 500)}`;
    const found = this.readDisk();
    if (found.byteLength !== this.capacity) return `the capacity became ${found.byteLength}`;
    for (let at = unsettled.indexOf(1); at >= 0; at = unsettled.indexOf(1, at + 1)) if (found[at] === 0) next[at] = 0;
    if (!found.equals(next))
      return `byte ${firstDifference(found, next)} of the disk differs after ${commands.filter((word) => word !== '-c').join('; ')}`;
    this.#disk = next;
    return '';
  }

  #request(prng: Prng, clusterSize: number, disk: Buffer, unsettled: Buffer, commands: string[]): void {
    const { byteLength } = disk;
    if (byteLength === 0) return;
    const sectors = byteLength / 512;
    const kind = prng.below(10);
    if (kind < 3) {
      const header = prng.pick(HEADERS);
      const file = join(this.#directory, 'header');
      const sector = Buffer.alloc(512);
      header.copy(sector);
      writeFileSync(file + String(commands.length), sector);
      const at = prng.pick([0, byteLength - 512, prng.below(sectors) * 512]);
      commands.push('-c', `write -s ${file}${commands.length} ${at} 512`);
      sector.copy(disk, at);
      unsettled.fill(0, at, at + 512);
      return;
    }
    const isWhole = kind === 9;
    const start = isWhole ? 0 : prng.below(sectors) * 512;
    const length = isWhole ? byteLength : Math.min(byteLength - start, (1 + prng.below(Math.ceil((3 * clusterSize) / 512))) * 512);
    if (kind === 3) {
      commands.push('-c', `write -z ${prng.pick(['', '-u '])}${start} ${length}`);
      disk.fill(0, start, start + length);
      unsettled.fill(0, start, start + length);
    } else if (kind === 4) {
      commands.push('-c', `discard ${start} ${length}`);
      unsettled.fill(1, start, start + length);
    } else {
      const value = 1 + prng.below(255);
      commands.push('-c', `write -P ${value} ${start} ${length}`);
      disk.fill(value, start, start + length);
      unsettled.fill(0, start, start + length);
    }
  }
}

export function check(path: string): Checked {
  const { status, signal, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8', timeout: 120_000 });
  return { code: signal === null ? status : -1, text: (stdout + stderr).slice(0, 600) };
}

/** Files that qemu-io opened or sockets that it connected to, apart from `path`, libraries and what the kernel shows. */
export function foreignOpens(trace: string, path: string): string[] {
  return trace
    .split('\n')
    .filter((line) => !line.includes('ENOENT') && /open|creat|connect/.test(line))
    .filter((line) => !line.includes(`"${path}"`))
    .filter(
      (line) =>
        !/"(\/lib|\/usr\/|\/etc\/(ld\.so|ssl|gnutls|crypto|gcrypt|libnl|nsswitch|ceph|localtime)|\/proc|\/sys|\/dev\/(u?random|null|shm\/[^"]*\/header))/.test(
          line,
        ),
    )
    .filter((line) => !/"[^"]*\/header\d+"/.test(line));
}

function firstDifference(one: Buffer, other: Buffer): number {
  let at = 0;
  while (at < one.byteLength && one[at] === other[at]) at += 1;
  return at;
}
