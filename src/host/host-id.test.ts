/** Against OpenSSL, which computes the HMAC of sd_id128_get_machine_app_specific(3). */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { configureHostId, deriveHostIdentity, hostIdentity } from './host-id.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-host-id-'));
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(() => {
  configureHostId(undefined);
  delete process.env['PLIMSOLL_HOST_ID'];
});

const MACHINE_ID = '3d1219c7c4c5404aaa1f6d2a48adfda4';
const APPLICATION_ID = '6f2a9d1c4be84f0b9a37d5e1c0837b52';
const fileWith = (text: string): string => {
  const file = join(directory, 'machine-id');
  writeFileSync(file, text);
  return file;
};

/** The first 16 bytes of the HMAC, with the bits of a UUID of version 4 in digits 12 and 16. */
function oracle(machineId: string): string {
  const options = ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${machineId}`, '-r'];
  const hmac = execFileSync('openssl', options, { input: Buffer.from(APPLICATION_ID, 'hex'), encoding: 'utf8' }).slice(0, 32);
  const variant = ((Number.parseInt(hmac.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hmac.slice(0, 12)}4${hmac.slice(13, 16)}${variant}${hmac.slice(17)}`;
}

describe('deriveHostIdentity()', () => {
  it.each([MACHINE_ID, '00112233445566778899aabbccddeeff', 'ffffffffffffffffffffffffffffffff'])('derives the id of %s', (machineId) => {
    const { id } = deriveHostIdentity([fileWith(`${machineId}\n`)]);
    expect(id).toBe(oracle(machineId));
    expect(id).not.toContain(machineId.slice(0, 8));
  });

  it.each([
    ['', /is empty/],
    ['uninitialized\n', /not initialized/],
    ['00000000000000000000000000000000\n', /does not hold a machine id/],
    ['3d1219c7\n', /does not hold a machine id/],
  ])('is unknown, for a reason, with %j', (text, reason) => {
    expect(deriveHostIdentity([fileWith(text)])).toEqual({ id: null, source: null, unknown: expect.stringMatching(reason) });
  });

  it('takes the file of D-Bus where that of systemd is missing', () => {
    expect(deriveHostIdentity([join(directory, 'missing'), fileWith(MACHINE_ID)]).id).toBe(oracle(MACHINE_ID));
    expect(deriveHostIdentity([join(directory, 'missing')]).unknown).toContain('does not exist');
  });
});

describe('hostIdentity()', () => {
  it('is the configured id before that of the environment', () => {
    process.env['PLIMSOLL_HOST_ID'] = 'from-environment';
    expect(hostIdentity()).toEqual({ id: 'from-environment', source: 'configured', unknown: null });
    configureHostId('kvm7.example');
    expect(hostIdentity().id).toBe('kvm7.example');
  });

  it.each(['', 'with space', '-x', 'x'.repeat(65), 'ü'])('refuses %j', (id) => {
    expect(() => configureHostId(id)).toThrow(expect.objectContaining({ kind: 'usage', code: 'HOST_ID_INVALID' }));
  });
});
