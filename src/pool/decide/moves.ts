/**
 * Which images to move off a store so that it is back in order with the fewest bytes copied.
 *
 * In order: the store's sum leaves at least 0, and no threshold of its warning is reached. What a group's leaving gains
 * the sum, by the policy; C is what the store's sums count as the group's commitment, F what is freed:
 *
 *   promise       C, which is F and the residual C − F that is no longer to come
 *   entitled(p)   F + p × (C − F)
 *   growth        F + min(T × its share of the images' growth, C − F)
 *
 * C − F, not C − allocation: the last of a shared set to stay needs no storage to come apart from the one that left.
 * A group's share of the growth is the store's high growth in proportion to its own; the highs of all groups together
 * are more, as they do not grow at the same time. A threshold gains F.
 *
 * Every gain is what the group brings by itself; two that share blocks bring no less together.
 */
import { formatBytes, runSync } from '#base';
import type { Growth, Move, MovePlan, StoreRules } from '#wire';
import { admits, explainVerdict, horizon, type StoreFacts, sumOf } from './admission.ts';
import { formatSeconds } from './durations.ts';
import { distancesTo, forecastStore } from './forecast.ts';
import { type Candidate, type Choice, coverInSteps, type Gain, MAX_MOVES, type Room } from './move-choice.ts';

/**
 * Images that can only move together, as `groupImages` finds them: of one machine, or one chain, with the backing files
 * that only they use (`own`), and those that others use too (`shared`), which are copied and stay.
 */
export interface MoveGroup {
  /** All that is copied. */
  readonly images: Move['images'];
  readonly machine: string | null;
  /** Bytes to copy: `groupStorage` of own and shared images. */
  readonly copied: number;
  /** Bytes that the store gets back: `groupStorage` of own images. */
  readonly freed: number;
  /** What the store's sums count of the commitments of own images, each whole: a frozen backing file with its allocation. */
  readonly counted: number | null;
  /** The commitments of own and shared images, each whole: what they can come to elsewhere, where nothing is shared. */
  readonly commitment: number | null;
  /** High bound of what the group allocates, bytes per second. */
  readonly growthHigh: number | null;
  readonly inUse: boolean | null;
}

export interface MoveInput {
  readonly facts: StoreFacts;
  readonly rules: StoreRules;
  /** All groups of the store, also those that should stay: their growth is part of the store's. */
  readonly groups: readonly MoveGroup[];
  readonly target?: { readonly facts: StoreFacts; readonly rules: StoreRules };
  /** Bytes per second that a copy makes; null: not known, and time is not looked at. */
  readonly bandwidth: number | null;
}

/** A group that may be moved, and what that brings. */
interface MoveCandidate extends Candidate {
  readonly group: MoveGroup;
  /** Seconds that the copy takes, null where no bandwidth is known. */
  readonly seconds: number | null;
}

/**
 * What to move. The choice is the one with the fewest bytes copied where `coverInSteps` can look at all of them, else a
 * good one, and the remark says so. Moves are listed by what they gain for each byte copied, the most first, and in this
 * order they all fit on the target. Where nothing is enough, what helps most is listed, and the remark says what lacks.
 * There are at most MAX_MOVES of them: `shortfallAfter` is what they do not cover, and the next plan continues from there.
 *
 * The same input gives the same plan. Throws: usage, RULE_VALUE, by the rules of a target.
 */
export function planMoves(input: MoveInput): MovePlan {
  return runSync(planInSteps(input));
}

const GROUPS_PER_STEP = 500;

/** As `planMoves`, with pauses to do something else in. */
export function* planInSteps(input: MoveInput): Generator<void, MovePlan> {
  const { store } = input.facts;
  const { need, others } = curableNeed(input);
  if (need === null) {
    const remark = `The shortfall of the store is unknown. ${sumOf(input.facts, input.rules).unknown ?? ''}`.trim();
    return { store, shortfall: null, moves: [], shortfallAfter: null, remark };
  }
  const shortfall = Math.max(need.sum, need.level);
  if (shortfall === 0) return { store, shortfall, moves: [], shortfallAfter: 0, remark: others };
  const context = planContextOf(input);
  const candidates: MoveCandidate[] = [];
  const refusals: Refusal[] = [];
  for (const [index, group] of input.groups.entries()) {
    if (index % GROUPS_PER_STEP === 0) yield;
    const tried = tryGroup(group, context);
    if (typeof tried === 'string') refusals.push(tried);
    else candidates.push(tried);
  }
  yield;
  const choice = yield* coverInSteps(candidates, need, context.room);
  yield;
  const moves = listMoves(choice.chosen, input);
  const after = uncovered(need, choice.chosen);
  return {
    store,
    shortfall,
    moves,
    shortfallAfter: caveatsOf(input) === null ? Math.max(after.sum, after.level) : null,
    remark: [others, remarkOn({ ...context, after, choice, candidates, refusals })].filter((text) => text !== null).join(' ') || null,
  };
}

interface CurableNeed {
  /** null: neither sum nor level is known to lack. */
  readonly need: Gain | null;
  /** Why the rest of what the store lacks is not in it; null: there is none. */
  readonly others: string | null;
}

/**
 * What the store lacks, for its sum and to be past every threshold of its warning, as far as moves can help. Files that are not
 * images go on to grow whatever is moved: where all images together would not gain enough, what is lacking because of that
 * growth is left out, and `others` says so.
 */
function curableNeed(input: MoveInput): CurableNeed {
  const { facts, rules, groups } = input;
  if (facts.size <= 0) return { need: null, others: null };
  const { remaining } = sumOf(facts, rules);
  const { bytes, percent } = distancesTo(facts, rules, rules.warning);
  const { seconds } = rules.warning;
  const levelBy = (distances: readonly (number | null)[]): number =>
    Math.max(0, ...distances.map((distance) => (distance === null || distance > 0 ? 0 : 1 - distance)));
  const level = levelBy([bytes, percent, seconds === null ? null : distanceInTime(facts, rules, seconds)]);
  if (remaining === null && level === 0) return { need: null, others: null };
  const whole = { sum: Math.max(0, -(remaining ?? 0)), level };
  const most = groups.reduce((sum, { freed, counted }) => sum + Math.max(freed, counted ?? freed), 0);
  const freed = groups.reduce((sum, group) => sum + group.freed, 0);
  const rate = facts.otherGrowth.high ?? 0;
  const isSumCurable = whole.sum <= most || rate === 0 || rules.policy !== 'growth';
  const isLevelCurable = level <= freed || rate === 0;
  if (isSumCurable && isLevelCurable) return { need: whole, others: null };
  const withoutOthers = { ...facts, otherGrowth: { ...facts.otherGrowth, low: 0, high: 0 } };
  const need = {
    sum: isSumCurable ? whole.sum : Math.max(0, -(sumOf(withoutOthers, rules).remaining ?? 0)),
    level: isLevelCurable ? level : levelBy([bytes, percent]),
  };
  return { need, others: othersText(facts, rules) };
}

function othersText(facts: StoreFacts, rules: StoreRules): string {
  const { earliest } = forecastStore(facts, rules).toFloor;
  const when = earliest === null || earliest === 0 ? '' : `, and the floor may be reached in ${formatSeconds(earliest)}`;
  const rate = `${formatBytes(Math.ceil(facts.otherGrowth.high ?? 0))}/s`;
  return `The growth is in files that are not images: up to ${rate}${when}. Moving images does not stop it: find the process that writes there.`;
}

/** Bytes above the floor beyond what comes in `seconds` at the high growth; null: that is not known, or too far away. */
function distanceInTime(facts: StoreFacts, rules: StoreRules, seconds: number): number | null {
  const { outcome, earliest } = forecastStore(facts, rules).toFloor;
  if (outcome === 'unknown' || outcome === 'never') return null;
  if ((earliest ?? Infinity) > seconds) return null;
  const images = Math.min((facts.growth.high ?? 0) * seconds, facts.residual ?? Infinity);
  return Math.floor(facts.available - rules.floor - images - (facts.otherGrowth.high ?? 0) * seconds);
}

/** What is the same for every group of a plan. */
interface PlanContext {
  readonly input: MoveInput;
  /** The store's high growth for a byte of the groups' high growths together. */
  readonly growthShare: number;
  /** Until the store could be down at its floor, or full where it is below that already. */
  readonly secondsLeft: number;
  readonly room: Room<MoveCandidate>;
}

function planContextOf(input: MoveInput): PlanContext {
  const { facts, rules, groups, target } = input;
  const highs = groups.reduce((sum, { growthHigh }) => sum + (growthHigh ?? 0), 0);
  const { toFloor, toFull } = forecastStore(facts, rules);
  return {
    input,
    growthShare: highs === 0 ? 0 : Math.min(1, (facts.growth.high ?? 0) / highs),
    secondsLeft: (toFloor.outcome === 'reached' ? toFull : toFloor).earliest ?? Infinity,
    room: target === undefined ? UNLIMITED_ROOM : target.facts.store === facts.store ? NO_ROOM : roomOn(target.facts, target.rules),
  };
}

const UNLIMITED_ROOM: Room<MoveCandidate> = { take: () => UNLIMITED_ROOM };
const NO_ROOM: Room<MoveCandidate> = { take: () => undefined };

/** Room for what leaves a store, with all of it there, in keeping with its own rules. */
function roomOn(facts: StoreFacts, rules: StoreRules): Room<MoveCandidate> {
  return {
    take({ group }) {
      const after = withGroup(facts, group);
      return admits(sumOf(after, rules)) === true ? roomOn(after, rules) : undefined;
    },
  };
}

/** Why a group cannot be chosen. */
type Refusal = 'gains nothing' | 'too late' | 'target';

function tryGroup(group: MoveGroup, context: PlanContext): MoveCandidate | Refusal {
  const { copied, inUse } = group;
  const seconds = copySeconds(group, context.input.bandwidth);
  const { sum, level } = gainOf(group, context);
  const movable = { sum, level, group, seconds, copied, inUse, path: group.images[0]?.path ?? '' };
  if (movable.sum <= 0 && movable.level <= 0) return 'gains nothing';
  if (seconds === Infinity || (seconds !== null && seconds > context.secondsLeft)) return 'too late';
  return context.room.take(movable) === undefined ? 'target' : movable;
}

function gainOf(group: MoveGroup, { input: { rules }, growthShare }: PlanContext): Gain {
  const { freed } = group;
  // Of a commitment that is not known, only what is freed is sure.
  const residual = Math.max(0, (group.counted ?? freed) - freed);
  if (rules.policy === 'promise') return { sum: freed + residual, level: freed };
  if (rules.policy === 'entitled') return { sum: freed + Math.floor(rules.idleShare * residual), level: freed };
  const growth = (group.growthHigh ?? 0) * growthShare;
  return { sum: freed + Math.min(Math.floor(growth * horizon(rules)), residual), level: freed };
}

/** Seconds to copy a group that grows meanwhile; Infinity: the copy never catches up. What is rewritten in place costs more. */
function copySeconds({ copied, growthHigh, inUse }: MoveGroup, bandwidth: number | null): number | null {
  if (bandwidth === null) return null;
  const speed = bandwidth - (inUse === false ? 0 : (growthHigh ?? 0));
  return speed <= 0 ? Infinity : copied / speed;
}

/** A store as it would be with a group copied to it: whole, as nothing is shared there. */
function withGroup(facts: StoreFacts, { images, copied, commitment, growthHigh }: MoveGroup): StoreFacts {
  return {
    ...facts,
    mapExcess: (facts.mapExcess ?? 0) + (facts.mapBytes?.(Math.max(copied, commitment ?? 0), images.length) ?? 0),
    available: facts.available - copied,
    allocation: facts.allocation + copied,
    residual: facts.residual === null || commitment === null ? null : facts.residual + Math.max(0, commitment - copied),
    growth: withHigh(facts.growth, growthHigh),
  };
}

function withHigh(growth: Growth, more: number | null): Growth {
  if (growth.high === null) return growth;
  if (more === null) return { ...growth, low: null, high: null, unknown: 'The growth of the images to be moved here is unknown.' };
  return { ...growth, high: growth.high + more };
}

function listMoves(chosen: readonly MoveCandidate[], { facts, target }: MoveInput): Move[] {
  let there = target?.facts;
  return chosen.map((movable) => {
    const { images, machine, copied, freed, inUse } = movable.group;
    if (there !== undefined) there = withGroup(there, movable.group);
    return {
      images,
      machine,
      from: facts.store,
      to: target?.facts.store ?? null,
      copied,
      freed,
      relief: movable.sum,
      remainingOnTarget: target === undefined || there === undefined ? null : sumOf(there, target.rules).remaining,
      inUse,
      reason: reasonOf(movable),
    };
  });
}

function reasonOf({ group, sum, seconds }: MoveCandidate): string {
  const who = group.machine === null ? (group.images.length === 1 ? 'The image' : 'The chain') : `The VM ${group.machine}`;
  const shared = group.copied - group.freed;
  return [
    `${who} relieves the store by ${formatBytes(sum)}; ${formatBytes(group.copied)} to copy.`,
    shared > 0 ? `${formatBytes(shared)} of it remain, because other images share them.` : '',
    seconds === null ? '' : `Copying takes ${formatSeconds(Math.ceil(seconds))} or more.`,
    USE_TEXT[String(group.inUse) as 'true' | 'false' | 'null'],
  ]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

const USE_TEXT = {
  true: 'It is in use: move it live, with its VM.',
  false: 'It is not in use.',
  null: 'It is unknown whether it is in use: check before moving it.',
} as const;

function uncovered(need: Gain, chosen: readonly Gain[]): Gain {
  const left = (part: keyof Gain): number => Math.max(0, need[part] - chosen.reduce((sum, one) => sum + one[part], 0));
  return { sum: left('sum'), level: left('level') };
}

interface Outcome extends PlanContext {
  /** What is still needed. */
  readonly after: Gain;
  readonly choice: Choice<MoveCandidate>;
  readonly candidates: readonly MoveCandidate[];
  readonly refusals: readonly Refusal[];
}

function remarkOn({ after, choice, candidates, refusals, input, secondsLeft }: Outcome): string | null {
  const shortfall = Math.max(after.sum, after.level);
  const sentences = [
    ...(caveatsOf(input) ?? []),
    ...(choice.chosen.length === 0 ? ['No beneficial move.'] : []),
    ...(choice.chosen.length > 0 && shortfall > 0 ? [`Not enough: ${formatBytes(shortfall)} would still be missing.`] : []),
    ...(shortfall > 0 && choice.isCut ? [`A plan has at most ${MAX_MOVES} moves: request another plan after them.`] : []),
    ...(shortfall > 0 && !choice.isCut ? [...refusalTexts(refusals, input), ...unmovedReasons(after, choice.chosen, candidates)] : []),
    ...timeText(choice.chosen, secondsLeft),
    ...(shortfall === 0 && !choice.isBest ? ['There are too many combinations to compare them all: another may copy less.'] : []),
  ];
  return sentences.length === 0 ? null : sentences.join(' ');
}

/** What of the store's lack is not known, in sentences; null: nothing. */
function caveatsOf({ facts, rules }: MoveInput): string[] | null {
  const { remaining, unknown } = sumOf(facts, rules);
  if (remaining === null)
    return ['The shortfall is unknown; this plan is for the warning level alone.', ...(unknown === null ? [] : [unknown])];
  return remaining < 0 && unknown !== null ? ['The shortfall may be larger than known.', unknown] : null;
}

function timeText(chosen: readonly MoveCandidate[], secondsLeft: number): string[] {
  const seconds = chosen.reduce((sum, one) => sum + (one.seconds ?? 0), 0);
  if (seconds <= secondsLeft) return [];
  return [`One after the other they take ${formatSeconds(seconds)}, and the store may be full in ${formatSeconds(secondsLeft)}.`];
}

function refusalTexts(refusals: readonly Refusal[], { facts, target }: MoveInput): string[] {
  const count = (reason: Refusal): number => refusals.filter((one) => one === reason).length;
  const texts: string[] = [];
  if (target !== undefined && target.facts.store === facts.store) return ['The target is the store itself.'];
  if (count('too late') > 0) texts.push(`${groupsText(count('too late'))} cannot be moved in time.`);
  if (count('target') > 0 && target !== undefined) {
    const alone = explainVerdict(sumOf(target.facts, target.rules), target.facts);
    texts.push(`${groupsText(count('target'))} would break the rules of the target. There, as it is now: ${alone}`);
  }
  if (count('gains nothing') > 0) texts.push(`${groupsText(count('gains nothing'))} would not relieve the store.`);
  return texts;
}

/** Groups that would help and fit on the target alone, and not beside those that were chosen. */
function unmovedReasons(after: Gain, chosen: readonly MoveCandidate[], candidates: readonly MoveCandidate[]): string[] {
  const moving = new Set(chosen);
  const out = candidates.filter((one) => !moving.has(one) && ((after.sum > 0 && one.sum > 0) || (after.level > 0 && one.level > 0)));
  return out.length === 0 ? [] : [`${groupsText(out.length)} would not fit on the target beside the others.`];
}

function groupsText(count: number): string {
  return count === 1 ? '1 group of images' : `${count} groups of images`;
}
