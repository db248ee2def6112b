/**
 * The property: an image with the use attach keeps that use, its capacity and its bytes under whatever a guest writes and
 * discards, by real QEMU with the recommended format; `qemu-img check` stays as clean as it was, and QEMU opens no other file.
 *
 * Images by qemu-img in every option, each tried as made and with one field or entry changed. PLIMSOLL_ATTACH_IMAGES chooses how
 * many are made (each with 8 changes), PLIMSOLL_ATTACH_SEED which.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, type VetPolicy, vetFile } from '#sandbox';
import type { VetReport } from '#wire';
import { Prng } from '../differential/prng.ts';
import { foreignOpens, Guest, HEADERS } from './attach/guest.ts';
import { tryProperty } from './attach/hold.ts';
import { makeImage } from './attach/images.ts';
import { mutate } from './attach/mutate.ts';

const directory = mkdtempSync('/dev/shm/plimsoll-attach-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const IMAGES = Number(process.env['PLIMSOLL_ATTACH_IMAGES'] ?? 8);
const SEED = Number(process.env['PLIMSOLL_ATTACH_SEED'] ?? 1);
const CHANGES_OF_EACH = 8;
const MINUTES = 60_000;

describe('an image with the use attach', () => {
  it.each(Array.from({ length: IMAGES }, (_, index) => SEED * 100_000 + index))(
    'keeps it, as qemu-img makes it and with one thing changed, seed %i',
    async (seed) => {
      const prng = new Prng(seed);
      const { options, bytes } = makeImage(prng, directory);
      expect(await tryProperty(bytes, prng, directory), options).toEqual({ isAttached: true, broken: '' });
      for (let count = 0; count < CHANGES_OF_EACH; count += 1) {
        const changed = mutate(bytes, prng);
        const { broken } = await tryProperty(changed.bytes, prng, directory);
        expect(broken, `${options}: ${changed.what}`).toBe('');
      }
    },
    10 * MINUTES,
  );
});

describe('a raw disk opened as raw', () => {
  it("keeps its use as a guest's disk, its capacity and its bytes, and QEMU opens no other file, with any header the guest writes", async () => {
    const prng = new Prng(SEED);
    const path = join(directory, 'disk.raw');
    const disk = Buffer.alloc(2 ** 20);
    disk.write('EFI PART', 512);
    writeFileSync(path, disk);
    const vet = (policy: Partial<VetPolicy> = {}): Promise<VetReport> =>
      vetFile(path, { declared: 'raw', unconfined: true, policy: { ...DEFAULT_POLICY, ...policy } });
    expect((await vet()).use).toBe('attach');
    const guest = new Guest(path, 'raw', directory);
    for (let session = 0; session < 12; session += 1) {
      const trace = join(directory, 'trace');
      expect(guest.session(prng, 65_536, trace)).toBe('');
      expect(foreignOpens(readFileSync(trace, 'utf8'), path)).toEqual([]);
      const { use, capacity, next } = await vet({ guestWritten: true, unrecognised: false });
      expect([use, capacity, next?.qemuImg]).toEqual(['attach', 2 ** 20, ['-f', 'raw']]);
    }
  });

  it.each(HEADERS.map((header) => [header.toString('latin1', 0, 12), header] as const))(
    'with %j first and last: refused as an upload, attached as a disk of a guest',
    async (_name, header) => {
      const path = join(directory, 'header.raw');
      const disk = Buffer.alloc(2 ** 20);
      header.copy(disk);
      header.copy(disk, 2 ** 20 - 512);
      writeFileSync(path, disk);
      const vet = async (guestWritten: boolean): Promise<VetReport['use']> =>
        (await vetFile(path, { declared: 'raw', unconfined: true, policy: { ...DEFAULT_POLICY, guestWritten } })).use;
      // The last one is a name, which is never inferred from a file's content.
      expect(await vet(false)).toBe(header.toString().startsWith('nbd:') ? 'attach' : 'refuse');
      expect(await vet(true)).toBe('attach');
    },
  );
});
