/** How to use an image that is safe, so that no tool has to guess. */
import type { VetNext } from '#wire';
import type { VetFormat } from './policy.ts';

/** QEMU's names of the formats. */
const QEMU_DRIVERS: Readonly<Record<VetFormat, string>> = {
  raw: 'raw',
  qcow2: 'qcow2',
  vmdk: 'vmdk',
  vhd: 'vpc',
  vhdx: 'vhdx',
  vdi: 'vdi',
};

/** What QEMU calls the format. */
export function qemuDriverOf(format: VetFormat): string {
  return QEMU_DRIVERS[format];
}

/** `standsAlone`: nothing of the image is read from another file, so QEMU is told to open none. */
export function nextSteps(format: VetFormat, standsAlone: boolean): VetNext {
  const driver = qemuDriverOf(format);
  return {
    qemuImg: ['-f', driver],
    libvirt: `<driver name='qemu' type='${driver}'/>`,
    blockdev: { driver, ...(format === 'qcow2' && standsAlone ? { backing: null } : {}) },
  };
}
