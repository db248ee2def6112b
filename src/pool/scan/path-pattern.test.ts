import { describe, expect, it } from 'vitest';
import { pathMatcher } from './path-pattern.ts';

describe('a pattern', () => {
  it.each([
    ['*.iso', ['/vm/a.iso', '/vm/sub/b.iso', 'c.iso'], ['/vm/a.iso.img', '/vm/x.iso/disk.img', '/vm/a.ISO']],
    ['base.qcow2', ['/vm/base.qcow2', '/vm/old/base.qcow2'], ['/vm/database.qcow2', '/vm/base.qcow2/disk']],
    ['templates/', ['/vm/templates/a.img', '/templates/x/y.img'], ['/vm/templates', '/vm/my-templates/a.img']],
    ['templates/*.img', ['/vm/templates/a.img', '/vm/templates/a.img/b'], ['/vm/templates/sub/a.img', '/vm/a.img']],
    ['/vm/iso', ['/vm/iso', '/vm/iso/a.iso', '/vm/iso/x/a'], ['/vm/iso2/a', '/srv/vm/iso/a']],
    ['/vm/**/old', ['/vm/old', '/vm/a/old', '/vm/a/b/old/disk.img'], ['/vm/old2', '/srv/vm/old']],
    ['disk?.[rq]*', ['/vm/disk1.raw', '/vm/disk2.qcow2'], ['/vm/disk10.raw', '/vm/disk1.img']],
    ['[!a]*.img', ['/vm/b.img'], ['/vm/a.img']],
    ['a+b(1).img', ['/vm/a+b(1).img'], ['/vm/aab1.img']],
    ['図?.img', ['/vm/図𠮷.img'], ['/vm/図.img']],
  ])('%s', (pattern, matching, other) => {
    const matches = pathMatcher([pattern]);
    expect(matching.filter((path) => !matches(path))).toEqual([]);
    expect(other.filter((path) => matches(path))).toEqual([]);
  });

  it.each(['', '/', '[', '[]', 'a[b', '[z-a]', 'x\0'])('%j is a mistake', (pattern) => {
    expect(() => pathMatcher([pattern])).toThrow(expect.objectContaining({ kind: 'usage', code: 'PATTERN_SYNTAX' }));
  });

  it('takes no time on names that are made to be slow', () => {
    expect(pathMatcher(['*a*a*a*a*b'])(`/vm/${'a'.repeat(255)}`)).toBe(false);
  });
});
