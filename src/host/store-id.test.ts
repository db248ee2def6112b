import { expect, it } from 'vitest';
import type { Mount } from './mounts.ts';
import { type IdentityFacts, storeIdentityOf } from './store-id.ts';

const mount = (changes: Partial<Mount>): Mount => ({
  mountId: 1,
  root: '/',
  device: '0:45',
  mountPoint: '/srv/vm',
  type: 'tmpfs',
  source: 'none',
  options: [],
  superOptions: [],
  ...changes,
});
const facts = (changes: Partial<IdentityFacts>): IdentityFacts => ({
  uuid: undefined,
  device: '0:45',
  type: 'tmpfs',
  mounts: [mount({})],
  hostId: 'host-a',
  derivedHostId: 'host-a',
  ...changes,
});
const idOf = (changes: Partial<IdentityFacts>): string => storeIdentityOf(facts(changes), () => undefined).id;
const nfs = (source: string, changes: Partial<IdentityFacts> = {}): string =>
  idOf({ type: 'nfs4', mounts: [mount({ source, type: 'nfs4' })], ...changes });

it('is the UUID where the filesystem has one, but not the random one of a tmpfs', () => {
  expect(idOf({ type: 'ext4', uuid: 'u1' })).toBe('uuid:u1');
  const inMemory = storeIdentityOf(facts({ uuid: 'u1' }), () => undefined);
  expect(inMemory.id).toMatch(/^mount:[0-9a-f]{32}$/);
  expect(inMemory.formerIds).toContain('uuid:u1');
});

it('is that of the source for a network filesystem: the same on all hosts, and for both versions of NFS', () => {
  const id = nfs('server:/export');
  expect(id).toMatch(/^net:[0-9a-f]{32}$/);
  expect(nfs('server:/export', { hostId: 'host-b', device: '0:99' })).toBe(id);
  expect(nfs('server:/export', { type: 'nfs' })).toBe(id);
  expect(nfs('server:/other')).not.toBe(id);
});

it('is that of host and mount point otherwise, whatever the device number', () => {
  const id = idOf({});
  expect(idOf({ device: '0:77', mounts: [mount({ device: '0:77' })] })).toBe(id);
  expect(idOf({ hostId: 'host-b' })).not.toBe(id);
  expect(idOf({ mounts: [mount({ mountPoint: '/srv/other' })] })).not.toBe(id);
});

it('does not depend on the order of mounts, nor on bind mounts of a part', () => {
  const whole = [mount({ mountPoint: '/srv/vm' }), mount({ mountPoint: '/also/vm' })];
  const part = mount({ mountPoint: '/a', root: '/inner' });
  expect(idOf({ mounts: [part, ...whole.toReversed()] })).toBe(idOf({ mounts: whole }));
});

it('takes the UUID that udev recorded for the block device', () => {
  const mounts = [mount({ type: 'vfat', source: '/dev/sdb1', device: '8:17' })];
  const found = storeIdentityOf(facts({ type: 'vfat', mounts, device: '8:17' }), (source) =>
    source === '/dev/sdb1' ? '1A2B-3C4D' : undefined,
  );
  expect(found).toEqual({ id: 'uuid:1A2B-3C4D', formerIds: ['dev:8:17'] });
});

it('remembers the ids that it had without a configured host id, and by the device number', () => {
  const derived = idOf({});
  const configured = storeIdentityOf(facts({ hostId: 'kvm7' }), () => undefined);
  expect(configured.id).not.toBe(derived);
  expect(configured.formerIds).toEqual([derived, idOf({ hostId: null }), 'dev:0:45']);
});

it('is the device number where no mount is visible', () => {
  expect(idOf({ mounts: [] })).toBe('dev:0:45');
});
