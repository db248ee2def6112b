/** Errors, struct tables, checked arithmetic, units: what every layer may use. Imports nothing. */
export { requireArgument, requireFormat, requireOptions, requirePath, requirePaths, requireSignal } from './arguments.ts';
export { type Assumption, ASSUMPTIONS, USUAL_WRITES } from './assumptions.ts';
export {
  asPlimsollError,
  ERROR_KINDS,
  type ErrorKind,
  type ErrorValue,
  type ErrorWhere,
  PlimsollError,
  type SerializedError,
} from './errors.ts';
export { HOST_ID_PATTERN, HOST_ID_SYNTAX } from './host-id-syntax.ts';
export { divideUp, GiB, isPowerOfTwo, KiB, MiB, readUint64, roundDown, roundUp, safeInteger, saturated, TiB } from './numbers.ts';
export { escapeForTerminal, escapeSentence, quoteForHumans } from './quote.ts';
export { fileArgument, shellLine, shellWord } from './shell-words.ts';
export {
  bytes,
  type Endian,
  type Field,
  type Fields,
  mask64,
  type RecordOf,
  reserved,
  type Struct,
  struct,
  u8,
  u16,
  u32,
  u64,
} from './struct.ts';
export { formatBytes, formatExact, parseDuration, parseSize, plural } from './units.ts';
export { jsonText } from './json-text.ts';
export { joinRanges, type Range, RangeSet, sortRanges, subtractRanges, totalLength, uniteRanges } from './ranges.ts';
export { pauseDue, runCooperatively, runInOwnSlices, runSync, yieldToEventLoop } from './scheduling.ts';
