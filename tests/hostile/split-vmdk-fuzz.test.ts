/** VMDK descriptors and sparse extents with a few bytes changed at random: a value or a named error, within few reads. */
import { describe, expect, it } from 'vitest';
import { memoryDevice, withReadBudget } from '#block';
import { openVmdkExtent, readSplitDisk } from '#formats';
import { splitDiskFigures, vmdkFigures } from '#commitment';
import { SPARSE_HEADER } from '../../src/formats/vmdk/layout.ts';
import { factsOf } from '../support/facts.ts';
import { HANG_MS } from '../support/hang.ts';
import { countOutcomes, kindOf } from './fuzzing.ts';
import { fieldPlaces, mutate, requireOnlyMutated, type Subject } from './mutations.ts';

const RUNS = Number(process.env['PLIMSOLL_FUZZ_RUNS'] ?? 3000);
const SEED = Number(process.env['PLIMSOLL_FUZZ_SEED'] ?? 20261130);

const TEXT = `# Disk DescriptorFile
version=1
CID=41e9f055
parentCID=ffffffff
createType="custom"
# Extent description
RW 4194304 FLAT "a-f001.vmdk" 128
RW 2048 SPARSE "a-s002.vmdk"
RW 2048 ZERO
# The Disk Data Base
ddb.virtualHWVersion = "4"
`;

const descriptorSubject = (): Subject => {
  const bytes = Uint8Array.from(Buffer.from(TEXT));
  const places = Array.from(bytes, (_, at) => ({ name: `byte ${at}`, at, width: 1 }));
  return { bytes, places };
};

/** A sparse extent of 512 KiB without a descriptor: a directory in sector 1, its table in sector 2, one grain in sector 128. */
function extentSubject(): Subject {
  const bytes = Buffer.alloc(256 * 512);
  const { fields } = SPARSE_HEADER;
  bytes.write('KDMV');
  bytes.writeUInt32LE(1, fields.version.at);
  bytes.writeUInt32LE(1, fields.flags.at);
  bytes.writeBigUInt64LE(1024n, fields.capacity.at);
  bytes.writeBigUInt64LE(128n, fields.grainSize.at);
  bytes.writeUInt32LE(512, fields.numGTEsPerGT.at);
  bytes.writeBigUInt64LE(1n, fields.gdOffset.at);
  bytes.writeBigUInt64LE(128n, fields.overHead.at);
  bytes.set([0x0a, 0x20, 0x0d, 0x0a], fields.singleEndLineChar.at);
  bytes.writeUInt32LE(2, 512);
  bytes.writeUInt32LE(128, 1024);
  const { pad: _, ...read } = fields;
  const entries = [512, 1024, 1028, 1052].map((at) => ({ name: `entry at ${at}`, at, width: 4 }));
  return { bytes, places: [...fieldPlaces(read, 0, 'header'), ...entries] };
}

function ofDescriptor(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const disk = await readSplitDisk(withReadBudget(memoryDevice(bytes), 4 * bytes.byteLength + 4096));
    if (disk === undefined) throw new Error('a descriptor that is not one');
    const { capacity, commitment, allocation } = splitDiskFigures(disk, factsOf(bytes.byteLength));
    const parts = disk.files.reduce((sum, file) => sum + file.capacity, 0);
    if (capacity === null || parts > capacity || disk.files.some(({ reach }) => !Number.isSafeInteger(reach)))
      throw new Error('a capacity is wrong');
    if (commitment !== allocation) throw new Error('a figure is wrong');
    return 'report';
  });
}

function ofExtent(bytes: Uint8Array): Promise<string> {
  return kindOf(async () => {
    const extent = await openVmdkExtent(withReadBudget(memoryDevice(bytes), 4 * bytes.byteLength + 65_536));
    const { commitment, allocation, components } = vmdkFigures(await extent.census(), factsOf(bytes.byteLength));
    if (commitment === null || allocation === null || !(commitment >= allocation)) throw new Error('a figure is wrong');
    if (components.reduce((sum, component) => sum + component.bytes, 0) !== commitment)
      throw new Error('the components do not sum to the commitment');
    return 'report';
  });
}

describe.each([
  ['descriptors', descriptorSubject, ofDescriptor],
  ['sparse extents', extentSubject, ofExtent],
] as const)('mutated VMDK %s', (_, subjectOf, outcome) => {
  it(`${RUNS} of them, seed ${SEED}: a value or a named error`, { timeout: HANG_MS + RUNS * 10 }, async () => {
    const subject = subjectOf();
    expect(await outcome(subject.bytes)).toBe('report');
    const seen = await countOutcomes({ runs: RUNS, seed: SEED }, (random) => {
      const { bytes, changes } = mutate(subject, random);
      return { changes, outcome: () => outcome(bytes) };
    });
    requireOnlyMutated(subject);
    expect(seen.get('report')).toBeGreaterThan(RUNS / 50);
    expect([...seen.keys()]).not.toContain('bug');
  });
});
