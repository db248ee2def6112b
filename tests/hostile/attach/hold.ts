/** The property: an image with the use attach keeps that use, its capacity and its bytes, and opens no other file. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { memoryDevice } from '#block';
import { DEFAULT_POLICY, type VetPolicy } from '#sandbox';
import type { Verdict } from '#wire';
import { type Judgement, judge } from '../../../src/sandbox/vet/judge.ts';
import { verdictOf } from '../../../src/sandbox/vet/verdict.ts';
import type { Prng } from '../../differential/prng.ts';
import { check, foreignOpens, Guest } from './guest.ts';

export type JudgedBytes = Judgement & { readonly verdict: Verdict };

/** The verdict on a qcow2 image that is declared as one. */
export async function judgeBytes(bytes: Uint8Array, policy: Partial<VetPolicy> = {}): Promise<JudgedBytes> {
  const judgement = await judge(memoryDevice(bytes), { declared: 'qcow2', policy: { ...DEFAULT_POLICY, ...policy } });
  return { ...judgement, verdict: verdictOf(judgement.reasons) };
}

export interface Held {
  /** Whether the verdict allows to attach it. */
  readonly isAttached: boolean;
  /** How the property was broken; '' where it held, or where the image is not to be attached. */
  readonly broken: string;
}

/** Tries the property on the image of `bytes`, with a few sessions of real QEMU. */
export async function tryProperty(bytes: Buffer, prng: Prng, directory: string): Promise<Held> {
  const judgement = await judgeBytes(bytes);
  if (judgement.verdict !== 'safe') return { isAttached: false, broken: '' };
  return { isAttached: true, broken: await breakIt(bytes, judgement, prng, directory) };
}

async function breakIt(bytes: Buffer, judgement: JudgedBytes, prng: Prng, directory: string): Promise<string> {
  const path = join(directory, 'tried.qcow2');
  writeFileSync(path, bytes);
  const before = check(path);
  if (before.code !== 0 && before.code !== 3) return `qemu-img check gives ${before.code} before a guest runs: ${before.text}`;
  let guest: Guest;
  try {
    guest = new Guest(path, 'qcow2', directory);
  } catch (error) {
    return String(error);
  }
  if (guest.capacity !== judgement.capacity) return `qemu-img sees ${guest.capacity} bytes, the verdict ${judgement.capacity}`;
  const clusterSize = 2 ** bytes.readUInt32BE(20);
  for (let session = 0; session < (prng.chance(0.3) ? 2 : 1); session += 1) {
    const trace = prng.chance(0.2) ? join(directory, 'trace') : undefined;
    const wrong = guest.session(prng, clusterSize, trace);
    if (wrong !== '') return wrong;
    const opened = trace === undefined ? [] : foreignOpens(readFileSync(trace, 'utf8'), path);
    if (opened.length > 0) return `QEMU opened ${opened.join('\n')}`;
    const after = check(path);
    if (after.code !== 0 && after.code !== before.code) return `qemu-img check gives ${after.code} after a session: ${after.text}`;
    const again = await judgeBytes(readFileSync(path));
    if (again.verdict !== 'safe') return `the verdict became ${again.verdict}: ${JSON.stringify(again.reasons)}`;
  }
  truncateSync(path, 0);
  return '';
}
