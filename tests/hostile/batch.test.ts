/** Images that share a confined worker: each gets the verdict that it gets alone, whatever the others do to the worker. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PlimsollError } from '#base';
import { DEFAULT_POLICY, vetFile, vetMany, type VetOutcome, vetSharing } from '#sandbox';
import { aQcow2 } from '../support/qcow2-builder.ts';
import { ROOT } from '../support/root.ts';
import { bundleWorker } from '../support/worker-bundle.ts';
import { VECTORS } from './vectors.ts';
import { VET_VECTORS } from './vet-vectors.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-batch-'));
let worker: string;

beforeAll(async () => {
  worker = await bundleWorker(join(ROOT, 'tests/hostile/batch-worker.ts'), join(directory, 'worker.mjs'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Files in a directory of their own; a name that begins with a deed is one of the tampered worker. */
function images(folder: string, names: readonly string[]): string[] {
  mkdirSync(join(directory, folder));
  return names.map((name) => {
    const path = join(directory, folder, name);
    aQcow2().write(path);
    return path;
  });
}

async function collected(outcomes: AsyncIterable<VetOutcome>): Promise<VetOutcome[]> {
  const list: VetOutcome[] = [];
  for await (const outcome of outcomes) list.push(outcome);
  return list;
}

/** Verdict or code of the error, in order. */
function told(outcomes: readonly VetOutcome[]): string[] {
  return outcomes.map(({ report, error }) => report?.verdict ?? error?.code ?? '');
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** Descriptors of this process that lead into `directory`. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${name}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      return [];
    }
  });
}

/** Pids of confined Nodes that were started by this process with `word` in their command line. */
function workers(word: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const line = existsSync(`/proc/${pid}/cmdline`) ? safely(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1')) : '';
      return line.startsWith('bwrap') && line.includes(word);
    })
    .map(Number);
}

function safely(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

describe('a batch with hostile images in it', () => {
  const common = VET_VECTORS.filter(({ declared, policy }) => declared === undefined && policy === undefined);

  it('gives each exactly the report that it gets alone', async () => {
    const folder = join(directory, 'vectors');
    mkdirSync(folder);
    const sources = [
      ...common.map(({ name, bytes }) => ({ name, bytes })),
      ...VECTORS.filter(({ image }) => image.length < 2 ** 24).map(({ name, image }) => ({ name, bytes: () => image.bytes() })),
    ];
    const paths = sources.map(({ name, bytes }, index) => {
      const path = join(folder, `${index}-${name}`);
      writeFileSync(path, bytes());
      return path;
    });
    const together = await collected(vetMany(paths, { oneWorker: true }));
    expect(together.map(({ path }) => path)).toEqual(paths);
    expect(new Set(told(together))).toEqual(new Set(['safe', 'refused', 'ambiguous']));
    for (const { path, report } of together) expect(report).toEqual(await vetFile(path, { unconfined: true }));
    // Confined, alone: a process each, so only some of them.
    for (const { path, report } of together.slice(0, 12)) expect(report).toEqual(await vetFile(path));
  });

  it('applies the declared format, the policy and the request for a hash, as alone', async () => {
    const paths = images('policy', ['a', 'b']);
    const options = { declared: 'raw', policy: { ...DEFAULT_POLICY, formats: ['raw'] as const }, sha256: true };
    const together = await collected(vetMany(paths, { ...options, oneWorker: true }));
    for (const { path, report } of together) expect(report).toEqual(await vetFile(path, options));
    expect(told(together)).toEqual(['refused', 'refused']);
  });
});

describe('a file that cannot be opened', () => {
  it('is an outcome at its position', async () => {
    const [good = '', other = ''] = images('missing', ['a', 'b']);
    const outcomes = await collected(vetMany([good, join(directory, 'none'), directory, other], { oneWorker: true }));
    expect(told(outcomes)).toEqual(['safe', 'IO_ENOENT', 'NOT_A_REGULAR_FILE', 'safe']);
  });

  it('is distinguished from the target of a link, also after other files of its directory were opened', async () => {
    const paths = images('links', ['a', 'b', 'c']);
    for (const [index, target] of ['b', '../links/c', '/dev/zero', 'nowhere'].entries()) {
      const link = join(directory, 'links', `link-${index}`);
      symlinkSync(target, link);
      paths.push(link);
    }
    // Enough names before the links that the directory is cached when they come.
    const names = [...Array.from({ length: 20 }, () => paths[0] as string), ...paths];
    const outcomes = await collected(vetMany(names, { oneWorker: true }));
    expect(told(outcomes.slice(20))).toEqual(['safe', 'safe', 'safe', 'safe', 'safe', 'NOT_A_REGULAR_FILE', 'IO_ENOENT']);
    const inodes = outcomes.map(({ report }) => report?.identity.inode);
    expect(inodes[23]).toBe(inodes[21]);
  });

  it('may be the only file; the list may be empty', async () => {
    expect(told(await collected(vetMany([join(directory, 'none')], { oneWorker: true })))).toEqual(['IO_ENOENT']);
    expect(await collected(vetMany([], { oneWorker: true }))).toEqual([]);
  });
});

describe('more files than one worker accepts', () => {
  it('are distributed over as many workers as needed, in order', async () => {
    const names = Array.from({ length: 11 }, (_, index) => `vm-${index}`);
    const paths = images('many', names);
    const outcomes = await collected(vetSharing(each(paths), { filesPerWorker: 3 }));
    expect(outcomes.map(({ path }) => path)).toEqual(paths);
    expect(new Set(told(outcomes))).toEqual(new Set(['safe']));
  });

  it('are not all opened at once', async () => {
    const paths = images(
      'few',
      Array.from({ length: 12 }, (_, index) => `vm-${index}`),
    );
    let most = 0;
    for await (const _ of vetSharing(each(paths), { filesPerWorker: 3 })) most = Math.max(most, openFiles().length);
    expect(most).toBeLessThanOrEqual(6);
    expect(openFiles()).toEqual([]);
  });
});

describe('an image that ends the worker', () => {
  it.each([
    ['crash', 'WORKER_CRASHED'],
    ['exit', 'WORKER_ENDED'],
    ['throw', 'INTERNAL'],
  ])('by %s gets %s, and the others their verdicts', async (deed, code) => {
    const paths = images(deed, ['a', 'b', `${deed}-c`, 'd', `${deed}-e`, `${deed}-f`, 'g']);
    const outcomes = await collected(vetSharing(each(paths), { worker }));
    expect(told(outcomes)).toEqual(['safe', 'safe', code, 'safe', code, code, 'safe']);
    expect(outcomes[2]?.error).toBeInstanceOf(PlimsollError);
  });

  it('gets its verdict if only those before it used up the memory', async () => {
    const paths = images('hoard', ['hoard-a', 'b', 'hoard-c', 'hoard-d', 'e']);
    expect(told(await collected(vetSharing(each(paths), { worker })))).toEqual(['safe', 'safe', 'safe', 'safe', 'safe']);
  });

  it.each(['more', 'next'])('with an unrequested answer (%s) is detected', async (deed) => {
    const paths = images(deed, ['a', `${deed}-b`, 'c']);
    expect(told(await collected(vetSharing(each(paths), { worker })))).toEqual(['safe', 'WORKER_PROTOCOL', 'safe']);
  });
});

describe('a worker that is killed midway', () => {
  it('loses the verdict of the image in hand, and no other', async () => {
    const paths = images('killed', ['a', 'b', 'sleep-c', 'd', 'e']);
    const outcomes: VetOutcome[] = [];
    for await (const outcome of vetSharing(each(paths), { worker })) {
      outcomes.push(outcome);
      // It sleeps on the third.
      if (outcomes.length === 2) for (const pid of workers(worker)) process.kill(pid, 'SIGKILL');
    }
    expect(told(outcomes)).toEqual(['safe', 'safe', 'WORKER_KILLED', 'safe', 'safe']);
    expect(outcomes[2]?.error).toMatchObject({ kind: 'io', where: { image: paths[2] } });
  });
});

describe('a caller that stops early', () => {
  it.each([
    ['by leaving the loop', undefined],
    ['by a signal', new Error('enough')],
  ])('%s leaves no process and no open file behind', async (_, reason) => {
    const paths = images(`stop-${String(reason !== undefined)}`, ['a', 'spin-b', 'c', 'd', 'e', 'f', 'g']);
    const controller = new AbortController();
    const reading = async (): Promise<void> => {
      for await (const { report } of vetSharing(each(paths), { worker, filesPerWorker: 3, signal: controller.signal })) {
        expect(report?.verdict).toBe('safe');
        if (reason === undefined) break;
        controller.abort(reason);
      }
    };
    if (reason === undefined) await reading();
    else await expect(reading()).rejects.toBe(reason);
    expect(workers(worker)).toEqual([]);
    expect(openFiles()).toEqual([]);
  });
});

describe('one worker for each image', () => {
  it('gives the same outcomes in the same order', async () => {
    const paths = [...images('own', ['a', 'b', 'c']), join(directory, 'none')];
    const [own, shared] = [await collected(vetMany(paths)), await collected(vetMany(paths, { oneWorker: true }))];
    expect(own.map(({ report }) => report)).toEqual(shared.map(({ report }) => report));
    expect(told(own)).toEqual(['safe', 'safe', 'safe', 'IO_ENOENT']);
  });

  it.each([['a path'], [Buffer.from('a path')], [undefined], [[7]]])('refuses %j for paths', async (paths) => {
    await expect(collected(vetMany(paths as never))).rejects.toMatchObject({ kind: 'usage', code: 'LIBRARY_ARGUMENT' });
  });
});
