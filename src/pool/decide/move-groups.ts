/** Which images move together: those of a machine, else those of a backing chain. */

export interface ChainedImage {
  readonly path: string;
  /** The virtual machine that has it open, null where none is known. */
  readonly machine: string | null;
  /** Paths of the files that it is made on, directly; what is none of the images at hand is passed over. */
  readonly backing: readonly string[];
}

export interface ImageGroup {
  readonly machine: string | null;
  /** Leave with the group: its disks, and backing files that no other image uses. Ascending. */
  readonly own: readonly string[];
  /** Backing files that another group uses too: copied with it, and not freed. Ascending. */
  readonly shared: readonly string[];
}

/**
 * The groups of `images`, by the path of their first own image.
 *
 * What a group is about are images that back no other, and those that a machine has open for itself. All of one machine
 * are one group; each of no machine is one. Backing files go where they are used.
 */
export function groupImages(images: readonly ChainedImage[]): ImageGroup[] {
  const byPath = new Map(images.map((image) => [image.path, image]));
  const needed = disksByGroup(images, byPath).map(({ machine, disks }) => ({ machine, disks, paths: chainsOf(disks, byPath) }));
  const users = new Map<string, number>();
  for (const { paths } of needed) for (const path of paths) users.set(path, (users.get(path) ?? 0) + 1);
  return needed
    .map(({ machine, paths }) => ({
      machine,
      own: [...paths].filter((path) => users.get(path) === 1).sort(),
      shared: [...paths].filter((path) => users.get(path) !== 1).sort(),
    }))
    .filter(({ own }) => own.length > 0)
    .sort((a, b) => ((a.own[0] as string) < (b.own[0] as string) ? -1 : 1));
}

function disksByGroup(
  images: readonly ChainedImage[],
  byPath: ReadonlyMap<string, ChainedImage>,
): { machine: string | null; disks: string[] }[] {
  const backing = new Set(images.flatMap((image) => image.backing));
  const machines = new Map<string, string[]>();
  const alone: string[] = [];
  for (const { path, machine } of images) {
    if (backing.has(path)) continue;
    if (machine === null) alone.push(path);
    else machines.set(machine, [...(machines.get(machine) ?? []), path]);
  }
  // A machine that runs on what another image is made on, and not through that image.
  for (const { path, machine } of images) {
    if (machine === null || !backing.has(path)) continue;
    const disks = machines.get(machine) ?? [];
    if (!chainsOf(disks, byPath).has(path)) machines.set(machine, [...disks, path]);
  }
  return [...[...machines].map(([machine, disks]) => ({ machine, disks })), ...alone.map((path) => ({ machine: null, disks: [path] }))];
}

/** `disks` with all that they are made on. Chains that come back to themselves end there. */
function chainsOf(disks: readonly string[], byPath: ReadonlyMap<string, ChainedImage>): Set<string> {
  const found = new Set<string>();
  const open = [...disks];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const image = byPath.get(path);
    if (image === undefined || found.has(path)) continue;
    found.add(path);
    open.push(...image.backing);
  }
  return found;
}
