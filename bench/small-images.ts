/** Many small qcow2 images with data in them, for the questions about whole stores. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const KINDS = 16;
const MiB = 2 ** 20;

/** `count` images of 1 GiB below `directory`, each a copy of one of 16 that QEMU wrote a few clusters of. Returns their paths. */
export function makeSmallImages(directory: string, count: number): string[] {
  mkdirSync(directory);
  const patterns = `${directory}-patterns`;
  mkdirSync(patterns);
  const originals = Array.from({ length: KINDS }, (_, kind) => makePattern(join(patterns, `${kind}.qcow2`), kind));
  return Array.from({ length: count }, (_, index) => {
    const path = join(directory, `vm-${String(index).padStart(5, '0')}.qcow2`);
    // Every image its own blocks: sharing would be a different question.
    if (index % 1000 === 0) execFileSync('sync', ['-f', directory]);
    copyFileSync(originals[index % KINDS] as string, path, constants.COPYFILE_EXCL);
    return path;
  });
}

function makePattern(path: string, kind: number): string {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1G']);
  // One to four pieces, one of them under an L2 table of its own.
  const commands = Array.from({ length: 1 + (kind % 4) }, (_, piece) => ['-c', `write -q ${(piece * 300 + kind) * MiB} 64k`]).flat();
  execFileSync('qemu-io', [...commands, path]);
  return path;
}
