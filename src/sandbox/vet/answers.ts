/**
 * The answers of a confined worker to the requests of vetting, held to one shape: types, enumerations, bounds of count and
 * length, no further key. What depends on more than the bytes (the verdict, the next steps) is no part of an answer.
 */
import { ERROR_KINDS, type Range } from '#base';
import { count, dictionary, either, finite, flag, listOf, nothing, object, oneOf, protocolError, type Shape, text } from '#confined';
import { type Judgement, MAX_DETAIL_CHARACTERS } from './judge.ts';
import { placesToKeep } from './kept-pieces.ts';
import { VET_FORMATS } from './policy.ts';
import { MAX_MESSAGE_CHARACTERS, MAX_REASONS } from './reasons.ts';
import { LEVELS, useOf } from './verdict.ts';

/** Signatures that one file can have: every known one, at every place where it counts. */
const MAX_SIGNS = 1000;
const MAX_DETAILS = 64;
/** As many as are kept of a stream. */
const MAX_PLACES = 65_536;
const CODE = /^[A-Z][A-Z0-9_]{0,63}$/;

const reason = object(
  { level: oneOf(LEVELS), code: text(64, CODE), message: text(MAX_MESSAGE_CHARACTERS) },
  { at: count, kind: oneOf(ERROR_KINDS) },
);

const sign = object({
  name: text(64, /^[a-z0-9][a-z0-9-]*$/),
  class: oneOf(['container', 'wrapping', 'filesystem', 'partitions', 'media']),
  at: count,
});

const detail = either(text(MAX_DETAIL_CHARACTERS), flag, finite);

const JUDGEMENT: Shape = object({
  format: oneOf([...VET_FORMATS, null]),
  declared: either(nothing, text(MAX_DETAIL_CHARACTERS)),
  examined: oneOf(['tables', 'header', 'none']),
  capacity: either(nothing, count),
  length: count,
  reasons: listOf(reason, MAX_REASONS),
  signs: listOf(sign, MAX_SIGNS),
  details: dictionary(/^[a-zA-Z][a-zA-Z0-9]{0,31}$/, detail, MAX_DETAILS),
});

const PLACES: Shape = listOf(count, 2 * MAX_PLACES);

/** What the client knows of the image by itself. */
export interface KnownOfImage {
  readonly declared: string | undefined;
  readonly byteLength: number;
}

/**
 * A judgement, checked against its shape, itself and what the client knows.
 *
 * Throws: bug, WORKER_PROTOCOL.
 */
export function checkedJudgement(value: unknown, { declared, byteLength }: KnownOfImage): Judgement {
  if (!JUDGEMENT(value)) throw protocolError('an answer that is not a judgement');
  const judgement = value as Judgement;
  if (judgement.declared !== (declared ?? null) || judgement.length !== byteLength) throw protocolError('a judgement of another image');
  const use = useOf(judgement.reasons);
  // Whatever has a use was read to its end: it has a format, a capacity, and tables that were examined.
  const isWhole = judgement.format !== null && judgement.capacity !== null && judgement.examined === 'tables';
  if ((use === 'attach' || use === 'convert') && !isWhole) throw protocolError('a judgement that contradicts itself');
  return judgement;
}

/** As the worker writes them: the start and end of each run, one after the other. */
export function flatPlaces(runs: readonly Range[]): number[] {
  return runs.flatMap(({ start, end }) => [start, end]);
}

/** The places to keep of a stream; what is kept stays within its bound, whatever was answered. Throws: bug, WORKER_PROTOCOL. */
export function checkedPlaces(value: unknown): Range[] {
  if (!PLACES(value) || (value as number[]).length % 2 !== 0) throw protocolError('an answer that is not a list of places');
  const numbers = value as number[];
  return placesToKeep(
    Array.from({ length: numbers.length / 2 }, (_, index) => ({
      start: numbers[2 * index] as number,
      end: numbers[2 * index + 1] as number,
    })),
  );
}
