import { describe, expect, it } from 'vitest';
import { checkedJudgement, checkedPlaces } from './answers.ts';
import { conclude } from './conclude.ts';
import { DEFAULT_POLICY } from './policy.ts';

const KNOWN = { declared: undefined, byteLength: 4096 };
const GOOD = {
  format: 'qcow2',
  declared: null,
  examined: 'tables',
  capacity: 2 ** 30,
  length: 4096,
  reasons: [{ level: 'note', code: 'LEAKED_CLUSTERS', message: 'Clusters.', at: 7 }],
  signs: [{ name: 'qcow2', class: 'container', at: 0 }],
  details: { version: 3, extendedL2: false, encryption: 'none' },
};
const ESCAPES = '\u001b]0;owned\u0007';
const IDENTITY = { device: null, inode: null, size: 4096, mtimeNs: null, sha256: null, method: 'stamp' as const };

describe('checkedJudgement()', () => {
  it('accepts what an honest worker answers', () => {
    expect(checkedJudgement(structuredClone(GOOD), KNOWN)).toEqual(GOOD);
  });

  it.each<[string, unknown]>([
    ['nothing', null],
    ['a list', [GOOD]],
    ['next steps of its own', { ...GOOD, next: { qemuImg: ['-f', 'raw', '; rm -rf /'] } }],
    ['a verdict of its own', { ...GOOD, verdict: 'safe' }],
    ['a use of its own', { ...GOOD, use: 'attach' }],
    ['another path', { ...GOOD, path: '/etc/shadow' }],
    ['an identity', { ...GOOD, identity: IDENTITY }],
    ['__proto__', JSON.parse(JSON.stringify(GOOD).replace('{', '{"__proto__":{"polluted":1},'))],
    ['constructor', JSON.parse(JSON.stringify(GOOD).replace('{', '{"constructor":{"prototype":{}},'))],
    ['details of __proto__', { ...GOOD, details: JSON.parse('{"__proto__":{"polluted":1}}') as unknown }],
    ['an unknown format', { ...GOOD, format: 'host_device' }],
    ['a format with escapes', { ...GOOD, format: ESCAPES }],
    ['a declared format that was not declared', { ...GOOD, declared: 'raw' }],
    ['another length', { ...GOOD, length: 4097 }],
    ['a capacity that is text', { ...GOOD, capacity: '1' }],
    ['a capacity below 0', { ...GOOD, capacity: -1 }],
    ['a capacity above 2^53', { ...GOOD, capacity: 2 ** 60 }],
    ['an unknown level', { ...GOOD, reasons: [{ level: 'fine', code: 'X', message: '' }] }],
    ['a code with escapes', { ...GOOD, reasons: [{ level: 'note', code: ESCAPES, message: '' }] }],
    ['a message that is an object', { ...GOOD, reasons: [{ level: 'note', code: 'X', message: {} }] }],
    ['a message without end', { ...GOOD, reasons: [{ level: 'note', code: 'X', message: 'x'.repeat(4097) }] }],
    ['a reason with another key', { ...GOOD, reasons: [{ level: 'note', code: 'X', message: '', z: [] }] }],
    ['a reason that is null', { ...GOOD, reasons: [null] }],
    ['an unknown kind', { ...GOOD, reasons: [{ level: 'refuse', code: 'X', message: '', kind: 'great' }] }],
    ['too many reasons', { ...GOOD, reasons: Array.from({ length: 1001 }, () => ({ level: 'note', code: 'X', message: '' })) }],
    ['too many signs', { ...GOOD, signs: Array.from({ length: 1001 }, () => ({ name: 'a', class: 'media', at: 0 })) }],
    ['a sign with escapes', { ...GOOD, signs: [{ name: ESCAPES, class: 'media', at: 0 }] }],
    ['a detail that is an object', { ...GOOD, details: { a: {} } }],
    ['a detail named with escapes', { ...GOOD, details: { [ESCAPES]: 1 } }],
    ['no capacity beside a use', { ...GOOD, capacity: null }],
    ['no format beside a use', { ...GOOD, format: null }],
    ['a use although only the header was examined', { ...GOOD, examined: 'header' }],
    ['no reason beside nothing examined', { ...GOOD, examined: 'none', format: null, capacity: null }],
    ['a key less', { format: 'qcow2', reasons: [], signs: [] }],
  ])('refuses %s', (_, answer) => {
    expect(() => checkedJudgement(answer, KNOWN)).toThrow(expect.objectContaining({ kind: 'bug', code: 'WORKER_PROTOCOL' }) as Error);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('leaves the verdict to the reasons: a refusing one makes it refused', () => {
    const refusing = { ...GOOD, reasons: [{ level: 'refuse', code: 'X', message: '' }] };
    const report = conclude(checkedJudgement(refusing, KNOWN), { path: 'a', identity: IDENTITY, policy: DEFAULT_POLICY });
    expect([report.verdict, report.use, report.next]).toEqual(['refused', 'refuse', null]);
  });

  it('leaves the policy outside: a VMDK without a reason is still only to be converted', () => {
    const report = conclude(checkedJudgement({ ...GOOD, format: 'vmdk' }, KNOWN), {
      path: 'a',
      identity: IDENTITY,
      policy: DEFAULT_POLICY,
    });
    expect([report.verdict, report.use, report.reasons[0]?.code]).toEqual(['convert', 'convert', 'CONVERT_ONLY']);
  });
});

describe('checkedPlaces()', () => {
  it('gives back runs', () => {
    const at = 8 * 2 ** 20;
    expect(checkedPlaces([at, at + 10])).toEqual([{ start: at, end: at + 10 }]);
  });

  it.each<[string, unknown]>([
    ['objects', [{ start: 0, end: 1 }]],
    ['half a run', [1]],
    ['fractions', [0.5, 1]],
    ['a negative start', [-1, 1]],
    ['too many', Array.from({ length: 131_074 }, () => 0)],
  ])('refuses %s', (_, answer) => {
    expect(() => checkedPlaces(answer)).toThrow(expect.objectContaining({ code: 'WORKER_PROTOCOL' }) as Error);
  });
});
