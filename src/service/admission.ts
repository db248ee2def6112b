/** The use cases of admission on monitored stores: check, reserve, release. */
import { PlimsollError } from '#base';
import { hostIdentity } from '#host';
import type { AdmissionDecision, AdmissionRequest, Reservation } from '#wire';
import { type DecisionBasis, decideAdmission, type SizedFor } from './decision.ts';
import { type Held, type MonitoredStore, NOTHING_HELD } from './monitored-store.ts';
import { requestedSize, type RequestedSize } from './requested-size.ts';
import type { ReservationBook } from './reservation-book.ts';
import { nameInScans } from './store-directory.ts';
import type { HeldRequest } from './store-service.ts';

export interface AdmissionContext {
  readonly reservations: ReservationBook;
  /** The store of an id or path, after a scan for changes. */
  readonly scanned: (store: string) => Promise<MonitoredStore>;
  /** A reservation was made or extended. */
  readonly onReserved: (reservation: Reservation, store: MonitoredStore) => void;
}

/** Throws: see StoreService. */
export async function checkAdmission({ reservations, scanned }: AdmissionContext, request: AdmissionRequest): Promise<AdmissionDecision> {
  const size = requestedSize(request);
  const store = await scanned(request.store);
  return decideAdmission(basisOf(store, request, reservations.heldOn(store.id)), request, sizeOn(store, size));
}

/** Throws: see StoreService; conflict, IMAGE_THERE; over-budget, RESERVATION_TOO_LARGE. */
export async function reserve(context: AdmissionContext, request: HeldRequest): Promise<AdmissionDecision> {
  const size = requestedSize(request);
  const { reservations } = context;
  const store = await context.scanned(request.store);
  const path = request.path === undefined ? null : await nameInScans(request.path, store.kept.directories);
  const { key, ttlSeconds, holder } = request;
  if (path !== null && !reservations.holds(key)) refuseExisting(store, path);
  const sized = sizeOn(store, size);
  const { bytes } = sized;
  if (request.overcommit === true) refuseMoreThanStore(store, request.key, bytes, reservations);
  const entry = { key, store: store.id, bytes, path, ttlSeconds, holder };
  // Synchronous from here to the end of the transaction: the decision is made on the state that is written.
  const basis = basisOf(store, request, reservations.heldBeside(entry));
  const { decision, reservation } = reservations.reserve(entry, () => {
    const answer = decideAdmission(basis, request, sized);
    return { hold: answer.admitted === true || request.overcommit === true, answer };
  });
  if (reservation !== null) context.onReserved(reservation, store);
  return { ...decision.answer, reservation };
}

function sizeOn({ kept }: MonitoredStore, { bytesOn, isImage }: RequestedSize): SizedFor {
  return { bytes: bytesOn(kept.rules), isImage };
}

function basisOf(store: MonitoredStore, { assume }: Pick<AdmissionRequest, 'assume'>, held: Held): DecisionBasis {
  const { kept, rules } = store;
  return {
    facts: store.facts(held, Date.now(), assume),
    rules,
    host: hostIdentity().id,
    largestNewFile: kept.largestNewFile,
    scannedAtMs: kept.scannedAtMs,
    assumed: (restsOnUsualWrites) => store.assumed(assume, restsOnUsualWrites),
  };
}

/** For `overcommit`: a request larger than the store can never be met and must not block the space of others. */
function refuseMoreThanStore(store: MonitoredStore, key: string, bytes: number, reservations: ReservationBook): void {
  const { size } = store.facts(NOTHING_HELD, Date.now());
  const held = reservations.holds(key) ? 0 : reservations.heldOn(store.id).bytes;
  if (size <= 0 || held + bytes <= size) return;
  throw new PlimsollError('over-budget', 'RESERVATION_TOO_LARGE', {
    doing: 'reserve space',
    field: 'bytes',
    found: held === 0 ? bytes : `${bytes} in addition to ${held} reserved`,
    expected: `at most ${size} together, the size of the store`,
  });
}

/** An existing image would fulfil the reservation at once, which frees the space for its planned growth. */
function refuseExisting(store: MonitoredStore, path: string): void {
  if (store.imageAt(path) === undefined) return;
  throw new PlimsollError('conflict', 'IMAGE_THERE', {
    doing: 'reserve space',
    field: 'path',
    found: path,
    expected:
      'a path that does not exist yet; to reserve growth for an existing image, omit the path and release the reservation afterwards',
  });
}
