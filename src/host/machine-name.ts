/**
 * The name of the VM that a QEMU runs, from the command line of the process. A process can forge its command line: the
 * name is for display and decides nothing. Source: qemu(1), -name, -uuid; util/qemu-option.c, commas are doubled.
 */

export interface Machine {
  readonly name: string | undefined;
  readonly uuid: string | undefined;
}

const SYSTEM_EMULATOR = /^(?:qemu-system-[\w.-]+|qemu-kvm|kvm)$/;

/** Whether `program` is a QEMU that runs machines, by the name of its file. */
export function isSystemEmulator(program: string): boolean {
  return SYSTEM_EMULATOR.test(program);
}

/** The machine that `words`, the command line of `program`, starts; undefined when it starts none. */
export function machineOf(program: string, words: readonly string[]): Machine | undefined {
  if (!isSystemEmulator(program)) return undefined;
  let name: string | undefined;
  let uuid: string | undefined;
  for (const [index, word] of words.entries()) {
    const value = words[index + 1];
    if (value === undefined) break;
    // QEMU takes one dash or two; given twice, the last one counts.
    if (word === '-name' || word === '--name') name = guestName(value) ?? name;
    else if (word === '-uuid' || word === '--uuid') uuid = value;
  }
  return { name, uuid };
}

/** `web` of `web`, `guest=web`, `debug-threads=on,guest=web`; `a,b` of `a,,b`. */
function guestName(value: string): string | undefined {
  let found: string | undefined;
  for (const [index, parameter] of (value.match(PARAMETER) ?? []).entries()) {
    if (parameter.startsWith('guest=')) found = parameter.slice('guest='.length);
    // The first parameter may go without its key: it does if a comma, or nothing, comes before any "=".
    else if (index === 0 && !/^[^,=]*=/.test(parameter)) found = parameter;
  }
  return found?.replaceAll(',,', ',');
}

/** The text between single commas; a doubled comma stands for itself. */
const PARAMETER = /(?:[^,]|,,)+/g;

/** Keys whose values are secrets, in QEMU's `key=value` syntax and in JSON. */
const SECRET_PAIR = /((?:^|[,\s])(?:--?)?(?:data|key|passphrase|[\w.-]*password|[\w.-]*passwd)=)(?:[^,]|,,)*/g;
const SECRET_JSON = /("(?:data|key|passphrase|[\w.-]*password|[\w.-]*passwd)"\s*:\s*")(?:[^"\\]|\\.)*/g;

/** `word` with apparent secrets left out: reports are copied into tickets. */
export function withoutSecrets(word: string): string {
  return word.replace(SECRET_PAIR, '$1…').replace(SECRET_JSON, '$1…');
}
