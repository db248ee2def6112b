/** The formats: the one table that probing, streams, readers and verdicts derive from, in the order in which evidence is listed. */
import type { ContainerFormatFacts, FormatDriver } from './driver.ts';
import { luksDriver } from './luks/driver.ts';
import { qcowDriver } from './qcow/driver.ts';
import { qcow2Driver } from './qcow2/driver.ts';
import { qedDriver } from './qed/driver.ts';
import { vdiDriver } from './vdi/driver.ts';
import { vhdDriver } from './vhd/driver.ts';
import { vhdxDriver } from './vhdx/driver.ts';
import { vmdkDriver } from './vmdk/driver.ts';

/** Containers with a driver are read; the others are only recognised, so that they are not taken for raw disks. */
const CONTAINERS = [
  qcow2Driver,
  qcowDriver,
  vmdkDriver,
  vhdxDriver,
  vhdDriver,
  vdiDriver,
  qedDriver,
  {
    name: 'parallels',
    signatures: [
      { at: 0, bytes: 'WithoutFreeSpace' },
      { at: 0, bytes: 'WithouFreSpacExt' },
    ],
    extensions: ['hdd', 'hds', 'parallels'],
  },
  { name: 'bochs', signatures: [{ at: 0, bytes: 'Bochs Virtual HD Image' }], extensions: [] },
  { name: 'cloop', signatures: [{ at: 0, bytes: '#!/bin/sh\n#V2.0 Format' }], extensions: [] },
  luksDriver,
  // An encrypted disk image of macOS, and a sparse one.
  { name: 'dmg', signatures: [{ at: 0, bytes: 'encrcdsa' }], extensions: ['dmg'] },
  { name: 'sparseimage', signatures: [{ at: 0, bytes: 'sprs\0\0\0' }], extensions: ['sparseimage'] },
] as const satisfies readonly (FormatDriver | ContainerFormatFacts)[];

type Container = (typeof CONTAINERS)[number];

/** Formats that hold one disk each and are recognised. */
export type ContainerFormat = Container['name'];

/** Formats with a driver: all that are read, but raw, which has no structures. */
export type DriverFormat = Extract<Container, { readonly qemuDriver: string }>['name'];

export const CONTAINER_FORMATS: readonly (ContainerFormatFacts & { readonly name: ContainerFormat })[] = CONTAINERS;

const DRIVERS = new Map<string, FormatDriver>(CONTAINERS.flatMap((one) => ('qemuDriver' in one ? [[one.name, one]] : [])));

/** All of them, in the order of the registry. */
export const FORMAT_DRIVERS: readonly FormatDriver[] = [...DRIVERS.values()];

export function driverOf(format: DriverFormat): FormatDriver {
  return DRIVERS.get(format) as FormatDriver;
}

/** The driver of a format that may be only recognised, or not at all. */
export function findDriver(format: string): FormatDriver | undefined {
  return DRIVERS.get(format);
}
