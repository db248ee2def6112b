/**
 * The behaviour that every device must have: files, images of every format, filters. Independent of a test runner:
 * `for (const { name, run } of readableConformance(open)) it(name, run)`.
 */
import type { Extent, ReadableDevice, WritableDevice } from '../device.ts';

export interface ConformanceCheck {
  readonly name: string;
  /** Rejects with an Error that describes the violation. */
  readonly run: () => Promise<void>;
}

/** A fresh device and the bytes that it must have. */
export interface Subject<Device extends ReadableDevice = ReadableDevice> {
  readonly device: Device;
  readonly content: Uint8Array;
}

type Open<Device extends ReadableDevice> = () => Promise<Subject<Device>> | Subject<Device>;

const FILLER = 0xee;
const RANDOM_READS = 60;

/** Checks of reading. `open` is called once for each. */
export function readableConformance(open: Open<ReadableDevice>): ConformanceCheck[] {
  const checks: Readonly<Record<string, (subject: Subject) => Promise<void>>> = {
    'states its length': async ({ device, content }) => {
      require(device.byteLength === content.byteLength, `${device.byteLength} bytes, expected ${content.byteLength}`);
      return Promise.resolve();
    },
    'reads any range, and nothing behind what it returns': async (subject) => {
      for (const [offset, length] of rangesIn(subject.content.byteLength)) await expectRead(subject, offset, length);
    },
    'reads nothing at and past its end': async (subject) => {
      const { byteLength } = subject.content;
      for (const offset of [byteLength, byteLength + 1, byteLength + 70_000, 2 ** 52]) await expectRead(subject, offset, 512);
      await expectRead(subject, 0, 0);
    },
    'reads concurrently': async (subject) => {
      const ranges = rangesIn(subject.content.byteLength);
      await Promise.all(ranges.map(([offset, length]) => expectRead(subject, offset, length)));
    },
    'keeps no reference to the memory that it filled': async (subject) => {
      const length = Math.min(5000, subject.content.byteLength);
      const target = new Uint8Array(length);
      await subject.device.read(target, 0);
      const before = target.slice();
      for (const [offset, size] of rangesIn(subject.content.byteLength).slice(0, 20)) await expectRead(subject, offset, size);
      require(isSame(target, before), 'a later read changed memory that was filled earlier');
      target.fill(FILLER);
      await expectRead(subject, 0, length);
    },
    'reads nothing once the signal is aborted': async ({ device }) => {
      const reason = new Error('aborted by the suite');
      const signal = AbortSignal.abort(reason);
      const caught = await rejectionOf(device.read(new Uint8Array(1), 0, { signal }));
      require(caught === reason, `read() ended in ${String(caught)}`);
      const extents = await rejectionOf(collect(device.extents(0, device.byteLength, { signal })));
      require(extents === reason, `extents() ended in ${String(extents)}`);
    },
    'covers itself by extents, and reads zeros where they state zeros': async (subject) => {
      const { device, content } = subject;
      expectCover(await collect(device.extents(0, content.byteLength)), 0, content.byteLength, content);
      require((await collect(device.extents(content.byteLength, 10))).length === 0, 'an extent past the end');
    },
    'gives the same extents for a part as for the whole': async ({ device, content }) => {
      const whole = await collect(device.extents(0, content.byteLength));
      for (const [offset, length] of rangesIn(content.byteLength).slice(0, 25)) {
        const end = Math.min(offset + length, content.byteLength);
        const part = await collect(device.extents(offset, length));
        if (offset >= end) require(part.length === 0, `extents of an empty range at ${offset}`);
        else expectCover(part, offset, end, content);
        for (const one of part) {
          const owner = whole.find(({ start, end: stop }) => start <= one.start && one.end <= stop);
          require(owner !== undefined && isPart(one, owner), `extent ${one.start} to ${one.end} differs in a walk over the whole`);
        }
      }
    },
    'shows by peek() what it reads': async (subject) => {
      const { device, content } = subject;
      await expectRead(subject, 0, Math.min(512, content.byteLength));
      for (const [offset, length] of rangesIn(content.byteLength)) {
        const known = device.peek?.(offset, length);
        if (known !== undefined) require(isSame(known, content.subarray(offset, offset + length)), `peek(${offset}, ${length}) differs`);
      }
    },
  };
  return Object.entries(checks).map(([name, check]) => ({
    name,
    run: async () => {
      const subject = await open();
      try {
        await check(subject);
      } finally {
        await subject.device[Symbol.asyncDispose]();
      }
    },
  }));
}

/** A device whose bytes exist and are never given, such as an encrypted disk. */
export interface OpaqueSubject {
  readonly device: ReadableDevice;
  readonly byteLength: number;
  /** Of the error that a read ends in. */
  readonly code: string;
}

/** Checks of a device that gives its length and extents only. `open` is called once for each. */
export function opaqueConformance(open: () => Promise<OpaqueSubject>): ConformanceCheck[] {
  const checks: Readonly<Record<string, (subject: OpaqueSubject) => Promise<void>>> = {
    'states its length': async ({ device, byteLength }) => {
      require(device.byteLength === byteLength, `${device.byteLength} bytes, expected ${byteLength}`);
      return Promise.resolve();
    },
    'refuses every read by its code, and writes nothing into the memory': async ({ device, byteLength, code }) => {
      for (const [offset, length] of rangesIn(byteLength)) {
        const target = new Uint8Array(length).fill(FILLER);
        if (offset >= byteLength || length === 0) continue;
        const caught = await rejectionOf(device.read(target, offset));
        require((caught as { code?: unknown } | undefined)?.code === code, `read at ${offset} ended in ${String(caught)}`);
        require(target.every((byte) => byte === FILLER), `read at ${offset} wrote into the memory`);
      }
    },
    'covers itself by extents of data': async ({ device, byteLength }) => {
      for (const [offset, length] of [[0, byteLength] as const, ...rangesIn(byteLength).slice(0, 25)]) {
        const end = Math.min(offset + length, byteLength);
        const extents = await collect(device.extents(offset, length));
        if (offset >= end) require(extents.length === 0, `extents of an empty range at ${offset}`);
        else expectCover(extents, offset, end, new Uint8Array(0));
        require(extents.every(({ status }) => status === 'data'), `an extent from ${offset} on that is not data`);
      }
    },
    'never shows bytes by peek()': async ({ device }) => {
      require(device.peek?.(0, 1) === undefined, 'peek() returned bytes');
      return Promise.resolve();
    },
  };
  return Object.entries(checks).map(([name, check]) => ({ name, run: async () => check(await open()) }));
}

/** Checks of reading and writing. The devices must be at least 64 KiB long. */
export function writableConformance(open: Open<WritableDevice>): ConformanceCheck[] {
  const checks: Readonly<Record<string, (subject: Subject<WritableDevice>) => Promise<void>>> = {
    'reads what was written, and nothing else changed': async ({ device, content }) => {
      const model = content.slice();
      for (const [offset, length] of writesIn(model.byteLength, device.limits.blockSize)) {
        const source = new Uint8Array(length).fill(1 + (offset % 250));
        model.set(source, offset);
        await device.write(source, offset);
        source.fill(FILLER);
        await expectRead({ device, content: model }, 0, model.byteLength);
      }
    },
    'reads zeros where they were written': async ({ device, content }) => {
      const model = content.slice();
      for (const [offset, length] of writesIn(model.byteLength, device.limits.blockSize)) {
        model.fill(0, offset, offset + length);
        await device.writeZeroes(offset, length, { mayUnmap: offset % 2 === 0 });
        await expectRead({ device, content: model }, 0, model.byteLength);
      }
      expectCover(await collect(device.extents(0, model.byteLength)), 0, model.byteLength, model);
    },
    'reads zeros or what was there in a discarded range': async ({ device, content }) => {
      const [offset, length] = writesIn(content.byteLength, device.limits.blockSize)[0] as readonly [number, number];
      await device.discard(offset, length);
      const bytes = new Uint8Array(content.byteLength);
      await device.read(bytes, 0);
      for (const [at, byte] of bytes.entries()) {
        const isDiscarded = at >= offset && at < offset + length;
        require(byte === content[at] || (isDiscarded && byte === 0), `byte ${at} is ${byte}, was ${content[at]}`);
      }
    },
    'writes nothing of what reaches past its end': async ({ device, content }) => {
      const { blockSize } = device.limits;
      const source = new Uint8Array(2 * blockSize).fill(FILLER);
      const caught = await rejectionOf(device.write(source, content.byteLength - blockSize));
      require(caught !== undefined, 'a write past the end was accepted');
      await expectRead({ device, content }, 0, content.byteLength);
    },
    'flushes after a write': async ({ device }) => {
      await device.write(new Uint8Array(device.limits.blockSize), 0);
      await device.flush();
    },
  };
  const own = Object.entries(checks).map(([name, check]) => ({ name, run: async () => check(await open()) }));
  return [...readableConformance(open), ...own];
}

function require(holds: boolean, violation: string): void {
  if (!holds) throw new Error(violation);
}

async function expectRead({ device, content }: Subject, offset: number, length: number): Promise<void> {
  const target = new Uint8Array(length).fill(FILLER);
  const count = await device.read(target, offset);
  const expected = content.subarray(offset, offset + length);
  require(count === expected.byteLength, `read of ${length} bytes at ${offset} returned ${count}, expected ${expected.byteLength}`);
  require(isSame(target.subarray(0, count), expected), `read of ${length} bytes at ${offset} returned other bytes`);
  require(target.subarray(count).every((byte) => byte === FILLER), `read at ${offset} wrote behind the ${count} bytes that it returned`);
}

/** Edges, powers of two and their neighbours, and pseudo-random ranges; some reach past the end. */
function rangesIn(byteLength: number): [number, number][] {
  const ranges: [number, number][] = [
    [0, Math.min(byteLength, 1_000_000)],
    [0, 1],
    [Math.max(0, byteLength - 1), 1],
    [Math.max(0, byteLength - 1), 2],
    [Math.max(0, byteLength - 700), 1000],
  ];
  for (let at = 512; at < byteLength && at <= 2 ** 26; at *= 2) ranges.push([at - 1, 2], [at, 1], [at - 300, 600]);
  let state = 1;
  const random = (below: number): number => {
    state = (state * 48_271) % 0x7fffffff;
    return state % Math.max(1, below);
  };
  for (let count = 0; count < RANDOM_READS; count += 1) ranges.push([random(byteLength), random(Math.min(byteLength, 200_000))]);
  return ranges;
}

function writesIn(byteLength: number, blockSize: number): readonly (readonly [number, number])[] {
  const ranges = [
    [5000, 3000],
    [0, 1],
    [4095, 2],
    [7000, 20_000],
    [byteLength - 512, 512],
  ] as const;
  return ranges.map(([offset, length]) => {
    const start = offset - (offset % blockSize);
    return [start, Math.min(byteLength - start, Math.ceil(length / blockSize) * blockSize)] as const;
  });
}

/** `extents` are ascending and contiguous from `start` to `end`; those that are not data read as zeros. */
function expectCover(extents: readonly Extent[], start: number, end: number, content: Uint8Array): void {
  let at = start;
  for (const extent of extents) {
    require(extent.start === at && extent.end > at, `an extent from ${extent.start} to ${extent.end} where one begins at ${at}`);
    const isZero = extent.status === 'data' || content.subarray(extent.start, extent.end).every((byte) => byte === 0);
    require(isZero, `extent ${extent.start} to ${extent.end} is ${extent.status}, but has other bytes than zeros`);
    at = extent.end;
  }
  require(at === end, `extents end at ${at}, expected ${end}`);
}

function isPart(one: Extent, owner: Extent): boolean {
  const shift = one.start - owner.start;
  return (
    one.status === owner.status &&
    one.depth === owner.depth &&
    one.compressed === owner.compressed &&
    one.fileOffset === (owner.fileOffset === undefined ? undefined : owner.fileOffset + shift)
  );
}

async function collect(extents: AsyncIterable<Extent>): Promise<Extent[]> {
  const list: Extent[] = [];
  for await (const extent of extents) list.push({ ...extent });
  return list;
}

async function rejectionOf(result: Promise<unknown>): Promise<unknown> {
  try {
    await result;
    return undefined;
  } catch (error) {
    return error;
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && one.every((byte, at) => byte === other[at]);
}
