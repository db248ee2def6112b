/** Applies the findings about the storage below a store to its available space and its verdict. Pure. */
import type { Assumption } from '#base';
import type { StorageCaveat, StorageLimit } from '#block';
import type { HostFilesystem } from '#host';
import type { Finding } from '#wire';
import type { DomainResiduals } from './domains.ts';

/** What a store's sums tell of its images, for limits that cover some of them. */
export interface Demand {
  /** Of all images. */
  readonly leastResidual: number;
  readonly byDomain: DomainResiduals;
}

export interface StorageVerdict {
  /** A yes is possible. */
  readonly isReliable: boolean;
  /** The declarations that a yes rests on. */
  readonly assumed: readonly Assumption[];
  readonly findings: readonly Finding[];
}

/**
 * Available bytes under every limit: what the images that a limit covers do not need of it is left to the others.
 *
 * Never more than the filesystem reports.
 */
export function availableUnderLimits({ available, underlying }: Pick<HostFilesystem, 'available' | 'underlying'>, demand: Demand): number {
  return Math.min(available, ...limitsThatApply(underlying, demand).map(({ limited }) => limited));
}

/** `others`: caveats that do not come from the ground, and that a declaration can answer too. */
export function judgeUnderlyingStorage(
  filesystem: HostFilesystem,
  demand: Demand,
  assume: readonly Assumption[],
  others: readonly StorageCaveat[] = [],
): StorageVerdict {
  const { underlying, available } = filesystem;
  const caveats = [...underlying.caveats, ...others];
  const isCovered = (by: Assumption | null): by is Assumption => by !== null && assume.includes(by);
  const open = caveats.filter(({ coveredBy }) => !isCovered(coveredBy));
  const covered = caveats.filter(({ coveredBy }) => isCovered(coveredBy));
  // What stands among the caveats is not repeated.
  const isStated = ({ message }: StorageLimit): boolean => open.some((caveat) => caveat.message === message);
  const binding = limitsThatApply(underlying, demand).filter(({ limited, limit }) => limited < available && !isStated(limit));
  return {
    isReliable: open.length === 0,
    assumed: [...new Set(covered.flatMap(({ coveredBy }) => coveredBy ?? []))].sort(),
    findings: [
      ...open.map((caveat): Finding => ({ level: caveat.level, code: caveat.code, message: `${caveat.message}${hint(caveat.coveredBy)}` })),
      ...binding.map(({ limit }): Finding => ({ level: limit.level, code: limit.code, message: limit.message })),
      ...covered.map(
        ({ message, coveredBy }): Finding => ({
          level: 'info',
          code: 'ASSUMED',
          message: `Declared by the administrator, not verified by plimsoll (assume ${coveredBy}): ${DECLARED[coveredBy as Assumption]} ${message}`,
        }),
      ),
      ...underlying.countedLayers.map((message): Finding => ({ level: 'info', code: 'STORAGE_BELOW_COUNTED', message })),
    ],
  };
}

const DECLARED: Readonly<Record<Assumption, string>> = {
  exclusive: 'only this host takes space here.',
  backed: 'every available byte has storage below it.',
  'no-quota': 'no quota limits the images.',
  'usual-writes': 'no guest writes, zeroes or discards single blocks in an order chosen to enlarge the extent map of its file.',
};

function hint(coveredBy: Assumption | null): string {
  return coveredBy === null ? '' : ` If that is known not to be a risk, declare it: --assume ${coveredBy}.`;
}

interface ApplyingLimit {
  readonly limit: StorageLimit;
  /** Available space as far as this limit goes. */
  readonly limited: number;
}

/** A limit whose domain holds no image, and would hold no new one, limits nothing. */
function limitsThatApply({ limits, domains }: HostFilesystem['underlying'], { leastResidual, byDomain }: Demand): ApplyingLimit[] {
  return limits.flatMap((limit) => {
    const { domain, remaining } = limit;
    if (domain === null) return [{ limit, limited: remaining }];
    const inside = byDomain.get(domain);
    if (inside === undefined && !domains.includes(domain)) return [];
    return [{ limit, limited: remaining + Math.max(0, leastResidual - (inside ?? 0)) }];
  });
}
