/** A guest that does its worst to an image through real QEMU, and what must be as before when it is done. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePolicy, VET_FORMATS } from '#sandbox';
import { conclude } from '../../src/sandbox/vet/conclude.ts';
import { judge } from '../../src/sandbox/vet/judge.ts';
import { memoryDevice } from '#block';
import type { VetReport } from '#wire';
import type { Prng } from '../differential/prng.ts';
import { aQcow2 } from '../support/qcow2-builder.ts';
import { aVdi } from '../support/vdi-builder.ts';
import { aVhd } from '../support/vhd-builder.ts';
import { aVmdk } from '../support/vmdk-builder.ts';
import { DRIVERS, type Trial } from './container-trials.ts';

/** Every format may be attached: what keeps an image from it then are the reasons of its own. */
const POLICY = parsePolicy({ attach: [...VET_FORMATS] });
const SECTOR = 512;
const TIMEOUT_MS = 300_000;

export async function verdictOn(bytes: Uint8Array, format: string): Promise<VetReport> {
  const identity = { device: null, inode: null, size: bytes.byteLength, mtimeNs: null, sha256: null, method: 'stamp' as const };
  return conclude(await judge(memoryDevice(bytes), { policy: POLICY, declared: format }), { path: null, identity, policy: POLICY });
}

/** What a guest writes to be taken for something else. */
const LOOK_ALIKES: readonly Uint8Array[] = [
  aVhd({ capacity: 2 ** 20 })
    .bytes()
    .subarray(0, 2048),
  aVmdk()
    .bytes()
    .subarray(0, 12 * 1024),
  aVdi().bytes().subarray(0, 1024),
  aQcow2().bytes().subarray(0, 4096),
  Buffer.from(
    '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 64 FLAT "canary" 0\n'.padEnd(2048, '\0'),
  ),
  Buffer.from(
    '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=1\ncreateType="monolithicSparse"\nparentFileNameHint="canary"\n'.padEnd(2048, '\0'),
  ),
];

/** What went wrong; undefined: the image held. */
export async function complaintAfterGuest(trial: Trial, directory: string, random: Prng): Promise<string | undefined> {
  const path = join(directory, 'image');
  writeFileSync(path, trial.bytes);
  const guest = new Guest(path, DRIVERS[trial.format], directory);
  try {
    const before = await verdictOn(trial.bytes, trial.format);
    guest.disk = guest.content();
    if (guest.disk.byteLength !== before.capacity) return `QEMU sees ${guest.disk.byteLength} bytes, plimsoll ${before.capacity}`;
    for (const batch of [1, 2, 3]) {
      guest.write(random);
      if (!guest.content().equals(guest.disk)) return `batch ${batch}: other bytes than were written`;
    }
    const after = await verdictOn(readFileSync(path), trial.format);
    if (after.use !== 'attach') return `the use became ${after.use}: ${after.reasons.map(({ code }) => code).join(', ')}`;
    if (after.capacity !== before.capacity) return `the capacity became ${after.capacity}`;
    const others = guest.otherFilesOpened();
    return others.length === 0 ? undefined : `other files were opened: ${others.join(', ')}`;
  } catch (error) {
    return `QEMU failed: ${error instanceof Error ? error.message.slice(0, 400) : String(error)}`;
  }
}

class Guest {
  /** What the guest must see. */
  disk: Buffer = Buffer.alloc(0);
  readonly #image: string;
  readonly #path: string;
  readonly #directory: string;

  constructor(path: string, driver: string, directory: string) {
    const backing = driver === 'vmdk' ? { backing: null } : {};
    this.#image = `json:${JSON.stringify({ driver, ...backing, file: { driver: 'file', filename: path } })}`;
    this.#path = path;
    this.#directory = directory;
  }

  /** The whole disk, as QEMU reads it. */
  content(): Buffer {
    const raw = join(this.#directory, 'raw');
    rmSync(raw, { force: true });
    execFileSync('qemu-img', ['convert', '-O', 'raw', this.#image, raw], { timeout: TIMEOUT_MS, stdio: 'pipe' });
    return readFileSync(raw);
  }

  /** One batch between an opening and a closing: look-alikes in the first and last sectors, and anything in between. */
  write(random: Prng): void {
    const { byteLength } = this.disk;
    const commands: string[] = [];
    const put = (at: number, content: Uint8Array): void => {
      const start = Math.max(0, Math.floor(at / SECTOR) * SECTOR);
      const piece = Buffer.from(content.subarray(0, Math.floor((byteLength - start) / SECTOR) * SECTOR));
      if (piece.byteLength === 0) return;
      const file = join(this.#directory, `piece-${commands.length}`);
      writeFileSync(file, piece);
      commands.push(`write -q -s ${file} ${start} ${piece.byteLength}`);
      piece.copy(this.disk, start);
    };
    put(0, random.pick(LOOK_ALIKES));
    put(byteLength - 2048, random.pick(LOOK_ALIKES));
    for (let count = 0; count < 6; count += 1)
      put(random.below(byteLength), random.pick([...LOOK_ALIKES, random.bytes(SECTOR * (1 + random.below(8)))]));
    if (byteLength <= 4 * 2 ** 20 && random.below(2) === 0) put(0, Buffer.alloc(byteLength, 1 + random.below(255)));
    const hole = Math.floor(random.below(byteLength) / SECTOR) * SECTOR;
    const holeLength = Math.min(byteLength - hole, SECTOR * (1 + random.below(512)));
    if (holeLength > 0) {
      commands.push(`write -q -z ${random.pick(['', '-u '])}${hole} ${holeLength}`);
      this.disk.fill(0, hole, hole + holeLength);
    }
    const input = `${commands.join('\n')}\nflush\nquit\n`;
    const { stdout, stderr, status } = spawnSync('qemu-io', [this.#image], { input, encoding: 'utf8', timeout: TIMEOUT_MS });
    const failure = /.*(?:failed|rror|can't open).*/.exec(`${stdout}\n${stderr}`)?.[0];
    if (status !== 0 || failure !== undefined) throw new Error(`qemu-io ended with ${status}: ${failure ?? stderr}`);
  }

  /** Files of this directory and of the home of devices that QEMU opens beside the image. */
  otherFilesOpened(): string[] {
    const trace = join(this.#directory, 'trace');
    execFileSync('strace', ['-f', '-qq', '-e', 'trace=open,openat', '-o', trace, 'qemu-img', 'info', this.#image], {
      timeout: TIMEOUT_MS,
      stdio: 'pipe',
    });
    const opened = [...readFileSync(trace, 'utf8').matchAll(/open(?:at)?\([^"]*"([^"]*)"/g)].map(([, name]) => name ?? '');
    return opened.filter(
      (name) =>
        name !== this.#path &&
        (name.startsWith(this.#directory) || !/^\/(?:etc|lib|usr|proc|sys|dev\/(?:null|urandom|random)|lib64)/.test(name)),
    );
  }
}
