/** The residual of the images under one quota: limits cover subvolumes, owners or projects, not whole stores. */
import { sharingInSteps, type StoredFile } from './sharing.ts';

/** An image by what a limit sees of it. Units: bytes. */
export interface LimitedImage extends StoredFile {
  /** As in `FileFacts.domains`. */
  readonly domains: readonly string[];
  /** The commitment that the store's sums count. */
  readonly commitment: number;
}

/** By domain, what its images may still write. Blocks that they share come apart when they are overwritten. */
export type DomainResiduals = ReadonlyMap<string, number>;

export function* domainResiduals(images: readonly LimitedImage[]): Generator<void, DomainResiduals> {
  const byDomain = new Map<string, LimitedImage[]>();
  for (const image of images) {
    for (const domain of image.domains) {
      const members = byDomain.get(domain);
      if (members === undefined) byDomain.set(domain, [image]);
      else members.push(image);
    }
  }
  const residuals = new Map<string, number>();
  for (const [domain, members] of byDomain) {
    const commitment = members.reduce((sum, member) => sum + member.commitment, 0);
    residuals.set(domain, Math.max(0, commitment - (yield* allocationOf(domain, members))));
  }
  return residuals;
}

/** A btrfs subvolume is charged once for what its files share; other quotas charge every file for all of its blocks. */
function* allocationOf(domain: string, members: readonly LimitedImage[]): Generator<void, number> {
  if (domain.startsWith('subvolume ')) return (yield* sharingInSteps(members)).allocation;
  return members.reduce((sum, { allocation }) => sum + allocation, 0);
}
