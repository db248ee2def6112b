/**
 * The sum that decides whether something fits on a store, the same for every asker: admission, levels, moves, the view.
 *
 *   promise       available − floor − residual − reserved − request ≥ 0
 *   entitled(p)   available − floor − p × residual − reserved − request ≥ 0
 *   growth        available − floor − min(g⁺ × T, residual) − o⁺ × T − reserved − request ≥ 0
 *
 * g⁺ is the high growth of what the images allocate, o⁺ that of everything else on the store, T the time until trouble
 * is noticed and relieved. entitled(1) is the promise, entitled(0) counts no residual. docs/admission.md explains them.
 *
 * Reservations and the request count whole under every policy. What a policy is lenient about is how images that exist
 * will go on; nothing is known of one that is not there, and an import, a clone or a preallocation writes all of it at
 * once. Weighed by p = 0, a reservation would hold nothing. And both weigh the same, so that a request leaves the sum,
 * once it is held, where the answer to it said.
 */
import { formatBytes, GiB, PlimsollError, saturated } from '#base';
import {
  type Component,
  component,
  type ComponentCode,
  type Growth,
  type Policy,
  type PolicySum,
  type StoreReport,
  type StoreRules,
  sumOfComponents,
} from '#wire';
import { formatSeconds } from './durations.ts';
import { mapCaveatText } from '../scan/map-caveat.ts';
import { checkRules } from './rules.ts';

/** What is known of a store at one moment. Units: bytes, and bytes per second. */
export interface StoreFacts {
  readonly store: string;
  /** 0: the filesystem states none, and nothing can be told. */
  readonly size: number;
  /** Of the same look as the residual: see `roomDuring`. */
  readonly available: number;
  readonly allocation: number;
  /** What images may still write, shared blocks as they would come apart; null: not known of all of them. */
  readonly residual: number | null;
  /** Where `residual` is null: what of it is known. It may be enough for a no. */
  readonly residualAtLeast?: number;
  /** Held for images that are not there yet. */
  readonly reserved: number;
  /** Of what images allocate. */
  readonly growth: Growth;
  /** Of what else fills the store. */
  readonly otherGrowth: Growth;
  /** Why a yes cannot be given whatever the sum says, as a sentence; null: nothing stands against it. */
  readonly caveat: string | null;
  /**
   * The filesystem copies on write, which is all that `caveat` says, and the images' residual is no bound of what they take: the
   * promise stays in caveat, and the other policies count so many bytes for it, see `copyOnWriteReserve`.
   */
  readonly copyOnWriteReserve?: number;
  /** What the filesystem's maps of the images, and of those that are reserved, can take beyond residual and reservations. */
  readonly mapExcess?: number;
  /** The most that its maps of so many further files can take, which come to hold so many bytes together; left out: nothing. */
  readonly mapBytes?: (bytes: number, files: number) => number;
  /** The administrator declares `usual-writes`: the maps stay within the commitments. */
  readonly usualWrites?: boolean;
}

/** Shares of the store and of what its images hold, and the most of the former. */
const METADATA_SHARE = 1 / 20;
const MAX_METADATA = 5 * GiB;
const OLD_EXTENTS_SHARE = 1 / 20;

/**
 * Bytes that stay free for a filesystem that copies on write: chunks of metadata, and old extents, which stay whole until
 * their last byte is replaced. A stated reserve and no bound: data can be written so that more is needed. Units: bytes.
 */
export function copyOnWriteReserve({ size, allocation }: Pick<StoreFacts, 'size' | 'allocation'>): number {
  return Math.min(MAX_METADATA, Math.ceil(METADATA_SHARE * size)) + Math.ceil(OLD_EXTENTS_SHARE * allocation);
}

const COPY_ON_WRITE = 'STORE_COPY_ON_WRITE';

/** The reserve of a store against whose yes nothing stands but that it copies on write; of others, nothing. */
export function reserveOf(report: StoreReport): Pick<StoreFacts, 'copyOnWriteReserve'> {
  const { findings, images, residual } = report;
  const isRead = residual !== null && images.every(({ error }) => error === undefined);
  const isCopying = findings.some(({ code }) => code === COPY_ON_WRITE);
  const isAll = findings.every(({ code, level }) => level === 'info' || code === COPY_ON_WRITE);
  return isRead && isCopying && isAll ? { copyOnWriteReserve: copyOnWriteReserve(report) } : {};
}

/** Why no yes can be given under `policy`; null: nothing stands against it. */
function caveatUnder({ caveat, copyOnWriteReserve: reserve }: StoreFacts, policy: Policy): string | null {
  return reserve !== undefined && policy !== 'promise' ? null : caveat;
}

export interface SpaceRequest {
  readonly bytes: number;
  /** Instead of the rules'. */
  readonly policy?: Policy;
  readonly idleShare?: number;
}

/** A component as far as it is known: exact where both bounds are the same. */
interface BoundedComponent {
  /** null: nothing need be counted. */
  readonly atLeast: Component | null;
  /** null: no bound is known. */
  readonly atMost: Component | null;
  /** Why it is not exact. */
  readonly unknown: string | null;
}

/**
 * The store's sum under its policy, with `request` in it where one is given.
 *
 * The components add up to `remaining` exactly. Where a component is not known, its bounds may decide: with the most that it can be, the
 * sum is a sure yes; with the least, a sure no, and `unknown` names what it leaves out. Between the two `remaining` is
 * null, and the components are those that are known. `unknown` beside a `remaining` of 0 and more is the store's caveat: the sum is
 * right, and still no yes.
 *
 * Units: whole bytes; what is multiplied is rounded up.
 * Throws: usage, REQUEST_BYTES, RULE_VALUE.
 */
export function sumOf(facts: StoreFacts, rules: StoreRules, request?: SpaceRequest): PolicySum {
  const policy = request?.policy ?? rules.policy;
  const asked = { ...rules, policy, idleShare: request?.idleShare ?? rules.idleShare };
  if (request !== undefined) checkRequest(request, asked);
  const known = [...knownComponents(facts, asked, request), ...reserveComponent(facts, policy)];
  const future = futureComponents(facts, asked);
  const least = [...known, ...future.flatMap(({ atLeast }) => atLeast ?? [])];
  const most = future.some(({ atMost }) => atMost === null) ? null : [...known, ...future.flatMap(({ atMost }) => atMost ?? [])];
  const unknown = future.flatMap(({ unknown: reason }) => reason ?? []).join(' ') || null;
  if (facts.size <= 0) return { policy, components: least, remaining: null, unknown: 'The filesystem reports no size.' };
  if (total(least) < 0) return { policy, components: least, remaining: total(least), unknown };
  if (most !== null && total(most) >= 0) {
    const remaining = total(most);
    return { policy, components: most, remaining, unknown: caveatUnder(facts, policy) ?? mapCaveat(facts, { policy, remaining }, request) };
  }
  return { policy, components: least, remaining: null, unknown };
}

/** Why the promise cannot be given although the sum fits: the filesystem's maps can take more than remains. */
function mapCaveat(facts: StoreFacts, sum: Pick<PolicySum, 'policy' | 'remaining'>, request: SpaceRequest | undefined): string | null {
  if (facts.usualWrites === true || !mapsExceed(facts, sum, request)) return null;
  return `${mapCaveatText(sum.remaining ?? 0, mapsOf(facts, request))} If no guest does that, declare it: --assume usual-writes.`;
}

/** Whether the maps can take more than the sum of a promise leaves: then a yes rests on the declaration `usual-writes`. */
export function mapsExceed(
  facts: StoreFacts,
  { policy, remaining }: Pick<PolicySum, 'policy' | 'remaining'>,
  request?: SpaceRequest,
): boolean {
  return policy === 'promise' && remaining !== null && remaining >= 0 && mapsOf(facts, request) > remaining;
}

function mapsOf({ mapExcess = 0, mapBytes }: StoreFacts, request: SpaceRequest | undefined): number {
  return saturated(mapExcess + (request === undefined ? 0 : (mapBytes?.(request.bytes, 1) ?? 0)));
}

/** Whether the request of the sum fits; null if unknown. */
export function admits({ remaining, unknown }: PolicySum): boolean | null {
  if (remaining === null) return null;
  if (remaining < 0) return false;
  return unknown === null ? true : null;
}

/** The verdict as a sentence. `bytes`: what was asked for; without it the sentence is about the store as it is. */
export function explainVerdict(sum: PolicySum, facts: StoreFacts, bytes?: number): string {
  const verdict = admits(sum);
  const what = bytes === undefined ? 'The committed content of the store' : formatBytes(bytes);
  const rule = POLICY_WORDS[sum.policy];
  if (verdict === null) return `It is unknown whether ${lowerFirst(what)} fits ${rule}. ${sum.unknown ?? facts.caveat ?? ''}`.trim();
  const remaining = sum.remaining as number;
  if (verdict) return `${what} fits ${rule}: ${formatBytes(remaining)} remain.`;
  const short = `${what} does not fit ${rule}, short by ${formatBytes(-remaining)}.`;
  return sum.unknown === null ? short : `${short} Perhaps more: ${lowerFirst(sum.unknown)}`;
}

const POLICY_WORDS: Readonly<Record<Policy, string>> = {
  promise: 'if every image is filled (policy promise)',
  growth: 'until an administrator can react (policy growth)',
  entitled: 'with a share of the residual (policy entitled)',
};

function checkRequest({ bytes }: SpaceRequest, asked: StoreRules): void {
  checkRules(asked, 'decide whether a request fits');
  if (Number.isSafeInteger(bytes) && bytes >= 0) return;
  throw new PlimsollError('usage', 'REQUEST_BYTES', {
    doing: 'decide whether a request fits',
    field: 'bytes',
    found: String(bytes),
    expected: 'a whole number of bytes',
  });
}

function knownComponents(facts: StoreFacts, rules: StoreRules, request: SpaceRequest | undefined): Component[] {
  return [
    { ...component('available', facts.available), explanation: 'available for files now' },
    taken('floor', rules.floor, 'must always remain free'),
    taken('reserved', facts.reserved, 'reserved for images that do not exist yet; counts in full under every policy'),
    ...(request === undefined ? [] : [taken('request', request.bytes, 'the request; counts in full under every policy')]),
  ];
}

function reserveComponent({ copyOnWriteReserve: reserve }: StoreFacts, policy: Policy): Component[] {
  if (reserve === undefined || policy === 'promise') return [];
  return [
    taken('cow-reserve', reserve, 'for metadata and for old extents, which stay until their last byte is replaced; a reserve, not a bound'),
  ];
}

/** What is still to come, as the policy sees it. */
function futureComponents(facts: StoreFacts, rules: StoreRules): BoundedComponent[] {
  if (rules.policy === 'growth') return [imageGrowth(facts, rules), otherGrowth(facts, rules)];
  const share = rules.policy === 'promise' ? 1 : rules.idleShare;
  return share === 0 ? [] : [residualShare(facts, share)];
}

function residualShare(facts: StoreFacts, share: number): BoundedComponent {
  const explanation =
    share === 1 ? 'worst-case further growth of the images' : `${share} of the residual of the images, to which they are entitled`;
  const counted = (residual: number): Component => taken('residual', Math.ceil(share * residual), explanation);
  if (facts.residual !== null) return exactly(counted(facts.residual));
  const part = facts.residualAtLeast ?? 0;
  return {
    atLeast: part === 0 ? null : counted(part),
    atMost: null,
    unknown: RESIDUAL_UNKNOWN,
  };
}

const RESIDUAL_UNKNOWN = 'The residual of at least one image is unknown.';

/** Growth of images, which ends where all of them have reached their commitment. */
function imageGrowth(facts: StoreFacts, rules: StoreRules): BoundedComponent {
  const { growth } = facts;
  const isCopying = facts.copyOnWriteReserve !== undefined;
  // Where data is copied on write, growth does not end at what the images may still write.
  const residual = isCopying ? null : facts.residual;
  const code = 'image-growth';
  const seconds = horizon(rules);
  if (growth.high === null) {
    const atMost = residual === null ? null : taken(code, residual, 'growth not known yet: the whole residual');
    return { atLeast: null, atMost, unknown: `The growth of images is unknown: ${lowerFirst(growth.unknown ?? 'no reason given.')}` };
  }
  const grown = during(growth.high, seconds);
  if (isCopying) return exactly(taken(code, grown, growthText(growth.high, seconds)));
  if (residual === null) {
    // It ends where they are full, at an unknown point: only the known part is certain growth.
    const sure = Math.min(grown, facts.residualAtLeast ?? 0);
    return {
      atLeast: sure === 0 ? null : taken(code, sure, growthText(growth.high, seconds)),
      atMost: taken(code, grown, growthText(growth.high, seconds)),
      unknown: RESIDUAL_UNKNOWN,
    };
  }
  if (residual <= grown) {
    return exactly(taken(code, residual, `the whole residual: at ${rateText(growth.high)} it is written within ${formatSeconds(seconds)}`));
  }
  return exactly(taken(code, grown, growthText(growth.high, seconds)));
}

/** Growth of everything else, which has no cap. */
function otherGrowth({ otherGrowth: growth }: StoreFacts, rules: StoreRules): BoundedComponent {
  if (growth.high === null) {
    const unknown = `The growth of other files is unknown: ${lowerFirst(growth.unknown ?? 'no reason given.')}`;
    return { atLeast: null, atMost: null, unknown };
  }
  const seconds = horizon(rules);
  return exactly(taken('other-growth', during(growth.high, seconds), growthText(growth.high, seconds)));
}

/** Seconds until trouble is noticed and the store relieved of it. */
export function horizon({ noticeSeconds, relieveSeconds }: StoreRules): number {
  return noticeSeconds + relieveSeconds;
}

/** Sums of a few such components stay exact. No store is as large. */
const MAX_BYTES = 2 ** 50;

/** Bytes that come at `rate` in `seconds`, rounded up. */
function during(rate: number, seconds: number): number {
  return Math.min(Math.ceil(rate * seconds), MAX_BYTES);
}

function growthText(rate: number, seconds: number): string {
  return `at ${rateText(rate)}, the upper bound of the observed growth, for the ${formatSeconds(seconds)} until a problem is noticed and relieved`;
}

function rateText(rate: number): string {
  return `${formatBytes(Math.ceil(rate))}/s`;
}

function exactly(known: Component): BoundedComponent {
  return { atLeast: known, atMost: known, unknown: null };
}

function taken(code: ComponentCode, bytes: number, explanation: string): Component {
  return { ...component(code, bytes === 0 ? 0 : -bytes), explanation };
}

function total(components: readonly Component[]): number {
  return saturated(sumOfComponents(components));
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
