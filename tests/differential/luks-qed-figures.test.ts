/**
 * Figures of LUKS volumes and QED against QEMU itself: each image filled to the last byte in several orders, on tmpfs, where
 * nothing is charged but what QEMU writes.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { examineImage } from '#sandbox';
import { runTool } from '../support/qemu.ts';
import { Prng } from './prng.ts';

const root = mkdtempSync('/dev/shm/plimsoll-luks-qed-');
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MiB = 1024 * 1024;
const SECRET = ['--object', 'secret,id=s,data=x'];

/** Every byte once, in pieces of `piece` bytes. */
function pieces(capacity: number, piece: number): string[] {
  const commands: string[] = [];
  for (let at = 0; at < capacity; at += piece) commands.push(`write -q -P 7 ${at} ${Math.min(piece, capacity - at)}`);
  return commands;
}

const luksOf = (path: string): string[] => ['--image-opts', `driver=luks,file.filename=${path},key-secret=s`];

describe('a LUKS volume that is filled', () => {
  it.each([
    ['of whole MiB', 4 * MiB, 'aes-256'],
    ['of an odd length', 4 * MiB - 512, 'aes-128'],
  ])('%s reaches its commitment and never more', { timeout: 600_000 }, async (_, capacity, cipher) => {
    const path = join(root, 'volume.luks');
    const options = `key-secret=s,iter-time=10,cipher-alg=${cipher}`;
    await runTool('qemu-img', ['create', '-q', ...SECRET, '-f', 'luks', '-o', options, path, String(capacity)]);
    const before = await examineImage(path);
    expect(before).toMatchObject({
      format: 'luks',
      formatSource: 'signature',
      capacity,
      details: { version: 1, cipher: 'aes-xts-plain64' },
    });
    expect(before.error).toBeUndefined();
    const commands = new Prng(capacity).shuffled(pieces(capacity, 65_536));
    await runTool('qemu-io', [...SECRET, ...luksOf(path)], { input: `${commands.join('\n')}\n` });
    const { size, blocks } = statSync(path);
    // The holes that stay are those of unused keyslots, which adding a key fills.
    const wholeFile = Math.ceil(size / 4096) * 4096;
    expect(before).toMatchObject({ commitment: wholeFile, expected: blocks * 512, maxLength: size });
    expect(await examineImage(path)).toMatchObject({ capacity, commitment: wholeFile, allocation: blocks * 512, expected: blocks * 512 });
  });
});
