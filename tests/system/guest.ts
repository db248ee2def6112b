/**
 * A Debian kernel under QEMU (TCG) for what this host's kernel lacks: quotas, device-mapper, NFS.
 *
 * The guest's root is the host's, read-only over 9p, below a tmpfs for what it writes: it runs the same Node, the same built
 * plimsoll and the same tools. A script runs as root; its files in /out come back to the test.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { COMMAND, run } from '../support/command.ts';
import { ROOT } from '../support/root.ts';

const KERNEL = join(ROOT, 'artefacts', 'guest-kernel');
/** What the guest needs before it sees the host's files, where the other modules lie. */
const FIRST_MODULES = ['virtio_pci', '9p', '9pnet_virtio', 'overlay'];
const MEMORY_MB = 1536;

export interface GuestRun {
  /** The files that the script wrote to /out, by name. */
  readonly file: (name: string) => string;
  /** The kernel's and the script's messages, for a failure. */
  readonly console: string;
  readonly exitCode: number;
}

/**
 * Boots, runs `script` with `sh -eu` and powers off. In it, `plimsoll` is the built command and `modprobe` finds all modules;
 * /scratch is a tmpfs of 512 MiB, /dev/vda a disk of `diskBytes` where that is given.
 */
export async function runInGuest(script: string, { diskBytes }: { readonly diskBytes?: number } = {}): Promise<GuestRun> {
  const directory = mkdtempSync(join(tmpdir(), 'plimsoll-guest-'));
  try {
    const out = join(directory, 'out');
    mkdirSync(out);
    writeFileSync(join(out, 'script.sh'), `${PRELUDE}\n${script}\n`);
    const initrd = buildInitrd(directory);
    const disk = join(directory, 'disk.img');
    if (diskBytes !== undefined) execFileSync('truncate', ['-s', String(diskBytes), disk]);
    const share = (path: string, tag: string, more = ''): string[] => [
      '-virtfs',
      `local,path=${path},mount_tag=${tag},security_model=none,multidevs=remap${more}`,
    ];
    const words = [
      ...['-accel', 'tcg', '-cpu', 'max', '-m', String(MEMORY_MB), '-nodefaults', '-no-reboot', '-display', 'none', '-serial', 'stdio'],
      ...['-kernel', join(KERNEL, 'vmlinuz'), '-initrd', initrd, '-append', 'console=ttyS0 quiet panic=-1'],
      ...share('/', 'host', ',readonly=on'),
      ...share(out, 'out'),
      ...(diskBytes === undefined ? [] : ['-drive', `file=${disk},if=virtio,format=raw,cache=unsafe`]),
    ];
    const { stdout, stderr } = await run('qemu-system-x86_64', words);
    const exit = join(out, 'exit');
    return {
      console: stdout + stderr,
      exitCode: existsSync(exit) ? Number(readFileSync(exit, 'utf8')) : -1,
      ...kept(out),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Reads the small result files before their directory goes. */
function kept(out: string): Pick<GuestRun, 'file'> {
  const names = execFileSync('ls', [out], { encoding: 'utf8' }).split('\n').filter(Boolean);
  const files = new Map(names.map((name) => [name, readFileSync(join(out, name), 'utf8')]));
  return {
    file: (name) => {
      const text = files.get(name);
      if (text === undefined) throw new Error(`the guest wrote no ${name}; it wrote ${names.join(', ')}`);
      return text;
    },
  };
}

const PRELUDE = `
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
COMMAND=${COMMAND}
plimsoll() { ${process.execPath} ${COMMAND} "$@"; }
# Its exit code goes to /out/NAME.code, its output to /out/NAME: "unknown" is no failure of the script.
ask() { name=$1; shift; code=0; plimsoll "$@" >/out/$name 2>/out/$name.err || code=$?; echo $code >/out/$name.code; }
`;

const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /top /root2 /out
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod /m/$module || echo "insmod $module failed"; done
O=trans=virtio,version=9p2000.L,msize=524288
/bin/busybox mount -t 9p -o ro,cache=loose,$O host /host || echo no host
/bin/busybox mount -t tmpfs top /top
/bin/busybox mkdir /top/up /top/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/top/up,workdir=/top/work over /root2 || echo no overlay
for d in proc sys dev tmp run out scratch; do /bin/busybox mkdir -p /root2/$d; done
/bin/busybox mount -t proc proc /root2/proc
/bin/busybox mount -t sysfs sys /root2/sys
/bin/busybox mount -t devtmpfs dev /root2/dev
for d in tmp run; do /bin/busybox mount -t tmpfs $d /root2/$d; done
/bin/busybox mkdir -p /root2/dev/shm
/bin/busybox mount -t tmpfs shm /root2/dev/shm
/bin/busybox mount -t tmpfs -o size=512m scratch /root2/scratch
/bin/busybox mount -t 9p -o $O out /root2/out
/bin/busybox mkdir -p /root2/lib/modules
/bin/busybox mount --bind /host/@KERNEL@/lib/modules /root2/lib/modules
/bin/busybox ip link set lo up
/bin/busybox chroot /root2 /bin/sh -eu /out/script.sh
echo $? >/root2/out/exit
/bin/busybox sync
/bin/busybox poweroff -f
`;

/** A cpio archive of busybox, the first modules in the order of their dependencies, and the init script. */
function buildInitrd(directory: string): string {
  const tree = join(directory, 'initrd');
  const version = readFileSync(join(KERNEL, 'version'), 'utf8').trim();
  const base = join(KERNEL, 'lib', 'modules', version);
  mkdirSync(join(tree, 'bin'), { recursive: true });
  mkdirSync(join(tree, 'm'));
  copyFileSync('/bin/busybox', join(tree, 'bin', 'busybox'));
  const names = modulesInOrder(readFileSync(join(base, 'modules.dep'), 'utf8')).map((path) => {
    const name = path.split('/').at(-1) as string;
    copyFileSync(join(base, path), join(tree, 'm', name));
    return name;
  });
  writeFileSync(join(tree, 'modules'), names.join('\n'));
  writeFileSync(join(tree, 'init'), INIT.replace('@KERNEL@', KERNEL.slice(1)), { mode: 0o755 });
  const archive = join(directory, 'initrd.cpio');
  execFileSync('sh', ['-c', `cd "${tree}" && find . | cpio --quiet -o -H newc >"${archive}"`]);
  return archive;
}

/** Source: depmod(8), modules.dep: "path: dependencies", dependencies to be loaded from the last to the first. */
function modulesInOrder(dep: string): string[] {
  const rows = new Map(dep.split('\n').map((line) => [line.split(':')[0] ?? '', (line.split(':')[1] ?? '').split(' ').filter(Boolean)]));
  const ordered: string[] = [];
  const add = (path: string): void => {
    for (const needed of [...(rows.get(path) ?? [])].reverse()) add(needed);
    if (!ordered.includes(path)) ordered.push(path);
  };
  for (const name of FIRST_MODULES) {
    const path = [...rows.keys()].find((one) => one.endsWith(`/${name}.ko`));
    if (path === undefined) throw new Error(`the guest kernel has no module ${name}`);
    add(path);
  }
  return ordered;
}

/** The scripts of a boot share this directory of the checkout. */
export const KERNEL_DIRECTORY = dirname(join(KERNEL, 'vmlinuz'));
