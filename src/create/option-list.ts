/** `-o key=value,key=value` as qemu-img takes it: a doubled comma is a comma of the value, a bare key means `on`. */
import { parseSize, PlimsollError } from '#base';

const DOING = 'parse -o';
/** The value of a bare key where `on` is unlikely to be meant. */
const NO_VALUE = 'on, as a key without a value is';

/** Options by name; of one given twice the last counts. Throws: usage, for an empty name. */
export function splitOptions(lists: readonly string[]): Map<string, string> {
  const options = new Map<string, string>();
  for (const list of lists) {
    for (const pair of splitAtSingleCommas(list)) {
      const equals = pair.indexOf('=');
      const name = equals < 0 ? pair : pair.slice(0, equals);
      if (name === '') throw new PlimsollError('usage', 'OPTION_SYNTAX', { doing: DOING, found: list, expected: 'key=value,key=value' });
      options.set(name, equals < 0 ? 'on' : pair.slice(equals + 1));
    }
  }
  return options;
}

function splitAtSingleCommas(list: string): string[] {
  if (list === '') return [];
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < list.length; at += 1) {
    const isComma = list[at] === ',';
    if (isComma && list[at + 1] !== ',') {
      parts.push(part);
      part = '';
      continue;
    }
    if (isComma) at += 1;
    part += list.charAt(at);
  }
  // One comma at the end ends the list, as it does for QEMU.
  return part === '' ? parts : [...parts, part];
}

/** Takes options out one by one, each with its type; those left at the end are unknown. */
export class OptionReader {
  readonly #left: Map<string, string>;
  readonly #format: string;

  constructor(format: string, lists: readonly string[]) {
    this.#format = format;
    this.#left = splitOptions(lists);
  }

  text(name: string): string | undefined {
    const value = this.#left.get(name);
    this.#left.delete(name);
    if (value === '') throw badOption(name, value, 'a value');
    return value;
  }

  flag(name: string): boolean {
    const value = this.text(name);
    if (value === undefined || ['off', 'no', 'false', 'n'].includes(value)) return false;
    if (['on', 'yes', 'true', 'y'].includes(value)) return true;
    throw badOption(name, value, 'on or off');
  }

  size(name: string): number | undefined {
    const value = this.text(name);
    if (value === 'on') throw badOption(name, NO_VALUE, 'a size such as 64K');
    return value === undefined ? undefined : parseSize(value, `-o ${name}`);
  }

  count(name: string, expected: string): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    if (!/^\d{1,9}$/.test(value)) throw badOption(name, value === 'on' ? NO_VALUE : value, expected);
    return Number(value);
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const chosen = choices.find((one) => one === value);
    if (chosen === undefined) throw badOption(name, value === 'on' ? NO_VALUE : value, choices.join(', '));
    return chosen;
  }

  /** Throws: usage, naming the first option that was not taken. */
  finish(known: readonly string[]): void {
    const [unknown] = this.#left.keys();
    if (unknown === undefined) return;
    if (unknown === 'size') throw badOption('size', this.#left.get('size') as string, 'the size as an argument of its own');
    throw new PlimsollError('usage', 'OPTION_UNKNOWN', {
      doing: DOING,
      found: unknown,
      expected: `an option of ${this.#format}: ${known.join(', ')}`,
    });
  }
}

/** A value that its option does not accept. */
export function badOption(name: string, found: string | number, expected: string): PlimsollError {
  return new PlimsollError('usage', 'OPTION_VALUE', { doing: DOING, field: name, found, expected });
}

/** Options that exclude each other, or one that needs another. */
export function contradiction(field: string, found: string, expected: string): PlimsollError {
  return new PlimsollError('usage', 'OPTION_CONFLICT', { doing: DOING, field, found, expected });
}
