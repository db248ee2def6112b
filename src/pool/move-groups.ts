/**
 * Images that have to be moved together: of one machine, or of one backing chain. A backing file of several overlays stays
 * where it is: whoever moves one overlay must have it at the target, or flatten. Pure.
 */
import type { ImageView } from '#wire';

/** Groups of images, each image in exactly one. Chains that a machine joins are one group. */
export function groupsOf(images: readonly ImageView[]): readonly (readonly ImageView[])[] {
  const parents = images.map((_, index) => index);
  const rootOf = (index: number): number => {
    let root = index;
    while (parents[root] !== root) root = parents[root] as number;
    // Paths stay short, however long a chain is.
    for (let at = index; parents[at] !== root; ) [at, parents[at]] = [parents[at] as number, root];
    return root;
  };
  const join = (a: number, b: number | undefined): void => {
    if (b !== undefined) parents[rootOf(a)] = rootOf(b);
  };
  const byPath = new Map(images.map(({ path }, index) => [path, index]));
  const byMachine = new Map<string, number>();
  for (const [index, image] of images.entries()) {
    for (const link of image.chain) if (link.path !== null) join(index, ownLink(images, byPath.get(link.path)));
    if (image.machine === null) continue;
    join(index, byMachine.get(image.machine));
    byMachine.set(image.machine, index);
  }
  const groups = new Map<number, ImageView[]>();
  for (const [index, image] of images.entries()) {
    const root = rootOf(index);
    const group = groups.get(root);
    if (group === undefined) groups.set(root, [image]);
    else group.push(image);
  }
  return [...groups.values()];
}

/** The image at `index`, unless it serves several overlays. */
function ownLink(images: readonly ImageView[], index: number | undefined): number | undefined {
  return index !== undefined && (images[index] as ImageView).backingOf.length > 1 ? undefined : index;
}

/** Backing files that serve others too: what has to be at the target before the group can be there. */
export function sharedBasesOf(group: readonly ImageView[], images: ReadonlyMap<string, ImageView>): readonly string[] {
  const linked = group.flatMap(({ chain }) => chain.flatMap(({ path }) => path ?? []));
  return [...new Set(linked)].filter((path) => (images.get(path)?.backingOf.length ?? 0) > 1);
}
