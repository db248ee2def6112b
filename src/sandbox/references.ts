/**
 * Names found inside an image are requests. This is the policy that answers them: which may be opened at all, judged on
 * the object that was found, never on the text of a path.
 */
import { dirname } from 'node:path';
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

/** A check for `openImageFileAt`: the file must lie in the tree of `imageRealPath`'s directory or of an allowed directory. */
export function permitWithin(imageRealPath: string, allowedRealPaths: readonly string[]): (place: RealPlace) => void {
  const trees = [dirname(imageRealPath), ...allowedRealPaths].map((tree) => (tree.endsWith('/') ? tree : `${tree}/`));
  return ({ realPath }) => {
    if (trees.some((tree) => realPath.startsWith(tree))) return;
    throw new PlimsollError('refused', 'REFERENCE_OUTSIDE', {
      doing: 'follow a reference of the image',
      found: realPath,
      expected: 'a file in the same directory tree; --allow-dir names further ones',
    });
  };
}
