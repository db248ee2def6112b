import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PlimsollError } from '#base';
import { encodeFrame, FrameDecoder, MAX_ANSWER_BYTES, MAX_DATA_BYTES, MAX_JSON_BYTES, reviveError, type WorkerFrame } from './frames.ts';

function header(jsonBytes: number, dataBytes: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, jsonBytes, true);
  view.setUint32(4, dataBytes, true);
  return bytes;
}

describe('FrameDecoder', () => {
  it('gives back what was encoded, whatever pieces it comes in', () => {
    const frame = fc.record({ value: fc.jsonValue(), data: fc.uint8Array({ maxLength: 40 }) });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (frames, steps) => {
        const sent = frames.map(({ value, data }) => ({ message: { type: 'result', id: 1, value } satisfies WorkerFrame, data }));
        const stream = Buffer.concat(sent.map(({ message, data }) => encodeFrame(message, data)));
        const decoder = new FrameDecoder();
        const heard: unknown[] = [];
        for (let at = 0, turn = 0; at < stream.length; turn += 1) {
          const step = steps[turn % steps.length] ?? 1;
          for (const { message, data } of decoder.push(stream.subarray(at, at + step))) heard.push({ message, data: [...data] });
          at += step;
        }
        const expected = sent.map(({ message, data }) => ({ message: JSON.parse(JSON.stringify(message)) as unknown, data: [...data] }));
        expect(heard).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ['a JSON part above its bound', header(MAX_ANSWER_BYTES + 1, 0)],
    ['bytes above their bound', header(2, MAX_DATA_BYTES + 1)],
    ['no JSON', Buffer.concat([header(2, 0), Buffer.from('{]')])],
    ['no UTF-8', Buffer.concat([header(3, 0), Buffer.from([0x22, 0xff, 0x22])])],
    ['no object', Buffer.concat([header(1, 0), Buffer.from('1')])],
    ['nothing at all', header(0, 0)],
  ])('refuses %s', (_, bytes) => {
    expect(() => [...new FrameDecoder().push(bytes)]).toThrow(expect.objectContaining({ kind: 'bug', code: 'WORKER_PROTOCOL' }));
  });

  it('waits for a frame within its bounds', () => {
    expect([...new FrameDecoder().push(header(MAX_ANSWER_BYTES, MAX_DATA_BYTES))]).toEqual([]);
  });
});

describe('encodeFrame()', () => {
  it('refuses what no frame may hold', () => {
    const long = { type: 'result', id: 1, value: 'x'.repeat(MAX_JSON_BYTES) } as const;
    expect(() => encodeFrame(long)).toThrow(expect.objectContaining({ kind: 'over-budget', code: 'WORKER_OUTPUT' }));
  });
});

describe('reviveError()', () => {
  it('gives back an error of ours', () => {
    const error = new PlimsollError('corrupt', 'QCOW2_L1_SIZE', {
      doing: 'read qcow2 header',
      field: 'l1_size',
      at: 36,
      found: 7,
      expected: 'fewer',
    });
    const revived = reviveError(JSON.parse(JSON.stringify(error)), 'disk.qcow2');
    expect(revived.toJSON()).toEqual(error.toJSON());
    expect(revived.where.image).toBe('disk.qcow2');
  });

  it('shortens what is too long, and leaves out what an error does not have', () => {
    const text = 'x'.repeat(100_000);
    const revived = reviveError({ kind: 'io', code: 'X', message: text, found: text, expected: {}, image: '/etc/passwd', at: 'y' }, 'disk');
    expect(revived.message.length).toBe(4096);
    expect(revived.where).toEqual({ doing: 'read image', image: 'disk', found: 'x'.repeat(4096) });
  });

  it.each([null, 7, [], {}, { kind: 'io' }, { kind: 'constructor', code: 'X', message: '' }, { kind: 'io', code: 'x y', message: '' }])(
    'takes %j for a breach of the protocol',
    (value) => {
      expect(reviveError(value, 'disk')).toMatchObject({ kind: 'bug', code: 'WORKER_PROTOCOL' });
    },
  );
});
