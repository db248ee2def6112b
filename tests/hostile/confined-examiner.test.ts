/** Examinations in confined workers: the figures are those of an inline one, and an image that ends its worker loses its own only. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfinedExaminer, examineFile, type Examined } from '#sandbox';
import { aQcow2 } from '../support/qcow2-builder.ts';
import { ROOT } from '../support/root.ts';
import { bundleWorker, REAL_WORKER } from '../support/worker-bundle.ts';
import { VECTORS } from './vectors.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-examiner-'));
let real: string;
let tampered: string;

beforeAll(async () => {
  real = await bundleWorker(REAL_WORKER, join(directory, 'real.mjs'));
  tampered = await bundleWorker(join(ROOT, 'tests/hostile/examiner-worker.ts'), join(directory, 'tampered.mjs'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function image(name: string, build = aQcow2()): string {
  const path = join(directory, name);
  build.write(path);
  return path;
}

const comparable = ({ report, facts, isOther, holes, exported, lookedUp }: Examined): unknown => ({
  report,
  facts,
  isOther,
  holes,
  exported,
  lookedUp,
});

describe('an examination in a confined worker', () => {
  it('gives what one in this process gives, of hostile images and of those that refer to others', async () => {
    await using examiner = await ConfinedExaminer.start({ worker: real });
    const paths = VECTORS.filter(({ image: one }) => one.length < 2 ** 22).map(({ name, image: one }, index) => {
      const path = join(directory, `vector-${index}-${name.replaceAll('/', '_')}`);
      writeFileSync(path, one.bytes());
      return path;
    });
    expect(paths.length).toBeGreaterThan(20);
    writeFileSync(join(directory, 'raw.img'), new Uint8Array(2 ** 20));
    writeFileSync(join(directory, 'notes.txt'), 'text');
    symlinkSync('/etc/passwd', join(directory, 'passwd-link'));
    paths.push(join(directory, 'raw.img'), join(directory, 'notes.txt'));
    for (const [name, backing] of Object.entries({
      present: 'raw.img',
      missing: 'none',
      outside: '/etc/passwd',
      link: 'passwd-link',
      itself: 'itself',
    }))
      paths.push(image(name, aQcow2().withBackingFile(backing, 'raw')));
    // Storage is allocated when the data is written out: the facts do not change after that.
    execFileSync('sync', ['-f', directory]);
    for (const path of paths) {
      for (const discovered of [false, true]) {
        const inline = await examineFile(path, { discovered });
        expect(comparable(await examineFile(path, { discovered, examiner })), path).toEqual(comparable(inline));
      }
    }
  });

  it.each([
    ['crash', 'WORKER_CRASHED'],
    ['exit', 'WORKER_ENDED'],
    ['shape', 'WORKER_PROTOCOL'],
    ['number', 'WORKER_PROTOCOL'],
    ['reference', 'WORKER_PROTOCOL'],
  ])('of an image that took its worker over (%s) is an error of its own report', async (deed, code) => {
    await using examiner = await ConfinedExaminer.start({ worker: tampered });
    const paths = [image('a'), image(`${deed}-b`), image('c'), image('d')];
    const examined = await Promise.all(paths.map((path) => examineFile(path, { examiner })));
    expect(examined.map(({ report }) => report.error?.code)).toEqual([undefined, code, undefined, undefined]);
    expect(examined.map(({ report }) => report.commitment === null)).toEqual([false, true, false, false]);
    // What the host states of the file is known all along.
    expect(examined[1]?.report).toMatchObject({ length: examined[0]?.report.length, path: paths[1] });
  });

  it('takes facts of the host from the host', async () => {
    await using examiner = await ConfinedExaminer.start({ worker: tampered });
    const path = image('facts-a');
    const { report } = await examineFile(path, { examiner });
    expect(report).toMatchObject({ path, length: (await examineFile(path)).report.length, openForWriting: false });
  });
});
