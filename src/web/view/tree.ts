/** The tree of an image: its backing files and its overlays. Pure. */
import type { ImageView } from '#wire';

export interface TreeNode {
  readonly path: string;
  readonly role: 'backing' | 'data' | 'this' | 'overlay';
  /** Levels below the root of the tree. */
  readonly depth: number;
  readonly note: string | null;
  /** It was read, and may therefore have a page of its own. */
  readonly isKnown: boolean;
}

/** The root of the chain first, then the files above it, this image, its overlays; data files are below this image. */
export function treeOf(image: ImageView): TreeNode[] {
  const backing = image.chain.filter(({ role }) => role === 'backing').sort((one, other) => other.depth - one.depth);
  const below = backing.map((link, index) => linkNode(link, index));
  const depth = backing.length;
  const data = image.chain.filter(({ role }) => role === 'data').map((link) => linkNode(link, depth + 1));
  const overlays = image.backingOf.map((path) => ({ path, role: 'overlay' as const, depth: depth + 1, note: null, isKnown: true }));
  return [...below, { path: image.path, role: 'this', depth, note: null, isKnown: true }, ...data, ...overlays];
}

function linkNode(link: ImageView['chain'][number], depth: number): TreeNode {
  const isKnown = link.status === 'opened' && link.path !== null;
  const note = isKnown ? null : `${link.status}${link.reason === undefined ? '' : `: ${link.reason}`}`;
  return { path: link.path ?? link.name, role: link.role, depth, note, isKnown };
}
