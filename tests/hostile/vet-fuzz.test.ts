/**
 * What a verdict is made of, on mutated images: the signs of `identify`, the forecast of `tablePlaces`, and the verdict of
 * `judge`, each within its bounds and never a bug. A fixed seed; the long run is `npm run fuzz`.
 */
import { describe, expect, it } from 'vitest';
import { memoryDevice, type ReadableDevice, withReadBudget } from '#block';
import { identify, type Sign, tablePlaces } from '#formats';
import { conclude, DEFAULT_POLICY, VET_FORMATS } from '#sandbox';
import { FILESYSTEM_MAGICS } from '../../src/formats/filesystem-signs.ts';
import { checkedJudgement } from '../../src/sandbox/vet/answers.ts';
import { judge } from '../../src/sandbox/vet/judge.ts';
import { placesToKeep } from '../../src/sandbox/vet/kept-pieces.ts';
import { HANG_MS } from '../support/hang.ts';
import { aQcow2, COPIED } from '../support/qcow2-builder.ts';
import { aVdi } from '../support/vdi-builder.ts';
import { aVhd } from '../support/vhd-builder.ts';
import { aVhdx } from '../support/vhdx-builder.ts';
import { aVmdk } from '../support/vmdk-builder.ts';
import { type Attempt, countOutcomes } from './fuzzing.ts';
import { mutate, type Place, requireOnlyMutated, type Subject, subjects as qcow2Subjects } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 3000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261125);
const KiB = 1024;
const MiB = KiB * KiB;

/** As the documentation of `identify` has it, and the prefix that it may read once more. */
/** Both ends, and the place of VMFS. */
const IDENTIFY_BYTES = (512 + 768) * KiB + 4;
/** What a stream's verdict may read. */
const JUDGE_BYTES = 256 * MiB;

/** Every word of the image that says something: what is there is in nearly all cases a header's or a table's. */
function wordsOf(bytes: Uint8Array): Place[] {
  const places: Place[] = [];
  for (let at = 0; at + 8 <= bytes.byteLength && places.length < 600; at += 4) {
    if (bytes.subarray(at, at + 4).every((byte) => byte === 0)) continue;
    for (const width of [1, 4, ...(at % 8 === 0 ? [8] : [])]) places.push({ name: `word of ${width}`, at, width });
  }
  return places;
}

function asSubject(bytes: Uint8Array): Subject {
  return { bytes, places: wordsOf(bytes) };
}

function plainQcow2(): Uint8Array {
  const image = aQcow2({ clusterBits: 12 });
  const data = BigInt(image.allocate(2));
  return image.withL2(0, [COPIED + data, 0, COPIED + data + 4096n]).bytes();
}

/** A disk of partitions, with both copies of its GPT. */
function rawDisk(): Uint8Array {
  const disk = Buffer.alloc(MiB);
  disk.set([0xeb, 0x3c, 0x90]);
  disk.set([0x80, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0xff, 7, 0, 0], 446);
  disk.set([0x55, 0xaa], 510);
  disk.write('EFI PART', 512, 'latin1');
  disk.write('EFI PART', MiB - 512, 'latin1');
  return disk;
}

/** A FAT over the whole of a disk that is no whole number of sectors long. */
function fatDisk(): Uint8Array {
  const disk = Buffer.alloc(64 * KiB + 77);
  disk.set([0xeb, 0x3c, 0x90]);
  disk.write('mkfs.fat', 3, 'latin1');
  disk.set([0, 2, 4, 4, 0, 2, 0, 2, 128, 0, 0xf8], 11);
  disk.write('FAT16   ', 54, 'latin1');
  disk.set([0x55, 0xaa], 510);
  return disk;
}

function descriptor(): Uint8Array {
  const lines = ['# Disk DescriptorFile', 'version=1', 'CID=12345678', 'parentCID=ffffffff', 'createType="monolithicFlat"'];
  return Buffer.from([...lines, 'RW 2048 FLAT "a-flat.vmdk" 0', ''].join('\n'));
}

const SUBJECTS: readonly Subject[] = [
  ...qcow2Subjects(),
  asSubject(plainQcow2()),
  asSubject(aVmdk({ kind: 'sparse', capacitySectors: 4139 }).withGrain(1, new Uint8Array(4096).fill(1)).bytes()),
  asSubject(aVmdk({ kind: 'stream', capacitySectors: 4139 }).withGrain(1, new Uint8Array(4096).fill(1)).bytes()),
  asSubject(aVhd().withBlock(3, 0x11).withBlock(0, 0x22).bytes()),
  asSubject(aVhd({ diskType: 'fixed', capacity: 8192 }).bytes()),
  asSubject(aVdi().withBlock(1, 0x11).bytes()),
  asSubject(aVhdx().bytes()),
  asSubject(rawDisk()),
  asSubject(fatDisk()),
  asSubject(descriptor()),
];

/** Signatures to plant: by their distance from the start, or, where negative, from the end. */
const SIGNATURES: readonly { readonly at: number; readonly bytes: string }[] = [
  ...FILESYSTEM_MAGICS.filter(({ at }) => at < 70_000),
  ...['QFI\xfb\0\0\0\x03', 'KDMV', 'COWD', 'conectix', 'vhdxfile', 'QED\0', 'LUKS\xba\xbe', '# Disk DescriptorFile\n'].map((bytes) => ({
    at: 0,
    bytes,
  })),
  ...['\x1f\x8b\x08', 'PK\x03\x04', '\xfd7zXZ\0', 'version=1'].map((bytes) => ({ at: 0, bytes })),
  { at: 257, bytes: 'ustar\0' },
  { at: 64, bytes: '\x7f\x10\xda\xbe' },
  { at: 510, bytes: '\x55\xaa' },
  { at: 512, bytes: 'EFI PART' },
  { at: 32_769, bytes: 'CD001' },
  { at: 38_913, bytes: 'NSR02' },
  // As often as all those at the start together: a first signature at the end is rare.
  ...Array.from({ length: 12 }, () => ['conectix', 'koly', 'EFI PART'])
    .flat()
    .map((bytes) => ({ at: -512, bytes })),
  { at: -511, bytes: 'conectix' },
];

/** Half of the images get a signature beside their own: which, and how it is taken away again. */
function plant(bytes: Uint8Array, random: () => number): { readonly changes: readonly string[]; readonly remove: () => void } {
  const none = { changes: [], remove: () => {} };
  if (random() < 0.5) return none;
  const { at, bytes: signature } = SIGNATURES[Math.floor(random() * SIGNATURES.length)] as (typeof SIGNATURES)[number];
  const start = at < 0 ? bytes.byteLength + at : at;
  if (start < 0 || start + signature.length > bytes.byteLength) return none;
  const before = bytes.slice(start, start + signature.length);
  bytes.set(Buffer.from(signature, 'latin1'), start);
  return { changes: [`${JSON.stringify(signature)} at ${start}`], remove: () => bytes.set(before, start) };
}

function attempt(run: number, random: () => number, outcome: (bytes: Uint8Array) => Promise<string>): Attempt {
  const { bytes, changes } = mutate(SUBJECTS[run % SUBJECTS.length] as Subject, random);
  const planted = plant(bytes, random);
  return {
    changes: [...changes, ...planted.changes],
    outcome: async () => {
      const kind = await outcome(bytes);
      planted.remove();
      return kind;
    },
  };
}

function requireSound(signs: readonly Sign[], { byteLength }: ReadableDevice): void {
  let before = 0;
  for (const { at, name } of signs) {
    if (!Number.isSafeInteger(at) || at < before || at >= byteLength) throw new Error(`${name} at ${at}, behind ${before}`);
    before = at;
  }
}

/** By its first sign. */
async function signsAndPlaces(bytes: Uint8Array): Promise<string> {
  const device = withReadBudget(memoryDevice(bytes), IDENTIFY_BYTES);
  const signs = await identify(device);
  requireSound(signs, device);
  const runs = [...tablePlaces(bytes)];
  if (runs.length > 16 + bytes.byteLength / 4) throw new Error(`${runs.length} places`);
  let end = 0;
  for (const run of placesToKeep(runs)) {
    if (run.start < end || run.end <= run.start || !Number.isSafeInteger(run.end))
      throw new Error(`a place from ${run.start} to ${run.end}`);
    end = run.end;
  }
  return signs[0]?.name ?? 'nothing';
}

const DECLARED = [undefined, ...VET_FORMATS, 'iso', 'tar'];

/** By its verdict. */
async function verdictOn(bytes: Uint8Array, declared?: string, chains = false): Promise<string> {
  const policy = { ...DEFAULT_POLICY, chains };
  const device = withReadBudget(memoryDevice(bytes), JUDGE_BYTES);
  const judgement = await judge(device, { declared, policy, name: 'a.img' });
  // As it passes through the channel of the confined worker.
  const identity = { device: null, inode: null, size: bytes.byteLength, mtimeNs: null, sha256: null, method: 'stamp' as const };
  const report = conclude(checkedJudgement(JSON.parse(JSON.stringify(judgement)), { declared, byteLength: bytes.byteLength }), {
    path: 'a.img',
    identity,
    policy,
  });
  const { verdict, use, reasons, next, signs, capacity } = report;
  requireSound(signs as readonly Sign[], device);
  const gravest = reasons[0]?.level ?? 'note';
  if (verdict !== ({ refuse: 'refused', note: 'safe' } as Partial<Record<typeof gravest, string>>)[gravest] && verdict !== gravest)
    throw new Error(`${verdict}, but first a ${gravest}`);
  const hasUse = use === 'attach' || use === 'convert';
  const isReadByQemu = !reasons.some(({ code }) => code === 'QEMU_CANNOT_OPEN' || code === 'LOG_PENDING');
  if ((next !== null) !== (hasUse && isReadByQemu)) throw new Error(`${verdict}, and next is ${JSON.stringify(next)}`);
  if (hasUse && !(capacity !== null && Number.isSafeInteger(capacity))) throw new Error(`${verdict}, with a capacity of ${capacity}`);
  for (const { message, at } of reasons) {
    if (message.includes('undefined') || message.includes('NaN') || message.includes('[object')) throw new Error(`says: ${message}`);
    if (at !== undefined && !(at >= 0)) throw new Error(`a reason at ${at}`);
  }
  return verdict;
}

const timeout = HANG_MS + RUNS * 10;

describe('mutated images', () => {
  it(`${RUNS} of them, seed ${SEED}: signs and places within their bounds`, { timeout }, async () => {
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => attempt(run, random, signsAndPlaces));
    for (const one of SUBJECTS) requireOnlyMutated(one);
    expect([...seen.keys()]).toEqual(expect.arrayContaining(['qcow2', 'vmdk', 'vhd', 'vdi', 'vhdx', 'mbr', 'fat', 'nothing', 'dmg']));
  });

  it(`${RUNS} of them, seed ${SEED}: a verdict that agrees with its reasons`, { timeout }, async () => {
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random, run) => {
      const declared = run % 3 === 0 ? DECLARED[Math.floor(random() * DECLARED.length)] : undefined;
      return attempt(run, random, (bytes) => verdictOn(bytes, declared, run % 2 === 0));
    });
    for (const one of SUBJECTS) requireOnlyMutated(one);
    expect([...seen.keys()]).toEqual(expect.arrayContaining(['ambiguous', 'convert', 'refused', 'safe', 'unrecognised']));
    for (const verdict of ['ambiguous', 'convert', 'safe']) expect(seen.get(verdict)).toBeGreaterThan(RUNS / 100);
  });

  it('the unmodified subjects are valid', async () => {
    const verdicts = await Promise.all(SUBJECTS.map(({ bytes }) => verdictOn(bytes)));
    const [qcow2, rest] = [verdicts.slice(0, 4), verdicts.slice(4)];
    // Those of qcow2 share clusters against their refcounts; the fixed VHD has only its footer; the descriptor names another file.
    expect(qcow2).toEqual(['refused', 'refused', 'refused', 'refused']);
    const [blocks, disks] = [rest.slice(1, 7), rest.slice(7)];
    expect(rest[0]).toBe('safe');
    expect(blocks).toEqual(['convert', 'convert', 'convert', 'ambiguous', 'convert', 'convert']);
    expect(disks).toEqual(['safe', 'safe', 'refused']);
  });
});
