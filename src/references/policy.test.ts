import { describe, expect, it } from 'vitest';
import type { RealPlace } from '#host';
import { permitWithin, referencedPath, refusedName } from './policy.ts';

const place = (path: string | Buffer): RealPlace => ({ realPath: path.toString(), realPathBytes: Buffer.from(path) });

describe('refusedName()', () => {
  it.each(['', 'json:', 'json:{}', 'nbd:x', 'nbd+unix:///x', 'file:/x', 'HTTP://x', 'a:b', ':', 'fat:rw:/x', 'c:\\disk'])(
    'refuses %j',
    (name) => {
      expect(refusedName(name)).toBeTypeOf('string');
    },
  );

  it.each(['base', './json:{}', '/srv/a:b', 'dir/a:b', '../x', '~/x', '-', '$(x)', '\u001b'])('leaves %j to the policy', (name) => {
    expect(refusedName(name)).toBeUndefined();
  });
});

describe('permitWithin()', () => {
  const permit = permitWithin(place('/srv/vm/a.qcow2'), ['/bases', '/more/']);

  it.each(['/srv/vm/b', '/srv/vm/deep/er/b', '/bases/b', '/more/b'])('permits %s', (path) => {
    expect(() => permit(place(path))).not.toThrow();
  });

  it.each(['/srv/b', '/srv/vm', '/srv/vm2/b', '/bases2/b', '/bases', '/', '/etc/passwd', 'srv/vm/b'])('refuses %s', (path) => {
    expect(() => permit(place(path))).toThrow(expect.objectContaining({ kind: 'refused', code: 'REFERENCE_OUTSIDE' }));
  });

  it('judges bytes, not what they look like', () => {
    const own = permitWithin(place(Buffer.from([0x2f, 0xff, 0x2f, 0x61])), []);
    expect(() => own(place(Buffer.from([0x2f, 0xff, 0x2f, 0x62])))).not.toThrow();
    expect(() => own(place(Buffer.from([0x2f, 0xfe, 0x2f, 0x62])))).toThrow(expect.objectContaining({ code: 'REFERENCE_OUTSIDE' }));
  });

  it('permits everything beside an image in the root directory', () => {
    expect(() => permitWithin(place('/a'), [])(place('/etc/x'))).not.toThrow();
  });
});

describe('referencedPath()', () => {
  it.each([
    ['/srv/a.qcow2', 'b', '/srv/b'],
    ['/srv/a.qcow2', '../b', '/srv/../b'],
    ['/srv/a.qcow2', '/b', '/b'],
    ['a.qcow2', 'b', 'b'],
    ['./x/a.qcow2', 'y/b', './x/y/b'],
    ['/a', 'b', '/b'],
  ])('from %s, %s is %s', (image, name, path) => {
    expect(referencedPath(Buffer.from(image), Buffer.from(name)).toString()).toBe(path);
  });
});
