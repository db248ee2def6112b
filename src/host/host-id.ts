/**
 * The stable id of this host, which reports carry: a configured one, or one derived from the machine id. The machine id itself
 * is never published, as machine-id(5) asks. Source: sd_id128_get_machine_app_specific(3).
 */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { HOST_ID_PATTERN, HOST_ID_SYNTAX, PlimsollError } from '#base';

export interface HostIdentity {
  /** null: unknown, for the reason in `unknown`. */
  readonly id: string | null;
  readonly source: 'configured' | 'machine-id' | null;
  readonly unknown: string | null;
}

/** Chosen at random for plimsoll. It never changes: every derived id depends on it. */
const APPLICATION_ID = Buffer.from('6f2a9d1c4be84f0b9a37d5e1c0837b52', 'hex');
/** systemd's file, and that of D-Bus where systemd is absent. Source: machine-id(5), dbus-uuidgen(1). */
const MACHINE_ID_FILES = ['/etc/machine-id', '/var/lib/dbus/machine-id'];

let configured: string | undefined;
let derived: HostIdentity | undefined;

/**
 * Sets the id of this process's host; undefined: derive it again.
 *
 * Throws: usage, HOST_ID_INVALID.
 */
export function configureHostId(id: string | undefined): void {
  configured = id === undefined ? undefined : requireHostId(id, 'host_id');
}

/** The id of this host: configured, else $PLIMSOLL_HOST_ID, else derived. Throws: usage, HOST_ID_INVALID, for the variable. */
export function hostIdentity(): HostIdentity {
  const given = configured ?? process.env['PLIMSOLL_HOST_ID'] ?? '';
  if (given === '') return derivedHostIdentity();
  return { id: requireHostId(given, 'PLIMSOLL_HOST_ID'), source: 'configured', unknown: null };
}

/** The id without a configured one. Read once: the machine id does not change while the host runs. */
export function derivedHostIdentity(): HostIdentity {
  derived ??= deriveHostIdentity(MACHINE_ID_FILES);
  return derived;
}

/** From the first of `files` that holds a machine id. */
export function deriveHostIdentity(files: readonly string[]): HostIdentity {
  const problems: string[] = [];
  for (const file of files) {
    const machineId = readMachineId(file);
    if (typeof machineId !== 'string') return { id: applicationSpecificId(machineId), source: 'machine-id', unknown: null };
    problems.push(`${file} ${machineId}`);
  }
  return { id: null, source: null, unknown: `machine id not available: ${problems.join('; ')}` };
}

/** HMAC-SHA256 of the application id under the machine id; its first 16 bytes, marked as a UUID of version 4. */
function applicationSpecificId(machineId: Buffer): string {
  const id = createHmac('sha256', machineId).update(APPLICATION_ID).digest().subarray(0, 16);
  id.writeUInt8((id.readUInt8(6) % 0x10) + 0x40, 6);
  id.writeUInt8((id.readUInt8(8) % 0x40) + 0x80, 8);
  return id.toString('hex');
}

/** The 16 bytes, or the reason why the file holds none. */
function readMachineId(file: string): Buffer | string {
  let text: string;
  try {
    text = readFileSync(file, 'latin1').trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read';
  }
  if (text === '') return 'is empty';
  // systemd writes this during the first boot.
  if (text === 'uninitialized') return 'is not initialized yet';
  if (!/^[0-9a-f]{32}$/i.test(text) || /^0+$/.test(text)) return 'does not hold a machine id';
  return Buffer.from(text, 'hex');
}

function requireHostId(id: string, field: string): string {
  if (HOST_ID_PATTERN.test(id)) return id;
  throw new PlimsollError('usage', 'HOST_ID_INVALID', {
    doing: 'set the host id',
    field,
    found: id,
    expected: HOST_ID_SYNTAX,
  });
}
