/** An answer about space where no daemon runs: the store is scanned, below the directory that was named. */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';
import { commitmentOfNew, parseCreateOptions } from '#create';
import { filesystemOf, storageRulesOf } from '#host';
import { admits, DEFAULT_RULES, explainVerdict, reserveOf, type StoreFacts, sumOf, withLargestFile } from '#pool';
import type { AdmissionDecision, AdmissionRequest, Growth, StoreReport } from '#wire';
import { collectScan } from './commands/scan.ts';
import type { Session } from './session.ts';

const NO_GROWTH: Growth = { low: null, high: null, samples: 0, spanSeconds: 0, unknown: 'no daemon has kept a history' };

/** Throws: usage, ADMIT_WATCH; not-found, when there is no such directory, or no store was found there. */
export async function admitByScan(request: AdmissionRequest, session: Session): Promise<AdmissionDecision> {
  if (request.policy === 'watch') {
    throw new PlimsollError('usage', 'ADMIT_WATCH', {
      doing: 'admit',
      found: 'the policy watch without a daemon',
      expected: 'promise or entitled: without history no growth is known',
    });
  }
  const directory = await directoryOf(request.store);
  const report = await collectScan([directory], request.assume === undefined ? {} : { assume: request.assume }, session);
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
  const facts = factsOf(store);
  const sum = sumOf(facts, DEFAULT_RULES, { ...request, bytes });
  const scannedAt = new Date().toISOString();
  const decision: AdmissionDecision = {
    schema: 'plimsoll.admission/1',
    admitted: admits(sum, facts),
    store: store.id,
    bytes,
    sum,
    message: explainVerdict(sum, facts, bytes),
    assumed: store.assumed,
    scannedAt,
    reservation: null,
  };
  const { largestNewFile } = await filesystemOf(directory);
  return request.image === undefined ? decision : withLargestFile(decision, bytes, largestNewFile);
}

async function directoryOf(path: string): Promise<string> {
  try {
    return (await stat(path)).isDirectory() ? path : dirname(path);
  } catch (thrown) {
    const error = asPlimsollError(thrown, 'look up the store', path);
    // The image need not be there yet, its directory has to be.
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
  const doubt =
    fits === null || (!fits && (headroom ?? -1) >= 0)
      ? (findings.find(({ level }) => level !== 'info')?.message ?? 'something could not be read')
      : null;
  const figures = { store: id, size, available, allocation, residual, reserved: 0 };
  return { ...figures, growth: NO_GROWTH, otherGrowth: NO_GROWTH, doubt, ...reserveOf(report) };
}
