/** How to use an image that has a use, so that no tool has to guess its format or can mistake its name. */
import { fileArgument, MiB, shellLine } from '#base';
import { driverOf, findDriver } from '#formats';
import type { VetConversion, VetNext, VetUse } from '#wire';
import type { VetFormat } from './policy.ts';

/** Stands for a byte that is not UTF-8, which QEMU's JSON has no way to write. */
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** QEMU's name of the format. */
export function qemuDriverOf(format: VetFormat): string {
  return format === 'raw' ? 'raw' : driverOf(format).qemuDriver;
}

export interface NextFacts {
  readonly format: VetFormat;
  readonly use: VetUse | null;
  /** Bytes. */
  readonly capacity: number | null;
  /** Nothing of the image is read from another file, so QEMU is told to open none. */
  readonly standsAlone: boolean;
  /** The name of the file as text; null for a stream, whose file is called FILE then. */
  readonly path: string | null;
}

/** The commands and options for an image; null where it has no use. */
export function nextSteps({ format, use, capacity, standsAlone, path }: NextFacts): VetNext | null {
  if (use !== 'attach' && use !== 'convert') return null;
  const driver = qemuDriverOf(format);
  const file = fileArgument(path ?? 'FILE');
  const words = { qemuImg: ['-f', driver], file };
  if (use === 'convert') return { ...words, libvirt: null, blockdev: null, convert: conversion(driver, file, capacity ?? 0) };
  return {
    ...words,
    libvirt: `<driver name='qemu' type='${driver}'/>`,
    blockdev: {
      driver,
      ...(path === null || LONE_SURROGATE.test(path) ? {} : { file: { driver: 'file', filename: file } }),
      ...(standsAlone && findDriver(format)?.hasQemuBacking === true ? { backing: null } : {}),
    },
    convert: null,
  };
}

/** Where the files lie for the confined reader, which never sees their names. */
const INSIDE = { source: '/source', target: '/target' } as const;
/** What OpenStack gives qemu-img too. */
const MEMORY_BYTES = 1024 * MiB;
/** Processor time for a slow disk's content, compressed. */
const SECONDS = { least: 60, bytesPerSecond: 10 * MiB } as const;

/** A new file for the copy, then qemu-img in a jail that holds the two files, the system's programs and no network. */
function conversion(driver: string, file: string, capacity: number): VetConversion {
  const target = `${file}.converted.qcow2`;
  const create = ['dd', 'if=/dev/null', `of=${target}`, 'conv=excl', 'status=none'];
  const jail = [
    ...['bwrap', '--unshare-all', '--die-with-parent', '--new-session', '--cap-drop', 'ALL', '--clearenv'],
    ...['--setenv', 'PATH', '/usr/bin:/bin', '--ro-bind', '/usr', '/usr'],
    ...['/bin', '/lib', '/lib64', '/etc/ld.so.cache', '/etc/alternatives'].flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--proc', '/proc', '--dev', '/dev', '--ro-bind', file, INSIDE.source, '--bind', target, INSIDE.target],
    ...['--remount-ro', '/', '--chdir', '/'],
  ];
  const limits = ['prlimit', `--as=${MEMORY_BYTES}`, `--cpu=${secondsFor(capacity)}`, `--fsize=${longestCopy(capacity)}`, '--core=0'];
  const convert = ['qemu-img', 'convert', '-f', driver, '-O', 'qcow2', INSIDE.source, INSIDE.target];
  const commands = [create, [...jail, '--', ...limits, '--', ...convert]];
  return { commands, shell: commands.map(shellLine).join(' && '), target };
}

function secondsFor(capacity: number): number {
  return SECONDS.least + Math.ceil(capacity / SECONDS.bytesPerSecond);
}

/** Bytes of a qcow2 of 64 KiB clusters with every cluster stored: tables take one part in 6,553, refcount blocks included. */
function longestCopy(capacity: number): number {
  return capacity + Math.ceil(capacity / 4096) + 16 * MiB;
}
