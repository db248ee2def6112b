/** How fast are the guest's bytes of an image, read from beginning to end? */
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { named, type Question } from './question.ts';
import { type Contender, measureInTurns } from './rounds.ts';

const MiB = 2 ** 20;
const MEBIBYTES = 1024;
/** QEMU with one request at a time, as the reader: by itself it keeps eight, and decompresses in four threads. */
const MAX_TIMES = 1.5;
/** Each round reads 3 GiB three times. */
const ROUNDS = 7;

const KINDS = ['raw', 'qcow2', 'zlib'] as const;

export const sequentialRead: Question = {
  name: 'sequential-read',
  title: 'All guest bytes of an image of 1 GiB',
  setting:
    'The same content raw, as qcow2, and as qcow2 compressed by zlib to three quarters; files in the page cache. Whole processes. `plimsoll` is its reader alone, in pieces of 2 MiB that are thrown away; `qemu-img convert` writes to a device that throws away, too; with `-m 1` it keeps one request under way, else eight, decompressed in up to four threads.',
  answer: (directory) => {
    const images = makeImages(directory);
    const reader = join(directory, 'reader.mjs');
    buildSync({
      entryPoints: [join(import.meta.dirname, 'sequential-reader.ts')],
      outfile: reader,
      bundle: true,
      format: 'esm',
      platform: 'node',
      conditions: ['source'],
      external: ['koffi', 'zstddec'],
      logLevel: 'warning',
    });
    const contenders = KINDS.flatMap((kind): Contender[] => {
      const convert = ['qemu-img', 'convert', '-f', formatOf(kind), '-n', '--target-image-opts'] as const;
      return [
        { name: `plimsoll, ${kind}`, words: [process.execPath, reader, formatOf(kind), images[kind]] },
        { name: `qemu-img convert -m 1, ${kind}`, words: [...convert, '-m', '1', images[kind], NOWHERE] },
        { name: `qemu-img convert, ${kind}`, words: [...convert, images[kind], NOWHERE] },
      ];
    });
    const measured = measureInTurns(contenders, { rounds: ROUNDS, memory: true });
    return {
      measured,
      verdicts: KINDS.map((kind) => {
        const times = named(measured, `plimsoll, ${kind}`).medianMs / named(measured, `qemu-img convert -m 1, ${kind}`).medianMs;
        const text = `${kind}: ${times.toFixed(2)} times the time of qemu-img convert -m 1, wanted at most ${MAX_TIMES}`;
        return { text, met: times <= MAX_TIMES };
      }),
    };
  },
};

const NOWHERE = `driver=null-co,size=${MEBIBYTES * MiB},read-zeroes=off`;

function formatOf(kind: (typeof KINDS)[number]): string {
  return kind === 'raw' ? 'raw' : 'qcow2';
}

function makeImages(directory: string): Record<(typeof KINDS)[number], string> {
  const images = { raw: join(directory, 'image.raw'), qcow2: join(directory, 'image.qcow2'), zlib: join(directory, 'zlib.qcow2') };
  const fd = openSync(images.raw, 'w');
  for (let index = 0; index < MEBIBYTES; index += 1) writeSync(fd, mebibyte(index));
  closeSync(fd);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', images.raw, images.qcow2]);
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', '-W', '-m', '4', images.raw, images.zlib]);
  execFileSync('sync', ['-f', directory]);
  return images;
}

/** Words of 32 bits, of which a compressor saves a quarter: noise in the low half, a slow counter in the high. */
function mebibyte(index: number): Uint8Array {
  const words = new Uint32Array(MiB / 4);
  let state = index + 1;
  for (let at = 0; at < words.length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    words[at] = (state >>> 16) + (((at >>> 8) & 0xffff) << 16);
  }
  return new Uint8Array(words.buffer);
}
