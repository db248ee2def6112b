/**
 * Names found inside an image are requests. This is the policy that answers them: which may be opened at all, judged on
 * the object that was found, never on the text of a path.
 */
import { PlimsollError } from '#base';
import type { RealPlace } from '#host';

/** Longest chain of backing files that is followed. */
export const MAX_CHAIN_DEPTH = 16;

/** Why a name is never looked up, or undefined when the policy may be asked about the file it leads to. */
export function refusedName(name: string): string | undefined {
  if (name === '') return 'the name is empty';
  if (name.startsWith('json:')) return 'json: names are never opened';
  const colon = name.indexOf(':');
  const slash = name.indexOf('/');
  if (colon >= 0 && (slash < 0 || colon < slash)) return `names with a scheme (${name.slice(0, colon)}:) are never opened`;
  return undefined;
}

/**
 * A check for `openImageFile`: the file must lie in the tree of the directory where `image` really is, or of an allowed one.
 * Judged on bytes: two names that are no UTF-8 can look the same and be different.
 */
export function permitWithin(image: RealPlace, allowedRealPaths: readonly string[]): (place: RealPlace) => void {
  const trees = [directoryOf(image.realPathBytes), ...allowedRealPaths.map((tree) => Buffer.from(tree.endsWith('/') ? tree : `${tree}/`))];
  return ({ realPath, realPathBytes }) => {
    if (trees.some((tree) => realPathBytes.subarray(0, tree.length).equals(tree))) return;
    throw new PlimsollError('refused', 'REFERENCE_OUTSIDE', {
      doing: 'follow a reference of the image',
      found: realPath,
      expected: 'a file in the same directory tree (allow others with --allow-dir)',
    });
  };
}

/**
 * The path that `name` means in the image that was opened as `imagePath`: beside it, as QEMU takes it, also where that is a
 * symbolic link to an image elsewhere.
 */
export function referencedPath(imagePath: Buffer, name: Uint8Array): Buffer {
  return name[0] === SLASH ? Buffer.from(name) : Buffer.concat([directoryOf(imagePath), name]);
}

const SLASH = 0x2f;

/** The directory part of a path, up to and with its last slash; empty for a bare name. */
function directoryOf(path: Buffer): Buffer {
  return path.subarray(0, path.lastIndexOf(SLASH) + 1);
}
