/** The ways to judge an image: as a file or as it arrives, inline or confined. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { vetFile, type VetOptions, vetStream } from '#sandbox';
import type { VetReport } from '#wire';

/** `write`: of an image that no memory holds; then there is no stream of it. */
export type Image = Uint8Array | { readonly write: (path: string) => unknown };
export type Vet = (image: Image, options: VetOptions) => Promise<VetReport>;

/** In pieces of all sizes, as a network brings them. */
export async function* arriving(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  let step = 1;
  for (let at = 0; at < bytes.byteLength; at += step) {
    step = (step * 7 + 3) % 100_003;
    yield bytes.subarray(at, Math.min(bytes.byteLength, at + step));
  }
}

let fileCount = 0;

/** `directory`: where the files are made. */
export function waysToVet(directory: string): readonly (readonly [string, Vet])[] {
  const asFile: Vet = async (image, options) => {
    fileCount += 1;
    const own = mkdtempSync(join(directory, `vet-${fileCount}-`));
    const path = join(own, 'image');
    if (image instanceof Uint8Array) writeFileSync(path, image);
    else image.write(path);
    try {
      return await vetFile(path, { ...options, sha256: image instanceof Uint8Array });
    } finally {
      rmSync(own, { recursive: true });
    }
  };
  const asStream: Vet = (image, options) =>
    image instanceof Uint8Array ? vetStream(arriving(image), options) : Promise.reject(new Error('no memory holds the image'));
  const inline =
    (vet: Vet): Vet =>
    (image, options) =>
      vet(image, { ...options, unconfined: true });
  return [
    ['as a file, inline', inline(asFile)],
    ['as a stream, inline', inline(asStream)],
    ['as a file, confined', asFile],
    ['as a stream, confined', asStream],
  ];
}
