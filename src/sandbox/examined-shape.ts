/**
 * The answer of a confined worker to `examine`, held to its shape: what the arithmetic of a store and the renderers rely on. Facts
 * of the host are taken from the host, whatever the worker answers.
 */
import type { Shape } from '#confined';
import { count, dictionary, either, finite, flag, listOf, nothing, oneOf, protocolError, reviveError, text } from '#confined';
import { IMAGE_FORMATS, type ImageReport } from '#wire';
import { type ExaminedContent, type ImageFile, knownByFacts } from './examine-content.ts';
import type { ExamineAnswer } from './examine-handler.ts';

const MAX_TEXT = 65_536;
const MAX_LIST = 20_000;
/** Names of a chain, and of the data files of its backing files. */
const MAX_LOOKED_UP = 256;
const MAX_PATH = 65_536;

const someText = text(MAX_TEXT);
const bytes = either(nothing, count);
const whole: Shape = (value) => Number.isSafeInteger(value);

/** An object with these keys of these shapes; further keys hold numbers, text, flags, or objects of them. */
function withKeys(shapes: Readonly<Record<string, Shape>>, optional: Readonly<Record<string, Shape>> = {}): Shape {
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
    const entries = value as Record<string, unknown>;
    const areThere = Object.entries(shapes).every(([key, shape]) => Object.hasOwn(entries, key) && shape(entries[key]));
    return areThere && Object.entries(optional).every(([key, shape]) => !Object.hasOwn(entries, key) || shape(entries[key]));
  };
}

const FINDING = withKeys({ level: text(16), code: text(64, /^[A-Z][A-Z0-9_]*$/), message: someText });

const LINK = withKeys(
  {
    role: oneOf(['backing', 'data']),
    depth: count,
    name: someText,
    path: either(nothing, someText),
    declaredFormat: either(nothing, someText),
    format: either(nothing, someText),
    status: oneOf(['opened', 'refused', 'missing', 'error']),
    capacity: bytes,
    length: bytes,
    allocation: bytes,
  },
  { reason: someText, file: text(64), commitGrowth: bytes, commitUnknown: someText, reach: count, commitment: count },
);

const REPORT = withKeys(
  {
    format: oneOf([...IMAGE_FORMATS, null]),
    formatSource: oneOf(['declared', 'signature', 'guess', null]),
    capacity: bytes,
    commitment: bytes,
    expected: bytes,
    residual: bytes,
    reclaimable: count,
    mapExcess: bytes,
    maxLength: bytes,
    method: oneOf(['map', 'stat', null]),
    unbounded: listOf(withKeys({ reason: someText, detail: someText }), MAX_LIST),
    nextSnapshot: either(nothing, withKeys({ bytes: count })),
    components: listOf(withKeys({ bytes: whole }), MAX_LIST),
    findings: listOf(FINDING, MAX_LIST),
    chain: listOf(LINK, MAX_LIST),
    details: dictionary(/^[a-zA-Z][a-zA-Z0-9]{0,31}$/, either(someText, flag, finite), 64),
  },
  { error: withKeys({ kind: text(32), code: text(64), message: someText }) },
);

const ANSWER = withKeys(
  { report: REPORT, isOther: flag, holes: count, lookedUp: listOf(text(MAX_PATH), MAX_LOOKED_UP) },
  { exported: oneOf(['optical disc', 'VMA backup', 'stream-optimised VMDK']), isShortOfMemory: flag },
);

/**
 * The content of `image`; `opened`: the real path of each file that was opened for it, by identity.
 *
 * Throws: bug, WORKER_PROTOCOL.
 */
export function checkedContent(value: unknown, image: ImageFile, opened: ReadonlyMap<string, string>): ExaminedContent {
  if (!ANSWER(value)) throw protocolError('an answer that is not an examination');
  const { report, lookedUp, exported, isShortOfMemory, isOther, holes } = value as ExamineAnswer;
  for (const { file, path } of report.chain) {
    const isTrue = file === undefined ? path === null : opened.get(file) === path;
    if (!isTrue) throw protocolError('a reference that was not opened');
  }
  const { length, allocation, openForWriting } = knownByFacts(image.facts);
  const own = report.error === undefined ? {} : { error: reviveError(report.error, image.shownPath).toJSON() };
  return {
    // In the order of keys that a report has: it leaves as JSON.
    report: { ...report, path: image.shownPath, length, allocation, openForWriting, ...own } satisfies ImageReport,
    lookedUp: lookedUp.map((name) => Buffer.from(name, 'latin1')),
    exported,
    isShortOfMemory,
    isOther,
    holes,
  };
}
