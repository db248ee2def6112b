/** Checks admission without a daemon: on the result of a single scan of the given directory. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asPlimsollError, type Assumption, PlimsollError, USUAL_WRITES } from '#base';
import { filesystemOf, storageRulesOf } from '#host';
import { DEFAULT_RULES, reserveOf, type StoreFacts } from '#pool';
import { mapBytesAtMost } from '#sandbox';
import type { AdmissionDecision, AdmissionRequest, Growth, ScanReport, StoreReport } from '#wire';
import { decideAdmission } from './decision.ts';
import { requestedSize } from './requested-size.ts';

const NO_GROWTH: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'no history: no daemon is running' };

/** Scans one directory under the administrator's declarations. */
export type ScanDirectory = (directory: string, assume: readonly Assumption[]) => Promise<ScanReport>;

/**
 * `request.store` is a path: of a directory, or of an image to be created in one.
 *
 * Throws: usage, ADMIT_GROWTH, ADMISSION_WHAT; not-found, if the directory or a store in it does not exist; as `scan`.
 */
export async function checkAdmissionByScan(request: AdmissionRequest, scan: ScanDirectory): Promise<AdmissionDecision> {
  if (request.policy === 'growth') {
    throw new PlimsollError('usage', 'ADMIT_GROWTH', {
      doing: 'admit',
      found: 'the policy growth without a daemon',
      expected: 'promise or entitled: growth is unknown without history',
    });
  }
  const { bytesOn, isImage } = requestedSize(request);
  const directory = await directoryOf(request.store);
  const { assume = [] } = request;
  // Whether the maps fit depends on the request: the sum decides that.
  const store = storeOf(await scan(directory, [...new Set([...assume, USUAL_WRITES])]), directory);
  const filesystem = await filesystemOf(directory);
  const rules = storageRulesOf(filesystem);
  const facts = {
    ...factsOf(store),
    mapExcess: store.mapExcess,
    mapBytes: (bytes: number, files: number) => mapBytesAtMost(rules, bytes, files),
    usualWrites: assume.includes(USUAL_WRITES),
  };
  const basis = {
    facts,
    rules: DEFAULT_RULES,
    host: store.host,
    largestNewFile: filesystem.largestNewFile,
    scannedAtMs: Date.now(),
    assumed: (restsOnUsualWrites: boolean) => [
      ...store.assumed.filter((one) => one !== USUAL_WRITES),
      ...(restsOnUsualWrites ? [USUAL_WRITES] : []),
    ],
  };
  return decideAdmission(basis, request, { bytes: bytesOn(rules), isImage });
}

function storeOf({ stores: [store], errors: [error] }: ScanReport, directory: string): StoreReport {
  if (store !== undefined) return store;
  throw new PlimsollError('not-found', 'STORE_UNKNOWN', {
    doing: 'look up the store',
    image: directory,
    found: error?.message ?? 'nothing',
    expected: 'a directory',
  });
}

async function directoryOf(path: string): Promise<string> {
  try {
    return (await stat(path)).isDirectory() ? path : dirname(path);
  } catch (thrown) {
    const error = asPlimsollError(thrown, 'look up the store', path);
    // The image need not exist yet; its directory must.
    if (error.kind !== 'not-found' || !(await isDirectory(dirname(path)))) throw error;
    return dirname(path);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function factsOf(report: StoreReport): StoreFacts {
  const { id, size, available, allocation, residual, headroom, fits, findings } = report;
  const caveat =
    fits === null || (!fits && (headroom ?? -1) >= 0)
      ? (findings.find(({ level }) => level !== 'info')?.message ?? 'something could not be read')
      : null;
  const figures = { store: id, size, available, allocation, residual, reserved: 0 };
  return { ...figures, growth: NO_GROWTH, otherGrowth: NO_GROWTH, caveat, ...reserveOf(report) };
}
