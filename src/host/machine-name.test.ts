import { describe, expect, it } from 'vitest';
import { machineOf, withoutSecrets } from './machine-name.ts';

const UUID = '11111111-2222-3333-4444-555555555555';

describe('machineOf()', () => {
  it.each([
    [['-name', 'web'], 'web'],
    [['-name', 'guest=web,debug-threads=on'], 'web'],
    [['--name', 'web,process=x'], 'web'],
    [['-name', 'debug-threads=on,guest=web'], 'web'],
    [['-name', 'guest=a,,b'], 'a,b'],
    [['-name', 'a,,guest=b'], 'a,guest=b'],
    [['-name', 'one', '-name', 'guest=two'], 'two'],
    [['-name', 'guest=my = "vm"\n'], 'my = "vm"\n'],
    [['-name', 'process=x'], undefined],
    [['-name', ''], undefined],
    [['-S', '-name'], undefined],
    [[], undefined],
  ])('reads the name of %j', (words, name) => {
    expect(machineOf('qemu-system-x86_64', ['qemu-system-x86_64', ...words])).toEqual({ name, uuid: undefined });
  });

  it('reads the UUID', () => {
    expect(machineOf('qemu-kvm', ['/usr/libexec/qemu-kvm', '-name', 'web', '-uuid', UUID])).toEqual({ name: 'web', uuid: UUID });
  });

  it.each(['qemu-nbd', 'qemu-storage-daemon', 'vim', 'not-qemu-system-x86_64'])('finds no VM in %s', (program) => {
    expect(machineOf(program, [program, '-name', 'web'])).toBeUndefined();
  });
});

describe('withoutSecrets()', () => {
  it.each([
    ['secret,id=s,data=hunter2', 'secret,id=s,data=…'],
    ['secret,id=s,data=a,,b,format=raw', 'secret,id=s,data=…,format=raw'],
    ['{"qom-type":"secret","id":"s","data":"a\\"b"}', '{"qom-type":"secret","id":"s","data":"…"}'],
    ['file.driver=http,file.proxy-password=x', 'file.driver=http,file.proxy-password=…'],
    ['--password=x', '--password=…'],
    ['driver=qcow2,encrypt.key-secret=sec0,file.filename=/a', 'driver=qcow2,encrypt.key-secret=sec0,file.filename=/a'],
    ['/srv/data=1/x', '/srv/data=1/x'],
    ['driver=qcow2,data-file.filename=x', 'driver=qcow2,data-file.filename=x'],
  ])('makes of %j %j', (word, shown) => {
    expect(withoutSecrets(word)).toBe(shown);
  });
});
