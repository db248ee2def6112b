/**
 * The storage below a store, on a kernel that has quotas, thin volumes and NFS: a yes only where every layer keeps its promise.
 * Each scenario also shows the failure that a yes would have promised away.
 */
import { describe, expect, it } from 'vitest';
import type { ScanReport } from '#wire';
import { type GuestRun, runInGuest } from './guest.ts';

const MiB = 2 ** 20;

interface Answer {
  readonly code: number;
  readonly fits: boolean | null;
  readonly headroom: number | null;
  /** Codes and messages. */
  readonly findings: readonly string[];
}

/** The answer of one `ask NAME scan --json DIR` of the guest's script. */
function answer(guest: GuestRun, name: string): Answer {
  const { stores } = JSON.parse(guest.file(name)) as ScanReport;
  const [store] = stores;
  if (store === undefined || stores.length !== 1) throw new Error(`${name}: ${stores.length} stores`);
  return {
    code: Number(guest.file(`${name}.code`)),
    fits: store.fits,
    headroom: store.headroom,
    findings: store.findings.map(({ code, message }) => `${code}: ${message}`),
  };
}

/** For a failure: the findings of the store. */
const reasons = (guest: GuestRun, name: string): string => answer(guest, name).findings.join('\n');

async function boot(script: string, diskBytes?: number): Promise<GuestRun> {
  const guest = await runInGuest(script, diskBytes === undefined ? {} : { diskBytes });
  expect(guest.exitCode, guest.console.slice(-3000)).toBe(0);
  return guest;
}

/** Whether a write of the guest's script failed, as it wrote to /out. */
const wroteAll = (guest: GuestRun, name: string): boolean => guest.file(name).trim() === 'all';

const WRITE =
  'fill() { if dd if=/dev/zero of="$2" bs=1M count="$3" conv=notrunc,fsync 2>/dev/null; then echo all; else echo failed; fi >/out/$1; }';
const AS_NOBODY =
  'as_nobody() { name=$1; shift; code=0; setpriv --reuid 65534 --clear-groups -- "$@" >/out/$name 2>/out/$name.err || code=$?; echo $code >/out/$name.code; }';

describe('quotas', () => {
  it('of users, on ext4: the limit counts, and without permission to read it the answer is not yes', async () => {
    const guest = await boot(
      `${WRITE}
      ${AS_NOBODY}
      modprobe virtio_blk; modprobe ext4; modprobe quota_v2
      mkfs.ext4 -q -O quota /dev/vda; mkdir /tmp/store; mount -o usrquota /dev/vda /tmp/store
      quotaon /tmp/store 2>/dev/null || true
      mkdir -m 777 /tmp/store/vm
      truncate -s 500M /tmp/store/vm/disk.raw; chown 1234 /tmp/store/vm/disk.raw; chmod 644 /tmp/store/vm/disk.raw
      ask before scan --json --assume usual-writes /tmp/store/vm
      setquota -u 1234 0 102400 0 0 /tmp/store
      ask limited scan --json --assume usual-writes /tmp/store/vm
      as_nobody nobody ${process.execPath} $COMMAND scan --json --assume usual-writes /tmp/store/vm
      as_nobody assumed ${process.execPath} $COMMAND scan --json --assume no-quota,usual-writes /tmp/store/vm
      setpriv --reuid 1234 --clear-groups -- dd if=/dev/zero of=/tmp/store/vm/disk.raw bs=1M count=400 conv=notrunc,fsync 2>/dev/null && echo all >/out/write || echo failed >/out/write`,
      1024 * MiB,
    );
    expect(wroteAll(guest, 'write')).toBe(false);
    expect(answer(guest, 'before'), reasons(guest, 'before')).toMatchObject({ code: 0, fits: true });
    expect(answer(guest, 'limited'), reasons(guest, 'limited')).toMatchObject({ code: 10, fits: false });
    expect(answer(guest, 'nobody'), reasons(guest, 'nobody')).toMatchObject({ code: 11, fits: null });
    expect(answer(guest, 'assumed'), reasons(guest, 'assumed')).toMatchObject({ code: 0, fits: true });
  });

  it('of projects, on XFS', async () => {
    const guest = await boot(
      `${WRITE}
      modprobe virtio_blk; modprobe xfs
      mkfs.xfs -q /dev/vda; mkdir /tmp/store; mount -o prjquota /dev/vda /tmp/store
      mkdir /tmp/store/vm
      xfs_quota -x -c 'project -s -p /tmp/store/vm 42' /tmp/store >/dev/null
      xfs_quota -x -c 'limit -p bhard=100m 42' /tmp/store
      truncate -s 500M /tmp/store/vm/disk.raw
      ask limited scan --json /tmp/store/vm
      fill write /tmp/store/vm/disk.raw 400`,
      1024 * MiB,
    );
    expect(wroteAll(guest, 'write')).toBe(false);
    expect(answer(guest, 'limited'), reasons(guest, 'limited')).toMatchObject({ code: 10, fits: false });
  });

  it('of projects, on ext4', async () => {
    const guest = await boot(
      `${WRITE}
      modprobe virtio_blk; modprobe ext4; modprobe quota_v2
      mkfs.ext4 -q -O quota,project -E quotatype=prjquota /dev/vda; mkdir /tmp/store; mount -o prjquota /dev/vda /tmp/store
      mkdir /tmp/store/vm; chattr -p 42 +P /tmp/store/vm
      setquota -P 42 0 102400 0 0 /tmp/store
      truncate -s 500M /tmp/store/vm/disk.raw; chown 1234 /tmp/store/vm/disk.raw
      ask limited scan --json /tmp/store/vm
      setpriv --reuid 1234 --clear-groups -- dd if=/dev/zero of=/tmp/store/vm/disk.raw bs=1M count=400 conv=notrunc,fsync 2>/dev/null && echo all >/out/write || echo failed >/out/write`,
      1024 * MiB,
    );
    expect(wroteAll(guest, 'write')).toBe(false);
    expect(answer(guest, 'limited'), reasons(guest, 'limited')).toMatchObject({ code: 10, fits: false });
  });
});

describe('thin volumes', () => {
  const SETUP = `${WRITE}
      ${AS_NOBODY}
      modprobe virtio_blk; modprobe xfs; modprobe dm-thin-pool; modprobe dm-snapshot
      export LVM_SUPPRESS_FD_WARNINGS=1 DM_DISABLE_UDEV=1
      mkdir -p /run/lvm /run/lock/lvm
      pvcreate -q /dev/vda >/dev/null; vgcreate -q vg /dev/vda >/dev/null`;

  it('of LVM whose pool is smaller than its volume: not yes, as root and as nobody', async () => {
    const guest = await boot(
      `${SETUP}
      lvcreate -q -Zn -T -L 200m vg/pool >/dev/null
      lvcreate -q -V 1g -T vg/pool -n thin >/dev/null
      mkfs.xfs -q -K /dev/vg/thin || mkfs.xfs -q -K /dev/mapper/vg-thin
      mkdir /tmp/store; mount /dev/mapper/vg-thin /tmp/store; chmod 755 /tmp/store
      truncate -s 500M /tmp/store/disk.raw
      ask root scan --json /tmp/store
      ask assumed scan --json --assume backed /tmp/store
      as_nobody nobody ${process.execPath} $COMMAND scan --json /tmp/store`,
      768 * MiB,
    );
    expect(answer(guest, 'root').fits).not.toBe(true);
    expect(answer(guest, 'nobody'), reasons(guest, 'nobody')).toMatchObject({ code: 11, fits: null });
    expect(answer(guest, 'assumed'), reasons(guest, 'assumed')).toMatchObject({ code: 0, fits: true });
  });

  it('of LVM whose pool holds all of it: yes for root', async () => {
    const guest = await boot(
      `${SETUP}
      lvcreate -q -Zn -T -L 700m vg/pool >/dev/null
      lvcreate -q -V 600m -T vg/pool -n thin >/dev/null
      mkfs.xfs -q -K /dev/mapper/vg-thin
      mkdir /tmp/store; mount /dev/mapper/vg-thin /tmp/store; chmod 755 /tmp/store
      truncate -s 300M /tmp/store/disk.raw
      ask root scan --json /tmp/store
      as_nobody nobody ${process.execPath} $COMMAND scan --json /tmp/store
      fill write /tmp/store/disk.raw 300`,
      1024 * MiB,
    );
    expect(wroteAll(guest, 'write')).toBe(true);
    expect(answer(guest, 'root'), reasons(guest, 'root')).toMatchObject({ code: 0, fits: true });
    expect(answer(guest, 'nobody').fits).toBeNull();
  });

  it('a plain logical volume and an encrypted-like linear mapping pass writes on: yes without root', async () => {
    const guest = await boot(
      `${SETUP}
      lvcreate -q -Zn -Wn -L 600m -n plain vg >/dev/null
      mkfs.xfs -q /dev/mapper/vg-plain
      mkdir /tmp/store; mount /dev/mapper/vg-plain /tmp/store; chmod 755 /tmp/store
      truncate -s 300M /tmp/store/disk.raw
      as_nobody nobody ${process.execPath} $COMMAND scan --json /tmp/store
      fill write /tmp/store/disk.raw 300`,
      1024 * MiB,
    );
    expect(wroteAll(guest, 'write')).toBe(true);
    expect(answer(guest, 'nobody'), reasons(guest, 'nobody')).toMatchObject({ code: 0, fits: true });
  });
});

describe('NFS', () => {
  it('can be filled by other hosts too: not yes, unless the administrator declares it exclusive', async () => {
    const guest = await boot(
      `modprobe virtio_blk; modprobe ext4; modprobe nfsd; modprobe nfsv4 || modprobe nfs
      mkfs.ext4 -q /dev/vda; mkdir /tmp/exported /tmp/store; mount /dev/vda /tmp/exported; chmod 777 /tmp/exported
      truncate -s 100M /tmp/exported/disk.raw
      mount -t nfsd nfsd /proc/fs/nfsd
      mkdir -p /var/lib/nfs/rpc_pipefs /var/lib/nfs/nfsdcltrack /run/rpcbind; mount -t tmpfs nfs /var/lib/nfs
      : >/var/lib/nfs/etab; : >/var/lib/nfs/rmtab; mkdir -p /var/lib/nfs/v4recovery
      echo '/tmp/exported 127.0.0.1(rw,no_root_squash,insecure,fsid=0,no_subtree_check)' >/etc/exports
      rpc.mountd -N 2 -N 3 2>/dev/null || rpc.mountd
      exportfs -ra 2>/dev/null || true
      rpc.nfsd -N 3 -V 4 4 || rpc.nfsd 4
      mount -t nfs4 -o noresvport,soft,timeo=50 127.0.0.1:/ /tmp/store
      ask store scan --json /tmp/store
      ask assumed scan --json --assume exclusive,backed,no-quota /tmp/store`,
      512 * MiB,
    );
    expect(answer(guest, 'store'), reasons(guest, 'store')).toMatchObject({ code: 11, fits: null });
    expect(answer(guest, 'assumed'), reasons(guest, 'assumed')).toMatchObject({ code: 0, fits: true });
  });
});
