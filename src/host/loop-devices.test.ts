/** A sysfs that is made up; real loop devices are in tests/e2e/who.test.ts. */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BackingFile, loopDevicesOn, removedLoopFiles } from './loop-devices.ts';
import type { Mount } from './mounts.ts';

let directory: string;
let path: string;
let file: BackingFile;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-loop-'));
  path = join(directory, 'new\nline.img');
  writeFileSync(path, '');
  file = statSync(path, { bigint: true });
  mkdirSync(join(directory, 'block', 'loop0'), { recursive: true });
});
afterEach(() => rmSync(directory, { recursive: true }));

function put(name: string, text: string): void {
  const place = join(directory, 'block', name);
  mkdirSync(dirname(place), { recursive: true });
  writeFileSync(place, text);
}

function search(mounts: Mount[] = []): ReturnType<typeof loopDevicesOn> {
  return loopDevicesOn(file, join(directory, 'block'), mounts);
}

function aMount(device: string, source: string, mountPoint: string): Mount {
  return { mountId: 1, root: '/', device, mountPoint, type: 'ext4', source, options: [], superOptions: [] };
}

describe('loopDevicesOn()', () => {
  it('finds none for a file without loop devices', async () => {
    put('loop1/loop/backing_file', '/dev/null\n');
    put('loop2/loop/backing_file', `${join(directory, 'gone.img')} (deleted)\n`);
    put('sda/loop/backing_file', `${path}\n`);
    expect(await search()).toEqual({ devices: [], unresolvedCount: 0 });
  });

  it('finds a device, its partitions, their mounts and the devices on top of them', async () => {
    put('loop3/loop/backing_file', `${path}\n`);
    put('loop3/ro', '0\n');
    put('loop3/dev', '7:3\n');
    put('loop3/loop3p1/dev', '259:1\n');
    put('loop3/loop3p2/dev', '259:2\n');
    put('loop3/loop3p2/holders/dm-0', '');
    const mounts = [
      aMount('259:1', '/dev/loop3p1', '/boot'),
      aMount('0:40', '/dev/loop3p2', '/on btrfs'),
      aMount('7:30', '/dev/loop30', '/no'),
    ];
    expect(await search(mounts)).toEqual({
      devices: [{ device: '/dev/loop3', readOnly: false, mountPoints: ['/boot', '/on btrfs'], usedBy: ['dm-0'] }],
      unresolvedCount: 0,
    });
  });

  it('counts a device whose file is not visible here', async () => {
    put('loop1/loop/backing_file', `${join(directory, 'in another namespace')}\n`);
    expect(await search()).toEqual({ devices: [], unresolvedCount: 1 });
  });

  it('reports a missing sysfs', async () => {
    rmSync(join(directory, 'block'), { recursive: true });
    expect(await search()).toBeUndefined();
  });
});

describe('removedLoopFiles()', () => {
  it('finds loop devices whose file was removed and can be written', () => {
    const gone = join(directory, 'gone.img');
    writeFileSync(`${join(directory, 'named so')} (deleted)`, '');
    put('loop1/loop/backing_file', `${gone} (deleted)\n`);
    put('loop1/size', '2048\n');
    put('loop2/loop/backing_file', `${gone} (deleted)\n`);
    put('loop2/ro', '1\n');
    put('loop3/loop/backing_file', `${path}\n`);
    put('loop4/loop/backing_file', `${join(directory, 'named so')} (deleted)\n`);
    expect(removedLoopFiles(join(directory, 'block'))).toEqual([{ device: '/dev/loop1', formerPath: gone, size: 1_048_576 }]);
    expect(removedLoopFiles(join(directory, 'nothing'))).toEqual([]);
  });
});
