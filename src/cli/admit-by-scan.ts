/** Admission without a daemon: scans the given directory and decides on its result. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asPlimsollError, PlimsollError, USUAL_WRITES } from '#base';
import { commitmentOfNew, parseCreateOptions } from '#create';
import { filesystemOf, storageRulesOf } from '#host';
import { admits, DEFAULT_RULES, explainVerdict, mapsExceed, reserveOf, type StoreFacts, sumOf, withLargestFile } from '#pool';
import { mapBytesAtMost } from '#sandbox';
import type { AdmissionDecision, AdmissionRequest, Growth, StoreReport } from '#wire';
import { collectScan } from './commands/scan.ts';
import type { Session } from './session.ts';

const NO_GROWTH: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'no history: no daemon is running' };

/** Throws: usage, ADMIT_GROWTH; not-found, if the directory or a store in it does not exist. */
export async function admitByScan(request: AdmissionRequest, session: Session): Promise<AdmissionDecision> {
  if (request.policy === 'growth') {
    throw new PlimsollError('usage', 'ADMIT_GROWTH', {
      doing: 'admit',
      found: 'the policy growth without a daemon',
      expected: 'promise or entitled: growth is unknown without history',
    });
  }
  const directory = await directoryOf(request.store);
  const { assume = [] } = request;
  // Whether the maps fit depends on the request: the sum decides that.
  const report = await collectScan([directory], { assume: [...new Set([...assume, USUAL_WRITES])] }, session);
  const [store] = report.stores;
  if (store === undefined) {
    const [error] = report.errors;
    throw new PlimsollError('not-found', 'STORE_UNKNOWN', {
      doing: 'look up the store',
      image: directory,
      found: error?.message ?? 'nothing',
      expected: 'a directory',
    });
  }
  const bytes = request.bytes ?? (await bytesOf(request.image, directory));
  const filesystem = await filesystemOf(directory);
  const rules = storageRulesOf(filesystem);
  const facts = {
    ...factsOf(store),
    mapExcess: store.mapExcess,
    mapBytes: (more: number, files: number) => mapBytesAtMost(rules, more, files),
    usualWrites: assume.includes(USUAL_WRITES),
  };
  const asked = { ...request, bytes };
  const sum = sumOf(facts, DEFAULT_RULES, asked);
  const restsOnUsualWrites = facts.usualWrites && mapsExceed(facts, sum, asked);
  const scannedAt = new Date().toISOString();
  const decision: AdmissionDecision = {
    schema: 'plimsoll.admission/1',
    admitted: admits(sum),
    store: store.id,
    host: store.host,
    bytes,
    sum,
    message: explainVerdict(sum, facts, bytes),
    assumed: [...store.assumed.filter((one) => one !== USUAL_WRITES), ...(restsOnUsualWrites ? [USUAL_WRITES] : [])],
    scannedAt,
    reservation: null,
  };
  return request.image === undefined ? decision : withLargestFile(decision, bytes, filesystem.largestNewFile);
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

async function bytesOf(image: AdmissionRequest['image'], directory: string): Promise<number> {
  if (image === undefined) return 0;
  const rules = storageRulesOf(await filesystemOf(directory));
  return commitmentOfNew(
    image.format,
    image.capacity,
    parseCreateOptions(image.format, image.options === undefined ? [] : [image.options]),
    { rules, isOwn: false },
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
